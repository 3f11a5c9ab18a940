import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { paced } from './paced.ts';

async function slices(bytes: number, sliceBytes: number, contentBytes = bytes) {
  const counted: number[] = [];
  const lengths: number[] = [];
  const source = Uint8Array.from({ length: bytes }, (_, i) => i & 255);
  const seen: number[] = [];
  const pace = {
    leaving: (count: number) => void counted.push(count),
    sliceBytes: () => sliceBytes,
    pieceBytes: () => sliceBytes,
  };
  for await (const slice of paced(pace, source, contentBytes)) {
    lengths.push(slice.length);
    seen.push(...slice);
  }
  assert.deepEqual(seen, [...source]);
  return { lengths, counted };
}

describe('slices of a piece', () => {
  it('are all of it, and the last is what is left', async () => {
    assert.deepEqual((await slices(250, 100)).lengths, [100, 100, 50]);
    assert.deepEqual((await slices(40, 100)).lengths, [40]);
    assert.deepEqual((await slices(0, 100)).lengths, []);
  });

  it('leave no short rest behind', async () => {
    assert.deepEqual((await slices(404, 100)).lengths, [100, 100, 100, 104]);
  });

  it('count content and no headers', async () => {
    assert.deepEqual((await slices(404, 100, 400)).counted, [100, 100, 100, 100]);
  });
});
