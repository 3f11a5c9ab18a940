/** Hostile connections: silence, cuts, junk where TLS should be, and abuse of HTTP/2. */
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import tls from 'node:tls';
import { connect, exchange } from './hostile-client.ts';
import { ask, secureStillWell, setUpWorld, snapshot, stillWell, target, tearDownWorld, world } from './hostile-world.ts';

before(setUpWorld);
after(tearDownWorld);

describe('hostile connections', () => {
  it('many that say nothing are closed', async () => {
    const before = await snapshot();
    const sockets = Array.from({ length: 100 }, () => connect(target()));
    await Promise.all(sockets.map((socket) => closed(socket)));
    await stillWell(before);
  });

  it('an upload cut off in the middle leaves nothing', async () => {
    const before = await snapshot();
    const socket = connect(target());
    await new Promise<void>((resolve) => {
      socket.write(ask('PUT', FILE, { headers: [OCTETS, 'Content-Length: 1000000'], body: Buffer.alloc(300_000, 1) }), () =>
        resolve(),
      );
    });
    socket.destroy();
    await stillWell(before);
  });

  it('a download that is dropped at once, many times', async () => {
    const before = await snapshot();
    for (let i = 0; i < 50; i++) {
      const socket = connect(target());
      await new Promise<void>((resolve) => {
        socket.once('data', () => resolve());
        socket.write(ask('GET', '/api/v1/probe?bytes=67108864'));
      });
      socket.destroy();
    }
    await stillWell(before);
  });

  for (const [name, opening] of [
    ['HTTP', ask('GET', '/', { bearer: null })],
    ['HTTP with a body', ask('PUT', '/', { bearer: null, body: Buffer.alloc(200_000, 0x20) })],
    ['HTTP to a proxy', 'CONNECT localhost:443 HTTP/1.1\r\n\r\n'],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ] as const) {
    it(`${name} in the clear on the TLS port is told so`, async () => {
      const answer = await exchange({ port: world.secure.port, secure: false }, [opening]);
      assert.deepEqual([answer.status, answer.code], [400, 'request_invalid']);
      assert.match(answer.body, /https:/);
      await secureStillWell();
    });
  }

  for (const [name, bytes] of [
    ['noise after a handshake byte', Buffer.concat([Buffer.from('16'), Buffer.alloc(500, 0xee)])],
    ['half a client hello', Buffer.from('16030100c8010000c4', 'hex')],
    ['a record of 64 KiB', Buffer.concat([Buffer.from('160301ffff', 'hex'), Buffer.alloc(0xffff)])],
    ['an alert', Buffer.from('15030100020228', 'hex')],
  ] as const) {
    it(`TLS: ${name}`, async () => {
      const socket = net.connect(world.secure.port, '127.0.0.1');
      socket.on('error', () => undefined).resume();
      socket.write(bytes);
      await closed(socket);
      await secureStillWell();
    });
  }

  it('TLS 1.2 is refused', async () => {
    const socket = tls.connect({ port: world.secure.port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion: 'TLSv1.2' });
    const error = await new Promise<NodeJS.ErrnoException>((resolve) => socket.once('error', resolve));
    assert.match(String(error.code), /PROTOCOL_VERSION/);
    await secureStillWell();
  });
});

