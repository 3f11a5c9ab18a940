/** The first seconds on machines that have other work to do: what a train that was held up does not show is found at once. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { runScenario } from './rate-scenario.ts';

/** Two cores with three times as much to do: the event loop stands still for 3 to 10 ms, thirty times a second. */
const LOADED = {
  sender: { timerLateUs: 2000, stallEveryUs: 30_000, stallUs: 10_000 },
  receiver: { receiveBatchUs: 1000, stallEveryUs: 30_000, stallUs: 10_000 },
};
const SEEDS = 32;
const SECONDS = 4;

for (const [rttMs, least] of [
  [100, 0.896],
  [200, 0.778],
] as const) {
  test(`a ramp on loaded machines ends at the rate of the path: ${rttMs} ms`, () => {
    let share = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      const outcome = runScenario({
        seed,
        mbit: 100,
        rttMs,
        queueMs: 200,
        seconds: SECONDS,
        fromS: 0,
        flows: [{ kind: 'lane', lane: LOADED }],
      });
      share += outcome.efficiency / SEEDS;
      assert.ok(outcome.startPeakMs <= 60, `seed ${seed}: a queue of ${outcome.startPeakMs} ms at the start`);
    }
    assert.ok(share >= least, `${share} of the first ${SECONDS} s`);
  });
}

test('who stays in the background does not look twice', () => {
  const gains = new Set<string>();
  const decisionLog = (line: string): void => void gains.add(/train g=([\d.]+)/.exec(line)?.[1] ?? '');
  const flow = { kind: 'lane', lane: { policy: { kind: 'background' } } } as const;
  runScenario({ seed: 1, mbit: 100, rttMs: 100, queueMs: 200, seconds: SECONDS, fromS: 0, decisionLog, flows: [flow] });
  assert.ok(gains.has('4.00'));
  assert.ok(!gains.has('2.00'));
});
