import assert from 'node:assert/strict';
import test from 'node:test';
import { LossBaseline } from './rate-loss.ts';

test('an interval of which nothing is known teaches nothing', () => {
  const loss = new LossBaseline();
  loss.drift(0, 0);
  loss.learnPassed(0, 0);
  loss.learnVerified(0, 0);
  loss.learnClear(0, 0);
  assert.deepEqual([loss.rate, loss.samples], [0, 0]);
  loss.learnPassed(0.3, 100);
  assert.ok(loss.rate > 0.2);
});
