/** A whole server in this process, over real sockets: its first start, its lock, its connections and its end. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { HawserError } from '../../src/core/errors.ts';
import { encodeBlockHeader } from '../../src/core/wire/block-frames.ts';
import { blake3 } from '../../src/engine/blake3.ts';
import { type RunningServer, type ServerOptions, startServer } from '../../src/server/compose.ts';
import { createHttpTransport } from '../../src/transport/https.ts';
import { connect, exchange, requestBytes } from './hostile-client.ts';

let dir: string;
const running: RunningServer[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'hawser-server-'));
});
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.close()));
  await rm(dir, { recursive: true });
});

async function start(options: Partial<ServerOptions> = {}): Promise<RunningServer> {
  const server = await startServer({
    dir,
    listen: { host: '127.0.0.1', port: 0 },
    logLevel: 'silent',
    plainHttp: true,
    ...options,
  });
  running.push(server);
  return server;
}

const code = (expected: string) => (error: unknown) => error instanceof HawserError && error.code === expected;
const at = ({ port }: RunningServer) => ({ port, secure: false });

function ask(token: string, method: string, url: string, body: string | Uint8Array = '', headers: string[] = []): Buffer {
  const lines = ['Host: x', `Authorization: Bearer ${token}`, ...headers];
  if (!headers.some((one) => one.startsWith('Content-Length'))) lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  return requestBytes(`${method} ${url} HTTP/1.1`, lines, body);
}

async function json(server: RunningServer, token: string, method: string, url: string, body?: object) {
  const text = body ? JSON.stringify(body) : '';
  const answer = await exchange(at(server), [ask(token, method, url, text, body ? ['Content-Type: application/json'] : [])]);
  return { status: answer.status, value: answer.body === '' ? null : JSON.parse(answer.body) };
}

const BLOCK = 65_536;
function frame(index: number): Buffer {
  const data = Buffer.alloc(BLOCK, index + 1);
  return Buffer.concat([encodeBlockHeader(index * BLOCK, BLOCK, blake3(data)), data]);
}

describe('the first start', () => {
  it('makes an admin token, kept in a file of the owner alone; the second start does not', async () => {
    const first = await start();
    const token = first.adminToken!;
    assert.equal(await readFile(first.adminTokenFile, 'utf8'), `${token}\n`);
    assert.equal((await stat(first.adminTokenFile)).mode & 0o777, 0o600);
    await first.close();
    const second = await start();
    assert.equal(second.adminToken, null);
    assert.deepEqual((await json(second, token, 'GET', '/api/v1/whoami')).value.role, 'admin');
  });

  it('makes a certificate whose fingerprint stays', async () => {
    const first = await start({ plainHttp: false });
    await first.close();
    const second = await start({ plainHttp: false });
    assert.match(first.fingerprint!, /^[0-9a-f]{64}$/);
    assert.equal(second.fingerprint, first.fingerprint);
    assert.match(second.url, /^https:/);
  });
});

describe('the lock', () => {
  it('lets one server serve a folder, and the next one after it', async () => {
    const first = await start();
    await assert.rejects(start(), code('usage'));
    assert.equal((await exchange(at(first), [ask(first.adminToken!, 'GET', '/health')])).status, 200);
    await first.close();
    await start();
  });

  it('goes with its process, also when that is killed', async () => {
    const lock = fileURLToPath(new URL('../../src/server/lock.ts', import.meta.url));
    const script = `import { lockState } from ${JSON.stringify(lock)}; await lockState(${JSON.stringify(join(dir, '.hawser'))}); console.log('held'); setInterval(() => 0, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await assert.rejects(start(), code('usage'));
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    await start();
  });

  it('is given back when a start fails', async () => {
    const other = await start({ dir: join(dir, 'other') });
    await assert.rejects(start({ listen: { host: '127.0.0.1', port: other.port } }), code('usage'));
    await start();
  });
});

describe('TLS', () => {
  it('between two Hawsers is 1.3 with a hybrid post-quantum key exchange', async () => {
    const server = await start({ plainHttp: false });
    const transport = createHttpTransport({ url: server.url, fingerprint: server.fingerprint! });
    const answer = await transport.request({ method: 'GET', target: '/health' });
    for await (const _ of answer.body);
    const { tls } = transport.info();
    transport.close();
    assert.equal(answer.status, 200);
    assert.equal(tls?.group, 'X25519MLKEM768');
    assert.equal(tls?.version, 'TLSv1.3');
    assert.match(tls?.cipher ?? '', /AES_128_GCM|AES_256_GCM/);
    assert.equal(tls?.fingerprint.replaceAll(':', '').toLowerCase(), server.fingerprint);
  });

  it('speaks HTTP/2 to who offers it', async () => {
    const server = await start({ plainHttp: false });
    const session = http2.connect(server.url, { rejectUnauthorized: false });
    const stream = session.request({ ':path': '/api/v1/whoami', authorization: `Bearer ${server.adminToken}` });
    const [status, text] = await new Promise<[unknown, string]>((resolve, reject) => {
      let body = '';
      let head: unknown;
      stream.once('response', (headers) => {
        head = headers[':status'];
      });
      stream.setEncoding('utf8').on('data', (piece) => {
        body += piece;
      });
      stream.once('end', () => resolve([head, body])).once('error', reject);
    });
    session.close();
    assert.equal(status, 200);
    assert.equal(JSON.parse(text).role, 'admin');
  });
});

describe('bodies', () => {
  it('come after "100 Continue", which comes after the token', async () => {
    const server = await start();
    const socket = connect(at(server));
    socket.write(ask(server.adminToken!, 'PUT', '/api/v1/files/a', '', ['Expect: 100-continue', 'Content-Length: 5']));
    assert.match(await read(socket, '\r\n\r\n'), /^HTTP\/1\.1 100 /);
    socket.write('hello');
    assert.match(await read(socket, '}'), /^HTTP\/1\.1 201 /);
    socket.destroy();
  });

  it('that are refused are dropped, and the connection goes on', async () => {
    const server = await start();
    const socket = connect(at(server));
    socket.write(ask('hws_none', 'PUT', '/api/v1/files/a', Buffer.alloc(4 << 20)));
    assert.match(await read(socket, '}'), /^HTTP\/1\.1 401 /);
    socket.write(ask(server.adminToken!, 'GET', '/health'));
    assert.match(await read(socket, '}'), /^HTTP\/1\.1 200 /);
    socket.destroy();
  });

  it('that are refused and do not end lose their connection', async () => {
    const server = await start({ limits: { drainMs: 100 } });
    const socket = connect(at(server));
    socket.write(ask('hws_none', 'PUT', '/api/v1/files/a', 'abc', ['Content-Length: 99999999']));
    assert.match(await read(socket, '}'), /^HTTP\/1\.1 401 /);
    await closed(socket);
  });

  it('that stop in the middle keep the blocks that were whole', async () => {
    const server = await start({ limits: { bodyIdleMs: 200 } });
    const token = server.adminToken!;
    const { value: upload } = await json(server, token, 'POST', '/api/v1/uploads', { path: '/a', size: 3 * BLOCK });
    const half = Buffer.concat([frame(0), frame(1), frame(2).subarray(0, 1000)]);
    const headers = ['Content-Type: application/vnd.hawser.blocks', 'Content-Length: 200000'];
    const answer = await exchange(at(server), [ask(token, 'PUT', `/api/v1/uploads/${upload.id}/blocks?epoch=1`, half, headers)]);
    assert.deepEqual([answer.status, answer.code], [408, 'request_timeout']);
    assert.equal((await json(server, token, 'GET', `/api/v1/uploads/${upload.id}`)).value.safeBytes, 2 * BLOCK);
  });

  it('of an older epoch are answered at once when a newer client takes over', async () => {
    const server = await start();
    const token = server.adminToken!;
    const make = () => json(server, token, 'POST', '/api/v1/uploads', { path: '/a', size: 3 * BLOCK });
    const { value: upload } = await make();
    const socket = connect(at(server));
    const headers = ['Content-Type: application/vnd.hawser.blocks', 'Content-Length: 200000', 'Expect: 100-continue'];
    socket.write(ask(token, 'PUT', `/api/v1/uploads/${upload.id}/blocks?epoch=1`, '', headers));
    await read(socket, '\r\n\r\n');
    socket.write(frame(0));
    const { value: again } = await make();
    assert.deepEqual([again.id, again.epoch, again.resumed], [upload.id, 2, true]);
    const answer = await read(socket, '}');
    assert.match(answer, /^HTTP\/1\.1 409 /);
    assert.match(answer, /"superseded"/);
    socket.destroy();
  });
});

describe('a revoked token', () => {
  it('ends what runs with it', async () => {
    const server = await start();
    const { value: made } = await json(server, server.adminToken!, 'POST', '/api/v1/tokens', { name: 'w', role: 'write' });
    const socket = connect(at(server));
    socket.write(ask(made.token, 'PUT', '/api/v1/files/a', '', ['Expect: 100-continue', 'Content-Length: 1000']));
    await read(socket, '\r\n\r\n');
    const gone = closed(socket);
    assert.equal((await json(server, server.adminToken!, 'DELETE', `/api/v1/tokens/${made.id}`)).status, 204);
    await gone;
    assert.equal((await json(server, made.token, 'GET', '/api/v1/whoami')).status, 401);
  });
});

describe('the end', () => {
  it('waits for what is in flight, and refuses what is new', async () => {
    const server = await start();
    const token = server.adminToken!;
    const idle = connect(at(server));
    idle.write(ask(token, 'GET', '/health'));
    await read(idle, '}');
    const { value: transfer } = await json(server, token, 'POST', '/api/v1/transfers', {
      kind: 'download',
      source: '/',
      destination: 'x',
    });
    const waiting = connect(at(server));
    const headers = ['Content-Type: application/octet-stream', 'Expect: 100-continue', 'Content-Length: 5'];
    waiting.write(ask(token, 'POST', '/api/v1/probe', '', headers));
    await read(waiting, '\r\n\r\n');
    const closing = server.close();
    await closed(idle);
    await assert.rejects(open(server), { code: 'ECONNREFUSED' });
    waiting.write('hello');
    const answer = await read(waiting, '}');
    assert.match(answer, /^HTTP\/1\.1 200 /);
    assert.match(answer, /"bytes":5/);
    await closing;
    assert.equal(transfer.state, 'active');
  });

  it('comes after closeMs whatever hangs', async () => {
    const server = await start({ limits: { closeMs: 100 } });
    const socket = connect(at(server));
    socket.write(
      ask(server.adminToken!, 'POST', '/api/v1/probe', '', [
        'Content-Type: application/octet-stream',
        'Expect: 100-continue',
        'Content-Length: 5',
      ]),
    );
    await read(socket, '\r\n\r\n');
    const gone = closed(socket);
    await server.close();
    await gone;
  });

  it('keeps what was acknowledged', async () => {
    const server = await start();
    const token = server.adminToken!;
    const { value: upload } = await json(server, token, 'POST', '/api/v1/uploads', { path: '/a', size: 2 * BLOCK });
    const put = ask(token, 'PUT', `/api/v1/uploads/${upload.id}/blocks?epoch=1`, frame(0), [
      'Content-Type: application/vnd.hawser.blocks',
    ]);
    assert.equal((await exchange(at(server), [put])).status, 200);
    await server.close();
    const next = await start();
    assert.equal((await json(next, token, 'GET', `/api/v1/uploads/${upload.id}`)).value.safeBytes, BLOCK);
  });
});

/** What comes until `mark` is in it; rejects when the connection ends before. */
function read(socket: Socket, mark: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const onData = (piece: Buffer) => {
      text += piece.toString('latin1');
      if (!text.includes(mark)) return;
      socket.off('data', onData).off('close', onClose);
      resolve(text);
    };
    const onClose = () => reject(new Error(`closed after ${JSON.stringify(text)}`));
    socket
      .on('data', onData)
      .once('close', onClose)
      .on('error', () => undefined);
  });
}

function closed(socket: Socket): Promise<void> {
  socket.on('error', () => undefined).resume();
  return new Promise((resolve) => (socket.destroyed ? resolve() : socket.once('close', () => resolve())));
}

function open(server: RunningServer): Promise<void> {
  const socket = connect(at(server));
  return new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
}
