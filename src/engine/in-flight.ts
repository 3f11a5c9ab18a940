/** Everything that must be safe before the process may end, and the sign that no more is taken in. */
import { HawserError } from '../core/errors.ts';

export type InFlight = ReturnType<typeof createInFlight>;

export function createInFlight() {
  const running = new Set<Promise<unknown>>();
  let draining = false;
  return {
    /** Throws shutting_down once draining has begun. */
    checkOpen(): void {
      if (!draining) return;
      throw new HawserError('shutting_down', 'The server is shutting down: try again in a moment.', { retryAfterMs: 2000 });
    },
    track<T>(work: Promise<T>): Promise<T> {
      running.add(work);
      const forget = () => running.delete(work);
      work.then(forget, forget);
      return work;
    },
    async drain(): Promise<void> {
      draining = true;
      while (running.size > 0) await Promise.allSettled(running);
    },
  };
}
