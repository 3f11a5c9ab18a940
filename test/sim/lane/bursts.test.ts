/** The first seconds where losses come in bursts: a burst is no limit of the path, and what was learned between two is not all there is. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { runScenario } from './rate-scenario.ts';

const SEEDS = 40;
const SECONDS = 14;

for (const [rttMs, loss, burst, mean, least] of [
  [200, 0.1, 16, 0.905, 0.8],
  [200, 0.3, 16, 0.85, 0.5],
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
    assert.ok(Math.min(...shares) >= least, `seed ${shares.indexOf(Math.min(...shares)) + 1}: ${Math.min(...shares)}`);
  });
}
