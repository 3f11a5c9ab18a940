/**
 * Servers refuse fields that they do not know, so that an older one refuses what later versions added. All of that only saves time or
 * traces: without it an older server does as it always did.
 */
import { HawserError } from '../core/errors.ts';

/** Asks with the newer fields, and without them where that is what the server refused; from then on without. */
export type AskWith = <N extends object, T>(newer: N, ask: (newer: N | Record<never, never>) => Promise<T>) => Promise<T>;

export function createAskWith(): AskWith {
  let refused = false;
  return async (newer, ask) => {
    if (refused || Object.keys(newer).length === 0) return await ask({});
    try {
      return await ask(newer);
    } catch (error) {
      if (!(error instanceof HawserError) || error.code !== 'request_invalid') throw error;
      const answer = await ask({}).catch(() => null);
      // It was something else that was wrong.
      if (answer === null) throw error;
      refused = true;
      return answer;
    }
  };
}
