/**
 * The digest of the whole file, computed while it is sent. BLAKE3 wants its bytes in order, so the frontier is the point up to
 * which they have been hashed: what the sender reads just there is hashed from memory, what it read further on is read
 * again when the frontier gets to it. Blocks that the receiver claims to have are read here too, and compared.
 */
import { bytesEqual, DIGEST_BYTES } from '../../core/hex.ts';
import { RangeSet } from '../../core/ranges.ts';
import type { DigestRun } from '../../core/wire/digest-records.ts';
import { type Blake3, blake3, createBlake3 } from '../../engine/blake3.ts';
import type { BufferPool } from './buffers.ts';
import type { Pace } from './paced.ts';
import type { SourceFile } from './source-file.ts';

export interface FrontierOptions {
  readonly source: SourceFile;
  readonly size: number;
  readonly blockBytes: number;
  readonly pool: BufferPool;
  readonly pace: Pick<Pace, 'pieceBytes'>;
  /** Blocks that the receiver has, to be compared. */
  readonly claimed: readonly (readonly [number, number])[];
  /** Their digests, when the first of them is reached. */
  readonly digests: () => Promise<readonly DigestRun[]>;
  /** A claimed block is not what the source has now. */
  readonly onDiffers: (index: number) => void;
  /** The receiver takes running digests, and gets the blocks in order. */
  readonly runs: () => boolean;
}

export interface Frontier {
  /** The sender has read these bytes: hashed at once when they are the next. */
  handleData(position: number, bytes: Uint8Array): void;
  /** Digest of the file from its start to `end`, where that is how far it has been hashed and the receiver takes running digests; else null. */
  runningDigest(end: number): Uint8Array | null;
  /** The sender has read these blocks whole: they can be read again without waiting for the disk. */
  handleRead(first: number, end: number): void;
  /** Resolves with the digest of the file when all of it has been read; rejects when reading fails. */
  digest(): Promise<Uint8Array>;
  /** Resolves when nothing is being read any more. */
  stop(): Promise<void>;
}

export function createFrontier(options: FrontierOptions): Frontier {
  const { source, size, blockBytes, pool, pace } = options;
  const claimed = RangeSet.from(options.claimed);
  /** Claimed, or read by the sender. */
  const readable = RangeSet.from(options.claimed);
  const whole = createBlake3();
  let position = 0;
  let reading = false;
  let stopped = false;
  let wake: (() => void) | null = null;
  let compare: Comparer | null = null;

  function handleChange(): void {
    wake?.();
    wake = null;
  }

  async function run(): Promise<void> {
    while (position < size && !stopped) {
      const end = Math.min(size, readable.runEnd(Math.floor(position / blockBytes)) * blockBytes);
      if (end <= position) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
        continue;
      }
      reading = true;
      try {
        await advance(end);
      } finally {
        reading = false;
      }
    }
  }

  async function advance(end: number): Promise<void> {
    if (claimed.total > 0) compare ??= createComparer(claimed, await options.digests(), options);
    const buffer = await pool.take();
    try {
      while (position < end && !stopped) {
        // No more of a buffer than the others use: what was never written to takes no memory.
        const piece = buffer.subarray(0, Math.min(pace.pieceBytes(), end - position));
        await source.read(position, [piece]);
        whole.update(piece);
        compare?.handlePiece(position, piece);
        position += piece.length;
      }
    } finally {
      pool.give(buffer);
    }
  }

  const running = run();
  // Whoever asks for the digest hears of a failure; nobody may be asking when it happens.
  running.catch(() => undefined);
  return {
    handleData(at, bytes) {
      if (reading || at !== position) return;
      whole.update(bytes);
      position += bytes.length;
      handleChange();
    },
    runningDigest: (end) => (!reading && end === position && options.runs() ? whole.digest() : null),
    handleRead(first, end) {
      readable.add(first, end);
      handleChange();
    },
    async digest() {
      await running;
      return whole.digest();
    },
    async stop() {
      stopped = true;
      handleChange();
      await running.catch(() => undefined);
    },
  };
}

type Comparer = ReturnType<typeof createComparer>;

/** Takes the file's bytes in order, and tells which of the claimed blocks differ. */
function createComparer(claimed: RangeSet, runs: readonly DigestRun[], options: FrontierOptions) {
  const { blockBytes, size, onDiffers } = options;
  let partial: Blake3 | null = null;
  let run = 0;

  function expected(index: number): Uint8Array | null {
    // Asked in ascending order, so the place among the runs only moves on.
    for (; run < runs.length; run++) {
      const { first, digests } = runs[run]!;
      if (index < first) return null;
      const at = (index - first) * DIGEST_BYTES;
      if (at < digests.length) return digests.subarray(at, at + DIGEST_BYTES);
    }
    return null;
  }

  function handleBlock(index: number, digest: Uint8Array): void {
    const wanted = expected(index);
    if (wanted === null || !bytesEqual(wanted, digest)) onDiffers(index);
  }

  return {
    handlePiece(position: number, piece: Uint8Array): void {
      for (let at = 0; at < piece.length; ) {
        const index = Math.floor((position + at) / blockBytes);
        const blockEnd = Math.min((index + 1) * blockBytes, size) - position;
        const part = piece.subarray(at, Math.min(blockEnd, piece.length));
        at += part.length;
        if (!claimed.covers(index, index + 1)) continue;
        if (part.length === Math.min(blockBytes, size - index * blockBytes)) {
          handleBlock(index, blake3(part));
          continue;
        }
        partial ??= createBlake3();
        partial.update(part);
        if (at !== blockEnd) continue;
        handleBlock(index, partial.digest());
        partial = null;
      }
    },
  };
}
