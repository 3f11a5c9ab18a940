import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GoodputWindow } from './goodput-window.ts';

test('only the part of a request that lies in the window counts', () => {
  const window = new GoodputWindow(1000, 1000);
  // Two streams at 10 bytes a millisecond each, out of step with the window and with each other.
  assert.equal(window.handleChunk({ startedMs: 500, nowMs: 1300, bytes: 8000 }, 2), 'open');
  assert.equal(window.handleChunk({ startedMs: 700, nowMs: 1600, bytes: 9000 }, 2), 'open');
  assert.equal(window.handleChunk({ startedMs: 1300, nowMs: 2100, bytes: 8000 }, 2), 'open');
  assert.equal(window.handleChunk({ startedMs: 1600, nowMs: 2500, bytes: 9000 }, 2), 'open');
  assert.equal(window.handleChunk({ startedMs: 2100, nowMs: 2900, bytes: 8000 }, 2), 'open');
  assert.deepEqual(window.handleChunk({ startedMs: 2500, nowMs: 2950, bytes: 9000 }, 2), { rate: 20, streams: 2 });
});

test('a request that hangs is not waited for longer than the window again', () => {
  const window = new GoodputWindow(0, 1000);
  assert.equal(window.handleChunk({ startedMs: 0, nowMs: 1000, bytes: 5000 }, 2), 'open');
  assert.deepEqual(window.handleChunk({ startedMs: 1000, nowMs: 2000, bytes: 5000 }, 2), { rate: 5, streams: 1 });
});

test('one request that spans the whole window is enough', () => {
  const window = new GoodputWindow(1000, 1000);
  assert.deepEqual(window.handleChunk({ startedMs: 0, nowMs: 4000, bytes: 4000 }, 1), { rate: 1, streams: 1 });
});
