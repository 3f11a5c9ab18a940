/** The worker threads for small files, as the main thread sees them: started when needed, replaced when they die. */

import type { PathLike } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { HawserError } from '../../core/errors.ts';
import type { BatchEntry, BatchError, BatchReply, BatchRequest, BatchSetup, GetAnswer, PutAnswer } from './batch-messages.ts';
import { isBatchError } from './batch-messages.ts';
import type { Entry, Overwrite, SmallEntry } from './contract.ts';

export interface BatchPool {
  putMany(entries: readonly SmallEntry[], overwrite: Overwrite): Promise<(Entry | Error)[]>;
  getMany(paths: readonly string[], maxBytes: number): Promise<({ entry: Entry; bytes: Uint8Array } | Error)[]>;
  /** False when it did not happen, for whatever reason. */
  renameWithoutReplacing(from: PathLike, to: PathLike): Promise<boolean>;
  /** Calls that are under way fail. */
  close(): Promise<void>;
}

/** `workerFile` is another program for the threads, for tests of what happens when one dies. */
export function createBatchPool(setup: BatchSetup, workerFile: URL = WORKER_FILE): BatchPool {
  const threads = Array.from({ length: MAX_THREADS }, () => createThread(setup, workerFile));

  /** The one with least to do, and the first before the second, which is only started under load. */
  const pick = (): Thread => threads.reduce((best, next) => (next.pending() < best.pending() ? next : best));

  return {
    async putMany(entries, overwrite) {
      const thread = pick();
      const results: (Entry | Error)[] = [];
      const take = async (answer: Promise<unknown>): Promise<void> => {
        for (const result of (await answer) as PutAnswer) results.push(isBatchError(result) ? asError(result) : result);
      };
      // One batch is prepared while the thread works on the one before. A thread answers in order.
      let before: Promise<void> = Promise.resolve();
      for (let from = 0; from < entries.length; ) {
        const to = endOfBatch(entries, from);
        const { members, content } = packed(entries.slice(from, to));
        const current = take(thread.call({ kind: 'put', entries: members, content, overwrite }, [content.buffer]));
        // Awaited below; a failure before that is not unhandled.
        current.catch(() => undefined);
        await before;
        before = current;
        from = to;
      }
      await before;
      return results;
    },

    async getMany(paths, maxBytes) {
      if (paths.length === 0) return [];
      const { results, content } = (await pick().call({ kind: 'get', paths, maxBytes }, [])) as GetAnswer;
      let at = 0;
      return results.map((result) => {
        if (isBatchError(result)) return asError(result);
        const bytes = content.subarray(at, at + result.size);
        at += result.size;
        return { entry: result, bytes };
      });
    },

    async renameWithoutReplacing(from, to) {
      return (await pick().call({ kind: 'rename', from: from as string, to: to as string }, [])) as boolean;
    },

    async close() {
      await Promise.all(threads.map((thread) => thread.close()));
    },
  };
}

interface Thread {
  pending(): number;
  call(request: BatchRequest, transfer: ArrayBuffer[]): Promise<unknown>;
  close(): Promise<void>;
}

interface Waiting {
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: Error) => void;
}

function createThread(setup: BatchSetup, workerFile: URL): Thread {
  let worker: Worker | null = null;
  let lastId = 0;
  const waiting = new Map<number, Waiting>();

  const start = (): Worker => {
    const started = new Worker(workerFile, { workerData: setup });
    const died = (cause: unknown): void => {
      if (worker !== started) return;
      worker = null;
      const calls = [...waiting.values()];
      waiting.clear();
      for (const { reject } of calls) reject(stopped(cause));
    };
    started.on('message', (reply: BatchReply) => {
      const call = waiting.get(reply.id);
      waiting.delete(reply.id);
      if (waiting.size === 0) started.unref();
      if ('error' in reply) call?.reject(asError(reply.error));
      else call?.resolve(reply.answer);
    });
    started.on('error', died);
    started.on('exit', (code) => died(new Error(`exit code ${code}`)));
    return started;
  };

  return {
    pending: () => waiting.size,
    call(request, transfer) {
      worker ??= start();
      const id = ++lastId;
      return new Promise((resolve, reject) => {
        waiting.set(id, { resolve, reject });
        // An idle thread does not keep the process alive, one with work does.
        worker!.ref();
        worker!.postMessage({ id, request }, transfer);
      });
    },
    async close() {
      await worker?.terminate();
    },
  };
}

/** Copies the bytes into one buffer that can be handed to the thread; the caller's own buffers stay his. */
function packed(entries: readonly SmallEntry[]): { members: BatchEntry[]; content: Uint8Array<ArrayBuffer> } {
  const content = new Uint8Array(entries.reduce((sum, entry) => sum + entry.bytes.length, 0));
  let start = 0;
  const members = entries.map(({ bytes, ...entry }) => {
    content.set(bytes, start);
    const member = { ...entry, start, end: start + bytes.length };
    start = member.end;
    return member;
  });
  return { members, content };
}

/** Bounds the copy: at least one entry, then as many as fit. */
function endOfBatch(entries: readonly SmallEntry[], from: number): number {
  let to = from;
  for (let bytes = 0; to < entries.length && to - from < MAX_BATCH_ENTRIES; to++) {
    bytes += entries[to]!.bytes.length;
    if (bytes > MAX_BATCH_BYTES && to > from) break;
  }
  return to;
}

function asError({ code, message }: BatchError): HawserError {
  return new HawserError(code, message);
}

function stopped(cause: unknown): HawserError {
  return new HawserError('io_error', 'The thread that stores small files stopped before it was done: send them again.', {
    cause,
  });
}

/** Beside this file, under the name that it has there (it is .js in a built package). */
const WORKER_FILE = new URL(`./filesystem-worker${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`, import.meta.url);
const MAX_THREADS = 2;
const MAX_BATCH_BYTES = 16 << 20;
/** Each is an open file until its batch is done. */
const MAX_BATCH_ENTRIES = 1024;
