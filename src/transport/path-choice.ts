/** Which of several networks a request goes by: the one that will have done it first. Pure. */
import type { NetworkPath } from './contract.ts';

export interface PathView {
  readonly state: 'active' | 'degraded' | 'failed';
  readonly metered: boolean;
  /** Least round trip; null: none was seen. */
  readonly rttMs: number | null;
  /** Of content lately; null: nothing is known, or it was long ago. */
  readonly bytesPerSecond: number | null;
  /** Content of requests that were begun, as far as it has not moved yet. */
  readonly waitingBytes: number;
}

/**
 * The index of the path that a request with so many bytes of content (either way) goes by. Paths that work come first, and a
 * metered one is taken while no other works; when none does, those that may work, and then those that do not.
 *
 * Among equals it is the one that is done first: its round trip, what waits there already, and the bytes themselves at the
 * rate that was measured. A path of unknown rate is taken to be as fast as the fastest, so that it is found out.
 */
export function choosePath(paths: readonly PathView[], bytes: number): number {
  const most = Math.max(UNKNOWN_BYTES_PER_SECOND, ...paths.map((path) => path.bytesPerSecond ?? 0));
  let best = -1;
  let bestMs = Infinity;
  const standing = Math.min(...paths.map(standingOf));
  for (const [index, path] of paths.entries()) {
    if (standingOf(path) !== standing) continue;
    const rttMs = path.rttMs ?? (bytes < SMALL_BYTES ? UNKNOWN_RTT_MS : 0);
    // A question does not wait behind content: it has a connection of its own.
    const ms = bytes < SMALL_BYTES ? rttMs : rttMs + ((path.waitingBytes + bytes) / (path.bytesPerSecond ?? most)) * 1000;
    if (best >= 0 && ms >= bestMs) continue;
    best = index;
    bestMs = ms;
  }
  return best;
}

/** What to show: a metered path that is not needed waits. */
export function shownState(paths: readonly PathView[], path: PathView): NetworkPath['state'] {
  const waits = path.metered && path.state === 'active' && standingOf(path) > Math.min(...paths.map(standingOf));
  return waits ? 'standby' : path.state;
}

/** Whether a request may go by the path now. */
export function isInUse(paths: readonly PathView[], path: PathView): boolean {
  return standingOf(path) === Math.min(...paths.map(standingOf));
}

/** The lowest are used. */
function standingOf({ state, metered }: PathView): number {
  return STATES.indexOf(state) * 2 + (metered ? 1 : 0);
}

const STATES: readonly PathView['state'][] = ['active', 'degraded', 'failed'];
/** Less is a question, or an answer without content. */
const SMALL_BYTES = 16 * 1024;
/** Longer than any: what is known is preferred for questions. */
const UNKNOWN_RTT_MS = 60_000;
const UNKNOWN_BYTES_PER_SECOND = 1_000_000;
