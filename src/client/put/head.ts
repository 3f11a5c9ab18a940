/**
 * The first blocks of a file leave together with the request that begins its upload: far away, a link is filled a round trip sooner.
 * The upload gets the id that the client chose, unless there is something else to go on with; then these blocks were sent for
 * nothing, and go again like any other.
 */
import { blockBytesFor } from '../../core/transfer/block-size.ts';
import type { Api } from '../api-contract.ts';
import type { TransferOptions } from '../contract.ts';
import { createBufferPool } from './buffers.ts';
import { MOST_SLICE_BYTES } from './flow.ts';
import { framesLength, readFrames } from './frames.ts';
import { openSourceFile, PIECE_BUFFER_BYTES, PIECE_BYTES } from './source-file.ts';
import type { Source } from './sources.ts';
import type { Status } from './upload.ts';

export interface Head {
  /** Id of the upload that the blocks are for. */
  readonly id: string;
  /** They are the blocks [0, end). */
  readonly end: number;
  readonly bytes: number;
  /** Resolves when they have been handed to the network, or will not be. */
  readonly sent: Promise<void>;
  /** Resolves when they are safe; rejects when nothing is known of them. */
  readonly safe: Promise<void>;
  /** The upload is the one that they are for. */
  fits(status: Status): boolean;
  /** They are not wanted. Resolves when nothing reads the file any more. */
  drop(): Promise<void>;
}

/**
 * Far away, and when nothing is known that would make the server refuse the file. One whose digest is known it may have already: the
 * hundred kilobytes that leave before it says so are little of a large file only.
 */
export function mayHaveHead(api: Api, size: number, digest: string | undefined, options: TransferOptions): boolean {
  const { limitRateBytesPerSecond, overwrite = 'always' } = options;
  const isNew = digest === undefined || size >= LARGE_BYTES;
  const isPlain = isNew && limitRateBytesPerSecond === undefined && overwrite === 'always';
  return isPlain && roundTripMatters(api);
}

/** One is worth saving. */
export function roundTripMatters(api: Api): boolean {
  const { rttMs } = api.transport.info();
  return rttMs !== null && rttMs > FAR_MS;
}

export function sendHead(api: Api, id: string, { local }: Source, size: number, follow: boolean, putSignal: AbortSignal): Head {
  const blockBytes = blockBytesFor(size);
  const end = Math.min(Math.ceil(size / blockBytes), Math.max(1, PIECE_BYTES / blockBytes));
  const bytes = Math.min(size, end * blockBytes);
  const dropped = new AbortController();
  const signal = AbortSignal.any([putSignal, dropped.signal]);
  const sent = Promise.withResolvers<void>();
  const safe = send().finally(sent.resolve);
  safe.catch(() => undefined);

  async function send(): Promise<void> {
    const source = openSourceFile(local, follow);
    const pool = createBufferPool(PIECE_BUFFER_BYTES, 2);
    const frames = readFrames({ source, size, blockBytes, pool, frontier: NOBODY, pace: UNPACED }, 0, end);
    try {
      const body = untilSent(frames, sent.resolve);
      await api.putBlocks(id, FIRST_EPOCH, body, framesLength(bytes, end), { signal, whenBegun: true });
    } finally {
      await frames.return(undefined).catch(() => undefined);
      source.close();
    }
  }

  return {
    id,
    end,
    bytes,
    sent: sent.promise,
    safe,
    fits: (status) =>
      status.id === id &&
      status.epoch === FIRST_EPOCH &&
      status.blockBytes === blockBytes &&
      status.state === 'receiving' &&
      !status.deduplicated,
    async drop() {
      dropped.abort();
      await safe.catch(() => undefined);
    },
  };
}

async function* untilSent(
  frames: AsyncGenerator<Uint8Array, void, undefined>,
  onSent: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  yield* frames;
  onSent();
}

/** Whoever computes the digest of the file reads these blocks again, from the page cache. */
const NOBODY = { handleData: () => undefined, handleRead: () => undefined, runningDigest: () => null };
const UNPACED = { leaving: () => undefined, sliceBytes: () => MOST_SLICE_BYTES, pieceBytes: () => PIECE_BYTES };
const FIRST_EPOCH = 1;
const FAR_MS = 5;
const LARGE_BYTES = 16 * 1024 * 1024;
