/** Asks the same thing again and again, over other connections, until an answer comes. */
import { HawserError } from '../core/errors.ts';
import { backoffMs } from '../core/transfer/backoff.ts';
import { hedged } from '../transport/hedged.ts';
import { canRetry, sleepMs } from './retry.ts';

export interface PersistentOptions {
  readonly signal?: AbortSignal | undefined;
  /** When to give up. Default 60 s. */
  readonly deadlineMs?: number;
  /** How long the first round may take; each later one has twice as long as the one before. Default 6 s. */
  readonly roundMs?: number;
  /** How long one is waited for before the next is asked beside it. Default 400 ms. */
  readonly everyMs?: number;
  /** Most askings in a round. Default 12. */
  readonly most?: number;
  /** Rejects when the signal aborts. Default: a timer. */
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/**
 * For the first word with a server, which may be made twice: askings beside each other, in rounds. TCP waits ever longer before it
 * sends a lost packet again, so that connections which are stuck are given up for new ones. Who is refused a connection is told
 * after a few tries. Rejects with the first refusal, or with the last failure of the network.
 */
export async function persistently<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  options: PersistentOptions = {},
  onLate?: (late: T) => void,
): Promise<T> {
  const { signal, deadlineMs = DEADLINE_MS, everyMs = EVERY_MS, most = MOST_BESIDE, sleep = sleepMs } = options;
  let leftMs = deadlineMs;
  let failures = 0;
  for (let roundMs = options.roundMs ?? ROUND_MS; ; roundMs *= 2) {
    const round = AbortSignal.timeout(Math.min(roundMs, leftMs));
    leftMs -= roundMs;
    const both = signal ? AbortSignal.any([signal, round]) : round;
    try {
      return await hedged(ask, { everyMs, most, mayPass: canRetry, signal: both }, onLate);
    } catch (error) {
      const isLate = round.aborted && !signal?.aborted;
      if (isLate && leftMs > 0) continue;
      if (isLate) throw new HawserError('stalled', `No answer came within ${deadlineMs / 1000} s.`, { cause: error });
      if (!canRetry(error) || ++failures >= MOST_FAILURES) throw error;
      await sleep(backoffMs(failures, Math.random()), signal);
    }
  }
}

/** A little more than a connection and an answer take at a round trip of 100 ms: further away some are asked in vain, which costs little. */
const EVERY_MS = 400;
const MOST_BESIDE = 12;
const ROUND_MS = 6000;
const DEADLINE_MS = 60_000;
const MOST_FAILURES = 3;
