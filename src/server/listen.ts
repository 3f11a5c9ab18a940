/**
 * Sockets: one port that speaks HTTP/1.1 and HTTP/2 over TLS 1.3, or HTTP/1.1 in the clear.
 *
 * TLS runs in front and hands each connection to an HTTP/1.1 or an HTTP/2 server by what ALPN chose. Node's http2 server can
 * do both itself, as fast, but its HTTP/1.1 side takes none of the bounds that http.Server has (headers, keep-alive). A
 * browser that asks in the clear is told what is wrong.
 */
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import http2, { type ServerHttp2Session } from 'node:http2';
import net, { type AddressInfo, type Socket } from 'node:net';
import tls from 'node:tls';
import { HawserError } from '../core/errors.ts';
import type { Certificate } from './certificate.ts';
import type { Limits } from './limits.ts';
import { PROBLEM_TYPE, problemOf } from './problems.ts';
import { holdContinue } from './request-body.ts';

export interface Listener {
  readonly port: number;
  /** As a client would write it. */
  readonly url: string;
  /** Serves HTTP/1.1 on a connection that came another way (a lane's stream), whose peer is authenticated and whose bytes are sealed. */
  accept(socket: Socket): void;
  /** Accepts nothing new; connections end with the request they are at. */
  stop(): void;
  /** Ends every connection as it stands. */
  destroy(): void;
}

export interface ListenOptions {
  readonly host: string;
  /** 0: the system chooses. */
  readonly port: number;
  /** Null: HTTP in the clear. */
  readonly certificate: Certificate | null;
  readonly limits: Limits;
  readonly handler: (request: IncomingMessage, response: ServerResponse) => void;
}

/** Resolves when connections are accepted. `usage` when the address cannot be had. */
export async function listen(options: ListenOptions): Promise<Listener> {
  const { host, port, certificate, limits } = options;
  const plain = plainServer(options);
  const sockets = new Set<Socket>();
  const sessions = new Set<ServerHttp2Session>();
  const secure = certificate ? secureServer(options, certificate, plain, sessions) : null;

  const front = net.createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000 }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // A reset by the peer is no news; whoever reads or writes finds out.
    socket.on('error', () => socket.destroy());
    // TLS has to be the first to read: handed what another has read, it would go on in buffers of that size, and read a 16 KiB
    // record in two or three calls.
    (secure ?? plain).emit('connection', socket);
  });
  front.maxConnections = limits.connections;
  await bind(front, host, port);
  const bound = front.address() as AddressInfo;

  return {
    port: bound.port,
    url: `${certificate ? 'https' : 'http'}://${shownHost(host)}:${bound.port}`,
    accept(socket) {
      socket.on('error', () => socket.destroy());
      plain.emit('connection', socket);
    },
    stop() {
      front.close();
      plain.closeIdleConnections();
      for (const session of sessions) session.close();
    },
    destroy() {
      front.close();
      // It never listened, so that closing it complains; what counts is that its checks end.
      plain.close(() => undefined);
      for (const session of sessions) session.destroy();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function plainServer({ limits, handler }: ListenOptions): http.Server {
  const server = http.createServer(
    {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersMs,
      keepAliveTimeout: limits.keepAliveMs,
      // An upload may take days; its body has an idle limit instead (request-body.ts).
      requestTimeout: 0,
      connectionsCheckingInterval: Math.min(1000, limits.headersMs),
      insecureHTTPParser: false,
      // The app checks it, and says so in its own words.
      requireHostHeader: false,
    },
    (request, response) => {
      answering.set(request.socket, response);
      handler(request, response);
    },
  );
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    holdContinue(request);
    answering.set(request.socket, response);
    handler(request, response);
  });
  server.on('clientError', answerBroken);
  server.on('connect', refuseTunnel);
  // http.Server begins to watch its time limits when it listens; this one is handed its connections.
  server.emit('listening');
  return server;
}

function secureServer(
  { limits, handler }: ListenOptions,
  { cert, key }: Certificate,
  plain: http.Server,
  sessions: Set<ServerHttp2Session>,
): tls.Server {
  const multiplexed = http2.createServer(
    {
      settings: {
        initialWindowSize: limits.streamWindowBytes,
        maxConcurrentStreams: limits.streams,
        maxHeaderListSize: limits.headerBytes,
        enablePush: false,
      },
      maxHeaderListPairs: 128,
      maxSessionRejectedStreams: 100,
      maxSessionInvalidFrames: 100,
      // Mebibytes; what waits in the windows is counted too.
      maxSessionMemory: Math.ceil(limits.connectionWindowBytes / (1 << 20)) * 2,
      unknownProtocolTimeout: limits.handshakeMs,
    },
    handler as never,
  );
  multiplexed.on('checkContinue', (request, response) => {
    holdContinue(request as never);
    handler(request as never, response as never);
  });
  multiplexed.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
    session.setLocalWindowSize(limits.connectionWindowBytes);
    session.setTimeout(limits.keepAliveMs, () => {
      // Streams that only wait (for a slow disk, for another's change) are no idle connection.
      if ((openStreams.get(session) ?? 0) === 0) session.close();
    });
    openStreams.set(session, 0);
    session.on('stream', (stream) => {
      openStreams.set(session, (openStreams.get(session) ?? 0) + 1);
      stream.once('close', () => openStreams.set(session, (openStreams.get(session) ?? 1) - 1));
      stream.on('error', () => undefined);
    });
  });
  // 'sessionError' without a listener would end the process.
  multiplexed.on('sessionError', () => undefined);

  const server = tls.createServer(
    {
      cert,
      key,
      minVersion: 'TLSv1.3',
      // Hybrid first, so that what is recorded today stays closed to the quantum computers of tomorrow.
      ecdhCurve: 'X25519MLKEM768:X25519:P-256:P-384',
      ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
      honorCipherOrder: true,
      ALPNProtocols: ['h2', 'http/1.1'],
      handshakeTimeout: limits.handshakeMs,
    },
    (socket) => {
      socket.on('error', () => socket.destroy());
      (socket.alpnProtocol === 'h2' ? multiplexed : plain).emit('connection', socket);
    },
  );
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    if (IN_THE_CLEAR.has(error.code ?? '')) explainClear(socket);
    socket.destroy();
  });
  return server;
}

