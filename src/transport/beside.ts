/**
 * A connection that is late gets others beside it, and the first that is there is taken. TCP waits a second, then two, then four before it
 * sends a lost packet of a handshake again, and a path that has just lost three of them may be a good one; a new connection
 * does not know of that and begins at once (RFC 8305 does so for the addresses of a host, here it is one address).
 */
import type { Socket } from 'node:net';
import { HawserError } from '../core/errors.ts';
import { interrupted } from './failures.ts';

export interface BesideOptions {
  /** So long one is waited for before the next is opened beside it. */
  readonly everyMs: number;
  /** Most that are under way at once. */
  readonly most: number;
  readonly signal?: AbortSignal | undefined;
}

/** Rejects with a failure that no other connection would mend, or with the first one when all have failed. */
export function firstOf(open: (signal: AbortSignal) => Promise<Socket>, options: BesideOptions): Promise<Socket> {
  const { everyMs, most, signal } = options;
  const rest = new AbortController();
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  let running = 0;
  let over = false;
  let failure: unknown;
  let timer: NodeJS.Timeout | undefined;

  function settle(): void {
    over = true;
    clearInterval(timer);
    signal?.removeEventListener('abort', stop);
    rest.abort();
  }

  function fail(error: unknown): void {
    settle();
    reject(error);
  }

  const stop = (): void => fail(interrupted(signal));

  function begin(): void {
    if (running >= most) return;
    running++;
    open(rest.signal).then(
      (socket) => {
        if (over) {
          socket.destroy();
          return;
        }
        settle();
        resolve(socket);
      },
      (error: unknown) => {
        running--;
        if (over) return;
        failure ??= error;
        const mayPass = error instanceof HawserError && error.facts.retry;
        if (!mayPass) fail(error);
        else if (running === 0) fail(failure);
      },
    );
  }

  if (signal?.aborted) return Promise.reject(interrupted(signal));
  signal?.addEventListener('abort', stop, { once: true });
  timer = setInterval(begin, everyMs);
  begin();
  return promise;
}
