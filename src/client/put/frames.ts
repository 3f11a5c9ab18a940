/**
 * Blocks of a file as block frames, read into pooled buffers where the headers already have their places between the blocks, so
 * that nothing is copied on the way to the socket. The next piece is read while the last one leaves.
 */
import { BLOCK_HEADER_BYTES, encodeBlockHeader, markRunning } from '../../core/wire/block-frames.ts';
import { blake3, createBlake3 } from '../../engine/blake3.ts';
import type { BufferPool } from './buffers.ts';
import type { Frontier } from './frontier.ts';
import { type Pace, paced } from './paced.ts';
import { PIECE_BYTES, type SourceFile } from './source-file.ts';

export interface FramesOptions {
  readonly source: SourceFile;
  readonly size: number;
  readonly blockBytes: number;
  readonly pool: BufferPool;
  readonly frontier: Pick<Frontier, 'handleData' | 'handleRead' | 'runningDigest'>;
  readonly pace: Pace;
}

/** Frames of the blocks [first, end). */
export function readFrames(options: FramesOptions, first: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
  const pieces = options.blockBytes <= PIECE_BYTES ? smallBlocks(options, first, end) : largeBlocks(options, first, end);
  return sliced(options, pieces);
}

/** Bytes of the body that readFrames gives. */
export function framesLength(contentBytes: number, blocks: number): number {
  return contentBytes + blocks * BLOCK_HEADER_BYTES;
}

interface Piece {
  readonly buffer: Buffer;
  readonly bytes: Buffer;
  readonly contentBytes: number;
}

/**
 * Gives each buffer back when its last slice has left. The next piece is read when half of this one is gone: a stream that waits for
 * its turn holds one, not two.
 */
async function* sliced(options: FramesOptions, pieces: Pieces): AsyncGenerator<Uint8Array, void, undefined> {
  let ahead: Promise<Piece | null> | null = pieces();
  try {
    while (ahead) {
      const piece: Piece | null = await ahead;
      ahead = null;
      if (!piece) return;
      let left = piece.bytes.length;
      try {
        for await (const slice of paced(options.pace, piece.bytes, piece.contentBytes)) {
          left -= slice.length;
          if (ahead === null && 2 * left < piece.bytes.length) {
            ahead = pieces();
            // Until it is asked for, a failure to read ahead is nobody's.
            ahead.catch(() => undefined);
          }
          yield slice;
        }
      } finally {
        options.pool.give(piece.buffer);
      }
    }
  } finally {
    const unused = await ahead?.catch(() => null);
    if (unused) options.pool.give(unused.buffer);
  }
}

/** Reads the next piece; null at the end. */
type Pieces = () => Promise<Piece | null>;

/** Several blocks a piece. */
function smallBlocks(options: FramesOptions, first: number, end: number): Pieces {
  const { source, size, blockBytes, pool, frontier, pace } = options;
  let next = first;
  return async () => {
    if (next >= end) return null;
    const from = next;
    next = Math.min(end, from + Math.max(1, Math.floor(pace.pieceBytes() / blockBytes)));
    const count = next - from;
    const buffer = await pool.take();
    try {
      const start = from * blockBytes;
      const contentBytes = Math.min(next * blockBytes, size) - start;
      const views: Buffer[] = [];
      for (let i = 0; i < count; i++) {
        const at = i * (BLOCK_HEADER_BYTES + blockBytes) + BLOCK_HEADER_BYTES;
        views.push(buffer.subarray(at, at + Math.min(blockBytes, contentBytes - i * blockBytes)));
      }
      await source.read(start, views);
      for (const [i, view] of views.entries()) {
        const offset = start + i * blockBytes;
        frontier.handleData(offset, view);
        const running = frontier.runningDigest(offset + view.length);
        const at = i * (BLOCK_HEADER_BYTES + blockBytes);
        encodeBlockHeader(offset, view.length, running ?? blake3(view), buffer, at);
        if (running) markRunning(buffer, at);
      }
      frontier.handleRead(from, next);
      return { buffer, bytes: buffer.subarray(0, framesLength(contentBytes, count)), contentBytes };
    } catch (error) {
      pool.give(buffer);
      throw error;
    }
  };
}

/**
 * A block in several pieces. Its digest goes first, so it is read twice, the second time from the page cache: holding whole
 * blocks of 4 MiB for every stream would cost more memory than that costs time.
 */
function largeBlocks(options: FramesOptions, first: number, end: number): Pieces {
  const { source, size, blockBytes, pool, frontier } = options;
  let index = first;
  /** Bytes of the block that have been handed out. */
  let done = 0;
  let hashed = false;

  async function hashBlock(buffer: Buffer, start: number, length: number): Promise<{ digest: Uint8Array; running: boolean }> {
    for (;;) {
      const own = frontier.runningDigest(start) ? null : createBlake3();
      for (let at = 0; at < length; at += PIECE_BYTES) {
        const view = buffer.subarray(0, Math.min(PIECE_BYTES, length - at));
        await source.read(start + at, [view]);
        frontier.handleData(start + at, view);
        own?.update(view);
      }
      if (own) return { digest: own.digest(), running: false };
      const digest = frontier.runningDigest(start + length);
      if (digest) return { digest, running: true };
      // Something failed meanwhile, and they are no longer wanted.
    }
  }

  return async () => {
    if (index >= end) return null;
    const buffer = await pool.take();
    try {
      const start = index * blockBytes;
      const length = Math.min(blockBytes, size - start);
      let headerBytes = 0;
      if (!hashed) {
        const { digest, running } = await hashBlock(buffer, start, length);
        hashed = true;
        frontier.handleRead(index, index + 1);
        encodeBlockHeader(start, length, digest, buffer);
        if (running) markRunning(buffer);
        headerBytes = BLOCK_HEADER_BYTES;
      }
      const contentBytes = Math.min(PIECE_BYTES, length - done);
      await source.read(start + done, [buffer.subarray(headerBytes, headerBytes + contentBytes)]);
      done += contentBytes;
      if (done === length) {
        index++;
        done = 0;
        hashed = false;
      }
      return { buffer, bytes: buffer.subarray(0, headerBytes + contentBytes), contentBytes };
    } catch (error) {
      pool.give(buffer);
      throw error;
    }
  };
}
