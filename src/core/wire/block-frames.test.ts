import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { BLOCK_HEADER_BYTES, BlockAssembler, encodeBlockHeader } from './block-frames.ts';

const MAX = 64;
const frame = fc.record(
  {
    offset: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - MAX }),
    digest: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    data: fc.uint8Array({ minLength: 1, maxLength: MAX }),
  },
  { noNullPrototype: true },
);

test('frames come out as they went in, wherever the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 8 }),
      (frames, cuts) => {
        const stream = Buffer.concat(frames.flatMap((f) => [encodeBlockHeader(f.offset, f.data.length, f.digest), f.data]));
        const found: unknown[] = [];
        let taken = 0;
        const assembler = new BlockAssembler({
          maxBlockBytes: MAX,
          take: (length) => {
            taken++;
            return new Uint8Array(length + 5);
          },
        });
        let at = 0;
        for (let i = 0; at < stream.length; i++) {
          // The socket's memory is used again: nothing may point into it afterwards.
          const piece = Uint8Array.from(stream.subarray(at, at + cuts[i % cuts.length]!));
          assembler.push(piece, (offset, digest, data) => found.push({ offset, digest, data }));
          at += piece.length;
          piece.fill(0xee);
        }
        assert.deepEqual(found, frames);
        assert.equal(taken, frames.length);
        assert.equal(assembler.pendingBytes, 0);
      },
    ),
    { numRuns: 300 },
  );
});

test('a cut frame is pending and is not given', () => {
  const assembler = new BlockAssembler({ maxBlockBytes: MAX, take: (length) => new Uint8Array(length) });
  const header = encodeBlockHeader(0, 2, new Uint8Array(32));
  assembler.push(header.subarray(0, 10), never);
  assert.equal(assembler.pendingBytes, 10);
  assembler.push(header.subarray(10), never);
  assembler.push(Uint8Array.of(1), never);
  assert.equal(assembler.pendingBytes, BLOCK_HEADER_BYTES + 1);
});

test('a header that cannot be right is refused before memory is taken', () => {
  const good = encodeBlockHeader(0, MAX, new Uint8Array(32));
  const wrong = {
    'no data': [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    'too long': [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, MAX + 1],
    'far too long': [0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255],
    'too far': [0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    'ends too far': [0, 31, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1],
    'beyond any': [255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 1],
  };
  for (const [name, start] of Object.entries(wrong)) {
    const header = Uint8Array.from(good);
    header.set(start);
    const assembler = new BlockAssembler({ maxBlockBytes: MAX, take: () => assert.fail(`memory was taken: ${name}`) });
    assert.throws(() => assembler.push(header, never), { code: 'frame_invalid' }, name);
  }
});

test('a header is written where it is wanted, big-endian', () => {
  const into = new Uint8Array(50);
  const digest = new Uint8Array(32).fill(7);
  const header = encodeBlockHeader(0x1_0203_0405, 0x0a0b, digest, into, 3);
  assert.deepEqual([...header.subarray(0, 12)], [0, 0, 0, 1, 2, 3, 4, 5, 0, 0, 10, 11]);
  assert.deepEqual(header.subarray(12), digest);
  assert.deepEqual(into.subarray(3, 47), header);
  assert.deepEqual([...into.subarray(0, 3), ...into.subarray(47)], [0, 0, 0, 0, 0, 0]);
  assert.throws(() => encodeBlockHeader(-1, 1, digest), { code: 'internal' });
  assert.throws(() => encodeBlockHeader(0, 0, digest), { code: 'internal' });
  assert.throws(() => encodeBlockHeader(0, 1, digest.subarray(1)), { code: 'internal' });
});

function never(): never {
  assert.fail('nothing whole has arrived yet');
}
