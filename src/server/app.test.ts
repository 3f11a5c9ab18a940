import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { blake3 } from '../engine/blake3.ts';
import { createEngine } from '../engine/engine.ts';
import { createMemoryStore } from '../store/files/memory.ts';
import type { Role } from '../store/meta/contract.ts';
import { createMemoryMeta } from '../store/meta/memory.ts';
import { type BuiltApp, createApp } from './app.ts';
import { type Auth, createAuth } from './auth.ts';
import { compileCheck } from './schema-check.ts';
import type { Schema } from './schema-types.ts';
import * as schemas from './schemas.ts';

let built: BuiltApp;
let auth: Auth;
const health = { stopping: false };
const tokens = {} as Record<Role, string>;

before(async () => {
  const meta = createMemoryMeta();
  const engine = createEngine({ files: createMemoryStore(), meta });
  auth = createAuth({ meta, random: randomBytes, now: Date.now });
  built = await createApp({ engine, auth, health, version: '1.2.3', now: Date.now, random: randomBytes });
  for (const role of ['read', 'write', 'admin'] as const) {
    tokens[role] = (await auth.createToken({ name: role, role, expiresMs: null })).token;
  }
});
after(() => built.app.close());

interface Call {
  role?: Role | null;
  headers?: Record<string, string>;
  body?: unknown;
}

async function call(method: string, url: string, { role = 'admin', headers = {}, body }: Call = {}) {
  const payload = body === undefined ? undefined : Buffer.isBuffer(body) ? body : JSON.stringify(body);
  const json = payload === undefined || Buffer.isBuffer(body) ? {} : { 'content-type': 'application/json' };
  const authorization = role === null ? {} : { authorization: `Bearer ${tokens[role]}` };
  const answer = await built.app.inject({
    method: method as 'GET',
    url,
    headers: { ...authorization, ...json, ...headers },
    ...(payload === undefined ? {} : { payload }),
  });
  const isJson = /json/.test(String(answer.headers['content-type']));
  return {
    status: answer.statusCode,
    headers: answer.headers,
    raw: answer.rawPayload,
    text: answer.payload,
    json: isJson && answer.payload !== '' ? answer.json() : null,
  };
}

const put = (path: string, content: string | Buffer, headers: Record<string, string> = {}) =>
  call('PUT', `/api/v1/files${path}`, {
    body: Buffer.from(content),
    headers: { 'content-type': 'application/octet-stream', ...headers },
  });
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

