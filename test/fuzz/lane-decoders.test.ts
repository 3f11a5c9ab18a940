import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzLaneDecoders } from './lane-decoders.ts';

test('no bytes make a decoder of the lane throw, read too far, or tell of a packet that it then refuses', (context) => {
  const first = Number(process.env.HAWSER_TEST_SEED) || Math.ceil(Math.random() * 0x3fffffff);
  context.diagnostic(`seed ${first}: HAWSER_TEST_SEED=${first} makes the same inputs again`);
  const result = fuzzLaneDecoders(first, INPUTS);
  context.diagnostic(JSON.stringify(result));
  // It would prove nothing if all were refused at the first byte, or none.
  assert.ok(result.wellFormed > INPUTS / 20 && result.wellFormed < INPUTS / 2, `${result.wellFormed} well-formed`);
  assert.ok(result.frames > result.wellFormed);
  assert.ok(result.headers > INPUTS / 100 && result.symbols > INPUTS / 100);
});

/** `npm run fuzz:lane` has more. */
const INPUTS = 200_000;
