/** Blocks may travel together with the request that begins their upload, and arrive before it: they wait for it here. */
import { type Clock, within } from './clock.ts';

export type Begun = ReturnType<typeof createBegun>;

export function createBegun(clock: Clock) {
  const waiting = new Map<string, PromiseWithResolvers<true>>();
  return {
    /** Resolves when the upload is there, or has not begun for too long; at once when too many wait. */
    async until(id: string, isThere: () => Promise<boolean>): Promise<void> {
      if (waiting.size >= MOST_WAITING && !waiting.has(id)) return;
      const one = waiting.get(id) ?? Promise.withResolvers<true>();
      waiting.set(id, one);
      // Looked for after it is waited for: it may begin meanwhile.
      if (!(await isThere())) await within(clock, PATIENCE_MS, one.promise);
      if (waiting.get(id) === one) waiting.delete(id);
    },

    handleBegun(id: string): void {
      waiting.get(id)?.resolve(true);
      waiting.delete(id);
    },
  };
}

/** The other request left at the same time: what is lost of it comes a round trip or two later. */
const PATIENCE_MS = 3000;
const MOST_WAITING = 256;
