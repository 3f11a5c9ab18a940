/** The requests that are being answered, by who asked: for an orderly stop, and to cut off a token that was revoked. */
import type { ServerResponse } from 'node:http';

export interface InFlightRequests {
  /** Counts the request until its answer is over or its connection gone. */
  add(response: ServerResponse): void;
  /** Says whose request it is, once that is known. */
  belongs(response: ServerResponse, principal: string): void;
  /** Ends the connections on which the principal's requests run, but for that of `except`. */
  cutOff(principal: string, except: ServerResponse): void;
  readonly size: number;
  /** Resolves when none is left. */
  idle(): Promise<void>;
}

export function createInFlightRequests(): InFlightRequests {
  const running = new Map<ServerResponse, string | null>();
  let waiters: (() => void)[] = [];
  return {
    add(response) {
      running.set(response, null);
      response.once('close', () => {
        running.delete(response);
        if (running.size > 0) return;
        for (const wake of waiters) wake();
        waiters = [];
      });
    },
    belongs(response, principal) {
      if (running.has(response)) running.set(response, principal);
    },
    cutOff(principal, except) {
      for (const [response, owner] of running) if (owner === principal && response !== except) response.destroy();
    },
    get size() {
      return running.size;
    },
    idle() {
      if (running.size === 0) return Promise.resolve();
      return new Promise((resolve) => waiters.push(resolve));
    },
  };
}
