import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { HawserError } from '../core/errors.ts';
import type { Transport, TransportRequest } from '../transport/contract.ts';
import { createApi, type Pending } from './api.ts';

interface Canned {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
  readonly bytes?: Uint8Array | AsyncIterable<Uint8Array>;
}

/** Gives the answers in turn (the last one for ever) and remembers what was asked. */
function serving(...answers: Canned[]) {
  const asked: (TransportRequest & { json: unknown })[] = [];
  let cancelled = 0;
  const transport: Transport = {
    async request(request) {
      const { status = 200, headers = {}, body, bytes } = answers[Math.min(asked.length, answers.length - 1)]!;
      const text = request.body instanceof Uint8Array ? Buffer.from(request.body).toString() : '';
      const isJson = request.headers?.['content-type'] === 'application/json';
      asked.push({ ...request, json: isJson ? JSON.parse(text) : undefined });
      const pieces = bytes ?? (body === undefined ? new Uint8Array(0) : Buffer.from(JSON.stringify(body)));
      async function* one() {
        yield pieces as Uint8Array;
      }
      return { status, headers, body: pieces instanceof Uint8Array ? one() : pieces, cancel: () => cancelled++ };
    },
    info: () => ({ transport: 'memory', remote: 'host:1', httpVersion: '1.1', rttMs: null }),
    close: () => {},
  };
  return { api: createApi(transport, { prefix: '/base', token: 'hws_t' }), asked, cancelled: () => cancelled };
}

async function refusalOf(promise: Promise<unknown>): Promise<HawserError> {
  const error = await promise.then(
    () => assert.fail('it should have been refused'),
    (error: unknown) => error,
  );
  assert.ok(error instanceof HawserError, String(error));
  return error;
}

const DIGEST = 'ab'.repeat(32);
const ENTRY = {
  path: '/a',
  kind: 'file',
  size: 3,
  mode: 0o644,
  mtimeNs: '1700000000123456789',
  version: 'v',
  digest: DIGEST,
  etag: '"e"',
};
const TRANSFER = {
  id: 't1',
  kind: 'upload',
  state: 'active',
  priority: 'normal',
  owner: 'o',
  source: 's',
  destination: 'd',
  filesTotal: null,
  bytesTotal: 5,
  filesDone: 0,
  bytesDone: 0,
  created: 'c',
  updated: 'u',
  ended: null,
  error: null,
};
const UPLOAD = {
  id: 'u1',
  path: '/a',
  size: 10,
  blockBytes: 65536,
  epoch: 1,
  state: 'receiving',
  safeBytes: 4,
  safe: [[0, 4]],
  digest: null,
  deduplicated: false,
  expires: 'e',
};
const CAPABILITIES = {
  version: '9.9.9',
  protocols: [1, 2],
  features: [],
  transports: [{ name: 'https' }],
  digests: ['blake3'],
  blockBytes: { min: 1, max: 2 },
  chunkBytes: { min: 1, max: 2 },
  packBytes: 1,
  packEntries: 1,
  smallFileBytes: 1,
};

