/** The worker threads for small files, as the main thread sees them: started when needed, replaced when they die. */

import type { PathLike } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { HawserError } from '../../core/errors.ts';
import type { BatchError, BatchReply, BatchRequest, BatchSetup, GetAnswer, PutAnswer } from './batch-messages.ts';
import { isBatchError, resultAt, toColumns } from './batch-messages.ts';
import type { Entry, Overwrite, SmallEntry } from './contract.ts';

export interface BatchPool {
  putMany(entries: readonly SmallEntry[], overwrite: Overwrite): Promise<(Entry | Error)[]>;
  getMany(paths: readonly string[], maxBytes: number): Promise<({ entry: Entry; bytes: Uint8Array } | Error)[]>;
  /** Starts the threads, which takes longer than a batch does. */
  start(): void;
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
    start() {
      for (const thread of threads) thread.start();
    },

    async putMany(entries, overwrite) {
      const thread = pick();
      const results: (Entry | Error)[] = [];
      const take = async (part: readonly SmallEntry[], answering: Promise<unknown>): Promise<void> => {
        const answer = (await answering) as PutAnswer;
        for (let i = 0; i < part.length; i++) {
          const result = resultAt(answer, i, part[i]!);
          results.push(isBatchError(result) ? asError(result) : result);
        }
      };
      // One batch is prepared while the thread works on the one before. A thread answers in order.
      let before: Promise<void> = Promise.resolve();
      for (let from = 0; from < entries.length; ) {
        const to = endOfBatch(entries, from);
        const part = from === 0 && to === entries.length ? entries : entries.slice(from, to);
        const content = sharedContent(part) ?? copiedContent(part);
        const columns = toColumns(part, content.startOf);
        const request: BatchRequest = { kind: 'put', entries: columns, content: content.bytes, overwrite };
        const current = take(part, thread.call(request, content.transfer));
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
  start(): void;
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
    start() {
      if (worker !== null) return;
      worker = start();
      worker.unref();
    },
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

interface Content {
  readonly bytes: Uint8Array;
  readonly transfer: ArrayBuffer[];
  /** Where the content of the n-th entry begins. */
  startOf(index: number): number;
}

/** Bytes that both threads see are left where they are. Null when not all of them lie in one shared buffer. */
function sharedContent(entries: readonly SmallEntry[]): Content | null {
  const shared = sharedBufferOf(entries, 0);
  if (shared === null) return null;
  // What is empty lies nowhere.
  if (!entries.every(({ bytes }) => bytes.length === 0 || bytes.buffer === shared)) return null;
  return {
    bytes: new Uint8Array(shared as unknown as ArrayBuffer),
    transfer: [],
    startOf: (index) => (entries[index]!.bytes.length === 0 ? 0 : entries[index]!.bytes.byteOffset),
  };
}

/** Of the first entry from `from` on that has content, when that is shared. */
function sharedBufferOf(entries: readonly SmallEntry[], from: number): SharedArrayBuffer | null {
  for (let i = from; i < entries.length; i++) {
    const { bytes } = entries[i]!;
    if (bytes.length > 0) return bytes.buffer instanceof SharedArrayBuffer ? bytes.buffer : null;
  }
  return null;
}

/** Copies the bytes into one buffer that can be handed to the thread; the caller's own buffers stay his. */
function copiedContent(entries: readonly SmallEntry[]): Content {
  const bytes = new Uint8Array(entries.reduce((sum, entry) => sum + entry.bytes.length, 0));
  const starts = new Uint32Array(entries.length);
  let start = 0;
  for (const [i, entry] of entries.entries()) {
    bytes.set(entry.bytes, start);
    starts[i] = start;
    start += entry.bytes.length;
  }
  return { bytes, transfer: [bytes.buffer], startOf: (index) => starts[index]! };
}

/** Bounds the copy: at least one entry, then as many as fit, of one shared buffer or of none. */
function endOfBatch(entries: readonly SmallEntry[], from: number): number {
  const shared = sharedBufferOf(entries, from);
  let to = from;
  for (let bytes = 0; to < entries.length && to - from < MAX_BATCH_ENTRIES; to++) {
    const next = entries[to]!.bytes;
    bytes += next.length;
    if (bytes > MAX_BATCH_BYTES && to > from) break;
    if (shared !== null && next.length > 0 && next.buffer !== shared) break;
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
