import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { RangeSet } from '../../core/ranges.ts';
import { BLOCK_HEADER_BYTES, BlockAssembler } from '../../core/wire/block-frames.ts';
import { BlockReader } from '../../core/wire/block-reader.ts';
import { blake3 } from '../../engine/blake3.ts';
import { createBufferPool } from './buffers.ts';
import { framesLength, readFrames } from './frames.ts';
import { createFrontier } from './frontier.ts';
import { openSourceFile, PIECE_BUFFER_BYTES, PIECE_BYTES } from './source-file.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hawser-frames-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

const content = Buffer.alloc(9_500_001);
for (let i = 0; i < content.length; i += 4) content.writeUInt32LE((i * 2654435761) >>> 0, Math.min(i, content.length - 4));
const file = path.join(folder, 'file');
fs.writeFileSync(file, content);

interface Setup {
  readonly blockBytes: number;
  readonly claimed?: [number, number][];
  /** Digest that the receiver has of a block. */
  readonly digestOf?: (index: number) => Uint8Array;
  /** Whether the receiver takes running digests. */
  readonly runs?: boolean;
}

function setup({ blockBytes, claimed = [], digestOf, runs = false }: Setup) {
  const source = openSourceFile(file, false);
  const size = content.length;
  // Fewer buffers than are wanted: whoever forgets to give one back stops the test.
  const pool = createBufferPool(PIECE_BUFFER_BYTES, 4);
  const blocks = Math.ceil(size / blockBytes);
  const block = (index: number) => content.subarray(index * blockBytes, Math.min(size, (index + 1) * blockBytes));
  const differing: number[] = [];
  const frontier = createFrontier({
    source,
    size,
    blockBytes,
    pool,
    pace: { pieceBytes: () => PIECE_BYTES },
    claimed,
    digests: async () =>
      claimed.map(([first, end]) => ({
        first,
        digests: Buffer.concat(
          Array.from({ length: end - first }, (_, i) => (digestOf ?? ((index) => blake3(block(index))))(first + i)),
        ),
      })),
    onDiffers: (index) => differing.push(index),
    runs: () => runs,
  });
  let counted = 0;
  const read = (first: number, end: number) =>
    readFrames(
      {
        source,
        size,
        blockBytes,
        pool,
        frontier,
        pace: {
          leaving: (bytes) => {
            counted += bytes;
            return undefined;
          },
          sliceBytes: () => 100_000,
          pieceBytes: () => PIECE_BYTES,
        },
      },
      first,
      end,
    );
  const check = async (first: number, end: number) => {
    let index = first;
    let length = 0;
    const assembler = new BlockAssembler({ maxBlockBytes: blockBytes, take: (bytes) => Buffer.alloc(bytes) });
    for await (const piece of read(first, end)) {
      length += piece.length;
      assembler.push(piece, (offset, digest, data) => {
        assert.equal(offset, index * blockBytes);
        assert.ok(Buffer.from(data).equals(block(index)), `block ${index}`);
        assert.ok(Buffer.from(digest).equals(blake3(data)), `digest ${index}`);
        index++;
      });
    }
    assert.equal(index, end);
    assert.equal(assembler.pendingBytes, 0);
    assert.equal(length, framesLength(Math.min(end * blockBytes, size) - first * blockBytes, end - first));
  };
  return { source, frontier, blocks, differing, read, check, counted: () => counted };
}

for (const blockBytes of [65536, 262144, 1 << 20, 4 << 20, 16 << 20]) {
  test(`blocks of ${blockBytes} bytes: frames in any order, and the digest of the whole`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(fc.nat()), fc.boolean(), async (random, together) => {
        const { source, frontier, blocks, check, counted } = setup({ blockBytes });
        const runs: [number, number][] = [];
        for (let first = 0; first < blocks; ) {
          const end = Math.min(blocks, first + 1 + (random.next().value! % 8));
          runs.push([first, end]);
          first = end;
        }
        runs.sort(() => (random.next().value! % 2 === 0 ? 1 : -1));
        // At most as many as the buffers allow without waiting for each other for ever: two each, and one for the frontier.
        if (together) await Promise.all(runs.map(([first, end]) => check(first, end)));
        else for (const [first, end] of runs) await check(first, end);
        assert.equal(counted(), content.length);
        assert.ok(Buffer.from(await frontier.digest()).equals(blake3(content)));
        await frontier.stop();
        source.close();
      }),
      { numRuns: 5 },
    );
  });

  test(`blocks of ${blockBytes} bytes: of those that the receiver has, the ones that differ are found`, async () => {
    const blocks = Math.ceil(content.length / blockBytes);
    const wrong = blocks > 2 ? 1 : 0;
    const { source, frontier, differing, check } = setup({
      blockBytes,
      claimed: [[0, Math.max(1, blocks - 1)]],
      digestOf: (index) =>
        index === wrong ? Buffer.alloc(32) : blake3(content.subarray(index * blockBytes, (index + 1) * blockBytes)),
    });
    const sent = new RangeSet();
    if (blocks > 1) {
      await check(blocks - 1, blocks);
      sent.add(blocks - 1, blocks);
    }
    assert.ok(Buffer.from(await frontier.digest()).equals(blake3(content)));
    assert.deepEqual(differing, [wrong]);
    source.close();
  });
}

