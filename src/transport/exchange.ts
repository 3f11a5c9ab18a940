/** One request and its answer on one connection. */
import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import type { Socket } from 'node:net';
import { HawserError } from '../core/errors.ts';
import type { Connection } from './connections.ts';
import type { TransportRequest, TransportResponse } from './contract.ts';
import { interrupted, networkFailure } from './failures.ts';
import { holdWriteErrors } from './linger.ts';
import type { Receiving } from './receive-body.ts';
import { receiveBody } from './receive-body.ts';
import type { Sending } from './send-body.ts';
import { sendBody } from './send-body.ts';
import { bytesAboveKernel, waitingBytes } from './waiting-bytes.ts';
import type { Watchdog } from './watchdog.ts';

// Imported as a module, node:http also loads the fetch that it passes on, which is a fifth of a short command's time.
const { request: startRequest } = process.getBuiltinModule('node:http');

export interface ExchangeSurroundings {
  readonly connection: Connection;
  /** host:port. */
  readonly where: string;
  readonly watchdog: Watchdog;
  /** The connection is idle again, and may be kept so long; 0: it is of no more use. Called exactly once. */
  onFree(keepMs: number): void;
}

/** `stale`: a kept connection turned out to be closed by the server, which has seen nothing of this request. */
export type ExchangeResult =
  | { readonly kind: 'answer'; readonly response: TransportResponse }
  | { readonly kind: 'stale'; readonly error: HawserError };

export function runExchange(request: TransportRequest, surroundings: ExchangeSurroundings): Promise<ExchangeResult> {
  const { connection, where, watchdog } = surroundings;
  const { socket } = connection;
  const bytesReadBefore = socket.bytesRead;
  const stallMs = request.stallMs ?? DEFAULT_STALL_MS;
  const answerMs = request.answerMs ?? DEFAULT_ANSWER_MS;
  let message: IncomingMessage | undefined;
  let sending: Sending | undefined;
  let receiving: Receiving | undefined;
  let over = false;
  let refusedEarly = false;
  let keepMs = DEFAULT_KEEP_MS;

  return new Promise((resolve, reject) => {
    let outgoing: ClientRequest;
    try {
      outgoing = startRequest({
        agent: handOver(socket),
        method: request.method,
        path: request.target,
        headers: { host: where, ...request.headers, ...lengthHeader(request) },
      } as unknown as RequestOptions);
    } catch (cause) {
      surroundings.onFree(keepMs);
      const words = cause instanceof Error ? cause.message : String(cause);
      return reject(new HawserError('request_invalid', `The request ${request.target} cannot be sent: ${words}`, { cause }));
    }
    const stopHolding = holdWriteErrors(socket, HOLD_MS);
    const unwatch = watchdog.watch({
      // A large write moves through a slow link long before it is done.
      progress: () => socket.bytesRead + socket.bytesWritten - bytesAboveKernel(socket),
      allowedMs,
      expire: (silentMs) => fail(new HawserError('stalled', stallSentence(silentMs), { value: where })),
      fail,
    });
    const onAbort = (): void => fail(interrupted(request.signal));
    request.signal?.addEventListener('abort', onAbort);

    function allowedMs(): number {
      if (receiving) return receiving.wanting ? stallMs : Infinity;
      if (sending?.turn === 'source') return socket.writableLength > 0 ? stallMs : Infinity;
      return outgoing.writableFinished ? answerMs : stallMs;
    }

    function stallSentence(silentMs: number): string {
      const seconds = `${(silentMs / 1000).toFixed(1)} s`;
      if (receiving) return `Nothing came from ${where} for ${seconds} in the middle of an answer.`;
      if (outgoing.writableFinished) return `${where} took the request and gave no answer within ${seconds}.`;
      return `Nothing could be sent to ${where} for ${seconds}: the connection is stuck.`;
    }

    function settle(keepForMs: number): void {
      if (over) return;
      over = true;
      unwatch();
      stopHolding();
      request.signal?.removeEventListener('abort', onAbort);
      sending?.stop();
      surroundings.onFree(keepForMs);
    }

    function fail(error: HawserError): void {
      if (over) return;
      settle(0);
      outgoing.destroy();
      receiving?.fail(error);
      reject(error);
    }

    function broken(error: unknown): void {
      if (over) return;
      const failure = networkFailure(
        error,
        where,
        receiving ? `after ${receiving.bytes} bytes of its answer` : 'before it answered',
      );
      const unseen = connection.reused && failure.code === 'unreachable' && socket.bytesRead === bytesReadBefore;
      if (unseen) resolve({ kind: 'stale', error: failure });
      fail(failure);
    }

    outgoing.on('error', broken);
    // A reused connection is not closed by us while its request is under way: whoever closed it, there is no answer.
    outgoing.on('close', () => {
      if (!receiving) broken({ code: 'ECONNRESET' });
    });
    outgoing.once('response', (incoming) => {
      if (over) return;
      message = incoming;
      keepMs = keepAliveMs(incoming);
      // An answer before the end of the body is a refusal, unless all that is missing is the end itself.
      if (!outgoing.writableEnded && !sending?.complete) {
        refusedEarly = true;
        sending?.stop();
      }
      receiving = receiveBody(incoming, cancel);
      incoming.once('end', () => {
        if (refusedEarly || !incoming.complete || !outgoing.shouldKeepAlive) settle(0);
      });
      incoming.on('error', broken);
      incoming.once('close', () => {
        if (!incoming.complete) broken({ code: 'ECONNRESET' });
      });
      resolve({ kind: 'answer', response: answer(incoming, receiving, cancel) });
    });
    outgoing.once('close', () => {
      // The request's last event: the answer has ended too, and the connection is Node's no more.
      if (message?.complete && !refusedEarly) settle(keepMs);
    });

    function cancel(): void {
      if (over || !message) return;
      const left = Number(message.headers['content-length'] ?? Infinity) - (receiving?.bytes ?? 0);
      const unwanted = new HawserError('interrupted', `The rest of an answer of ${where} was not wanted.`);
      if (refusedEarly || left > CHEAP_TO_READ_BYTES) fail(unwanted);
      else {
        receiving?.fail(unwanted);
        message.removeAllListeners('data').resume();
      }
    }

    if (request.signal?.aborted) onAbort();
    else if (request.body === undefined) outgoing.end();
    else if (request.body instanceof Uint8Array) outgoing.end(request.body);
    else {
      request.onSending?.(() => waitingBytes(socket));
      sending = sendBody(outgoing, request.body, request.contentLength, (cause) => {
        // The source's own error is what the caller wants to see.
        if (over) return;
        settle(0);
        outgoing.destroy();
        reject(cause);
      });
    }
  });
}

