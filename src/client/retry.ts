/**
 * The loop of trying again, shared by put and get: which failures are worth another try, how long to wait, when to give up,
 * and how to sit out a pause that somebody else asked for.
 */
import { HawserError } from '../core/errors.ts';
import { backoffMs } from '../core/transfer/backoff.ts';
import type { Api } from './api-contract.ts';
import type { TransferEvent } from './contract.ts';

export type Notice = Extract<TransferEvent, { type: 'notice' }>;

/** What all loops of one transfer know together: a byte that moved anywhere means that the path works. */
export interface Headway {
  /** Rises with everything that got through. */
  readonly count: number;
  /** The server has answered at least once. */
  readonly contacted: boolean;
  /** Call when bytes became safe. */
  moved(): void;
  /** Call when the server answered, whatever it said. */
  reached(): void;
}

export interface RetryOptions {
  /** Consecutive failures without headway before giving up. Default 60 (about a quarter of an hour). */
  readonly retries?: number;
  readonly signal?: AbortSignal;
  readonly onNotice?: (notice: Notice) => void;
  /** Uniform in [0, 1). Default Math.random. */
  readonly random?: () => number;
  /** Rejects when the signal aborts. Default: a timer. */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** Shared by the loops of one transfer. Default: a new one, as if nothing had happened yet. */
  readonly headway?: Headway;
  /** Resolves when the transfer is active again. Without it, `transfer_paused` ends the loop. */
  readonly whilePaused?: () => Promise<void>;
}

/** One loop's count of its failures. */
export interface Tries {
  /** Waits until the next try is due, or throws what ends the trying: the error itself, or `interrupted`. */
  failed(error: unknown): Promise<void>;
}

/**
 * Calls `fn` until it succeeds. Failures of the network and temporary ones of the server are tried again after a random,
 * growing time (at most 30 s, longer when the server asks for it); all others are thrown at once.
 */
export async function withRetry<T>(fn: () => Promise<T>, options: RetryOptions): Promise<T> {
  const tries = createTries(options);
  for (;;) {
    try {
      throwIfAborted(options.signal);
      const value = await fn();
      options.headway?.reached();
      return value;
    } catch (error) {
      await tries.failed(error);
    }
  }
}

export function createHeadway(): Headway {
  let count = 0;
  let contacted = false;
  return {
    get count() {
      return count;
    },
    get contacted() {
      return contacted;
    },
    moved: () => {
      count++;
      contacted = true;
    },
    reached: () => {
      contacted = true;
    },
  };
}

/** For loops that are more than one call: the failures are counted here, the rest is the caller's. */
export function createTries(options: RetryOptions): Tries {
  const headway = options.headway ?? createHeadway();
  const retries = options.retries ?? DEFAULT_RETRIES;
  const random = options.random ?? Math.random;
  const sleep = options.sleep ?? sleepMs;
  let attempt = 0;
  let mark = headway.count;
  return {
    async failed(error) {
      throwIfAborted(options.signal);
      if (!(error instanceof HawserError)) throw error;
      if (error.facts.status !== 0) headway.reached();
      if (error.code === 'transfer_paused' && options.whilePaused) {
        await options.whilePaused();
        return;
      }
      // Nothing failed: there is a better way, and what the server has stays there.
      if (error.code === 'rerouted') return;
      if (!canRetry(error)) throw error;
      // What failed on the network did so for all; what the server refuses may be this one request's own trouble, which
      // the headway of others says nothing about.
      if (headway.count !== mark && error.facts.class === 'network') attempt = 0;
      mark = headway.count;
      attempt++;
      if (attempt > limit(error, retries, headway.contacted)) throw error;
      const waitMs = Math.max(backoffMs(attempt - 1, random()), error.retryAfterMs ?? 0);
      options.onNotice?.({
        type: 'notice',
        code: error.code,
        message: `${error.message} Trying again in ${(waitMs / 1000).toFixed(1)} s.`,
        retryInMs: Math.round(waitMs),
      });
      await sleep(waitMs, options.signal);
    },
  };
}

/** True when the same request may succeed later, with nobody doing anything about it. */
export function canRetry(error: unknown): boolean {
  return error instanceof HawserError && error.facts.retry && RETRIED.has(error.facts.class);
}

/**
 * One wait for all who meet the pause: asks the server until the transfer is active again. Rejects with transfer_cancelled or
 * transfer_ended when it will not be.
 */
export function createPauseGate(api: Pick<Api, 'getTransfer'>, transfer: string, options: RetryOptions): () => Promise<void> {
  let waiting: Promise<void> | null = null;
  const { whilePaused: _, ...plain } = options;
  const wait = async () => {
    options.onNotice?.({
      type: 'notice',
      code: 'transfer_paused',
      message: `The transfer ${transfer} is paused: it goes on after "hawser resume ${transfer}".`,
    });
    for (;;) {
      throwIfAborted(options.signal);
      const { state } = await withRetry(
        () =>
          api.getTransfer(transfer, {
            waitMs: PAUSE_POLL_MS,
            state: 'paused',
            ...(options.signal && { signal: options.signal }),
          }),
        plain,
      );
      if (state === 'active') break;
      if (state === 'paused') continue;
      if (state === 'cancelled')
        throw new HawserError('transfer_cancelled', `The transfer ${transfer} was cancelled.`, { value: transfer });
      throw new HawserError('transfer_ended', `The transfer ${transfer} is already ${state}: start a new one.`, {
        value: transfer,
      });
    }
    options.onNotice?.({ type: 'notice', code: 'transfer_resumed', message: `The transfer ${transfer} goes on.` });
  };
  return () => {
    waiting ??= wait().finally(() => {
      waiting = null;
    });
    return waiting;
  };
}

/**
 * Lets a notice through when it says something new, or a while after the last: sixteen streams that lose one link are one
 * event for a person.
 */
export function quietNotices(emit: (notice: Notice) => void, nowMs: () => number): (notice: Notice) => void {
  let lastCode = '';
  let lastMs = Number.NEGATIVE_INFINITY;
  return (notice) => {
    const now = nowMs();
    if (notice.retryInMs !== undefined && notice.code === lastCode && now - lastMs < REPEAT_NOTICE_MS) return;
    lastCode = notice.code;
    lastMs = now;
    emit(notice);
  };
}

/** Resolves after `ms`; rejects with `interrupted` when the signal aborts. */
export function sleepMs(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(interrupted());
      return;
    }
    const stop = () => {
      clearTimeout(timer);
      reject(interrupted());
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw interrupted();
}

export function interrupted(): HawserError {
  return new HawserError('interrupted', 'The transfer was interrupted: start it again and it goes on from where it is.');
}

function limit(error: HawserError, retries: number, contacted: boolean): number {
  if (!contacted) return Math.min(retries, RETRIES_BEFORE_CONTACT);
  // A defect answers the same each time; a few tries are for the one that does not.
  return error.facts.class === 'internal' ? Math.min(retries, RETRIES_OF_DEFECT) : retries;
}

const DEFAULT_RETRIES = 60;
const RETRIES_BEFORE_CONTACT = 5;
const RETRIES_OF_DEFECT = 5;
/** Below the 30 s that the server waits at most. */
const PAUSE_POLL_MS = 25_000;
const REPEAT_NOTICE_MS = 1000;
const RETRIED = new Set(['network', 'server', 'checksum', 'internal']);
