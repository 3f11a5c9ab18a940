/**
 * What all parts of one put share: its transfer on the server, the retries and the pause, the pace, what stops everything, and
 * the count of what arrived and what did not.
 */
import { HawserError } from '../../core/errors.ts';
import { TokenBucket } from '../../core/scheduling/token-bucket.ts';
import type { Api } from '../api-contract.ts';
import type { TransferEvent, TransferOptions, TransferSummary } from '../contract.ts';
import { createMeter, type Meter } from '../progress.ts';
import {
  createHeadway,
  createPauseGate,
  type Headway,
  interrupted,
  quietNotices,
  type RetryOptions,
  sleepMs,
  withRetry,
} from '../retry.ts';
import type { Flow } from './flow.ts';
import type { Pace } from './paced.ts';

export interface Job extends Pace {
  readonly api: Api;
  readonly options: TransferOptions;
  /** Id of the transfer on the server. */
  readonly transfer: string;
  readonly preserve: boolean;
  /** One file is all there is: when it is there, the server may end the transfer by itself. */
  readonly single: boolean;
  /** The server has. */
  ended: boolean;
  /** Aborted when the user stops, and when something ended the whole put. */
  readonly signal: AbortSignal;
  readonly retry: RetryOptions;
  readonly headway: Headway;
  readonly meter: Meter;
  readonly outcomes: Outcomes;
  /** A request that is made again after failures that may pass. */
  call<T>(fn: () => Promise<T>): Promise<T>;
  notice(code: string, message: string): void;
  /** Ends the whole put. The first error is the one that counts. */
  stop(error: unknown): void;
  throwIfStopped(): void;
}

/** What became of each file. */
export interface Outcomes {
  readonly filesFailed: number;
  readonly filesPresent: number;
  readonly bytesPresent: number;
  /** It was stored; `digest` in hex. */
  done(path: string, size: number, digest: string | null): void;
  finished(path: string, size: number, digest: string | null, outcome: 'done' | 'deduplicated' | 'skipped'): void;
  /** It was there before, and the server does not count it as part of this transfer. */
  present(path: string, size: number): void;
  /** Ends the whole put when the error is about more than this file. */
  failed(path: string, size: number, error: unknown): void;
  /** Says why the only file failed. */
  readonly firstError: unknown;
  summary(transfer: string, targets: readonly string[]): TransferSummary;
}

/** The retries, and what stops them, exist before the transfer does. */
export interface Stop {
  readonly controller: AbortController;
  readonly retry: RetryOptions;
  readonly headway: Headway;
  readonly error: unknown;
  stop(error: unknown): void;
  /** Listens to the user's signal no longer. */
  release(): void;
}

export function createStop(options: TransferOptions, timing: Pick<RetryOptions, 'random' | 'sleep'> = {}): Stop {
  const controller = new AbortController();
  const headway = createHeadway();
  let ended: { error: unknown } | null = null;
  const stop = (error: unknown) => {
    ended ??= { error };
    controller.abort();
  };
  const handleAbort = () => stop(interrupted());
  if (options.signal?.aborted) handleAbort();
  options.signal?.addEventListener('abort', handleAbort, { once: true });
  return {
    controller,
    headway,
    retry: {
      ...timing,
      ...(options.retries !== undefined && { retries: options.retries }),
      signal: controller.signal,
      headway,
      onNotice: quietNotices(
        (notice) => options.onEvent?.(notice),
        () => performance.now(),
      ),
    },
    get error() {
      return ended?.error;
    },
    stop,
    release: () => options.signal?.removeEventListener('abort', handleAbort),
  };
}