function answer(incoming: IncomingMessage, receiving: Receiving, cancel: () => void): TransportResponse {
  const headers: Record<string, string | undefined> = {};
  for (const [name, value] of Object.entries(incoming.headers)) headers[name] = Array.isArray(value) ? value.join(', ') : value;
  return { status: incoming.statusCode ?? 0, headers, body: receiving.body, cancel };
}

/** An agent for Node's client that gives away the one connection it was made for; keeping connections is our own business. */
function handOver(socket: Socket) {
  return {
    keepAlive: true,
    maxSockets: Infinity,
    defaultPort: 0,
    protocol: 'http:',
    addRequest: (request: { onSocket(socket: Socket): void }) => request.onSocket(socket),
  };
}

function lengthHeader({ body, contentLength }: TransportRequest): Record<string, string> {
  if (body instanceof Uint8Array) return { 'content-length': String(body.byteLength) };
  return body !== undefined && contentLength !== undefined ? { 'content-length': String(contentLength) } : {};
}

/** How long an idle connection is worth keeping: a little less than the server says it does. */
function keepAliveMs(incoming: IncomingMessage): number {
  const seconds = /(?:^|[,\s])timeout=(\d{1,6})/.exec(String(incoming.headers['keep-alive'] ?? ''))?.[1];
  return seconds === undefined ? DEFAULT_KEEP_MS : Math.max(Number(seconds) * 1000 - 1000, 0);
}

const DEFAULT_STALL_MS = 20_000;
const DEFAULT_ANSWER_MS = 60_000;
/** Middle-boxes forget idle connections after a minute or so. */
const DEFAULT_KEEP_MS = 50_000;
/** How long an answer may still arrive after the peer stopped taking our bytes. */
const HOLD_MS = 200;
const CHEAP_TO_READ_BYTES = 64 * 1024;
