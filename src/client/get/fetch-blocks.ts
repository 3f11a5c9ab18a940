/**
 * Fetches runs of a file's blocks over several streams, and hands each block on once it has been verified. Where the blocks go
 * and which are wanted next is the caller's: a partial file takes them in any order, a stream in the order of the file.
 */
import { HawserError } from '../../core/errors.ts';
import { bytesEqual } from '../../core/hex.ts';
import { BlockReader } from '../../core/wire/block-reader.ts';
import { blake3 } from '../../engine/blake3.ts';
import type { BufferPool } from '../../engine/buffer-pool.ts';
import type { ByteSource } from '../../engine/contract.ts';
import { pour } from '../../engine/pour.ts';
import type { FrameBody } from '../api-contract.ts';
import type { Session } from './session.ts';

export interface RemoteFile {
  readonly path: string;
  readonly version: string;
  readonly size: number;
  readonly blockBytes: number;
}

export interface BlockPlan {
  /** Of memory for block frames: the header's bytes and a whole block. */
  readonly pool: BufferPool;
  /** The next run [start, end) to fetch, whole blocks; 'none' when all are taken, 'later' when `room` is to be waited for. */
  next(): [number, number] | 'none' | 'later';
  room?(): Promise<void>;
  /** A verified block, in memory of the pool that now is the plan's. A promise asks to wait before more is read. */
  handleBlock(offset: number, data: Uint8Array): Promise<void> | undefined;
}

/** What stops the other runs when one has failed. */
interface Stop {
  failure: { readonly error: unknown } | null;
  /** Ends a wait for room. */
  wake: () => void;
}

/** Resolves when `next` gives nothing more and all runs are through. The first failure stops it: `changed` when the file is another now. */
export async function fetchBlocks(session: Session, file: RemoteFile, plan: BlockPlan): Promise<void> {
  const stop: Stop = { failure: null, wake: () => undefined };
  const fail = (error: unknown) => {
    stop.failure ??= { error };
    stop.wake();
  };
  const runs = new Set<Promise<void>>();
  while (!stop.failure && !session.signal.aborted) {
    const run = plan.next();
    if (run === 'none') break;
    if (run === 'later') {
      await roomOrFailure(plan, stop);
      continue;
    }
    const release = await session.flow.slots.acquire();
    const fetched: Promise<void> = (stop.failure ? Promise.resolve() : fetchRun(session, file, plan, run, stop, release))
      .catch(fail)
      .finally(() => {
        runs.delete(fetched);
        release();
      });
    runs.add(fetched);
  }
  await Promise.all(runs);
  session.throwIfEnded();
  if (stop.failure) throw stop.failure.error;
}

/** By hand, because racing against a promise that lives long leaves a trace on it each time. */
function roomOrFailure(plan: BlockPlan, stop: Stop): Promise<void> {
  return new Promise((resolve) => {
    stop.wake = resolve;
    plan.room?.().then(resolve, resolve);
  });
}

async function fetchRun(
  session: Session,
  file: RemoteFile,
  plan: BlockPlan,
  [start, end]: [number, number],
  stop: Stop,
  onNearEnd: () => void,
): Promise<void> {
  session.throwIfEnded();
  // What was verified stays: a request that breaks off is made again from here.
  let at = start;
  await session.call(async (signal) => {
    const query = { start: at, end, blockBytes: file.blockBytes, version: file.version, transfer: session.transfer };
    const startedMs = performance.now();
    const startedAt = at;
    const frames = await session.api.getFrames(file.path, query, { signal });
    try {
      checkSame(file, frames);
      await takeBlocks(session, file, plan, frames.body, [at, end], stop, (blockEnd) => {
        at = blockEnd;
        session.headway.moved();
        if (end - at <= session.flow.overlapBytes) onNearEnd();
      });
      if (at < end) throw incomplete(file.path, at, end);
      session.flow.handleRun(at - startedAt, startedMs);
    } catch (error) {
      frames.cancel();
      session.flow.handleFailure(error);
      throw error;
    }
  });
}

/** Hands on the blocks of [start, end), in order, each compared with its digest. Ends early where the body does. */
async function takeBlocks(
  session: Session,
  file: RemoteFile,
  plan: BlockPlan,
  body: ByteSource,
  [start, end]: [number, number],
  stop: Stop,
  onVerified: (blockEnd: number) => void,
): Promise<void> {
  let at = start;
  const reader = new BlockReader({ maxBlockBytes: file.blockBytes, take: plan.pool.take });
  let waits: Promise<void>[] = [];

  const handleBlock = (offset: number, digest: Uint8Array, data: Uint8Array) => {
    if (offset !== at || data.length !== Math.min(file.blockBytes, end - at)) {
      throw protocolError(file.path, `sent ${data.length} bytes at ${offset} where those at ${at} were asked for`);
    }
    if (!bytesEqual(blake3(data), digest)) {
      throw new HawserError('block_mismatch', `The block at byte ${offset} of "${file.path}" arrived damaged.`, {
        value: offset,
      });
    }
    at += data.length;
    onVerified(at);
    const wait = plan.handleBlock(offset, data);
    if (wait) waits.push(wait);
  };

  await pour(body, {
    room: () => reader.room(),
    take(bytes) {
      const paced = session.received(bytes);
      if (paced) waits.push(paced);
      const asked = waits;
      waits = [];
      try {
        reader.push(bytes, handleBlock);
        asked.push(...waits.splice(0));
        if (stop.failure) throw stop.failure.error;
      } catch (error) {
        // What was asked to be waited for is nobody's now.
        for (const wait of [...asked, ...waits]) wait.catch(() => undefined);
        if (error instanceof HawserError && error.code === 'frame_invalid') throw protocolError(file.path, error.message);
        throw error;
      }
      return asked.length > 0 ? Promise.all(asked).then(() => undefined) : undefined;
    },
  });
}

function checkSame(file: RemoteFile, frames: FrameBody): void {
  if (frames.version === file.version && frames.size === file.size) return;
  throw new HawserError('changed', `"${file.path}" is no longer the file that it was when the fetch began.`, {
    value: file.path,
  });
}

function incomplete(path: string, at: number, end: number): HawserError {
  return new HawserError('body_incomplete', `The answer with "${path}" ended at byte ${at}, before ${end}.`, { value: path });
}

function protocolError(path: string, what: string): HawserError {
  return new HawserError('protocol_error', `The answer with "${path}" is not well-formed: it ${what}.`, { value: path });
}
