import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, RequestListener } from 'node:http';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo, Server, Socket } from 'node:net';
import { createServer as createTcp } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { createServer as createTls } from 'node:tls';
import { selfSigned } from '../../test/self-signed.ts';
import { HawserError } from '../core/errors.ts';
import type { Transport, TransportResponse } from './contract.ts';
import { createHttpTransport, type HttpTransportOptions } from './https.ts';

const certificate = selfSigned();
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0)) clean();
});

async function listen(server: Server): Promise<number> {
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

function open(url: string, options: Omit<HttpTransportOptions, 'url'> = {}): Transport {
  const transport = createHttpTransport({ url, ...options });
  cleanups.push(() => transport.close());
  return transport;
}

async function plain(listener: RequestListener, options: Omit<HttpTransportOptions, 'url'> = {}): Promise<Transport> {
  return open(`http://127.0.0.1:${await listen(createHttp(listener))}`, options);
}

/** A server that takes what comes without looking at it, plain or over TLS. */
async function raw(secure: boolean, onSocket: (socket: Socket) => void): Promise<Transport> {
  const server = secure ? createTls({ ...certificate }, onSocket) : createTcp(onSocket);
  server.on(secure ? 'secureConnection' : 'connection', (socket: Socket) => socket.on('error', () => {}));
  const port = await listen(server as Server);
  return open(`${secure ? 'https' : 'http'}://127.0.0.1:${port}`, { fingerprint: certificate.fingerprint });
}

async function readAll(response: TransportResponse): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of response.body) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of request) pieces.push(piece);
  return Buffer.concat(pieces);
}

