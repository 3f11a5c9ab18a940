/**
 * A request's body as a ByteSource, straight from the socket: no parsing, and back-pressure, because what is not read stays in
 * the kernel. Made by hand because the stream's own iterator knows neither an idle limit nor how to be failed from outside.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { HawserError } from '../core/errors.ts';
import type { ByteSink, ByteSource } from '../engine/contract.ts';
import { readDirectly } from '../transport/direct-body.ts';

export interface RequestBody extends ByteSource {
  /** The next piece asked for, or the one being waited for, throws this instead. */
  fail(error: HawserError): void;
}

export interface BodyLimits {
  /** Nothing arrives for so long while the reader waits: request_timeout. */
  readonly idleMs: number;
  /** More is body_too_large. Default: no limit. */
  readonly maxBytes?: number;
}

/**
 * May be read once. Throws body_incomplete when the connection breaks, request_timeout, body_too_large. A reader that stops early
 * leaves the request paused; src/server/refuse.ts decides what becomes of the rest.
 */
export function requestBody(request: IncomingMessage, response: ServerResponse, limits: BodyLimits): RequestBody {
  let receivedBytes = 0;
  const queue: Uint8Array[] = [];
  let queuedBytes = 0;
  let state: 'unread' | 'open' | 'ended' | 'dropped' = 'unread';
  let failure: HawserError | null = null;
  let waiter: { resolve: (result: IteratorResult<Uint8Array, undefined>) => void; reject: (error: unknown) => void } | null =
    null;
  let idle: NodeJS.Timeout | null = null;
  const maxBytes = limits.maxBytes ?? Number.MAX_SAFE_INTEGER;

  function start(): void {
    state = 'open';
    // Not read(): that joins what has come since the last time into one piece, which copies every byte once more.
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
    // A request that was over, or gone, before we listened says nothing more.
    // Over HTTP/2 one that was reset counts as ended too, so that is looked at first.
    if (request.aborted || request.destroyed) onClose();
    else if (request.readableEnded) onEnd();
    else continueBody(request, response);
  }

  function stop(): void {
    // The listener for 'error' stays: without one, a connection that breaks later would end the process.
    request.off('data', onData).off('end', onEnd).off('close', onClose);
    if (idle) clearTimeout(idle);
    idle = null;
    // What is left stays in the kernel until src/server/refuse.ts decides.
    if (!request.readableEnded) request.pause();
  }

  /** The next piece, or null when nothing is there now. */
  function take(): Uint8Array | null {
    const piece = queue.shift();
    if (piece === undefined) return null;
    queuedBytes -= piece.length;
    if (queue.length === 0 && state === 'open' && !failure && request.isPaused()) request.resume();
    return piece;
  }

  function onData(piece: Uint8Array): void {
    receivedBytes += piece.length;
    if (receivedBytes > maxBytes) {
      fail(tooLarge(maxBytes));
      return;
    }
    if (waiter) {
      const { resolve } = waiter;
      waiter = null;
      resolve({ done: false, value: piece });
      return;
    }
    queue.push(piece);
    queuedBytes += piece.length;
    if (queuedBytes >= MAX_QUEUED_BYTES) request.pause();
  }

  function onEnd(): void {
    if (state !== 'open') return;
    if (request.aborted) {
      onClose();
      return;
    }
    state = 'ended';
    stop();
    if (queue.length > 0) return;
    waiter?.resolve(DONE);
    waiter = null;
  }

  function onClose(): void {
    if (state !== 'open') return;
    end(new HawserError('body_incomplete', 'The connection broke before the body was whole: send the rest again.'));
  }

  function onIdle(): void {
    if (!waiter) return;
    const seconds = limits.idleMs / 1000;
    fail(
      new HawserError('request_timeout', `Nothing of the body came for ${seconds} s: send the rest again.`, {
        value: limits.idleMs,
      }),
    );
  }

  function fail(error: HawserError): void {
    if (failure || state === 'ended' || state === 'dropped') return;
    queue.length = 0;
    end(error);
  }

  /** What has arrived is still handed out before the error is. */
  function end(error: HawserError): void {
    failure = error;
    stop();
    waiter?.reject(error);
    waiter = null;
  }

  function next(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (state === 'unread' && !failure) start();
    const piece = state === 'dropped' ? null : take();
    if (piece) return Promise.resolve({ done: false, value: piece });
    if (failure) return Promise.reject(failure);
    if (state !== 'open') return Promise.resolve(DONE);
    idle = idle ? idle.refresh() : setTimeout(onIdle, limits.idleMs);
    return new Promise((resolve, reject) => {
      waiter = { resolve, reject };
    });
  }

  function pour(sink: ByteSink): Promise<void> | null {
    if (state !== 'unread' || failure || request.aborted || request.destroyed || request.readableEnded) return null;
    const take = (bytes: number) => {
      receivedBytes += bytes;
      if (receivedBytes > maxBytes) throw tooLarge(maxBytes);
      return sink.take(bytes);
    };
    const direct = readDirectly(request, { room: () => sink.room(), take }, 0);
    if (!direct) return null;
    state = 'open';
    request.on('end', onEnd).on('close', onClose).on('error', onClose);
    waiter = { resolve: direct.handleEnd, reject: direct.fail };
    // What the sink throws ends the reading as anything else does.
    direct.done.catch(end);
    let bytesAtLook = -1;
    idle = setInterval(() => {
      if (receivedBytes === bytesAtLook && !direct.waits) onIdle();
      bytesAtLook = receivedBytes;
    }, limits.idleMs);
    direct.start([]);
    continueBody(request, response);
    return direct.done;
  }

  const iterator: AsyncIterator<Uint8Array, undefined> = {
    next,
    return() {
      if (state === 'open') stop();
      if (state !== 'ended') state = 'dropped';
      return Promise.resolve(DONE);
    },
  };
  return { [Symbol.asyncIterator]: () => iterator, pour, fail };
}

/** A body that is wanted whole. */
export async function readWhole(body: RequestBody): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of body) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Says that the client waits for "100 Continue" before it sends the body (RFC 9110 section 10.1.1). */
export function holdContinue(request: IncomingMessage): void {
  waitsForContinue.add(request);
}

/** True when nothing of the body was asked for yet, so that nothing of it will come. */
export function continueIsHeld(request: IncomingMessage): boolean {
  return waitsForContinue.has(request);
}

function continueBody(request: IncomingMessage, response: ServerResponse): void {
  if (waitsForContinue.delete(request)) response.writeContinue();
}

function tooLarge(maxBytes: number): HawserError {
  return new HawserError(
    'body_too_large',
    `The body is larger than the ${maxBytes} bytes that this route takes: send it in parts.`,
    {
      value: maxBytes,
    },
  );
}

/** What waits for a slow reader before the socket is left unread. */
const MAX_QUEUED_BYTES = 256 * 1024;
const waitsForContinue = new WeakSet<IncomingMessage>();
const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };
