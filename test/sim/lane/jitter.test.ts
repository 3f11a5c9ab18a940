/**
 * Jitter that keeps the order: who is late holds up all behind it, so that many packets a second meet nearly the longest delay, and
 * the first few do not. That is no queue.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { runScenario } from './rate-scenario.ts';

const SEEDS = 8;

for (const { mbit, rttMs, jitterMs, loss, least, mostQueueMs } of [
  { mbit: 50, rttMs: 120, jitterMs: 50, loss: 0.03, least: 0.82, mostQueueMs: 60 },
  { mbit: 50, rttMs: 120, jitterMs: 50, loss: 0, least: 0.9, mostQueueMs: 60 },
  { mbit: 50, rttMs: 120, jitterMs: 30, loss: 0.03, least: 0.92, mostQueueMs: 60 },
  { mbit: 200, rttMs: 60, jitterMs: 20, loss: 0, least: 0.88, mostQueueMs: 60 },
]) {
  test(`${mbit} Mbit/s over ${rttMs} ms with ${jitterMs} ms of jitter and ${loss * 100} % of loss`, () => {
    let share = 0;
    let queueMs = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const link = { jitterUs: jitterMs * 1000 };
      const outcome = runScenario({ seed, mbit, rttMs, queueMs: 200, loss, seconds: 20, fromS: 0, link, back: link });
      share += outcome.efficiency / SEEDS;
      queueMs += outcome.queueP95Ms / SEEDS;
    }
    assert.ok(share >= least, `${share} of the first 20 s`);
    assert.ok(queueMs <= mostQueueMs, `${queueMs} ms of queue`);
  });
}

test('two lanes share a path with jitter', () => {
  let jain = 0;
  for (let seed = 1; seed <= SEEDS; seed++) {
    const link = { jitterUs: 20_000 };
    const flows = [{ kind: 'lane' }, { kind: 'lane', startS: 4 }] as const;
    const scenario = { mbit: 50, rttMs: 60, queueMs: 200, seconds: 40, fromS: 15, link, back: link, flows };
    jain += runScenario({ seed, ...scenario }).jain / SEEDS;
  }
  assert.ok(jain >= 0.975, `${jain}`);
});
