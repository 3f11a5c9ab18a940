/**
 * Small files, folders and links, many to a request. One pack is built while others are on their way; a pack that failed is sent
 * again without what had arrived of it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type ErrorCode, HawserError, isErrorCode } from '../../core/errors.ts';
import type { PackResult } from '../../engine/contract.ts';
import { createTries } from '../retry.ts';
import type { Flow } from './flow.ts';
import type { Job } from './job.ts';
import { paced } from './paced.ts';
import { type AddResult, PackBuffer, type Packed } from './pack-buffer.ts';
import type { Streams } from './streams.ts';
import { isKept } from './upload.ts';
import type { SourceEntry } from './walk.ts';

export interface Packs {
  /**
   * Adds to the pack that is being built; a file that cannot be read is reported and counts as added. 'full': await `room` and try
   * again. 'too-large': the file has grown and must go as an upload.
   */
  add(entry: SourceEntry, path: string): AddResult;
  /** Sends what there is, and resolves when there is a pack to build. */
  room(): Promise<void>;
  /** Sends what there is. */
  flush(): void;
  /**
   * Once for each pack that was full: resolves when it has left, or after a moment. Reading the next files would keep it here, because
   * files are read with plain calls and bytes leave at turns of the event loop, 160 KiB in each over TLS.
   */
  left(): Promise<void> | undefined;
  /** Resolves when all that was flushed has arrived or failed. */
  drained(): Promise<void>;
}

export interface PackLimits {
  /** A pack that is so long is sent: it is longer by its last entry. */
  readonly packBytes: number;
  readonly packEntries: number;
  /** Larger files go as uploads; below 0: all files do. */
  readonly fileBytes: number;
}

export function createPacks(job: Job, streams: Streams, flow: Flow, limits: PackLimits): Packs {
  const free: PackBuffer[] = [];
  const running = new Set<Promise<void>>();
  const size = createPackSize(limits.packBytes, job.api.transport.info().rttMs);
  let made = 0;
  let current: PackBuffer | null = null;
  let leaving: Promise<void> | undefined;

  function take(): PackBuffer | null {
    const buffer = free.pop();
    if (buffer || made > flow.packs) return buffer ?? null;
    made++;
    return new PackBuffer({
      maxBytes: limits.packBytes + Math.max(0, limits.fileBytes) + HEADERS_BYTES,
      maxFileBytes: limits.fileBytes,
      preserve: job.preserve,
      follow: job.options.follow ?? false,
    });
  }

  function flush(): void {
    const pack = current;
    if (!pack || pack.entries.length === 0) return;
    current = null;
    size.handleFull();
    const left = Promise.withResolvers<void>();
    leaving = left.promise;
    const run = send(pack, left.resolve)
      .catch((error: unknown) => job.stop(error))
      .finally(() => {
        running.delete(run);
        pack.clear();
        free.push(pack);
      });
    running.add(run);
  }

  async function send(pack: PackBuffer, onLeft: () => void): Promise<void> {
    let tries = createTries(job.retry);
    const doubt = { arrived: false };
    for (let mismatches = 0; pack.entries.length > 0; ) {
      const release = await streams.slots.acquire();
      let failure: unknown = null;
      try {
        if (doubt.arrived) await dropArrived(job, pack, doubt);
        if (pack.entries.length > 0) await sendOnce(pack, mismatches++ < MOST_MISMATCHES, onLeft);
      } catch (error) {
        failure = error;
        doubt.arrived = true;
      } finally {
        release();
        streams.wake();
      }
      if (failure === null) continue;
      flow.handleFailure(failure);
      size.handleFailure();
      try {
        await tries.failed(failure);
        mismatches = 0;
      } catch (last) {
        for (const entry of pack.entries) fail(job, entry, last);
        pack.clear();
        tries = createTries(job.retry);
      }
    }
  }

  /** What is left in the pack afterwards came damaged, and is to be sent again. */
  async function sendOnce(pack: PackBuffer, mayRepeat: boolean, onLeft: () => void): Promise<void> {
    job.throwIfStopped();
    const { transfer, options } = job;
    const query = { transfer, ...(options.overwrite && { overwrite: options.overwrite }) };
    const startedMs = performance.now();
    const contentBytes = pack.entries.reduce((sum, entry) => sum + entry.size, 0);
    job.meter.current(pack.entries[pack.entries.length - 1]!.path);
    const carried = job.meter.carrying(contentBytes);
    const body = watched(paced(job, pack.bytes, contentBytes), carried.handleGiven, onLeft);
    const { signal } = job;
    const { handleSending: onSending } = carried;
    const result = await job.api.putPack(query, body, pack.length, { signal, onSending }).finally(carried.end);
    job.headway.moved();
    size.handleSent(pack.length, performance.now() - startedMs);
    pack.keep(settle(job, pack.entries, result, mayRepeat));
  }

  return {
    add(entry, path) {
      current ??= take();
      if (!current) return 'full';
      const isFull = current.length >= size.bytes || current.entries.length >= limits.packEntries;
      // Whatever the limits, a pack takes one entry: an empty one is never sent, and so would never come back.
      if (isFull && current.entries.length > 0) {
        flush();
        current = take();
        if (!current) return 'full';
      }
      try {
        return entry.kind === 'file' ? current.addFile(entry, path) : current.add(entry, path);
      } catch (error) {
        if (entry.kind === 'file' || entry.kind === 'link') job.meter.expect(-1, -entry.size);
        job.outcomes.failed(path, entry.size, error);
        return 'added';
      }
    },
    async room() {
      flush();
      while (current === null) {
        current = take();
        if (current === null) await Promise.race(running);
      }
    },
    flush,
    left() {
      const wait = leaving;
      leaving = undefined;
      return wait && Promise.race([wait, sleep(LONGEST_LEAVING_MS)]);
    },
    async drained() {
      while (running.size > 0) await Promise.all(running);
    },
  };
}

async function* watched(
  body: AsyncIterable<Uint8Array>,
  onPiece: (bytes: number) => void,
  onEnd: () => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const piece of body) {
    onPiece(piece.length);
    yield piece;
  }
  onEnd();
}

/** Reports what arrived and what failed; returns the entries that came damaged and may be sent again. */
function settle(job: Job, entries: readonly Packed[], result: PackResult, mayRepeat: boolean): number[] {
  const failed = new Map(result.failed.map((failure) => [failure.index, failure]));
  const again: number[] = [];
  let safeBytes = 0;
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!;
    const failure = failed.get(i);
    if (!failure) {
      safeBytes += entry.size;
      arrived(job, entry);
      continue;
    }
    const code: ErrorCode = isErrorCode(failure.code) ? failure.code : 'internal';
    const error = new HawserError(code, failure.detail, { value: entry.path });
    if (error.facts.class === 'checksum' && mayRepeat) again.push(i);
    else fail(job, entry, error);
  }
  job.meter.safe(safeBytes);
  return again;
}

/**
 * The receiver keeps the whole entries that came before a request broke. Asking which costs a line each: left out when that is
 * not little beside sending them again, unless overwriting is refused, since then they would count as taken names.
 */
async function dropArrived(job: Job, pack: PackBuffer, doubt: { arrived: boolean }): Promise<void> {
  const { entries } = pack;
  const overwrites = (job.options.overwrite ?? 'always') === 'always';
  if (!job.preserve || (overwrites && pack.length < entries.length * QUESTION_BYTES * WORTH_ASKING)) {
    doubt.arrived = false;
    return;
  }
  const files = [...entries.keys()].filter((index) => entries[index]!.kind === 'file');
  const questions = files.map((index) => {
    const { path, size, mtimeNs, digest } = entries[index]!;
    return { path, size, mtimeNs, digest };
  });
  const missing = new Set((await job.api.missingEntries(questions, { signal: job.signal })).map((at) => files[at]));
  doubt.arrived = false;
  const left = [...entries.keys()].filter((index) => entries[index]!.kind !== 'file' || missing.has(index));
  for (const index of files) {
    if (missing.has(index)) continue;
    job.meter.safe(entries[index]!.size);
    arrived(job, entries[index]!);
  }
  pack.keep(left);
}

function arrived(job: Job, entry: Packed): void {
  if (entry.kind === 'file') job.outcomes.done(entry.path, entry.size, entry.digest);
  else if (entry.kind === 'link') job.outcomes.done(entry.path, 0, null);
}

function fail(job: Job, entry: Packed, error: unknown): void {
  const counted = entry.kind === 'file' || entry.kind === 'link';
  if (isKept(error, job.options.overwrite) && counted) {
    job.meter.found(entry.size);
    job.outcomes.present(entry.path, entry.size);
    return;
  }
  if (counted) job.meter.expect(-1, -entry.size);
  job.outcomes.failed(entry.path, entry.size, error);
}

/** How long packs are: large where they take no time, shorter where one would be on its way for seconds. */
function createPackSize(mostBytes: number, rttMs: number | null) {
  let bytes = rttMs !== null && rttMs > NEAR_MS ? Math.min(mostBytes, FIRST_FAR_BYTES) : mostBytes;
  // The first ones are short, so that the server has something to do while the next is built.
  let rampBytes = FIRST_BYTES;
  const shorten = () => {
    bytes = Math.max(Math.min(mostBytes, SHORTEST_BYTES), bytes / 2);
  };
  return {
    get bytes() {
      return Math.min(bytes, rampBytes);
    },
    handleFull(): void {
      rampBytes = Math.min(mostBytes, rampBytes * 2);
    },
    handleSent(sentBytes: number, tookMs: number): void {
      if (tookMs > SLOW_MS) shorten();
      else if (tookMs < SLOW_MS / 2 && sentBytes >= bytes / 2) bytes = Math.min(mostBytes, bytes * 2);
    },
    handleFailure: shorten,
  };
}

/** Room for the headers and paths of entries beside the longest file. */
const HEADERS_BYTES = 16 * 1024;
const MOST_MISMATCHES = 3;
/** About what one entry takes in the question. */
const QUESTION_BYTES = 200;
const WORTH_ASKING = 8;
const NEAR_MS = 20;
const FIRST_BYTES = 256 * 1024;
const FIRST_FAR_BYTES = 1024 * 1024;
const SHORTEST_BYTES = 256 * 1024;
const SLOW_MS = 4000;
/** Less than the link has to do with the packs before. */
const LONGEST_LEAVING_MS = 5;
