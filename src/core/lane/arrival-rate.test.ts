import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ArrivalRate } from './arrival-rate.ts';

describe('how fast packets come in', () => {
  /** Packets of 1000 bytes, evenly. */
  const feed = (rate: ArrivalRate, fromS: number, toS: number, bytesPerSecond: number): void => {
    for (let us = fromS * 1e6; us < toS * 1e6; us += 1e9 / bytesPerSecond) rate.handleArrival(us, 1000);
  };
  const isNear = (value: number, wanted: number): void => assert.ok(Math.abs(value - wanted) <= 0.03 * wanted, `${value}`);

  it('is the mean of the last second, and falls to nothing after it', () => {
    const rate = new ArrivalRate();
    assert.equal(rate.bytesPerSecond(0), 0);
    feed(rate, 0, 3, 1e6);
    isNear(rate.bytesPerSecond(3e6), 1e6);
    isNear(rate.bytesPerSecond(3.5e6), 0.5e6);
    assert.equal(rate.bytesPerSecond(4.2e6), 0);
  });

  it('has a peak that silence does not take away', () => {
    const rate = new ArrivalRate();
    feed(rate, 0, 0.5, 1e6);
    feed(rate, 0.5, 1, 8e6);
    feed(rate, 1, 1.2, 0.1e6);
    isNear(rate.peakBytesPerSecond, 8e6);
    feed(rate, 600, 600.5, 1e6);
    isNear(rate.peakBytesPerSecond, 8e6);
  });

  it('forgets the peak when ten seconds of packets have come since', () => {
    const rate = new ArrivalRate();
    feed(rate, 0, 1, 8e6);
    feed(rate, 1, 12, 1e6);
    isNear(rate.peakBytesPerSecond, 1e6);
  });
});
