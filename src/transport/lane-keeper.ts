/** The one lane of a transport: opened when it is wanted and, after a growing time, again when it was refused or lost. */
import { HawserError } from '../core/errors.ts';
import { closedError } from './connections.ts';
import type { LaneTransport } from './lane-transport.ts';

export interface LaneKeeperOptions {
  /** Rejects with why there is no lane. `signal`: it is not wanted any more. `onAsked`: the first word is on its way. */
  readonly openLane: (signal: AbortSignal, onAsked?: () => void) => Promise<LaneTransport>;
  readonly nowMs: () => number;
  readonly onOpen: () => void;
}

export interface LaneKeeper {
  readonly lane: LaneTransport | null;
  /** Why there is none, in a sentence; null: it was not tried. */
  readonly refused: string | null;
  /** `open` would try now: nothing is under way, and the last failure is long enough ago. */
  readonly mayOpen: boolean;
  /** The lane, opened if there is none. Rejects at once with the last failure while that is fresh or for good. */
  open(onAsked?: () => void): Promise<LaneTransport>;
  /** One that is being opened is not wanted after all; that is no failure. */
  withdraw(): void;
  /** It is of no use any more: the next one may be. */
  drop(): void;
  /** Resolves when the server was told. */
  close(): Promise<void>;
}

export function createLaneKeeper({ openLane, nowMs, onOpen }: LaneKeeperOptions): LaneKeeper {
  const stop = new AbortController();
  let withdrawal = new AbortController();
  let lane: LaneTransport | null = null;
  let opening: Promise<LaneTransport> | null = null;
  let failure: Error | null = null;
  /** Infinity: never. */
  let againAtMs = 0;
  let failures = 0;
  let openedOnce = false;
  let openedAtMs = 0;
  const leaving = new Set<Promise<unknown>>();

  async function tryToOpen(onAsked?: () => void): Promise<LaneTransport> {
    withdrawal = new AbortController();
    const signal = AbortSignal.any([stop.signal, withdrawal.signal]);
    try {
      const made = await openLane(signal, onAsked);
      if (signal.aborted) {
        await made.close();
        throw closedError();
      }
      lane = made;
      failure = null;
      openedOnce = true;
      openedAtMs = nowMs();
      void made.closed.then((reason) => lose(made, `The lane was closed: ${reason}.`));
      onOpen();
      return made;
    } catch (error) {
      if (withdrawal.signal.aborted) throw error;
      failure = failureOf(error);
      againAtMs = nowMs() + waitMs(failure);
      failures++;
      throw failure;
    } finally {
      opening = null;
    }
  }

  /** UDP that once came through may do so again, so that whoever can wait should. */
  function failureOf(error: unknown): Error {
    if (openedOnce && error instanceof HawserError && error.code === 'lane_unreachable')
      return new HawserError('unreachable', error.message, { cause: error });
    return error instanceof Error ? error : new Error(String(error));
  }

  function waitMs(error: Error): number {
    if (!(error instanceof HawserError)) return Infinity;
    if (error.code === 'lane_unreachable') return Math.min(BLOCKED_MS * 2 ** failures, MOST_BLOCKED_MS);
    if (error.facts.retry || error.code === 'too_many_lanes') return Math.min(LOST_MS * 2 ** failures, MOST_LOST_MS);
    return Infinity;
  }

  function lose(lost: LaneTransport, why: string): void {
    if (lane !== lost) return;
    lane = null;
    // Whoever has a request under way tries it again.
    const reason = new HawserError('unreachable', why);
    failure = reason;
    // One that dies young will not be the last.
    if (nowMs() - openedAtMs > SETTLED_MS) failures = 0;
    againAtMs = nowMs() + waitMs(reason);
    failures++;
    const gone = lost.close(reason).finally(() => leaving.delete(gone));
    leaving.add(gone);
  }

  return {
    get lane() {
      return lane;
    },
    get refused() {
      return lane ? null : (failure?.message ?? null);
    },
    get mayOpen() {
      return !lane && !opening && !stop.signal.aborted && nowMs() >= againAtMs;
    },
    open(onAsked) {
      if (lane) return Promise.resolve(lane);
      if (opening) return opening;
      if (stop.signal.aborted) return Promise.reject(closedError());
      if (failure && nowMs() < againAtMs) return Promise.reject(failure);
      opening = tryToOpen(onAsked);
      return opening;
    },
    withdraw() {
      withdrawal.abort();
    },
    drop() {
      if (lane) lose(lane, 'Nothing came back over the lane for too long.');
    },
    async close() {
      stop.abort();
      const last = lane?.close();
      lane = null;
      await Promise.allSettled([opening, last, ...leaving]);
    },
  };
}

const LOST_MS = 500;
const MOST_LOST_MS = 30_000;
/** Where UDP is blocked it mostly stays so. */
const BLOCKED_MS = 60_000;
const MOST_BLOCKED_MS = 600_000;
const SETTLED_MS = 10_000;
