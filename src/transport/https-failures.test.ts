import assert from 'node:assert/strict';
import { createServer as createHttp } from 'node:http';
import { createServer as createTcp } from 'node:net';
import { describe, it } from 'node:test';
import { ENDLESS_BYTES, endless, listen, open, plain, raw, readAll, refusalOf } from '../../test/transport/https-fixture.ts';
import type { Transport } from './contract.ts';
import { createHttpTransport } from './https.ts';

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
