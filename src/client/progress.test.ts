import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LaneSnapshot } from '../core/lane/contract.ts';
import { createMeter, type ProgressEvent } from './progress.ts';

function fixture() {
  const clock = { now: 0 };
  const events: ProgressEvent[] = [];
  const lane = { unacknowledgedBytes: 0 };
  const meter = createMeter({
    transfer: 't-1',
    path: () => ({ transport: 'lane', remote: 'x', httpVersion: '1.1', rttMs: 1, lane: lane as LaneSnapshot }),
    flow: () => ({ streams: 3, chunkBytes: 65536 }),
    emit: (event) => events.push(event),
    nowMs: () => clock.now,
  });
  const tick = (ms: number) => {
    clock.now += ms;
    meter.tick();
  };
  return { clock, events, lane, meter, tick, last: () => events[events.length - 1]! };
}

test('the speed is that of the last seconds, of what moved and not of what was there', () => {
  const { meter, tick, last } = fixture();
  meter.start();
  meter.expect(2, 10_000);
  meter.found(4000);
  for (let i = 0; i < 10; i++) {
    meter.safe(100);
    tick(100);
  }
  meter.stop();
  assert.equal(last().bytesDone, 5000);
  assert.equal(last().bytesPerSecond, 1000);
  assert.equal(last().etaMs, null);
  meter.totalsKnown();
  meter.stop();
  assert.equal(last().etaMs, 5000);
  assert.deepEqual([last().streams, last().chunkBytes, last().filesTotal], [3, 65536, 2]);
});

test('what has arrived of a request counts, and is not taken back when it breaks', () => {
  const { meter, tick, last } = fixture();
  meter.start();
  meter.expect(1, 1000);
  const request = meter.carrying(800);
  let waiting = 600;
  request.handleGiven(700);
  request.handleSending(() => waiting);
  tick(100);
  assert.equal(last().bytesUnderway, 0, 'it may be answered at once');
  tick(900);
  assert.deepEqual([last().bytesDone, last().bytesUnderway, last().bytesPerSecond], [0, 100, 100]);
  waiting = 0;
  request.handleGiven(150);
  tick(1000);
  assert.equal(last().bytesUnderway, 800, 'headers are no content');
  request.end();
  tick(100);
  assert.deepEqual([last().bytesDone, last().bytesUnderway], [0, 800], 'it will be made again');
  meter.safe(500);
  tick(100);
  assert.deepEqual([last().bytesDone, last().bytesUnderway], [500, 300]);
  meter.safe(500);
  tick(100);
  assert.deepEqual([last().bytesDone, last().bytesUnderway], [1000, 0]);
});

test('what a file that is given up has moved counts no more', () => {
  const { meter, tick, last } = fixture();
  meter.start();
  meter.expect(2, 1000);
  const request = meter.carrying(600);
  request.handleGiven(600);
  tick(1000);
  assert.equal(last().bytesUnderway, 600);
  request.end();
  meter.expect(-1, -600);
  tick(1000);
  assert.deepEqual([last().bytesUnderway, last().bytesPerSecond], [0, 0]);
});

test('over a lane what is not acknowledged has not arrived', () => {
  const { meter, tick, last, lane } = fixture();
  meter.start();
  meter.expect(1, 1000);
  meter.carrying(800).handleGiven(800);
  lane.unacknowledgedBytes = 700;
  tick(1000);
  assert.equal(last().bytesUnderway, 100);
});

test('the speed of long ago is forgotten', () => {
  const { meter, tick, last } = fixture();
  meter.start();
  meter.safe(1_000_000);
  for (let i = 0; i < 70; i++) tick(100);
  meter.stop();
  assert.equal(last().bytesPerSecond, 0);
});

test('nothing new is told once a second, something new at the next tick', () => {
  const { meter, tick, events } = fixture();
  meter.start();
  tick(100);
  assert.equal(events.length, 1);
  for (let i = 0; i < 9; i++) tick(100);
  assert.equal(events.length, 1);
  tick(100);
  assert.equal(events.length, 2);
  meter.safe(1);
  meter.safe(1);
  tick(100);
  assert.equal(events.length, 3);
  meter.stop();
});

test('what turned out not to be there is taken back', () => {
  const { meter } = fixture();
  meter.expect(1, 100);
  meter.found(100);
  meter.found(-30);
  assert.equal(meter.bytesDone, 70);
  meter.expect(-1, -100);
  assert.deepEqual([meter.filesTotal, meter.bytesTotal], [0, 0]);
});