describe('hostile HTTP/2', () => {
  it('more streams than allowed, opened and reset without end', async () => {
    const session = await openSession();
    const gone = new Promise<void>((resolve) => session.once('close', () => resolve()));
    session.on('error', () => undefined);
    let opened = 0;
    const flood = () => {
      while (!session.closed && !session.destroyed && opened < 20_000) {
        const stream = session.request({ ':path': '/health' });
        stream.on('error', () => undefined);
        stream.close(http2.constants.NGHTTP2_CANCEL);
        if (++opened % 100 === 0) return void setImmediate(flood);
      }
      session.destroy();
    };
    flood();
    await gone;
    await secureStillWell();
  });

  it('many requests at once are all answered', async () => {
    const session = await openSession();
    const answers = await Promise.all(
      Array.from({ length: 500 }, (_, i) => h2Request(session, { ':path': i % 2 ? '/health' : '/nowhere' })),
    );
    assert.equal(answers.filter(({ status }) => status === 200).length, 250);
    assert.equal(answers.filter(({ code }) => code === 'route_not_found').length, 250);
    session.destroy();
  });

  it('huge headers end the request, not the server', async () => {
    const session = await openSession();
    session.on('error', () => undefined);
    const answer = await h2Request(session, { ':path': '/health', 'x-long': 'x'.repeat(60_000) }).catch(() => ({ status: 431 }));
    assert.equal(answer.status, 431);
    session.destroy();
    await secureStillWell();
  });

  it('a body that is longer or shorter than announced', async () => {
    for (const body of ['short', 'x'.repeat(1000)]) {
      const session = await openSession();
      session.on('error', () => undefined);
      const headers = { ':path': '/api/v1/files/h2', ':method': 'PUT', 'content-length': '100', ...authorized() };
      const answer = await h2Request(session, headers, body).catch(() => ({ status: 0 }));
      assert.ok(answer.status === 0 || answer.status === 400, String(answer.status));
      session.destroy();
    }
    const there = await exchange({ port: world.secure.port, secure: true }, [
      ask('GET', '/api/v1/entries/h2', { bearer: world.secure.adminToken }),
    ]);
    assert.equal(there.code, 'not_found');
  });

  it('headers of HTTP/1.1 in HTTP/2', async () => {
    const session = await openSession();
    assert.throws(
      () => session.request({ ':path': '/health', connection: 'keep-alive' }),
      /ERR_HTTP2_INVALID_CONNECTION_HEADERS|forbidden/,
    );
    session.destroy();
  });

  it('paths are refused as over HTTP/1.1', async () => {
    const session = await openSession();
    for (const [path, code] of [
      ['/api/v1/files/../secret', 'path_invalid'],
      ['/api/v1/files/a%2fb', 'path_invalid'],
      ['/api/v1/files/.hawser/admin-token', 'path_reserved'],
      ['/api/v1/nowhere', 'route_not_found'],
    ] as const) {
      assert.equal((await h2Request(session, { ':path': path, ...authorized() })).code, code);
    }
    session.destroy();
  });

  it('a refused upload sees its answer while it sends', async () => {
    const session = await openSession();
    const answer = await h2Request(session, { ':path': '/api/v1/files/big', ':method': 'PUT' }, Buffer.alloc(8 << 20));
    assert.deepEqual([answer.status, answer.code], [401, 'token_missing']);
    assert.equal((await h2Request(session, { ':path': '/health' })).status, 200, 'and the connection goes on');
    session.destroy();
  });

  it('junk instead of frames', async () => {
    const socket = tls.connect({ port: world.secure.port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    socket.on('error', () => undefined).resume();
    socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.alloc(5000, 0xff)]));
    await closed(socket);
    await secureStillWell();
  });

  it('a ping and settings flood', async () => {
    const socket = tls.connect({ port: world.secure.port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['h2'] });
    socket.on('error', () => undefined).resume();
    socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    const settings = Buffer.from('000000040000000000', 'hex');
    const ping = Buffer.concat([Buffer.from('000008060000000000', 'hex'), Buffer.alloc(8)]);
    for (let i = 0; i < 200 && !socket.destroyed; i++) {
      await new Promise<void>((resolve) =>
        socket.write(Buffer.concat(new Array(100).fill(Buffer.concat([settings, ping]))), () => resolve()),
      );
    }
    socket.destroy();
    await secureStillWell();
  });
});

const authorized = () => ({ authorization: `Bearer ${world.secure.adminToken}` });

function openSession(): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(`https://127.0.0.1:${world.secure.port}`, { rejectUnauthorized: false });
  return new Promise((resolve, reject) => session.once('connect', () => resolve(session)).once('error', reject));
}

function h2Request(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body?: string | Buffer,
): Promise<{ status: number; code: string | null }> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: body === undefined });
    let status = 0;
    let text = '';
    stream.on('response', (head) => {
      status = Number(head[':status']);
    });
    stream.setEncoding('utf8').on('data', (piece) => {
      text += piece;
    });
    stream.on('error', (error) => (status === 0 ? reject(error) : undefined));
    stream.on('close', () =>
      status === 0 ? reject(new Error('closed')) : resolve({ status, code: /"code":"([a-z_]+)"/.exec(text)?.[1] ?? null }),
    );
    if (body !== undefined) stream.end(body);
  });
}

function closed(socket: net.Socket): Promise<void> {
  socket.on('error', () => undefined).resume();
  return new Promise((resolve) => (socket.destroyed ? resolve() : socket.once('close', () => resolve())));
}

const FILE = '/api/v1/files/file.txt';
const OCTETS = 'Content-Type: application/octet-stream';
