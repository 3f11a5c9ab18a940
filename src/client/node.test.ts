import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import type { Client } from './contract.ts';
import { createClient } from './node.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0)) clean();
});

async function clientOf(answer: (request: IncomingMessage, response: ServerResponse) => void, prefix = ''): Promise<Client> {
  const server = createServer(answer).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = createClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`, token: 'hws_t' });
  cleanups.push(() => {
    client.close();
    server.close();
    server.closeAllConnections();
  });
  return client;
}

const json = (response: ServerResponse, value: unknown, status = 200, headers = {}): void => {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value));
};
const entry = (path: string) => ({
  path,
  kind: 'file',
  size: 1,
  mode: 0o644,
  mtimeNs: '0',
  version: 'v',
  digest: null,
  etag: null,
});

describe('the client', () => {
  it('lists all pages, below a prefix', async () => {
    const asked: (string | undefined)[] = [];
    const client = await clientOf((request, response) => {
      asked.push(request.url);
      const first = !request.url?.includes('after=');
      json(response, first ? { entries: [entry('/a'), entry('/b')], next: '/b' } : { entries: [entry('/c')], next: null });
    }, '/hawser/');
    const paths = [];
    for await (const { path } of client.list('/', { recursive: true })) paths.push(path);
    assert.deepEqual(paths, ['/a', '/b', '/c']);
    assert.deepEqual(asked, ['/hawser/api/v1/folders/?recursive=true', '/hawser/api/v1/folders/?recursive=true&after=/b']);
  });

  it('does not follow a list that goes in a circle', async () => {
    const client = await clientOf((_, response) => json(response, { entries: [entry('/a')], next: '/a' }));
    await assert.rejects(
      async () => {
        for await (const _ of client.list('/'));
      },
      { code: 'protocol_error' },
    );
  });

  it('asks for a digest until it is there, and tells how far it is', async () => {
    let asked = 0;
    const client = await clientOf((_, response) => {
      if (++asked < 4) json(response, { hashedBytes: asked * 10, size: 40 }, 202, { 'retry-after': '0' });
      else json(response, { ...entry('/a'), digest: 'cd'.repeat(32) });
    });
    const progress: [number, number][] = [];
    const info = await client.digest('/a', (done, total) => progress.push([done, total]));
    assert.equal(info.digest, 'cd'.repeat(32));
    assert.deepEqual(progress, [
      [10, 40],
      [20, 40],
      [30, 40],
    ]);
  });

  it('measures a path within the bytes it may use', async () => {
    let sent = 0;
    let health = 0;
    const ports = new Set<number | undefined>();
    const client = await clientOf((request, response) => {
      ports.add(request.socket.remotePort);
      if (request.url === '/health') {
        health++;
        json(response, { status: 'ready', version: '1' });
      } else if (request.method === 'GET') {
        const bytes = Number(new URL(request.url ?? '', 'http://a').searchParams.get('bytes'));
        sent = Math.max(sent, bytes);
        response.end(Buffer.alloc(bytes));
      } else {
        let bytes = 0;
        request.on('data', (piece: Buffer) => {
          bytes += piece.length;
        });
        request.on('end', () => json(response, { bytes, ms: 12.5 }));
      }
    });
    const result = await client.probe({ bytes: 1_000_000 });
    assert.ok(result.rttMs.min > 0 && result.rttMs.median >= result.rttMs.min);
    assert.deepEqual([result.rttMs.samples, health], [10, 11]);
    assert.ok(result.sendBytesPerSecond > 0 && result.receiveBytesPerSecond > 0);
    assert.ok(sent <= 1_000_000);
    assert.equal(ports.size, 1, 'one warm connection');
  });

  it('refuses what is no address at once', () => {
    assert.throws(() => createClient({ url: 'nonsense' }), { code: 'request_invalid' });
  });
});
