import assert from 'node:assert/strict';
import test from 'node:test';
import { failureProbability } from './failure-probability.ts';

test('what is certain is certain', () => {
  assert.equal(failureProbability(10, 0, 0.5, 1), 0);
  assert.equal(failureProbability(10, -3, 0.5, 1), 0);
  assert.equal(failureProbability(9, 10, 0, 1), 1);
  assert.equal(failureProbability(10, 10, 0, 1), 0);
  assert.equal(failureProbability(0, 1, 0.1, 1), 1);
});

test('a few packets with independent losses are reckoned exactly', () => {
  // P[at least one of two lost] and so on, by hand.
  close(failureProbability(2, 2, 0.1, 1), 1 - 0.9 ** 2);
  close(failureProbability(3, 2, 0.1, 1), 1 - 0.9 ** 3 - 3 * 0.1 * 0.9 ** 2);
  close(failureProbability(1, 1, 0.3, 1), 0.3);
  close(failureProbability(6, 1, 0.3, 1), 0.3 ** 6);
  for (const loss of [0.01, 0.1, 0.3, 0.6]) {
    for (const inFlight of [5, 20, 64]) {
      for (let need = 1; need <= inFlight; need += 3) {
        close(failureProbability(inFlight, need, loss, 1), enumerated(inFlight, need, loss));
      }
    }
  }
});

test('beyond 64 packets the approximation is near what it approximates', () => {
  for (const loss of [0.02, 0.1, 0.3]) {
    for (const need of [60, 90, 103]) {
      for (let inFlight = Math.max(65, need); inFlight < 200; inFlight += 7) {
        const exact = enumerated(inFlight, need, loss);
        const near = failureProbability(inFlight, need, loss, 1);
        assert.ok(Math.abs(near - exact) < 0.09, `${inFlight} ${need} ${loss}: ${near} for ${exact}`);
        if (exact < 0.01) assert.ok(near < 0.03, `${inFlight} ${need} ${loss}: ${near} for ${exact}`);
      }
    }
  }
});

test('more in flight, less loss and less need never make failing likelier', () => {
  for (const burst of [1, 4]) {
    for (const loss of [0, 0.01, 0.1, 0.3, 0.6]) {
      for (const need of [1, 10, 60, 103]) {
        let before = 1;
        for (let inFlight = need; inFlight <= 255; inFlight++) {
          const failure = failureProbability(inFlight, need, loss, burst);
          assert.ok(failure >= 0 && failure <= 1);
          // Where the exact sum ends and the approximation begins there is a small step.
          assert.ok(failure <= before + 0.06, `${inFlight} ${need} ${loss} ${burst}: ${failure} after ${before}`);
          before = failure;
          assert.ok(failureProbability(inFlight, need + 1, loss, burst) >= failure - 1e-9);
        }
      }
    }
  }
});

test('what is not known of the loss makes the unlikely likelier, and the likely less so', () => {
  for (const [inFlight, need] of [
    [10, 3],
    [60, 40],
    [180, 103],
  ] as const) {
    const known = failureProbability(inFlight, need, 0.3, 1, 0);
    const unknown = failureProbability(inFlight, need, 0.3, 1, 0.2);
    assert.ok(known < 0.5 ? unknown > known : unknown < known, `${inFlight} ${need}: ${known} and ${unknown}`);
  }
  const [known, unknown] = [0, 0.05].map((sigma) => failureProbability(130, 103, 0.3, 1, sigma));
  assert.ok(known! > 0.95 && unknown! < known! && unknown! > 0.9, `${known} and ${unknown}`);
});

test('losses in runs need more of a margin', () => {
  const margin = (burst: number): number => {
    let inFlight = 103;
    while (failureProbability(inFlight, 103, 0.1, burst) > 0.01) inFlight++;
    return inFlight - 103;
  };
  const [independent, runs] = [margin(1), margin(4)];
  assert.ok(independent >= 20 && independent <= 24, `${independent}`);
  assert.ok(runs >= 35 && runs <= 50, `${runs}`);
});

/** P[Binomial(n, 1 - loss) < need], term by term from binomial coefficients in logarithms. */
function enumerated(n: number, need: number, loss: number): number {
  let sum = 0;
  let logCoefficient = 0;
  for (let arrived = 0; arrived < need; arrived++) {
    if (arrived > 0) logCoefficient += Math.log((n - arrived + 1) / arrived);
    sum += Math.exp(logCoefficient + arrived * Math.log(1 - loss) + (n - arrived) * Math.log(loss));
  }
  return Math.min(1, sum);
}

function close(actual: number, expected: number): void {
  assert.ok(Math.abs(actual - expected) < 1e-9, `${actual} for ${expected}`);
}
