import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../../bench/figures.ts';
import { createPlainKernel } from './kernel-plain.ts';
import { encodeStripe, recoverStripe } from './stripe.ts';
import { createWorkspace } from './workspace.ts';

const CHUNK_BYTES = 20_000;

function chunksOf(lengths: readonly number[], seed: number): Uint8Array[] {
  const random = seededRandom(seed);
  return lengths.map((length) => Uint8Array.from({ length }, () => Math.floor(random() * 256)));
}

function parityOf(chunks: readonly Uint8Array[], count: number): Uint8Array[] {
  const bytes = Math.max(...chunks.map(({ length }) => length));
  const parity = Array.from({ length: count }, () => new Uint8Array(bytes));
  encodeStripe(chunks, parity);
  return parity;
}

/** Loses chunks and parity, recovers, and asserts that all chunks are whole. */
function assertRecovers(chunks: readonly Uint8Array[], parity: readonly Uint8Array[], lost: readonly number[]): void {
  const received = chunks.map((chunk, i) => (lost.includes(i) ? new Uint8Array(chunk.length).fill(0xa5) : chunk));
  const present = Uint8Array.from(chunks, (_, i) => (lost.includes(i) ? 0 : 1));
  recoverStripe({ chunks: received, present, parity: parity.map((row, i) => (lost.includes(chunks.length + i) ? null : row)) });
  received.forEach((chunk, i) => {
    assert.ok(Buffer.compare(chunk, chunks[i]!) === 0, `chunk ${i} after the loss of ${lost}`);
  });
}

test('10 + 3 chunks survive the loss of any three', () => {
  const chunks = chunksOf(new Array(10).fill(CHUNK_BYTES), 1);
  const parity = parityOf(chunks, 3);
  for (let a = 0; a < 13; a++) {
    for (let b = a; b < 13; b++) {
      for (let c = b; c < 13; c++) assertRecovers(chunks, parity, [a, b, c]);
    }
  }
});

test('10 + 1 is the exclusive or, and survives the loss of any one', () => {
  const chunks = chunksOf(new Array(10).fill(3000), 2);
  const parity = parityOf(chunks, 1);
  for (let i = 0; i < 3000; i++)
    assert.equal(
      parity[0]![i],
      chunks.reduce((sum, chunk) => sum ^ chunk[i]!, 0),
    );
  for (let lost = 0; lost < 11; lost++) assertRecovers(chunks, parity, [lost]);
});

test('chunks may have any length, also none', () => {
  const chunks = chunksOf([70_001, 0, 8192, 1, 8193, 65_536], 3);
  const parity = parityOf(chunks, 3);
  for (const lost of [[0, 1, 2], [3, 4, 5], [0, 6, 8], [0, 3, 5], [1]]) assertRecovers(chunks, parity, lost);
});

test('chunks of more than 256 KiB, and as many as the code has symbols for', () => {
  const large = chunksOf([300_000, 299_999], 4);
  assertRecovers(large, parityOf(large, 2), [0, 1]);
  const many = chunksOf(new Array(250).fill(1500), 5);
  assertRecovers(many, parityOf(many, 5), [0, 100, 128, 249, 252]);
});

test('the plain kernel makes the same parity', () => {
  const chunks = chunksOf([9000, 8999, 200], 6);
  const parity = [new Uint8Array(9000), new Uint8Array(9000)];
  encodeStripe(chunks, parity, createWorkspace(createPlainKernel, 0));
  assert.deepEqual(parityOf(chunks, 2), parity);
});

test('what a caller must not hand in is a RangeError', () => {
  const chunks = chunksOf([100, 100], 7);
  const parity = parityOf(chunks, 2);
  assert.throws(() => encodeStripe(chunks, [new Uint8Array(99)]), RangeError);
  assert.throws(() => encodeStripe([], [new Uint8Array(0)]), RangeError);
  assert.throws(() => encodeStripe(chunks, new Array(254).fill(new Uint8Array(100))), RangeError);
  const present = Uint8Array.of(0, 0);
  assert.throws(() => recoverStripe({ chunks, present, parity: [parity[0]!, null] }), RangeError);
  assert.throws(() => recoverStripe({ chunks, present: Uint8Array.of(0), parity }), RangeError);
  assert.throws(() => recoverStripe({ chunks, present, parity: [parity[0]!.subarray(1), parity[1]!] }), RangeError);
});
