import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { BLOCK_HEADER_BYTES, encodeBlockHeader, markRunning } from './block-frames.ts';
import { BlockReader } from './block-reader.ts';

const MAX = 64;

function frame(offset: number, data: Uint8Array, digest = new Uint8Array(32).fill(offset)): Uint8Array {
  return new Uint8Array([...encodeBlockHeader(offset, data.length, digest), ...data]);
}

/** Puts the bytes where the reader wants them, in reads of at most the given sizes, which repeat. */
function feed(reader: BlockReader, bytes: Uint8Array, sizes: readonly number[]) {
  const blocks: { offset: number; digest: Uint8Array; data: Uint8Array; kept: string; running: boolean }[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const room = reader.room();
    assert.ok(room.length > 0);
    const part = bytes.subarray(at, at + Math.min(room.length, sizes[i % sizes.length]!));
    room.set(part);
    at += part.length;
    reader.push(part.length, (offset, digest, data, running) =>
      blocks.push({ offset, digest, data, kept: Buffer.from(data).toString('hex'), running }),
    );
  }
  return blocks;
}

describe('block frames read into memory of the reader', () => {
  const memory = () => Buffer.alloc(BLOCK_HEADER_BYTES + MAX);

  it('gives every block as it was, whatever the sizes of the reads', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: MAX }), { minLength: 1, maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 6 }),
        (contents, sizes) => {
          const bytes = Buffer.concat(contents.map((data, i) => frame(i, data)));
          const reader = new BlockReader({ maxBlockBytes: MAX, take: memory });
          const blocks = feed(reader, bytes, sizes);
          assert.deepEqual(
            blocks.map(({ offset, kept }) => [offset, kept]),
            contents.map((data, i) => [i, Buffer.from(data).toString('hex')]),
          );
          assert.equal(reader.pendingBytes, 0);
        },
      ),
    );
  });

  it('leaves a digest as it was when the memory is used again', () => {
    const one = memory();
    const two = memory();
    let turn = 0;
    const reader = new BlockReader({ maxBlockBytes: MAX, take: () => (turn++ % 2 === 0 ? one : two) });
    const bytes = Buffer.concat([1, 2, 3, 4].map((i) => frame(i, new Uint8Array(MAX).fill(i))));
    for (const { offset, digest } of feed(reader, bytes, [MAX])) assert.deepEqual([...digest], new Array(32).fill(offset));
  });

  it('tells running digests from others, and takes them only where they are expected', () => {
    const offset = 2 ** 40;
    const first = encodeBlockHeader(offset, 1, new Uint8Array(32));
    markRunning(first);
    const bytes = Buffer.concat([first, Uint8Array.of(7), frame(9, Uint8Array.of(8))]);
    const blocks = feed(new BlockReader({ maxBlockBytes: MAX, take: memory, takesRunning: true }), bytes, [5]);
    assert.deepEqual(
      blocks.map((block) => [block.offset, block.running]),
      [
        [offset, true],
        [9, false],
      ],
    );
    const plain = new BlockReader({ maxBlockBytes: MAX, take: memory });
    assert.throws(() => feed(plain, bytes, [5]), { code: 'frame_invalid' });
  });

  it('says how much of a frame has begun, and refuses a length that cannot be', () => {
    const reader = new BlockReader({ maxBlockBytes: MAX, take: memory });
    feed(reader, frame(0, new Uint8Array(MAX)).subarray(0, 50), [7]);
    assert.equal(reader.pendingBytes, 50);
    for (const length of [0, MAX + 1]) {
      const wrong = frame(0, new Uint8Array(1));
      new DataView(wrong.buffer).setUint32(8, length);
      assert.throws(() => feed(new BlockReader({ maxBlockBytes: MAX, take: memory }), wrong, [100]), { code: 'frame_invalid' });
    }
  });
});
