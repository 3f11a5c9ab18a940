/**
 * Notices silence. One timer looks at the counters of everything that is under way, so an idle transport costs nothing and a
 * busy one no timer per request.
 */
import { performance } from 'node:perf_hooks';
import type { HawserError } from '../core/errors.ts';

export interface Watched {
  /** Any number that changes when bytes move. */
  progress(): number;
  /** How much silence is allowed now, milliseconds; Infinity while it is not the network's turn. */
  allowedMs(): number;
  /** Called once, when the silence was longer. */
  expire(silentMs: number): void;
  /** The transport closes. */
  fail(error: HawserError): void;
}

export interface Watchdog {
  /** Returns the function that ends the watch. */
  watch(watched: Watched): () => void;
  close(error: HawserError): void;
}

/** `nowMs`: a clock that never jumps. */
export function createWatchdog(nowMs: () => number = () => performance.now()): Watchdog {
  const entries = new Map<Watched, { progress: number; silentMs: number }>();
  let timer: NodeJS.Timeout | undefined;
  let tickMs = 0;
  let lastMs = 0;

  function schedule(waitMs: number): void {
    tickMs = Math.min(Math.max(waitMs, SHORTEST_TICK_MS), LONGEST_TICK_MS);
    lastMs = nowMs();
    clearTimeout(timer);
    timer = setTimeout(tick, tickMs);
    // The sockets keep the process alive while it matters.
    timer.unref();
  }

  function tick(): void {
    // A blocked event loop or a suspended machine is not the network's silence: what arrived meanwhile has not been read yet.
    const passedMs = Math.min(nowMs() - lastMs, 2 * tickMs);
    let nextMs = LONGEST_TICK_MS;
    for (const [watched, seen] of entries) {
      const progress = watched.progress();
      const allowedMs = watched.allowedMs();
      seen.silentMs = progress !== seen.progress || allowedMs === Infinity ? 0 : seen.silentMs + passedMs;
      seen.progress = progress;
      if (seen.silentMs >= allowedMs) {
        entries.delete(watched);
        watched.expire(seen.silentMs);
      } else nextMs = Math.min(nextMs, allowedMs / 4, allowedMs - seen.silentMs);
    }
    timer = undefined;
    if (entries.size > 0) schedule(nextMs);
  }

  return {
    watch(watched) {
      entries.set(watched, { progress: watched.progress(), silentMs: 0 });
      const wantedMs = watched.allowedMs() / 4;
      if (!timer || wantedMs < tickMs / 2) schedule(wantedMs);
      return () => {
        entries.delete(watched);
        if (entries.size > 0) return;
        clearTimeout(timer);
        timer = undefined;
      };
    },
    close(error) {
      for (const watched of [...entries.keys()]) watched.fail(error);
      entries.clear();
      clearTimeout(timer);
      timer = undefined;
    },
  };
}

const SHORTEST_TICK_MS = 5;
const LONGEST_TICK_MS = 1000;
