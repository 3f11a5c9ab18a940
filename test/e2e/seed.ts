/** Randomness that can be replayed: HAWSER_TEST_SEED=N runs the same choices again. */
import type { TestContext } from 'node:test';

export interface Random {
  /** Whole number from `least` up to, and not including, `limit`. */
  between(least: number, limit: number): number;
}

/** Prints its seed with the test's result. */
export function seeded(context: TestContext): Random {
  const seed = Number(process.env.HAWSER_TEST_SEED) || Math.ceil(Math.random() * 0x7fffffff);
  context.diagnostic(`seed ${seed}: HAWSER_TEST_SEED=${seed} makes the same choices again`);
  return randomFrom(seed);
}

/** mulberry32: small, and good enough to choose where to kill. */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
  return { between: (least, limit) => least + Math.floor(next() * (limit - least)) };
}
