/** Servers for the tests of the HTTPS transport, and what they need of a client. All of it is closed after each test. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, RequestListener } from 'node:http';
import { createServer as createHttp } from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer as createTcp } from 'node:net';
import { afterEach } from 'node:test';
import { createServer as createTls } from 'node:tls';
import { HawserError } from '../../src/core/errors.ts';
import type { Transport, TransportResponse } from '../../src/transport/contract.ts';
import { createHttpTransport, type HttpTransportOptions } from '../../src/transport/https.ts';
import { selfSigned } from '../self-signed.ts';

export const certificate = selfSigned();
export const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0)) clean();
});

export async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  cleanups.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

export function open(url: string, options: Omit<HttpTransportOptions, 'url'> = {}): Transport {
  const transport = createHttpTransport({ url, ...options });
  cleanups.push(() => transport.close());
  return transport;
}

export async function plain(listener: RequestListener, options: Omit<HttpTransportOptions, 'url'> = {}): Promise<Transport> {
  return open(`http://127.0.0.1:${await listen(createHttp(listener))}`, options);
}

/** A server that takes what comes without looking at it, plain or over TLS. */
export async function raw(secure: boolean, onSocket: (socket: Socket) => void): Promise<Transport> {
  const server = secure ? createTls({ ...certificate }, onSocket) : createTcp(onSocket);
  server.on(secure ? 'secureConnection' : 'connection', (socket: Socket) => socket.on('error', () => {}));
  const port = await listen(server as Server);
  return open(`${secure ? 'https' : 'http'}://127.0.0.1:${port}`, { fingerprint: certificate.fingerprint });
}

export async function readAll(response: TransportResponse): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of response.body) pieces.push(piece);
  return Buffer.concat(pieces);
}

export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces);
}

export async function refusalOf(promise: Promise<unknown>): Promise<HawserError> {
  const error = await promise.then(
    () => assert.fail('it should have been refused'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof HawserError, String(error));
  return error;
}

/** Never ends on its own; tells when its owner was let go. */
export function endless(pieceBytes = 256 * 1024): { body: AsyncIterable<Uint8Array>; ended: Promise<void> } {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const piece = Buffer.alloc(pieceBytes, 1);
  async function* pieces() {
    try {
      for (;;) yield piece;
    } finally {
      resolve();
    }
  }
  return { body: pieces(), ended };
}

export const ENDLESS_BYTES = 2 ** 40;