describe('calls', () => {
  it('name the prefix, the token and the path byte by byte', async () => {
    const { api, asked } = serving({ body: ENTRY });
    const info = await api.stat('/a b/\udcff&?#', { follow: true });
    assert.equal(asked[0]?.target, '/base/api/v1/entries/a%20b/%FF%26%3F%23?follow=true');
    assert.equal(asked[0]?.headers?.authorization, 'Bearer hws_t');
    assert.equal(info.mtimeNs, 1700000000123456789n);
    assert.equal('target' in info, false);
  });

  it('a cursor with odd bytes survives', async () => {
    const { api, asked } = serving({ body: { entries: [ENTRY], next: '/a&b\udcff' } });
    const page = await api.listPage('/', { after: '/a&b\udcff', recursive: true });
    assert.equal(asked[0]?.target, '/base/api/v1/folders/?after=/a%26b%FF&recursive=true');
    assert.equal(page.next, '/a&b\udcff');
    assert.equal(page.entries.length, 1);
  });

  it('uploads are made, and say whether an earlier one goes on', async () => {
    const { api, asked } = serving({ status: 201, body: UPLOAD }, { status: 200, body: UPLOAD });
    const fresh = await api.createUpload({ path: '/a', size: 10, mtimeNs: -5n, transfer: 't1' });
    assert.deepEqual(asked[0]?.json, { path: '/a', size: 10, mtimeNs: '-5', transfer: 't1' });
    assert.deepEqual([fresh.resumed, fresh.transfer, fresh.safe], [false, 't1', [[0, 4]]]);
    assert.equal((await api.createUpload({ path: '/a', size: 10 })).resumed, true);
  });

  it('digests of an upload may have to be computed first', async () => {
    const { api, asked } = serving({ status: 202, body: { hashedBytes: 5, size: 50 } }, { body: UPLOAD });
    const answer = await api.uploadDigests('u1');
    assert.deepEqual([answer.done, asked[0]?.target], [false, '/base/api/v1/uploads/u1/blocks']);
    const upload = await api.getUpload('u1');
    assert.deepEqual([asked[1]?.target, upload.safe], ['/base/api/v1/uploads/u1', [[0, 4]]]);
  });

  it('blocks go out as they are', async () => {
    const { api, asked } = serving({ body: { accepted: 5, safeBytes: 9 } });
    async function* body() {
      yield new Uint8Array(5);
    }
    const frames = body();
    assert.deepEqual(await api.putBlocks('u1', 3, frames, 5), { accepted: 5, safeBytes: 9 });
    assert.equal(asked[0]?.target, '/base/api/v1/uploads/u1/blocks?epoch=3');
    assert.equal(asked[0]?.headers?.['content-type'], 'application/vnd.hawser.blocks');
    assert.equal(asked[0]?.body, frames);
    assert.equal(asked[0]?.contentLength, 5);
  });

  it('frames of a range are asked for, and come with what the file is', async () => {
    const headers = { etag: '"x"', 'hawser-size': '100', 'hawser-version': 'v1' };
    const { api, asked, cancelled } = serving({ status: 206, headers }, { headers: { etag: '"x"' } });
    const frames = await api.getFrames('/a', { start: 10, end: 20, blockBytes: 65536, transfer: 't' });
    assert.equal(asked[0]?.headers?.range, 'bytes=10-19');
    assert.equal(asked[0]?.headers?.accept, 'application/vnd.hawser.blocks');
    assert.deepEqual([frames.etag, frames.size, frames.version], ['"x"', 100, 'v1']);
    assert.equal((await refusalOf(api.getFrames('/a', { start: 0, end: 1, blockBytes: 65536 }))).code, 'protocol_error');
    assert.equal(cancelled(), 1);
  });

  it('what takes long says how far it is and when to ask again', async () => {
    const pending = { status: 202, headers: { 'retry-after': '2' }, body: { hashedBytes: 5, size: 50 } };
    const { api } = serving(
      pending,
      { status: 202, body: { hashedBytes: 7 } },
      { body: { ...ENTRY, kind: undefined, version: undefined } },
    );
    const first = await api.digest('/a');
    assert.deepEqual(first, { done: false, hashedBytes: 5, size: 50, retryAfterMs: 2000 });
    const request = { epoch: 1, size: 70, digest: DIGEST };
    const second = (await api.completeUpload('u1', request)) as Pending;
    assert.deepEqual([second.hashedBytes, second.size], [7, 70]);
    const third = await api.completeUpload('u1', request);
    assert.ok(third.done);
    assert.deepEqual([third.value.kind, third.value.digest], ['file', DIGEST]);
  });

  it('waiting for a transfer leaves the server the time to wait', async () => {
    const { api, asked } = serving({ body: TRANSFER });
    await api.getTransfer('t1', { waitMs: 30_000, state: 'paused' });
    assert.ok((asked[0]?.answerMs ?? 0) > 30_000);
  });

  it('lists are followed to their end, or to the wanted length', async () => {
    const { api, asked } = serving(
      { body: { transfers: [TRANSFER, TRANSFER], next: 'c1' } },
      { body: { transfers: [TRANSFER], next: null } },
    );
    assert.equal((await api.listTransfers({ limit: 9, state: 'active' })).length, 3);
    assert.equal(asked[1]?.target, '/base/api/v1/transfers?limit=7&state=active&before=c1');
  });

  it('capabilities are asked for once, and a server of another protocol is not talked to', async () => {
    const known = serving({ body: CAPABILITIES });
    assert.equal((await known.api.capabilities()).version, '9.9.9');
    await known.api.capabilities();
    assert.equal(known.asked.length, 1);
    const { api } = serving({ body: { version: '7.0.0', protocols: [2, 3] } });
    const error = await refusalOf(api.capabilities());
    assert.equal(error.code, 'unsupported');
    assert.match(error.message, /Hawser 7\.0\.0.*2, 3/);
  });
});