/** Answers in the clear, below TLS, which has not written anything yet. Does nothing on a Node that hides what is there. */
function explainClear(socket: Socket): void {
  const below = (socket as Socket & { readonly _parent?: Socket | null })._parent;
  if (!below || below.destroyed || below.bytesWritten > 0) return;
  // TLS ends the connection when this returns; it has to stay until the answer was read.
  const { destroy } = below;
  below.destroy = () => below;
  setImmediate(() => {
    below.destroy = destroy;
  });
  answerRaw(below, new HawserError('request_invalid', 'This port speaks HTTPS: use "https://" in the address.'));
}

/** What http.Server could not make a request of. */
function answerBroken(error: NodeJS.ErrnoException, socket: Socket): void {
  const answer = answering.get(socket);
  // In the middle of an answer, another one would pass for a part of it.
  const busy = answer?.headersSent === true && !answer.writableFinished;
  if (busy || !socket.writable || error.code === 'ECONNRESET' || error.code === 'EPIPE') {
    socket.destroy();
    return;
  }
  answerRaw(socket, BROKEN[error.code ?? '']?.() ?? MALFORMED());
}

function refuseTunnel(_request: IncomingMessage, socket: Socket): void {
  answerRaw(
    socket,
    new HawserError('method_not_allowed', 'CONNECT is not allowed here: this is no proxy.', { value: 'CONNECT' }),
  );
}

/** A whole answer without http.Server, after which the connection ends. */
function answerRaw(socket: Socket, error: HawserError): void {
  const { problem } = problemOf(error, '-');
  const body = JSON.stringify(problem);
  const head = `HTTP/1.1 ${problem.status} ${http.STATUS_CODES[problem.status]}\r\ncontent-type: ${PROBLEM_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n`;
  // What is still coming is read and dropped for a moment, or the reset would overtake the answer.
  socket.removeAllListeners('data');
  socket.on('data', () => undefined).resume();
  socket.end(head + body);
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('end', () => socket.destroySoon());
  socket.once('close', () => clearTimeout(timer));
}

function bind(server: net.Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const why = BIND_ERRORS[cause.code ?? ''] ?? cause.message;
      reject(new HawserError('usage', `Cannot listen on ${host} port ${port}: ${why}.`, { value: `${host}:${port}`, cause }));
    });
    server.listen({ host, port, backlog: 511 }, () => {
      server.removeAllListeners('error');
      server.on('error', () => undefined);
      resolve();
    });
  });
}

function shownHost(host: string): string {
  if (host === '0.0.0.0' || host === '::') return 'localhost';
  return host.includes(':') ? `[${host}]` : host;
}

const MALFORMED = () =>
  new HawserError('request_invalid', 'The request is not well-formed HTTP: check what sits between here and the client.');
const BROKEN: Readonly<Record<string, () => HawserError>> = {
  HPE_HEADER_OVERFLOW: () =>
    new HawserError('header_too_large', 'The request line and headers are larger than 16 KiB: send less.'),
  HPE_CHUNK_EXTENSIONS_OVERFLOW: () => new HawserError('body_too_large', 'The chunk extensions are too large: send none.'),
  ERR_HTTP_REQUEST_TIMEOUT: () => new HawserError('request_timeout', 'The request headers came too slowly: try again.'),
};
const BIND_ERRORS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there; stop it or choose another port',
  EACCES: 'that needs rights which this user does not have; choose a port above 1023',
  EADDRNOTAVAIL: 'this machine does not have that address; use one that it has, or 0.0.0.0',
  ENOTFOUND: 'there is no such host name; use an address of this machine',
};
/** The newest answer on each HTTP/1.1 connection. */
const answering = new WeakMap<Socket, ServerResponse>();
const openStreams = new WeakMap<ServerHttp2Session, number>();
/** What OpenSSL says of a first record that is none. */
const IN_THE_CLEAR = new Set(['ERR_SSL_HTTP_REQUEST', 'ERR_SSL_HTTPS_PROXY_REQUEST', 'ERR_SSL_WRONG_VERSION_NUMBER']);
const LINGER_MS = 2_000;
