/** Buffers of a few milliseconds: what leaves together must fit into them, and no more of it be lost than that says. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { runScenario } from './rate-scenario.ts';

/** As the lane's thread works on Linux: it waits to the microsecond, and lets datagrams come together. */
const LINUX = { gathers: true, sender: { timerLateUs: 150 }, receiver: { receiveBatchUs: 200 } };
const SEEDS = 4;

for (const { rttMs, queueMs, loss, least, mostDropped } of [
  { rttMs: 200, queueMs: 2, loss: 0.03, least: 0.86, mostDropped: 0.012 },
  { rttMs: 20, queueMs: 2, loss: 0.01, least: 0.9, mostDropped: 0.02 },
  { rttMs: 100, queueMs: 5, loss: 0.01, least: 0.9, mostDropped: 0.04 },
]) {
  test(`80 Mbit/s over ${rttMs} ms with a buffer of ${queueMs} ms`, () => {
    let share = 0;
    let dropped = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const flow = { kind: 'lane', lane: LINUX } as const;
      const outcome = runScenario({ seed, mbit: 80, rttMs, queueMs, loss, seconds: 20, fromS: 0, flows: [flow] });
      share += outcome.efficiency / SEEDS;
      dropped += outcome.dropRate / SEEDS;
    }
    assert.ok(share >= least, `${share} of the first 20 s`);
    assert.ok(dropped <= mostDropped, `${dropped} dropped by the buffer`);
  });
}