describe('the OpenAPI page', () => {
  it('holds every route, and no other', async () => {
    const { json: page } = await call('GET', '/api/v1/openapi.json', { role: null });
    assert.equal(page.openapi, '3.1.0');
    const onPage = Object.entries(page.paths as Record<string, object>).flatMap(([url, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${url}`),
    );
    const expected = routesOf(built).map(
      ([method, url]) => `${method} ${url.replace(/\*$/, '{path}').replace(/:(\w+)/g, '{$1}')}`,
    );
    assert.deepEqual(onPage.sort(), expected.sort());
    assert.ok(expected.length >= 35, `${expected.length} routes`);
  });

  it('says of every operation what it takes, gives and needs', async () => {
    const { json: page } = await call('GET', '/api/v1/openapi.json', { role: null });
    for (const [url, methods] of Object.entries(page.paths as Record<string, Record<string, Operation>>)) {
      for (const [method, operation] of Object.entries(methods)) {
        const name = `${method} ${url}`;
        assert.ok(operation.summary && operation.tags?.length, name);
        assert.ok(
          Object.keys(operation.responses).some((status) => status.startsWith('2')),
          name,
        );
        assert.ok(operation.responses.default?.content?.['application/problem+json'], name);
        const inPath = (url.match(/\{\w+\}/g) ?? []).map((part) => part.slice(1, -1));
        assert.deepEqual(
          (operation.parameters ?? []).filter((one) => one.in === 'path').map((one) => one.name),
          inPath,
          name,
        );
        const open = /capabilities|openapi|health/.test(url);
        assert.equal(operation.security === undefined, open, name);
      }
    }
  });
});

describe('roles', () => {
  it('are asked for on every route but the open ones', async () => {
    for (const [method, url, needs] of routesOf(built)) {
      const target = url.replace(':id', 'abc').replace('*', 'none');
      const without = await call(method, target, { role: null });
      if (needs === null) assert.notEqual(without.status, 401, `${method} ${url}`);
      else assert.equal(without.status, 401, `${method} ${url}`);
      for (const role of ['read', 'write', 'admin'] as const) {
        const { json, status } = await call(method, target, { role });
        const mayAsk = needs === null || ['read', 'write', 'admin'].indexOf(role) >= ['read', 'write', 'admin'].indexOf(needs);
        assert.equal(status === 403 && json?.code === 'forbidden', !mayAsk, `${role} ${method} ${url}: ${status}`);
      }
    }
  });

  it('stand as the table in docs/protocol/http.md has them', () => {
    const needs = new Map(routesOf(built).map(([method, url, role]) => [`${method} ${url}`, role]));
    const read = ['POST /api/v1/packs/read', 'POST /api/v1/packs/missing', 'POST /api/v1/verify', 'POST /api/v1/probe'];
    for (const [route, role] of needs) {
      const [method = '', url = ''] = route.split(' ');
      if (/capabilities|openapi|health/.test(url)) assert.equal(role, null, route);
      else if (url.includes('/tokens')) assert.equal(role, 'admin', route);
      else if (url.includes('/uploads')) assert.equal(role, 'write', route);
      else if (url.includes('/transfers') || url.includes('/lanes') || read.includes(route)) assert.equal(role, 'read', route);
      else assert.equal(role, method === 'GET' || method === 'HEAD' ? 'read' : 'write', route);
    }
    assert.equal(needs.size, routesOf(built).length);
  });

  it('uploads are transfers that a reader cannot begin', async () => {
    const body = { kind: 'upload', source: 'a', destination: '/b' };
    assert.equal((await call('POST', '/api/v1/transfers', { role: 'read', body })).status, 403);
    assert.equal((await call('POST', '/api/v1/transfers', { role: 'write', body })).status, 201);
    assert.equal((await call('POST', '/api/v1/transfers', { role: 'read', body: { ...body, kind: 'download' } })).status, 201);
  });
});

describe('an upload that is all of its transfer', () => {
  const empty = 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262';
  const begin = { source: 'here', destination: '/alone/', priority: 'high' };

  it('begins it and ends it', async () => {
    const upload = await call('POST', '/api/v1/uploads', { role: 'write', body: { path: '/alone/f', size: 0, begin } });
    assert.equal(upload.status, 201);
    const state = async () => (await call('GET', `/api/v1/transfers/${upload.json.transfer}`, { role: 'write' })).json;
    const { state: begun, source, destination, priority, filesTotal, bytesTotal } = await state();
    assert.deepEqual([begun, source, destination, priority, filesTotal, bytesTotal], ['active', 'here', '/alone/', 'high', 1, 0]);
    const body = { epoch: upload.json.epoch, size: 0, digest: empty, endTransfer: true };
    const done = await call('POST', `/api/v1/uploads/${upload.json.id}/complete`, { role: 'write', body });
    assert.deepEqual([done.status, done.json.transferEnded], [200, true]);
    assert.equal((await state()).state, 'done');
    const again = await call('POST', `/api/v1/uploads/${upload.json.id}/complete`, { role: 'write', body });
    assert.deepEqual([again.status, again.json.digest], [200, empty], 'asked again, it says the same');
  });

  it('that cannot begin leaves a transfer that failed', async () => {
    await put('/alone/taken', 'x');
    const body = { path: '/alone/taken', size: 1, overwrite: 'never', begin };
    const refused = await call('POST', '/api/v1/uploads', { role: 'write', body });
    assert.ok(refused.status >= 400);
    const [newest] = (await call('GET', '/api/v1/transfers?limit=1', { role: 'write' })).json.transfers;
    assert.deepEqual([newest.state, newest.destination], ['failed', '/alone/']);
  });

  it('belongs to no other, and is nothing that a reader can begin', async () => {
    const body = { path: '/alone/g', size: 1, begin };
    assert.equal((await call('POST', '/api/v1/uploads', { role: 'read', body })).status, 403);
    assert.equal((await call('POST', '/api/v1/uploads', { body: { ...body, transfer: 't-x' } })).json.code, 'request_invalid');
  });
});

describe('answers', () => {
  it('fit their schemas', async () => {
    const fits = (schema: Schema, value: unknown) => assert.deepEqual(compileCheck(schema)(value), null);
    await put('/fit/a.txt', 'hello');
    fits(schemas.CapabilitiesAnswer, (await call('GET', '/api/v1/capabilities')).json);
    fits(schemas.WhoamiAnswer, (await call('GET', '/api/v1/whoami')).json);
    fits(schemas.HealthAnswer, (await call('GET', '/health')).json);
    fits(schemas.EntryAnswer, (await call('GET', '/api/v1/entries/fit/a.txt')).json);
    fits(schemas.FolderAnswer, (await call('GET', '/api/v1/folders/?recursive=true')).json);
    fits(schemas.EntryAnswer, (await call('GET', '/api/v1/digests/fit/a.txt')).json);
    fits(schemas.VerifyAnswer, (await call('POST', '/api/v1/verify', { body: { path: '/fit/a.txt' } })).json);
    const transfer = await call('POST', '/api/v1/transfers', { body: { kind: 'upload', source: 's', destination: '/d' } });
    fits(schemas.TransferAnswer, transfer.json);
    fits(schemas.TransfersAnswer, (await call('GET', '/api/v1/transfers?limit=1')).json);
    const upload = await call('POST', '/api/v1/uploads', { body: { path: '/fit/up', size: 10, transfer: transfer.json.id } });
    fits(schemas.UploadAnswer, upload.json);
    fits(schemas.UploadsAnswer, (await call('GET', '/api/v1/uploads')).json);
    const token = await call('POST', '/api/v1/tokens', { body: { name: 'n', role: 'read', expiresSeconds: 60 } });
    fits(schemas.NewTokenAnswer, token.json);
    fits(schemas.TokensAnswer, (await call('GET', '/api/v1/tokens')).json);
    const missing = { entries: [{ path: '/fit/a.txt', size: 5, mtimeNs: '0' }] };
    fits(schemas.MissingAnswer, (await call('POST', '/api/v1/packs/missing', { body: missing })).json);
    fits(schemas.Problem, (await call('GET', '/api/v1/entries/nothing-here')).json);
  });

  it('point at what was made relatively, so that a proxy may put a prefix before it', async () => {
    for (const [url, body] of [
      ['/api/v1/transfers', { kind: 'upload', source: 's', destination: '/d' }],
      ['/api/v1/uploads', { path: '/located', size: 1 }],
      ['/api/v1/tokens', { name: 'n', role: 'read' }],
    ] as const) {
      const { headers, json } = await call('POST', url, { body });
      const resolved = new URL(String(headers.location), `https://proxy.example/files-here${url}`);
      assert.equal(resolved.pathname, `/files-here${url}/${json.id}`);
    }
  });

  it('carry nosniff, and no permission for other origins', async () => {
    for (const url of ['/health', '/api/v1/entries/none', '/nowhere']) {
      const { headers } = await call('GET', url, { headers: { origin: 'https://evil.example' } });
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.ok(!Object.keys(headers).some((name) => name.startsWith('access-control')));
    }
  });

  it('leak nothing of an error that nobody foresaw', async () => {
    const engine = new Proxy({} as never, {
      get: () => () => {
        throw new Error('secret /etc/path');
      },
    });
    const { app } = await createApp({ engine, auth, health, version: '1', now: Date.now, random: randomBytes });
    const answer = await app.inject({ url: '/api/v1/entries/x', headers: { authorization: `Bearer ${tokens.read}` } });
    assert.equal(answer.statusCode, 500);
    assert.equal(answer.json().code, 'internal');
    assert.ok(!answer.payload.includes('secret'));
    await app.close();
  });
});

describe('odd names', () => {
  it('come through the URL, the JSON and the listing byte for byte', async () => {
    for (const [url, name] of [
      ['/odd/%ff.bin', '\udcff.bin'],
      ['/odd/%C3%A9', 'é'],
      ['/odd/%C3', '\udcc3'],
      ['/odd/a%25b', 'a%b'],
      ['/odd/a%3Fb%23c', 'a?b#c'],
      ['/odd/%F0%9F%9A%A2', '🚢'],
      ['/odd/a+b', 'a+b'],
      ['/odd/%5Cback', '\\back'],
      ['/odd/%0Aline', '\nline'],
    ] as const) {
      const stored = await put(url, name.length.toString());
      assert.equal(stored.status, 201, url);
      assert.equal(stored.json.path, `/odd/${name}`);
      assert.equal((await call('GET', `/api/v1/entries${url}`)).json.path, `/odd/${name}`);
      assert.equal((await call('GET', `/api/v1/files${url}`)).text, name.length.toString());
      const verified = await call('POST', '/api/v1/verify', { body: { path: `/odd/${name}` } });
      assert.equal(verified.json.path, `/odd/${name}`, url);
    }
    const first = await call('GET', '/api/v1/folders/odd?limit=8');
    assert.ok(first.text.includes('\\udcc3'), 'a lone surrogate is escaped, not replaced');
    assert.equal(first.json.entries.length, 8);
    // The name that is not UTF-8 is where the next page begins.
    const rest = await call('GET', '/api/v1/folders/odd?after=%2fodd%2f%f0%9f%9a%a2');
    assert.deepEqual(
      rest.json.entries.map((one: { path: string }) => one.path),
      ['/odd/\udcff.bin'],
    );
  });

  it('that no name can be are refused', async () => {
    for (const url of ['/a%2fb', '/a%00b', '/a%', '/a%zz', '/.hawser/hawser.db', '/.HAWSER']) {
      const { status, json } = await call('GET', `/api/v1/files${url}`);
      assert.ok(status === 400 || status === 403, url);
      assert.ok(json.code === 'path_invalid' || json.code === 'path_reserved', `${url}: ${json.code}`);
    }
  });
});

describe('conditions and ranges', () => {
  it('are answered by the file as it is', async () => {
    const stored = await put('/cond/a', '0123456789');
    assert.equal(stored.status, 201);
    const etag = String(stored.headers.etag);
    const get = (headers: Record<string, string>) => call('GET', '/api/v1/files/cond/a', { headers });
    const whole = await get({});
    assert.equal(whole.text, '0123456789');
    assert.equal(whole.headers.etag, etag);
    assert.equal(whole.headers['content-length'], '10');
    const digest = blake3(Buffer.from('0123456789'));
    assert.equal(whole.headers['hawser-digest'], hex(digest));
    assert.equal(whole.headers['repr-digest'], `blake3=:${Buffer.from(digest).toString('base64')}:`);
    const some = await get({ range: 'bytes=2-4' });
    assert.deepEqual([some.status, some.text, some.headers['content-range']], [206, '234', 'bytes 2-4/10']);
    assert.equal(some.headers['repr-digest'], whole.headers['repr-digest'], 'of the whole, also with a part');
    const beyond = await get({ range: 'bytes=10-' });
    assert.deepEqual([beyond.status, beyond.json.code, beyond.headers['content-range']], [416, 'range_invalid', 'bytes */10']);
    assert.deepEqual([(await get({ 'if-none-match': etag })).status, (await get({ 'if-none-match': etag })).text], [304, '']);
    assert.equal((await get({ 'if-match': '"other"' })).json.code, 'changed');
    assert.equal((await get({ range: 'bytes=0-1', 'if-range': '"other"' })).status, 200);
    assert.equal((await get({ range: 'bytes=0-1,4-5' })).text, '0123456789');
    assert.equal((await call('GET', '/api/v1/files/cond/a?version=other')).status, 412);
    const head = await call('HEAD', '/api/v1/files/cond/a', { headers: { range: 'bytes=0-1' } });
    assert.deepEqual([head.status, head.headers['content-length'], head.headers.etag, head.text], [200, '10', etag, '']);
    assert.equal((await call('GET', '/api/v1/files/cond')).json.code, 'is_folder');
  });

  it('hold for PUT', async () => {
    const only = { 'if-none-match': '*' };
    assert.equal((await put('/cond/new', 'a', only)).status, 201);
    const again = await put('/cond/new', 'b', only);
    assert.deepEqual([again.status, again.json.code], [412, 'precondition_failed']);
    assert.equal((await put('/cond/new', 'c', { 'if-match': '"x"' })).json.code, 'changed');
    assert.equal((await put('/cond/none', 'c', { 'if-match': '*' })).status, 412);
    const { headers } = await call('GET', '/api/v1/files/cond/new');
    assert.equal((await put('/cond/new', 'd', { 'if-match': String(headers.etag) })).status, 200);
    assert.equal((await call('GET', '/api/v1/files/cond/new')).text, 'd');
  });

  it('block frames are of the range, verified, and need a block size', async () => {
    const content = randomBytes(200_000);
    await put('/cond/frames', content);
    const headers = { accept: 'application/vnd.hawser.blocks' };
    const answer = await call('GET', '/api/v1/files/cond/frames?blockBytes=65536', {
      headers: { ...headers, range: 'bytes=65536-' },
    });
    assert.equal(answer.status, 206);
    assert.equal(answer.headers['hawser-size'], '200000');
    assert.equal(answer.raw.length, Number(answer.headers['content-length']));
    for (let at = 0, offset = 65_536; at < answer.raw.length; ) {
      assert.equal(Number(answer.raw.readBigUInt64BE(at)), offset);
      const length = answer.raw.readUInt32BE(at + 8);
      const data = answer.raw.subarray(at + 44, at + 44 + length);
      assert.deepEqual(data, content.subarray(offset, offset + length));
      assert.equal(hex(answer.raw.subarray(at + 12, at + 44)), hex(blake3(data)));
      at += 44 + length;
      offset += length;
    }
    assert.equal((await call('GET', '/api/v1/files/cond/frames', { headers })).json.code, 'request_invalid');
    const askew = await call('GET', '/api/v1/files/cond/frames?blockBytes=65536', { headers: { ...headers, range: 'bytes=5-' } });
    assert.equal(askew.json.code, 'range_invalid');
  });
});

describe('digests of a PUT', () => {
  const sha256 = (text: string) => `sha-256=:${createHash('sha256').update(text).digest('base64')}:`;
  it('are verified before the name appears', async () => {
    assert.equal((await put('/dig/a', 'abc', { 'content-digest': sha256('abc') })).status, 201);
    assert.equal((await put('/dig/b', 'abc', { 'repr-digest': `sha-512=:AAAA:, ${sha256('abc')}` })).status, 201);
    assert.equal((await put('/dig/c', 'abc', { 'hawser-digest': hex(blake3(Buffer.from('abc'))) })).status, 201);
    for (const headers of [
      { 'content-digest': sha256('abd') },
      { 'repr-digest': sha256('abd') },
      { 'hawser-digest': '0'.repeat(64) },
      { 'content-digest': sha256('abc'), 'repr-digest': sha256('abd') },
    ] as Record<string, string>[]) {
      const answer = await put('/dig/wrong', 'abc', headers);
      assert.deepEqual([answer.status, answer.json.code], [422, 'digest_mismatch'], JSON.stringify(headers));
    }
    for (const value of ['sha-256=abc', 'sha-256=:AAAA:', 'x']) {
      assert.equal((await put('/dig/wrong', 'abc', { 'content-digest': value })).status, 400, value);
    }
    assert.equal((await call('GET', '/api/v1/entries/dig/wrong')).status, 404);
  });
});

describe('the log', () => {
  it('has a line a request, and never a token or a query', async () => {
    const lines: string[] = [];
    const stream = { write: (line: string) => void lines.push(line) };
    const engine = createEngine({ files: createMemoryStore(), meta: createMemoryMeta() });
    const logger = { level: 'debug', stream };
    const { app } = await createApp({ engine, auth, health, version: '1', now: Date.now, random: randomBytes, logger });
    const headers = { authorization: `Bearer ${tokens.admin}`, cookie: 'secret-cookie' };
    await app.inject({ url: '/api/v1/folders/?after=%2fsecret-query', headers });
    const made = await app.inject({ url: '/api/v1/tokens', method: 'POST', headers, payload: { name: 'x', role: 'read' } });
    await app.inject({ url: '/api/v1/whoami', headers: { authorization: `Bearer ${tokens.admin}x` } });
    await app.close();
    const log = lines.join('');
    for (const [status, url] of [
      [200, '/api/v1/folders/'],
      [201, '/api/v1/tokens'],
      [401, '/api/v1/whoami'],
    ] as const) {
      assert.ok(log.includes(`"url":"${url}","status":${status}`), `${url} in ${log}`);
    }
    for (const secret of [tokens.admin.slice(17), made.json().token.slice(17), 'secret-query', 'secret-cookie']) {
      assert.ok(!log.includes(secret), log);
    }
  });
});

describe('health', () => {
  it('is not ready while stopping', async () => {
    assert.equal((await call('GET', '/health/ready', { role: null })).status, 200);
    health.stopping = true;
    try {
      assert.equal((await call('GET', '/health/ready', { role: null })).status, 503);
      assert.equal((await call('GET', '/health', { role: null })).json.status, 'stopping');
      assert.equal((await call('GET', '/health/live', { role: null })).status, 200);
    } finally {
      health.stopping = false;
    }
  });
});

interface Operation {
  summary?: string;
  tags?: string[];
  parameters?: { in: string; name: string }[];
  responses: Record<string, { content?: Record<string, unknown> }>;
  security?: unknown;
}

function routesOf({ routes }: BuiltApp): [method: string, url: string, needs: Role | null][] {
  return routes.map(({ method, url, needs }) => [method, url, needs]);
}
