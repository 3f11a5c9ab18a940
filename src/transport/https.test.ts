import assert from 'node:assert/strict';
import { createServer as createHttp } from 'node:http';
import { describe, it } from 'node:test';
import { bodyOf, cleanups, listen, plain, readAll, refusalOf } from '../../test/transport/https-fixture.ts';
import { HawserError } from '../core/errors.ts';
import { createHttpTransport } from './https.ts';

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
