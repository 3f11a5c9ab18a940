import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffMs } from './backoff.ts';

test('the most one waits doubles from the base to the cap', () => {
  const most = [0, 1, 2, 8, 9, 60, 2000].map((attempt) => backoffMs(attempt, 0.999_999_999));
  assert.deepEqual(most, [99, 199, 399, 25_599, 29_999, 29_999, 29_999]);
  assert.equal(backoffMs(3, 0.5, { baseMs: 10, capMs: 50 }), 25);
});

test('the least is nothing at all, so that clients spread over the whole time', () => {
  assert.equal(backoffMs(5, 0), 0);
  assert.equal(backoffMs(5, 0.25), 800);
});