for (const blockBytes of [65536, 1 << 20, 4 << 20]) {
  test(`blocks of ${blockBytes} bytes: running digests while they are read in order, their own afterwards`, async () => {
    const { source, frontier, blocks, read } = setup({ blockBytes, runs: true });
    const seen: boolean[] = [];
    const see = async (first: number, end: number): Promise<void> => {
      const take = () => Buffer.alloc(BLOCK_HEADER_BYTES + blockBytes);
      const reader = new BlockReader({ maxBlockBytes: blockBytes, take, takesRunning: true });
      for await (const piece of read(first, end)) {
        for (let at = 0; at < piece.length; ) {
          const room = reader.room();
          const part = piece.subarray(at, at + room.length);
          room.set(part);
          at += part.length;
          reader.push(part.length, (offset, digest, data, running) => {
            seen.push(running);
            const covered = running ? content.subarray(0, offset + data.length) : data;
            assert.ok(Buffer.from(digest).equals(blake3(covered)), `digest at ${offset}`);
          });
        }
      }
    };
    await see(0, blocks - 1);
    await see(0, 1);
    await see(blocks - 1, blocks);
    assert.deepEqual(seen, [...new Array<boolean>(blocks - 1).fill(true), false, true]);
    assert.ok(Buffer.from(await frontier.digest()).equals(blake3(content)));
    source.close();
  });
}

test('a body that waits for its turn holds one piece: the next is read when half of it has left', async () => {
  const source = openSourceFile(file, false);
  const buffers = createBufferPool(PIECE_BUFFER_BYTES, 4);
  let taken = 0;
  const take = () => {
    taken++;
    return buffers.take();
  };
  const pool = { take, give: buffers.give };
  const nobody = { handleData: () => undefined, handleRead: () => undefined, runningDigest: () => null };
  const pace = { leaving: () => undefined, sliceBytes: () => 262144, pieceBytes: () => PIECE_BYTES };
  const frames = readFrames({ source, size: content.length, blockBytes: 262144, pool, frontier: nobody, pace }, 0, 36);
  const seen: number[] = [];
  for (let slice = 0; slice < 6; slice++) {
    await frames.next();
    seen.push(taken);
  }
  assert.deepEqual(seen, [1, 1, 2, 2, 2, 2]);
  await frames.return(undefined);
  source.close();
});

test('a body that is dropped half-way gives its buffers back', async () => {
  const { source, frontier, blocks, read, check } = setup({ blockBytes: 262144 });
  for (let i = 0; i < 10; i++) {
    for await (const _ of read(0, blocks)) break;
  }
  await check(0, blocks);
  assert.ok(Buffer.from(await frontier.digest()).equals(blake3(content)));
  source.close();
});

test('a file that got shorter is a source that changed', async () => {
  const short = path.join(folder, 'short');
  fs.writeFileSync(short, 'x'.repeat(100_000));
  const source = openSourceFile(short, false);
  await assert.rejects(source.read(50_000, [Buffer.alloc(60_000)]), { code: 'source_changed' });
  source.close();
  assert.throws(() => openSourceFile(path.join(folder, 'absent'), false), { code: 'local_not_found' });
  fs.symlinkSync('short', path.join(folder, 'link'));
  assert.throws(() => openSourceFile(path.join(folder, 'link'), false), { code: 'local_io' });
  openSourceFile(path.join(folder, 'link'), true).close();
});
