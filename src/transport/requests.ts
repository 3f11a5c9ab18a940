/** Requests over a pool of connections, whatever the connections run over: TCP, TLS, or the streams of a lane. */
import type { Connections } from './connections.ts';
import type { Transport, TransportRequest, TransportResponse } from './contract.ts';
import { runExchange } from './exchange.ts';
import type { Watchdog } from './watchdog.ts';

export interface RequestsOptions {
  readonly connections: Connections;
  /** host:port for people and for the Host header. */
  readonly where: string;
  readonly watchdog: Watchdog;
}

export function createRequests({ connections, where, watchdog }: RequestsOptions): Transport['request'] {
  async function attempt(request: TransportRequest, fresh: boolean) {
    const connection = await connections.acquire({ stallMs: request.stallMs ?? DEFAULT_STALL_MS, signal: request.signal, fresh });
    return runExchange(request, {
      connection,
      where,
      watchdog,
      onFree: (keepMs) => connections.release(connection, keepMs),
    });
  }

  return async function send(request: TransportRequest): Promise<TransportResponse> {
    const first = await attempt(request, false);
    if (first.kind === 'answer') return first.response;
    if (!canSendAgain(request)) throw first.error;
    // The server closed a kept connection while our request was on its way: it has not seen it (RFC 9112 section 9.3.1).
    const second = await attempt(request, true);
    if (second.kind === 'answer') return second.response;
    throw second.error;
  };
}

function canSendAgain({ method, body }: TransportRequest): boolean {
  return method !== 'POST' && method !== 'PATCH' && (body === undefined || body instanceof Uint8Array);
}

const DEFAULT_STALL_MS = 20_000;
