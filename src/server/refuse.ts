/**
 * Answers that are given while the body is still coming. The client must see the answer although it is still sending, so the
 * rest of the body is read and dropped for a while (RFC 9112 section 9.6); closing at once would reset the connection and take
 * the answer with it.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Http2ServerResponse } from 'node:http2';
import type { Limits } from './limits.ts';
import { continueIsHeld } from './request-body.ts';

/** True while there is, or may be, more of the body than was read. */
export function bodyIsOpen(request: IncomingMessage): boolean {
  return !request.complete && !request.readableEnded;
}

/** Sends a whole answer; then drops the rest of the body, or the connection when there is too much of it. */
export function answerEarly(
  request: IncomingMessage,
  response: ServerResponse,
  answer: { status: number; headers: Readonly<Record<string, string>>; body: string },
  limits: Pick<Limits, 'drainBytes' | 'drainMs'>,
): void {
  const body = Buffer.from(answer.body);
  const headers = { ...answer.headers, 'content-length': String(body.length) };
  if (response instanceof Http2ServerResponse) {
    // HTTP/2 can refuse the rest of one request without its neighbours (RFC 9113 section 8.1).
    response.writeHead(answer.status, headers);
    response.end(body, () => response.stream?.close(0));
    return;
  }
  if (continueIsHeld(request)) {
    // The client sends nothing before "100 Continue", and must not send afterwards; nobody can tell what comes next instead.
    response.writeHead(answer.status, { ...headers, connection: 'close' }).end(body);
    return;
  }
  response.writeHead(answer.status, headers);
  // All of the answer, so the client has it; the end is held back, because it may close the connection.
  response.write(body);
  drain(request, limits, (whole) => {
    response.end();
    if (!whole) request.socket.destroySoon();
  });
}

function drain(request: IncomingMessage, limits: Pick<Limits, 'drainBytes' | 'drainMs'>, done: (whole: boolean) => void): void {
  let bytes = 0;
  const timer = setTimeout(() => finish(false), limits.drainMs);
  const finish = (whole: boolean) => {
    clearTimeout(timer);
    request.off('data', onData).off('end', onEnd).off('close', onClose);
    done(whole);
  };
  const onData = (piece: Uint8Array) => {
    bytes += piece.length;
    if (bytes > limits.drainBytes) finish(false);
  };
  const onEnd = () => finish(true);
  const onClose = () => finish(request.complete);
  request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  if (request.destroyed) finish(request.complete);
  else request.resume();
}