export function createJob(
  api: Api,
  transfer: string,
  options: TransferOptions,
  stop: Stop,
  flow: Pick<Flow, 'streams' | 'chunkBytes' | 'sliceBytes' | 'pieceBytes'>,
  single: boolean,
): Job {
  const retry = { ...stop.retry, whilePaused: createPauseGate(api, transfer, stop.retry) };
  const { signal } = stop.controller;
  const meter = createMeter({
    transfer,
    path: () => api.transport.info(),
    flow: () => ({ streams: flow.streams, chunkBytes: flow.chunkBytes }),
    emit: options.onEvent,
  });
  const rate = options.limitRateBytesPerSecond;
  const bucket = rate === undefined ? null : new TokenBucket({ rateBytesPerSecond: rate });
  const sent = { bytes: 0 };
  const throwIfStopped = () => {
    if (signal.aborted) throw stop.error;
  };
  return {
    api,
    options,
    transfer,
    preserve: options.preserve ?? true,
    single,
    ended: false,
    signal,
    retry,
    headway: stop.headway,
    meter,
    outcomes: createOutcomes(options, meter, sent, stop.stop),
    call: async (fn) => {
      try {
        return await withRetry(fn, retry);
      } catch (error) {
        throwIfStopped();
        throw error;
      }
    },
    leaving: (bytes) => {
      sent.bytes += bytes;
      const waitMs = bucket?.take(performance.now(), bytes) ?? 0;
      return waitMs >= MIN_WAIT_MS ? sleepMs(waitMs, signal) : undefined;
    },
    sliceBytes: () => Math.max(SHORTEST_SLICE_BYTES, Math.min(flow.sliceBytes, (rate ?? Infinity) / 20)) | 0,
    pieceBytes: () => flow.pieceBytes,
    notice: (code, message) => options.onEvent?.({ type: 'notice', code, message }),
    stop: stop.stop,
    throwIfStopped,
  };
}

function createOutcomes(
  options: TransferOptions,
  meter: Meter,
  sent: { readonly bytes: number },
  stop: (error: unknown) => void,
): Outcomes {
  const startedMs = performance.now();
  const counts = { done: 0, skipped: 0, failed: 0, bytes: 0 };
  const failures: { path: string; code: string; message: string }[] = [];
  const emit = options.onEvent as ((event: TransferEvent) => void) | undefined;
  const present = { files: 0, bytes: 0 };
  let firstError: unknown;

  function finished(path: string, size: number, digest: string | null, outcome: 'done' | 'deduplicated' | 'skipped'): void {
    if (outcome === 'skipped') counts.skipped++;
    else counts.done++;
    counts.bytes += size;
    meter.filesFinished(1);
    emit?.({ type: 'file', path, size, digest, outcome });
  }

  return {
    get filesFailed() {
      return counts.failed;
    },
    get filesPresent() {
      return present.files;
    },
    get bytesPresent() {
      return present.bytes;
    },
    get firstError() {
      return firstError;
    },
    done(path, size, digest) {
      finished(path, size, digest, 'done');
    },
    finished,
    present(path, size) {
      present.files++;
      present.bytes += size;
      finished(path, size, null, 'skipped');
    },
    failed(path, size, error) {
      if (!isAboutOneFile(error)) {
        stop(error);
        return;
      }
      const { code, message } = error;
      firstError ??= error;
      counts.failed++;
      if (failures.length < MAX_FAILURES) failures.push({ path, code, message });
      emit?.({ type: 'file', path, size, digest: null, outcome: 'failed', code, message });
    },
    summary: (transfer, targets) => ({
      transfer,
      filesDone: counts.done,
      filesSkipped: counts.skipped,
      filesFailed: counts.failed,
      bytesDone: counts.bytes,
      bytesSent: sent.bytes,
      elapsedMs: Math.round(performance.now() - startedMs),
      failures,
      targets,
    }),
  };
}

/** True when the others may go on. A defect of ours (no HawserError) concerns all. */
function isAboutOneFile(error: unknown): error is HawserError {
  return error instanceof HawserError && (ONE_FILE.has(error.facts.class) || ONE_FILE_CODES.has(error.code));
}

const ONE_FILE = new Set(['request', 'checksum', 'source-changed']);
const ONE_FILE_CODES = new Set(['io_error', 'internal', 'upload_incomplete']);
/** Shorter waits cost more in timers than they are worth: the debt stays, and is waited for with the next. */
const MIN_WAIT_MS = 4;
const SHORTEST_SLICE_BYTES = 16 * 1024;
/** Of each failed file there is an event; the list in the summary is bounded. */
const MAX_FAILURES = 10_000;
