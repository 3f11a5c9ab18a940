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

test('however long the runs of losses are, four packets in ten more than known are not chance', () => {
  const loss = new LossBaseline();
  for (let i = 0; i < 20; i++) loss.observeRuns(100, 60, 2);
  loss.learnPassed(0, 60);
  assert.ok(3 * loss.sigma(60) > 0.4);
  assert.equal(loss.margin(60), 0.4);
});

test('of a path whose losses come by the dozen, a few packets without any prove less', () => {
  const [single, bursts] = [new LossBaseline(), new LossBaseline()];
  single.learnPassed(0, 200);
  bursts.observeRuns(400, 100, 8);
  bursts.learnPassed(0, 200);
  assert.ok(single.margin(200) < 0.05, `${single.margin(200)}`);
  assert.ok(bursts.margin(200) > 0.15, `${bursts.margin(200)}`);
});
