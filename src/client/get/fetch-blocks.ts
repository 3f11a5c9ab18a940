/**
 * Fetches runs of a file's blocks over several streams, and hands each block on once it has been verified. Where the blocks go
 * and which are wanted next is the caller's: a partial file takes them in any order, a stream in the order of the file.
 */
import { HawserError } from '../../core/errors.ts';
import { bytesEqual } from '../../core/hex.ts';
import { BlockAssembler } from '../../core/wire/block-frames.ts';
import { blake3 } from '../../engine/blake3.ts';
import type { BufferPool } from '../../engine/buffer-pool.ts';
import type { FrameBody } from '../api-contract.ts';
import type { Session } from './session.ts';

export interface RemoteFile {
  readonly path: string;
  readonly version: string;
  readonly size: number;
  readonly blockBytes: number;
}

export interface BlockPlan {
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
    const fetched: Promise<void> = (stop.failure ? Promise.resolve() : fetchRun(session, file, plan, run, stop))
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
      for await (const verified of verify(session, file, plan.pool, frames.body, at, end)) {
        at = verified.offset + verified.data.length;
        session.headway.moved();
        const wait = plan.handleBlock(verified.offset, verified.data);
        if (wait) await wait;
        if (stop.failure) throw stop.failure.error;
      }
      if (at < end) throw incomplete(file.path, at, end);
      session.flow.handleRun(at - startedAt, startedMs);
    } catch (error) {
      frames.cancel();
      session.flow.handleFailure(error);
      throw error;
    }
  });
}

/** The blocks of [start, end), in order, each compared with its digest. Ends early where the body does. */
async function* verify(
  session: Session,
  file: RemoteFile,
  pool: BufferPool,
  body: AsyncIterable<Uint8Array>,
  start: number,
  end: number,
): AsyncGenerator<{ offset: number; data: Uint8Array }, void, undefined> {
  let at = start;
  const blocks: { offset: number; data: Uint8Array }[] = [];
  const assembler = new BlockAssembler({ maxBlockBytes: file.blockBytes, take: (length) => pool.take().subarray(0, length) });
  for await (const piece of body) {
    const wait = session.received(piece.length);
    try {
      assembler.push(piece, (offset, digest, data) => {
        if (offset !== at || data.length !== Math.min(file.blockBytes, end - at)) {
          throw protocolError(file.path, `sent ${data.length} bytes at ${offset} where those at ${at} were asked for`);
        }
        if (!bytesEqual(blake3(data), digest)) {
          throw new HawserError('block_mismatch', `The block at byte ${offset} of "${file.path}" arrived damaged.`, {
            value: offset,
          });
        }
        at += data.length;
        blocks.push({ offset, data });
      });
    } catch (error) {
      if (blocks.length > 0) yield* blocks.splice(0);
      if (error instanceof HawserError && error.code === 'frame_invalid') throw protocolError(file.path, error.message);
      throw error;
    }
    if (blocks.length > 0) yield* blocks.splice(0);
    if (wait) await wait;
  }
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