describe('refusals', () => {
  const problem = (body: unknown, status: number, headers = {}): Canned => ({
    status,
    headers: { 'content-type': 'application/problem+json; charset=utf-8', ...headers },
    body,
  });

  it('keep their code, words, value and time', async () => {
    const { api } = serving(
      problem({ code: 'quota_exceeded', detail: 'No more.', value: 12, status: 507 }, 507, { 'retry-after': '3' }),
    );
    const error = await refusalOf(api.whoami());
    assert.deepEqual([error.code, error.message, error.value, error.retryAfterMs], ['quota_exceeded', 'No more.', 12, 3000]);
  });

  it('of a newer server are understood by their status', async () => {
    for (const [status, code] of [
      [401, 'token_invalid'],
      [403, 'forbidden'],
      [412, 'changed'],
      [418, 'request_invalid'],
      [503, 'busy'],
      [500, 'internal'],
      [507, 'no_space'],
    ] as const) {
      const { api } = serving(problem({ code: 'never_heard_of', title: 'New.' }, status));
      const error = await refusalOf(api.whoami());
      assert.deepEqual([error.code, error.message], [code, 'New.']);
    }
  });

  it('cannot claim what only a client can know', async () => {
    for (const code of ['interrupted', 'certificate_changed', 'toString', '__proto__', 7])
      assert.equal((await refusalOf(serving(problem({ code, detail: 'x' }, 409)).api.whoami())).code, 'request_invalid');
  });

  it('of something that is not Hawser still make a sentence', async () => {
    const html = { headers: { 'content-type': 'text/html' }, bytes: Buffer.from('<html>') };
    const proxy = await refusalOf(serving({ ...html, status: 502 }).api.whoami());
    assert.deepEqual([proxy.code, proxy.facts.retry], ['busy', true]);
    const missing = await refusalOf(serving({ ...html, status: 404 }).api.whoami());
    assert.equal(missing.code, 'route_not_found');
    assert.match(missing.message, /host:1/);
    const moved = await refusalOf(serving({ status: 302, headers: { location: 'https://login.example/' } }).api.whoami());
    assert.equal(moved.code, 'unsupported');
    assert.match(moved.message, /login\.example/);
  });
});

describe('answers', () => {
  it('of the wrong form are protocol errors that name the field', async () => {
    for (const [field, value] of [
      ['size', -1],
      ['size', 1.5],
      ['size', '3'],
      ['size', 2 ** 60],
      ['kind', 'socket'],
      ['path', '/a/../b'],
      ['path', 'a\0'],
      ['mtimeNs', 12],
      ['mtimeNs', '12.5'],
      ['digest', 'AB'],
      ['etag', 5],
    ] as const) {
      const error = await refusalOf(serving({ body: { ...ENTRY, [field]: value } }).api.stat('/a'));
      assert.equal(error.code, 'protocol_error', `${field} ${value}`);
      assert.match(error.message, new RegExp(`"${field}"`));
    }
    for (const safe of [[[4, 4]], [[5, 4]], [[1]], [1], [[0, 1, 2]]])
      assert.equal(
        (await refusalOf(serving({ body: { ...UPLOAD, safe } }).api.createUpload({ path: '/a', size: 1 }))).code,
        'protocol_error',
      );
    const asked = [{ path: '/a', size: 1, mtimeNs: 0n }];
    assert.equal((await refusalOf(serving({ body: { missing: [1] } }).api.missingEntries(asked))).code, 'protocol_error');
  });

  it('that are not JSON, or not UTF-8, are protocol errors', async () => {
    for (const bytes of [Buffer.from('<html>'), Buffer.from([0x22, 0xff, 0x22]), new Uint8Array(0)])
      assert.equal((await refusalOf(serving({ bytes }).api.whoami())).code, 'protocol_error');
  });

  it('that never end are given up', async () => {
    let given = 0;
    async function* endless() {
      for (;;) {
        given += 2 ** 20;
        yield new Uint8Array(2 ** 20);
      }
    }
    const { api, cancelled } = serving({ bytes: endless() });
    assert.equal((await refusalOf(api.whoami())).code, 'protocol_error');
    assert.ok(given <= 65 * 2 ** 20);
    assert.equal(cancelled(), 1);
  });

  it('of any JSON whatever give a value or a HawserError', async () => {
    await fc.assert(
      fc.asyncProperty(fc.jsonValue(), async (body) => {
        const { api } = serving({ body });
        for (const call of [api.stat('/a'), api.createUpload({ path: '/a', size: 1 }), api.capabilities(), api.listTokens()])
          await call.catch((error: unknown) => assert.ok(error instanceof HawserError));
      }),
      { numRuns: 200 },
    );
  });
});
