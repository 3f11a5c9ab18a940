import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createMeter, type ProgressEvent } from './progress.ts';

function fixture() {
  const clock = { now: 0 };
  const events: ProgressEvent[] = [];
  const meter = createMeter({
    transfer: 't-1',
    path: () => ({ transport: 'https', remote: 'x', httpVersion: '1.1', rttMs: 1 }),
    flow: () => ({ streams: 3, chunkBytes: 65536 }),
    emit: (event) => events.push(event),
    nowMs: () => clock.now,
  });
  const tick = (ms: number) => {
    clock.now += ms;
    meter.tick();
  };
  return { clock, events, meter, tick, last: () => events[events.length - 1]! };
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
