/**
 * The first seconds where losses come in bursts. Bursts of the path's own are no limit of it; those of a short buffer, into which a
 * busy machine sends by the dozen, are, and must not pass for the former.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { BUSY } from './rate-cases.ts';
import { runScenario } from './rate-scenario.ts';

const SEEDS = 40;
const SECONDS = 14;

/** Of forty. Which seeds they are hangs on every packet: of the worst link one or two in a hundred find their rate late. */
const UNLUCKY = 2;

for (const [rttMs, loss, burst, mean, least] of [
  [200, 0.1, 16, 0.905, 0.8],
  [200, 0.3, 16, 0.83, 0.45],
  [200, 0.2, 8, 0.915, 0.7],
  [50, 0.2, 16, 0.935, 0.8],
] as const) {
  test(`${rttMs} ms, ${100 * loss} % lost in bursts of ${burst}: the path's rate is found soon, and kept`, () => {
    const shares = Array.from(
      { length: SEEDS },
      (_, i) => runScenario({ seed: i + 1, mbit: 100, rttMs, queueMs: 200, loss, burst, seconds: SECONDS, fromS: 0 }).efficiency,
    );
    const sum = shares.reduce((a, b) => a + b, 0);
    assert.ok(sum / SEEDS >= mean, `${sum / SEEDS} of the first ${SECONDS} s`);
    const low = shares.toSorted((a, b) => a - b)[UNLUCKY] as number;
    assert.ok(low >= least, `seed ${shares.indexOf(low) + 1}: ${low}`);
  });
}

for (const [rttMs, loss, queueMs, mean, drops] of [
  [200, 0.03, 2, 0.74, 0.04],
  [50, 0.01, 5, 0.88, 0.02],
] as const) {
  test(`${rttMs} ms, a buffer of ${queueMs} ms, busy machines: little is dropped`, () => {
    let [share, dropped] = [0, 0];
    for (let seed = 1; seed <= SEEDS; seed++) {
      const flows = [{ kind: 'lane', lane: BUSY }] as const;
      const outcome = runScenario({ seed, mbit: 80, rttMs, queueMs, loss, seconds: SECONDS, fromS: 0, flows });
      share += outcome.efficiency / SEEDS;
      dropped += outcome.dropRate / SEEDS;
    }
    assert.ok(share >= mean, `${share} of the first ${SECONDS} s`);
    assert.ok(dropped <= drops, `${dropped} were dropped`);
  });
}
