/**
 * One file handed to a writer in order, fetched by several streams that run ahead of it within a window. What was handed over
 * cannot be taken back, so a file that changes meanwhile ends it.
 */
import { HawserError } from '../../core/errors.ts';
import { toHex } from '../../core/hex.ts';
import { blockBytesFor } from '../../core/transfer/block-size.ts';
import { BLOCK_HEADER_BYTES } from '../../core/wire/block-frames.ts';
import { createBlake3 } from '../../engine/blake3.ts';
import { createBufferPool } from '../../engine/buffer-pool.ts';
import type { FileInfo } from '../../engine/contract.ts';
import { type BlockPlan, fetchBlocks, type RemoteFile } from './fetch-blocks.ts';
import { isErrno } from './local-error.ts';
import { askDigest } from './server-digest.ts';
import type { Session } from './session.ts';

/** The bytes are valid until the promise resolves. */
export type Writer = (bytes: Uint8Array) => Promise<void>;

export async function streamOut(session: Session, path: string, info: FileInfo, writer: Writer): Promise<void> {
  const remote: RemoteFile = {
    path,
    version: info.version,
    size: info.size,
    blockBytes: Math.min(blockBytesFor(info.size), MAX_BLOCK_BYTES),
  };
  const expected = askDigest(session, path, info);
  session.meter.current(path);
  try {
    const digest = await deliver(session, remote, writer);
    if (digest !== (await expected.get())) {
      throw new HawserError(
        'digest_mismatch',
        `"${path}" was handed on, but differs from its digest: do not use what came out.`,
        {
          value: path,
        },
      );
    }
    session.fileDone(path, info.size, digest);
  } catch (error) {
    if (!(error instanceof HawserError && error.code === 'changed')) throw error;
    throw new HawserError('changed', `"${path}" changed while it was handed on: do not use what came out, and start again.`, {
      value: path,
      cause: error,
    });
  }
}

async function deliver(session: Session, remote: RemoteFile, writer: Writer): Promise<string> {
  const { size, blockBytes } = remote;
  const pool = createBufferPool(BLOCK_HEADER_BYTES + blockBytes, WINDOW_BYTES / blockBytes);
  const hash = createBlake3();
  const waiting = new Map<number, Uint8Array>();
  let taken = 0;
  let delivered = 0;
  let progress = Promise.withResolvers<void>();
  let arrival = Promise.withResolvers<void>();

  const plan: BlockPlan = {
    pool,
    next: () => {
      if (taken >= size) return 'none';
      const left = size - taken;
      const wanted = Math.max(blockBytes, Math.min(session.flow.chunkBytes, MAX_RUN_BYTES));
      const length = Math.min(left, wanted - (wanted % blockBytes));
      if (taken + length > delivered + WINDOW_BYTES) return 'later';
      const run: [number, number] = [taken, taken + length];
      taken += length;
      return run;
    },
    room: () => progress.promise,
    handleBlock: (offset, data) => {
      waiting.set(offset, data);
      if (offset === delivered) arrival.resolve();
      return undefined;
    },
  };

  /** Resolves or rejects with `promise`, or resolves when the session ends: a writer may be stuck. */
  let handleAbort = () => undefined as unknown;
  const orEnd = (promise: Promise<void>) =>
    new Promise<void>((resolve, reject) => {
      handleAbort = resolve;
      if (session.signal.aborted) resolve();
      promise.then(resolve, reject);
    });

  const write = async () => {
    while (delivered < size) {
      session.throwIfEnded();
      const data = waiting.get(delivered);
      if (!data) {
        await orEnd(arrival.promise);
        arrival = Promise.withResolvers();
        continue;
      }
      waiting.delete(delivered);
      hash.update(data);
      await orEnd(hand(writer, data));
      session.throwIfEnded();
      pool.give(data);
      delivered += data.length;
      session.meter.safe(data.length);
      progress.resolve();
      progress = Promise.withResolvers();
    }
  };

  const onAbort = () => handleAbort();
  session.signal.addEventListener('abort', onAbort, { once: true });
  // Whichever fails first ends the other.
  const end = (error: unknown) => {
    session.end(error);
    progress.resolve();
  };
  await Promise.all([fetchBlocks(session, remote, plan).catch(end), write().catch(end)]);
  session.signal.removeEventListener('abort', onAbort);
  session.throwIfEnded();
  return toHex(hash.digest());
}

async function hand(writer: Writer, data: Uint8Array): Promise<void> {
  try {
    await writer(data);
  } catch (error) {
    if (error instanceof HawserError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    const code = isErrno(error, 'ENOSPC', 'EDQUOT') ? 'local_no_space' : 'local_io';
    throw new HawserError(code, `What was fetched could not be handed on: ${why}.`, { cause: error });
  }
}

const WINDOW_BYTES = 64 << 20;
/** Runs are short, so that the streams stay close together and the window is not held up by one of them. */
const MAX_RUN_BYTES = 4 << 20;
const MAX_BLOCK_BYTES = 256 << 10;
