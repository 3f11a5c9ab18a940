/** At most so many at once; the others wait in turn, and too many of those are told to come back. */
import { HawserError } from '../core/errors.ts';

export interface Limiter {
  /** Resolves with how to give the place back. Throws `busy` when the queue is full. */
  enter(): Promise<() => void>;
}

export function createLimiter(most: number, mostWaiting: number): Limiter {
  let inside = 0;
  const waiting: (() => void)[] = [];
  const leave = () => {
    const next = waiting.shift();
    if (next) next();
    else inside--;
  };
  return {
    async enter() {
      if (inside < most) inside++;
      else if (waiting.length >= mostWaiting) {
        throw new HawserError('busy', `${waiting.length} others wait for the same work: try again later.`, {
          retryAfterMs: 5000,
        });
      } else await new Promise<void>((resolve) => waiting.push(resolve));
      let left = false;
      return () => {
        if (left) return;
        left = true;
        leave();
      };
    },
  };
}