async function refusalOf(promise: Promise<unknown>): Promise<HawserError> {
  const error = await promise.then(
    () => assert.fail('it should have been refused'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof HawserError, String(error));
  return error;
}

/** Never ends on its own; tells when its owner was let go. */
function endless(pieceBytes = 256 * 1024): { body: AsyncIterable<Uint8Array>; ended: Promise<void> } {
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

const ENDLESS_BYTES = 2 ** 40;

describe('requests over http', () => {
  it('uses a connection again', async () => {
    const ports = new Set<number | undefined>();
    const transport = await plain((request, response) => {
      ports.add(request.socket.remotePort);
      response.setHeader('x-seen', 'yes').end(`${request.method} ${request.url}`);
    });
    for (let i = 0; i < 5; i++) {
      const response = await transport.request({ method: 'GET', target: '/a?b=c' });
      assert.equal(response.status, 200);
      assert.equal(response.headers['x-seen'], 'yes');
      assert.equal((await readAll(response)).toString(), 'GET /a?b=c');
    }
    assert.equal(ports.size, 1);
    assert.ok((transport.info().rttMs ?? -1) >= 0);
  });

  it('uses a connection again after small uploads that are answered at once', async () => {
    const ports = new Set<number | undefined>();
    const transport = await plain(async (request, response) => {
      ports.add(request.socket.remotePort);
      response.end(String((await bodyOf(request)).length));
    });
    async function* two() {
      yield Buffer.alloc(44);
      yield Buffer.alloc(70_000);
    }
    for (let i = 0; i < 20; i++) {
      const response = await transport.request({ method: 'PUT', target: '/', body: two(), contentLength: 70_044 });
      assert.equal((await readAll(response)).toString(), '70044');
    }
    assert.equal(ports.size, 1);
  });

  it('opens no more connections than it may, and serves all who wait', async () => {
    let open = 0;
    let most = 0;
    const server = createHttp((_, response) => setImmediate(() => response.end('x')));
    server.on('connection', (socket) => {
      most = Math.max(most, ++open);
      socket.on('close', () => open--);
    });
    const transport = createHttpTransport({ url: `http://127.0.0.1:${await listen(server)}`, connections: 3 });
    cleanups.push(() => transport.close());
    const all = Array.from({ length: 40 }, async () => readAll(await transport.request({ method: 'GET', target: '/' })));
    assert.equal((await Promise.all(all)).join(''), 'x'.repeat(40));
    assert.equal(most, 3);
  });

  it('does not keep a connection that the server is about to close', async () => {
    const ports = new Set<number | undefined>();
    const transport = await plain((request, response) => {
      ports.add(request.socket.remotePort);
      response.setHeader('connection', 'close').end('x');
    });
    for (let i = 0; i < 3; i++) await readAll(await transport.request({ method: 'GET', target: '/' }));
    assert.equal(ports.size, 3);
  });

  it('sends again what a closed kept connection did not take, when that is safe', async () => {
    let requests = 0;
    const transport = await plain((request, response) => {
      // Every second request meets a connection that dies under it.
      if (++requests % 2 === 0) request.socket.destroy();
      else response.end(request.method);
    });
    const ask = async (method: 'GET' | 'PUT' | 'POST', body?: Uint8Array) =>
      (await readAll(await transport.request({ method, target: '/', ...(body ? { body } : {}) }))).toString();
    assert.equal(await ask('GET'), 'GET');
    assert.equal(await ask('GET'), 'GET');
    assert.equal(await ask('PUT', Buffer.from('body')), 'PUT');
    assert.equal(requests, 5);
    const error = await refusalOf(ask('POST', Buffer.from('body')));
    assert.equal(error.code, 'unreachable');
    assert.equal(requests, 6, 'a POST is not sent twice');
  });

  it('gives up on a server that closes every connection', async () => {
    let requests = 0;
    const transport = await plain((request) => {
      requests++;
      request.socket.destroy();
    });
    const error = await refusalOf(transport.request({ method: 'GET', target: '/' }));
    assert.equal(error.code, 'unreachable');
    assert.match(error.message, /127\.0\.0\.1:\d+ closed the connection before it answered/);
    assert.equal(requests, 1, 'a fresh connection is not tried again here');
  });

  it('lets go of a body that is not wanted', async () => {
    const ports = new Set<number | undefined>();
    const transport = await plain(
      (request, response) => {
        ports.add(request.socket.remotePort);
        if (request.url === '/small') response.setHeader('content-length', '3').end('abc');
        else response.write(Buffer.alloc(1_000_000));
      },
      { connections: 1 },
    );
    (await transport.request({ method: 'GET', target: '/small' })).cancel();
    (await transport.request({ method: 'GET', target: '/endless' })).cancel();
    for await (const _ of (await transport.request({ method: 'GET', target: '/endless' })).body) break;
    await readAll(await transport.request({ method: 'GET', target: '/small' }));
    assert.equal(ports.size, 3, 'a small rest is read and the connection kept; an endless one is dropped');
  });
});

describe('bodies', () => {
  for (const known of [true, false])
    it(`arrive whole although their pieces are used again (${known ? 'length known' : 'chunked'})`, async () => {
      const transport = await plain(async (request, response) => response.end(await bodyOf(request)));
      const sizes = [44, 300_000, 44, 44, 16_384, 16_385, 0, 1, 65_536, 20, 65_500, 300, 1_048_576, 7];
      const sent: Buffer[] = [];
      const shared = Buffer.alloc(1_048_576);
      async function* pieces() {
        for (const [index, bytes] of sizes.entries()) {
          const piece = shared.subarray(0, bytes).fill(index + 1);
          sent.push(Buffer.from(piece));
          yield piece;
          // From here on the buffer is ours again.
          shared.fill(0xee);
          if (index % 3 === 0) await new Promise(setImmediate);
        }
      }
      const contentLength = sizes.reduce((sum, bytes) => sum + bytes, 0);
      const response = await transport.request({
        method: 'PUT',
        target: '/',
        body: pieces(),
        ...(known ? { contentLength } : {}),
      });
      assert.ok((await readAll(response)).equals(Buffer.concat(sent)));
    });

  it('a small piece does not wait for the next one', async () => {
    const { promise: arrived, resolve } = Promise.withResolvers<void>();
    const transport = await plain((request, response) => {
      request.once('data', () => resolve());
      request.on('end', () => response.end('ok'));
    });
    async function* pieces() {
      yield Buffer.from('first');
      await arrived;
      yield Buffer.from('second');
    }
    assert.equal((await readAll(await transport.request({ method: 'PUT', target: '/', body: pieces() }))).toString(), 'ok');
  });

  it('an error of the source is what the caller sees', async () => {
    const transport = await plain((request) => request.resume());
    const own = new HawserError('source_changed', 'It changed.');
    async function* pieces() {
      yield Buffer.alloc(100_000);
      throw own;
    }
    const request = transport.request({ method: 'PUT', target: '/', body: pieces(), contentLength: 200_000 });
    assert.equal(await refusalOf(request), own);
  });

  for (const [bytes, contentLength] of [
    [10, 20],
    [20, 10],
  ] as const)
    it(`${bytes} bytes instead of ${contentLength} fail`, async () => {
      const transport = await plain((request) => request.resume());
      async function* pieces() {
        yield Buffer.alloc(bytes);
      }
      const request = transport.request({ method: 'PUT', target: '/', body: pieces(), contentLength });
      await assert.rejects(request, { name: 'RangeError', message: new RegExp(`${contentLength} bytes.*gave ${bytes}`) });
    });
});

describe('failures', () => {
  it('nobody listens', async () => {
    const server = createTcp();
    const port = await listen(server);
    server.close();
    const error = await refusalOf(open(`http://127.0.0.1:${port}`).request({ method: 'GET', target: '/' }));
    assert.equal(error.code, 'unreachable');
    assert.match(error.message, new RegExp(`127.0.0.1:${port} refused the connection`));
  });

  it('no such host', async () => {
    const error = await refusalOf(open('https://no-such-host.invalid').request({ method: 'GET', target: '/' }));
    assert.equal(error.code, 'unreachable');
    assert.match(error.message, /no-such-host\.invalid:443/);
  });

  it('an address that is none', () => {
    for (const url of ['localhost:7420', 'ftp://a', ''])
      assert.throws(() => createHttpTransport({ url }), { code: 'request_invalid' });
  });

  it('a target that cannot be sent', async () => {
    const transport = await plain((_, response) => response.end('x'), { connections: 1 });
    for (let i = 0; i < 3; i++)
      assert.equal((await refusalOf(transport.request({ method: 'GET', target: '/a b\n' }))).code, 'request_invalid');
    await readAll(await transport.request({ method: 'GET', target: '/' }));
  });

  it('something else than HTTP answers', async () => {
    const transport = await raw(false, (socket) => socket.end('SSH-2.0-OpenSSH_9.9\r\n'));
    assert.equal((await refusalOf(transport.request({ method: 'GET', target: '/' }))).code, 'protocol_error');
  });

  it('a server without TLS is asked for it', async () => {
    const port = await listen(createHttp());
    const error = await refusalOf(open(`https://127.0.0.1:${port}`).request({ method: 'GET', target: '/' }));
    assert.equal(error.code, 'protocol_error');
    assert.match(error.message, /http:\/\//);
  });

  for (const secure of [false, true]) {
    const over = secure ? 'https' : 'http';

    it(`${over}: an answer that breaks off`, async () => {
      const transport = await raw(secure, (socket) =>
        socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc')),
      );
      const response = await transport.request({ method: 'GET', target: '/' });
      const error = await refusalOf(readAll(response));
      assert.equal(error.code, 'unreachable');
      assert.match(error.message, /after 3 bytes of its answer/);
    });

    it(`${over}: a reset while the body is sent`, async () => {
      const transport = await raw(secure, (socket) => socket.once('data', () => socket.destroy()));
      const { body, ended } = endless();
      const error = await refusalOf(transport.request({ method: 'PUT', target: '/', body, contentLength: ENDLESS_BYTES }));
      assert.equal(error.code, 'unreachable');
      await ended;
    });

    it(`${over}: a refusal before the body is sent is what the caller gets, also when the server closes at once`, async () => {
      const refusal = 'HTTP/1.1 413 Content Too Large\r\ncontent-length: 8\r\nconnection: close\r\n\r\ntoo much';
      const transport = await raw(secure, (socket) => {
        socket.once('data', () => {
          socket.pause();
          socket.write(refusal, () => socket.destroy());
        });
      });
      for (let round = 0; round < 25; round++) {
        const { body, ended } = endless();
        const response = await transport.request({ method: 'PUT', target: '/', body, contentLength: ENDLESS_BYTES });
        assert.equal(response.status, 413);
        assert.equal((await readAll(response)).toString(), 'too much');
        await ended;
      }
    });

    it(`${over}: a refusal by a server that goes on reading`, async () => {
      const transport = await raw(secure, (socket) => {
        socket.once('data', () => socket.write('HTTP/1.1 409 Conflict\r\ncontent-length: 2\r\n\r\nno'));
      });
      const { body, ended } = endless();
      const response = await transport.request({ method: 'PUT', target: '/', body, contentLength: ENDLESS_BYTES });
      assert.equal(response.status, 409);
      assert.equal((await readAll(response)).toString(), 'no');
      await ended;
    });

    it(`${over}: a server that takes nothing is a stall`, async () => {
      const transport = await raw(secure, (socket) => socket.pause());
      for (const body of [endless().body, Buffer.alloc(64 * 1024 * 1024)]) {
        const contentLength = body instanceof Uint8Array ? body.length : ENDLESS_BYTES;
        const error = await refusalOf(transport.request({ method: 'PUT', target: '/', body, contentLength, stallMs: 80 }));
        assert.equal(error.code, 'stalled');
        assert.match(error.message, /Nothing could be sent to 127/);
      }
    });

    it(`${over}: silence in the middle of an answer is a stall`, async () => {
      const transport = await raw(secure, (socket) =>
        socket.once('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc')),
      );
      const response = await transport.request({ method: 'GET', target: '/', stallMs: 80 });
      assert.equal((await refusalOf(readAll(response))).code, 'stalled');
    });

    it(`${over}: no answer in time is a stall`, async () => {
      const transport = await raw(secure, (socket) => socket.resume());
      const error = await refusalOf(transport.request({ method: 'GET', target: '/', answerMs: 80 }));
      assert.equal(error.code, 'stalled');
      assert.match(error.message, /gave no answer/);
    });
  }

  it('a handshake that is not answered is a stall', async () => {
    const port = await listen(createTcp((socket) => socket.resume()));
    const error = await refusalOf(open(`https://127.0.0.1:${port}`).request({ method: 'GET', target: '/', stallMs: 80 }));
    assert.equal(error.code, 'stalled');
    assert.match(error.message, /while connecting/);
  });

  it('are given up where nobody answers, though others are opened beside one that is late', async () => {
    let connections = 0;
    const port = await listen(createTcp(() => connections++));
    const error = await refusalOf(open(`https://127.0.0.1:${port}`).request({ method: 'GET', target: '/', stallMs: 1500 }));
    assert.equal(error.code, 'stalled');
    assert.equal(connections, 2);
  });
});

describe('giving up', () => {
  async function aborted(transport: Transport, when: Promise<unknown>, body?: AsyncIterable<Uint8Array>): Promise<void> {
    const stop = new AbortController();
    const request = transport.request({ method: 'PUT', target: '/', signal: stop.signal, ...(body ? { body } : {}) });
    const refused = refusalOf(request.then(readAll));
    await when;
    stop.abort();
    assert.equal((await refused).code, 'interrupted');
  }

  /** The server's view: `came` when the first bytes are there, `gone` when the connection is. */
  async function watched(answer = '') {
    const came = Promise.withResolvers<void>();
    const gone = Promise.withResolvers<void>();
    const transport = await raw(false, (socket) => {
      socket.on('data', () => came.resolve());
      socket.on('close', () => gone.resolve());
      if (answer) socket.write(answer);
    });
    return { transport, came: came.promise, gone: gone.promise };
  }

  it('before it began', async () => {
    const transport = await plain(() => assert.fail('nothing should be asked'));
    const error = await refusalOf(transport.request({ method: 'GET', target: '/', signal: AbortSignal.abort() }));
    assert.equal(error.code, 'interrupted');
  });

  it('while it is sent', async () => {
    const { transport, came, gone } = await watched();
    const { body, ended } = endless();
    await aborted(transport, came, body);
    await Promise.all([gone, ended]);
  });

  it('while it waits for the answer', async () => {
    const { transport, came, gone } = await watched();
    await aborted(transport, came);
    await gone;
  });

  it('while it waits in line', async () => {
    const transport = await plain((request, response) => (request.url === '/first' ? undefined : response.end('x')), {
      connections: 1,
    });
    const first = new AbortController();
    const holding = refusalOf(transport.request({ method: 'GET', target: '/first', signal: first.signal }));
    await aborted(transport, new Promise(setImmediate));
    first.abort();
    await holding;
    assert.equal((await readAll(await transport.request({ method: 'GET', target: '/' }))).toString(), 'x');
  });

  it('while it is received', async () => {
    const { transport, gone } = await watched('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc');
    const stop = new AbortController();
    const response = await transport.request({ method: 'GET', target: '/', signal: stop.signal });
    const refused = refusalOf(readAll(response));
    stop.abort();
    assert.equal((await refused).code, 'interrupted');
    await gone;
  });

  it('by closing the transport', async () => {
    const { transport, came, gone } = await watched();
    const refused = refusalOf(transport.request({ method: 'GET', target: '/' }));
    await came;
    transport.close();
    assert.equal((await refused).code, 'interrupted');
    await gone;
    assert.equal((await refusalOf(transport.request({ method: 'GET', target: '/' }))).code, 'interrupted');
  });
});

describe('requests over TLS', () => {
  const secret = { authorization: 'Bearer hws_secret' };

  /** Records every byte that a client says inside TLS. */
  async function eavesdropper(with_ = certificate) {
    const heard: Buffer[] = [];
    const closed: Promise<unknown>[] = [];
    const server = createTls({ key: with_.key, cert: with_.cert }, (socket) => {
      socket.on('error', () => {});
      socket.on('data', (piece: Buffer) => heard.push(piece));
      closed.push(once(socket, 'close'));
    });
    server.on('tlsClientError', () => {});
    const port = await listen(server);
    return { url: `https://127.0.0.1:${port}`, heard, allClosed: () => Promise.all(closed) };
  }

  async function secure(options: Omit<HttpTransportOptions, 'url'>, with_ = certificate) {
    const reused: boolean[] = [];
    const server = createHttps({ key: with_.key, cert: with_.cert, honorCipherOrder: false }, (_, response) =>
      response.end('in'),
    );
    server.on('secureConnection', (socket) => reused.push(socket.isSessionReused()));
    const transport = open(`https://127.0.0.1:${await listen(server)}`, options);
    const ask = async () => (await readAll(await transport.request({ method: 'GET', target: '/', headers: secret }))).toString();
    return { transport, ask, server, reused };
  }

  it('agrees on TLS 1.3, AES-128 and the hybrid group with another Hawser', async () => {
    const { transport, ask } = await secure({ fingerprint: certificate.fingerprint });
    assert.equal(await ask(), 'in');
    assert.deepEqual(transport.info().tls, {
      version: 'TLSv1.3',
      cipher: 'TLS_AES_128_GCM_SHA256',
      group: 'X25519MLKEM768',
      fingerprint: certificate.fingerprint,
    });
    assert.equal(transport.info().transport, 'https');
  });

  it('accepts the pinned certificate, however its fingerprint is written', async () => {
    const colons = certificate.fingerprint.toUpperCase().replace(/..(?=.)/g, '$&:');
    const { ask } = await secure({ fingerprint: colons });
    assert.equal(await ask(), 'in');
    assert.throws(() => createHttpTransport({ url: 'https://a', fingerprint: 'abc' }), { code: 'request_invalid' });
  });

  it('says nothing to a server whose certificate is not the pinned one', async () => {
    const { url, heard, allClosed } = await eavesdropper();
    const pinned = selfSigned().fingerprint;
    const error = await refusalOf(
      open(url, { fingerprint: pinned }).request({
        method: 'PUT',
        target: '/secret',
        headers: secret,
        body: Buffer.from('body'),
      }),
    );
    assert.equal(error.code, 'certificate_changed');
    assert.ok(error.message.includes(pinned) && error.message.includes(certificate.fingerprint));
    await allClosed();
    assert.equal(Buffer.concat(heard).length, 0);
  });

  it('says nothing to a server that it cannot verify, and tells about hawser login', async () => {
    const { url, heard, allClosed } = await eavesdropper();
    const error = await refusalOf(open(url).request({ method: 'GET', target: '/', headers: secret }));
    assert.equal(error.code, 'certificate_untrusted');
    assert.match(error.message, /hawser login/);
    await allClosed();
    assert.equal(Buffer.concat(heard).length, 0);
  });

  it('accepts what the given authority signed, for its name only', async () => {
    const { ask } = await secure({ caCert: certificate.cert });
    assert.equal(await ask(), 'in');
    const other = selfSigned('elsewhere.example');
    const elsewhere = await secure({ caCert: other.cert }, other);
    const error = await refusalOf(elsewhere.ask());
    assert.equal(error.code, 'certificate_untrusted');
    assert.match(error.message, /another name/);
  });

  it('accepts anything when told to', async () => {
    const { ask } = await secure({ insecure: true });
    assert.equal(await ask(), 'in');
  });

  it('resumes the session on the next connection, and still checks the pin', async () => {
    const { transport, ask, reused, server } = await secure({ fingerprint: certificate.fingerprint });
    await ask();
    server.closeAllConnections();
    await ask();
    assert.deepEqual(reused, [false, true]);
    assert.equal(transport.info().tls?.fingerprint, certificate.fingerprint);
  });

  it('notices a certificate that changes between two connections', async () => {
    const { ask, server } = await secure({ fingerprint: certificate.fingerprint });
    await ask();
    const other = selfSigned();
    server.setSecureContext({ key: other.key, cert: other.cert });
    server.closeAllConnections();
    assert.equal((await refusalOf(ask())).code, 'certificate_changed');
  });
});
