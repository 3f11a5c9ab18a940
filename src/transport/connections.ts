/**
 * The connections of one transport: at most so many at once, kept open between requests, the newest used first. Whoever asks
 * while all are busy waits in line.
 */
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { HawserError } from '../core/errors.ts';
import type { Dialer } from './dial.ts';
import { interrupted } from './failures.ts';

export interface Connection {
  readonly socket: Socket;
  /** It has carried a request before: the server may have closed it unseen. */
  readonly reused: boolean;
}

export interface Connections {
  /** `fresh`: a new one, and every idle one is closed, for when an idle one has turned out to be dead. */
  acquire(options: { stallMs: number; signal?: AbortSignal | undefined; fresh?: boolean }): Promise<Connection>;
  /** Whole and idle again; kept for `keepMs` at most. */
  release(connection: Connection, keepMs: number): void;
  /** Not to be used again. */
  discard(connection: Connection): void;
  /** `reason`: what those are told who wait or come later. */
  close(reason?: HawserError): void;
}

/** `mostIdle`: more than these are not kept, for whom a new one costs less than one that lies idle. */
export function createConnections(dialer: Dialer, most: number, mostIdle = Number.POSITIVE_INFINITY): Connections {
  const idle: { socket: Socket; untilMs: number; forget: () => void }[] = [];
  const waiting: { go: () => void; stop: (error: HawserError) => void }[] = [];
  let busy = 0;
  let closed: HawserError | null = null;

  async function acquire(options: { stallMs: number; signal?: AbortSignal | undefined; fresh?: boolean }): Promise<Connection> {
    if (options.signal?.aborted) throw interrupted(options.signal);
    if (closed) throw closed;
    if (busy >= most) await turn(options.signal);
    else busy++;
    if (options.fresh) closeIdle();
    const kept = takeIdle();
    if (kept) return { socket: kept, reused: true };
    try {
      const socket = await dialer.dial(options);
      if (closed) {
        socket.destroy();
        throw closed;
      }
      // Whoever uses the connection listens for itself; between two users an error only means that it closes.
      socket.on('error', () => {});
      return { socket, reused: false };
    } catch (error) {
      free();
      throw error;
    }
  }

  /** The place of the one who frees it goes to the first in line, so `busy` stays as it is. */
  function turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const entry = {
        go: () => {
          signal?.removeEventListener('abort', onAbort);
          resolve();
        },
        stop: (error: HawserError) => {
          signal?.removeEventListener('abort', onAbort);
          reject(error);
        },
      };
      const onAbort = (): void => {
        waiting.splice(waiting.indexOf(entry), 1);
        entry.stop(interrupted(signal));
      };
      signal?.addEventListener('abort', onAbort);
      waiting.push(entry);
    });
  }

  function free(): void {
    const next = waiting.shift();
    if (next) next.go();
    else busy--;
  }

  function takeIdle(): Socket | null {
    for (;;) {
      const kept = idle.pop();
      if (!kept) return null;
      kept.forget();
      if (!kept.socket.destroyed && kept.untilMs > performance.now()) {
        kept.socket.ref();
        return kept.socket;
      }
      kept.socket.destroy();
    }
  }

  function closeIdle(): void {
    for (const kept of idle.splice(0)) {
      kept.forget();
      kept.socket.destroy();
    }
  }

  function release({ socket }: Connection, keepMs: number): void {
    if (closed || socket.destroyed || keepMs <= 0) socket.destroy();
    else {
      const drop = (): void => {
        const at = idle.indexOf(kept);
        if (at >= 0) idle.splice(at, 1);
        kept.forget();
        socket.destroy();
      };
      const kept = {
        socket,
        untilMs: performance.now() + keepMs,
        forget: () => {
          for (const event of DEAD) socket.off(event, drop);
        },
      };
      // Bytes that nobody asked for would be taken for the answer to the next request.
      for (const event of DEAD) socket.once(event, drop);
      // An idle connection does not keep the process alive.
      socket.unref();
      idle.push(kept);
      if (idle.length > mostIdle) {
        const oldest = idle.shift();
        oldest?.forget();
        oldest?.socket.destroy();
      }
    }
    free();
  }

  return {
    acquire,
    release,
    discard({ socket }) {
      socket.destroy();
      free();
    },
    close(reason = closedError()) {
      closed ??= reason;
      closeIdle();
      for (const entry of waiting.splice(0)) entry.stop(reason);
    },
  };
}

export function closedError(): HawserError {
  return new HawserError('interrupted', 'The connection to the server was closed here.');
}

const DEAD = ['data', 'end', 'close'] as const;
