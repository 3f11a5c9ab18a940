/** The calls of docs/protocol/http.md, version 1, over any transport. */
import { randomFillSync } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { HawserError } from '../core/errors.ts';
import { pathToUrl } from '../core/path.ts';
import type { Slow } from '../engine/contract.ts';
import type { Transport, TransportRequest, TransportResponse } from '../transport/contract.ts';
import type { Read } from './answers.ts';
import * as answers from './answers.ts';
import type { Api, CallOptions, FrameBody, SendOptions } from './api-contract.ts';
import { createCaller, jsonBody, query, readBytes, readJson, retryAfterMs } from './call.ts';
import type { Capabilities, LaneInfo } from './contract.ts';
import { type AskWith, createAskWith } from './older-servers.ts';

export interface ApiOptions {
  /** Path before "/api/v1", without a slash at its end: "" or "/hawser". */
  readonly prefix: string;
  readonly token?: string;
}

/** What an unfinished answer carries beside its progress: how long the server asks to wait. */
export type Pending = Extract<Slow<unknown>, { done: false }> & { readonly retryAfterMs: number };

export function createApi(transport: Transport, options: ApiOptions): Api {
  const call = createCaller(transport, options);
  const askWith = createAskWith();
  let known: Capabilities | undefined;

  return {
    transport,
    async capabilities(options) {
      known ??= await call.json({ ...get(`${V1}/capabilities`), ...stop(options) }, answers.capabilities);
      return known;
    },
    whoami: (options) => call.json({ ...get(`${V1}/whoami`), ...stop(options) }, answers.identity),
    health: (options) => call.json({ ...get('/health'), ...stop(options) }, answers.health),
    ...transferCalls(call, askWith),
    ...uploadCalls(call, askWith),
    ...packCalls(call),
    ...fileCalls(call),
    ...tokenCalls(call),
    ...laneCalls(call),
    ...probeCalls(call),
  };
}

type Caller = ReturnType<typeof createCaller>;
type Part<Name extends keyof Api> = Pick<Api, Name>;

function transferCalls(
  call: Caller,
  askWith: AskWith,
): Part<'createTransfer' | 'listTransfers' | 'getTransfer' | 'changeTransfer' | 'controlTransfer'> {
  const at = (id: string, rest = ''): string => `${V1}/transfers/${segment(id)}${rest}`;
  return {
    createTransfer: ({ id, ...request }, options) =>
      askWith(id === undefined ? {} : { id }, (newer) =>
        call.json({ ...send('POST', `${V1}/transfers`, { ...request, ...newer }), ...stop(options) }, answers.transfer),
      ),
    listTransfers: (options = {}) => {
      const { state, limit = DEFAULT_TRANSFERS } = options;
      return allPages(limit, (want, before) =>
        call.json(
          { ...get(`${V1}/transfers${params({ limit: want, state, before })}`), ...stop(options) },
          answers.page('transfers', answers.transfer),
        ),
      );
    },
    getTransfer: (id, options = {}) => {
      const { waitMs, state } = options;
      const answerMs = ANSWER_MS + (waitMs ?? 0);
      return call.json({ ...get(at(id, params({ waitMs, state }))), answerMs, ...stop(options) }, answers.transfer);
    },
    changeTransfer: (id, change, options) => call.json({ ...send('PATCH', at(id), change), ...stop(options) }, answers.transfer),
    controlTransfer: (id, action, options) =>
      call.json({ method: 'POST', target: at(id, `/${action}`), ...stop(options) }, answers.transfer),
  };
}

function uploadCalls(
  call: Caller,
  askWith: AskWith,
): Part<'createUpload' | 'listUploads' | 'getUpload' | 'uploadDigests' | 'putBlocks' | 'completeUpload' | 'removeUpload'> {
  const at = (id: string, rest = ''): string => `${V1}/uploads/${segment(id)}${rest}`;
  return {
    async createUpload({ id, ...request }, options) {
      const ask = (newer: object) =>
        call.open({ ...send('POST', `${V1}/uploads`, { ...withTime(request), ...newer }), ...stop(options) });
      // Who begins a transfer with it has another way, and takes it.
      const response = await (request.begin || id === undefined ? ask({ id }) : askWith({ id }, ask));
      const upload = await readJson(response, answers.upload);
      return {
        ...upload,
        transfer: upload.transfer ?? request.transfer ?? null,
        resumed: response.status === 200 && upload.state === 'receiving',
      };
    },
    listUploads: (options) =>
      allPages(Infinity, (limit, after) =>
        call.json(
          { ...get(`${V1}/uploads${params({ limit, after })}`), ...stop(options) },
          answers.page('uploads', answers.uploadInfo),
        ),
      ),
    getUpload: async (id, options) => ({
      ...(await call.json({ ...get(at(id)), ...stop(options) }, answers.upload)),
      resumed: false,
    }),
    async uploadDigests(id, options) {
      const response = await call.open({ ...get(at(id, '/blocks'), DIGESTS), ...stop(options) });
      if (response.status === 202) return await pending(response, 0);
      return { done: true, value: await readBytes(response) };
    },
    putBlocks: (id, epoch, body, contentLength, options) =>
      call.json(
        {
          method: 'PUT',
          target: at(id, `/blocks${params({ epoch, whenBegun: options?.whenBegun })}`),
          headers: { 'content-type': BLOCKS },
          body,
          ...(contentLength === undefined ? {} : { contentLength }),
          ...watched(options),
          ...stop(options),
        },
        answers.blocksAccepted,
      ),
    async completeUpload(id, { endTransfer, ...request }, options) {
      const response = await askWith(endTransfer ? { endTransfer } : {}, (newer) =>
        call.open({ ...send('POST', at(id, '/complete'), { ...request, ...newer }), ...stop(options) }),
      );
      return slow(response, answers.completed, request.size);
    },
    removeUpload: (id, options) => {
      const epoch = options?.epoch === undefined ? '' : `?epoch=${options.epoch}`;
      return call.nothing({ method: 'DELETE', target: at(id, epoch), ...stop(options) });
    },
  };
}

function packCalls(call: Caller): Part<'putPack' | 'missingEntries' | 'readPack'> {
  return {
    putPack: ({ transfer, overwrite }, body, contentLength, options) =>
      call.json(
        {
          method: 'POST',
          target: `${V1}/packs${params({ transfer, overwrite })}`,
          headers: { 'content-type': PACK },
          body,
          contentLength,
          ...watched(options),
          ...stop(options),
        },
        answers.packResult,
      ),
    missingEntries: (entries, options) => {
      const read: Read<number[]> = (value, at) => {
        const missing = answers.list(answers.count)(answers.fields(value, at).missing, 'missing');
        if (missing.every((index) => index < entries.length)) return missing;
        throw new HawserError('protocol_error', 'The server misses an entry that it was not asked about.');
      };
      return call.json({ ...send('POST', `${V1}/packs/missing`, { entries: entries.map(withTime) }), ...stop(options) }, read);
    },
    async readPack(paths, { transfer }, options) {
      const request = send('POST', `${V1}/packs/read${params({ transfer })}`, { paths });
      const headers = { ...request.headers, accept: PACK };
      const response = await call.open({ ...request, headers, answerBytes: USUAL_PACK_BYTES, ...stop(options) });
      return response.body;
    },
  };
}

function fileCalls(
  call: Caller,
): Part<'getFrames' | 'fileDigests' | 'stat' | 'listPage' | 'digest' | 'verify' | 'makeFolder' | 'move' | 'remove'> {
  return {
    async getFrames(path, { start, end, ...rest }, options) {
      const request = get(`${V1}/files${pathToUrl(path)}${params(rest)}`, BLOCKS);
      // An empty range cannot be written (RFC 9110 section 14.1.2), and an empty file needs none.
      const range = end > start ? { range: `bytes=${start}-${end - 1}` } : {};
      const headers = { ...request.headers, ...range };
      return frameBody(await call.open({ ...request, headers, answerBytes: end - start, ...stop(options) }));
    },
    fileDigests: (path, query, options) =>
      call.bytes({ ...get(`${V1}/blocks${pathToUrl(path)}${params(query)}`, DIGESTS), ...stop(options) }),
    stat: (path, options = {}) =>
      call.json(
        { ...get(`${V1}/entries${pathToUrl(path)}${params({ follow: options.follow })}`), ...stop(options) },
        answers.fileInfo,
      ),
    async listPage(path, query, options) {
      const request = get(`${V1}/folders${pathToUrl(path)}${params(query)}`);
      const { items, next } = await call.json({ ...request, ...stop(options) }, answers.page('entries', answers.fileInfo));
      return { entries: items, next };
    },
    async digest(path, options) {
      return slow(await call.open({ ...get(`${V1}/digests${pathToUrl(path)}`), ...stop(options) }), answers.fileInfo, 0);
    },
    async verify(path, digest, options) {
      const request = send('POST', `${V1}/verify`, { path, digest });
      return slow(await call.open({ ...request, ...stop(options) }), answers.verifyResult, 0);
    },
    makeFolder: (path, attributes = {}, options) =>
      call.json({ ...send('PUT', `${V1}/folders${pathToUrl(path)}`, withTime(attributes)), ...stop(options) }, answers.fileInfo),
    move: (from, to, overwrite, options) =>
      call.json({ ...send('POST', `${V1}/move`, { from, to, overwrite }), ...stop(options) }, answers.fileInfo),
    remove: (path, query, options) =>
      call.nothing({ method: 'DELETE', target: `${V1}/entries${pathToUrl(path)}${params(query)}`, ...stop(options) }),
  };
}

function tokenCalls(call: Caller): Part<'createToken' | 'listTokens' | 'removeToken'> {
  return {
    createToken: (request, options) =>
      call.json({ ...send('POST', `${V1}/tokens`, request), ...stop(options) }, answers.newToken),
    listTokens: (options) => {
      const read: Read<ReturnType<typeof answers.token>[]> = (value, at) =>
        answers.list(answers.token)(answers.fields(value, at).tokens, 'tokens');
      return call.json({ ...get(`${V1}/tokens`), ...stop(options) }, read);
    },
    removeToken: (id, options) => call.nothing({ method: 'DELETE', target: `${V1}/tokens/${segment(id)}`, ...stop(options) }),
  };
}

function laneCalls(call: Caller): Part<'openLane' | 'closeLane' | 'listLanes' | 'laneTicket'> {
  return {
    openLane: (request, options) => call.json({ ...send('POST', `${V1}/lanes`, request), ...stop(options) }, answers.laneGrant),
    laneTicket: (options) => call.json({ ...send('POST', `${V1}/lanes/tickets`, {}), ...stop(options) }, answers.laneTicket),
    closeLane: (id, options) => call.nothing({ method: 'DELETE', target: `${V1}/lanes/${segment(id)}`, ...stop(options) }),
    listLanes: (options) => {
      const read: Read<LaneInfo[]> = (value, at) => answers.list(answers.laneInfo)(answers.fields(value, at).lanes, 'lanes');
      return call.json({ ...get(`${V1}/lanes`), ...stop(options) }, read);
    },
  };
}

function probeCalls(call: Caller): Part<'probeReceive' | 'probeSend'> {
  return {
    async probeReceive(bytes, options) {
      const response = await call.open({
        ...get(`${V1}/probe${params({ bytes })}`, 'application/octet-stream'),
        ...stop(options),
      });
      // From the head on: the round trip before it is not part of the speed.
      const startedMs = performance.now();
      let received = 0;
      for await (const piece of response.body) received += piece.length;
      return { bytes: received, ms: performance.now() - startedMs };
    },
    probeSend: (bytes, options) => {
      const read: Read<{ bytes: number; ms: number }> = (value, at) => {
        const from = answers.fields(value, at);
        const ms = from.ms;
        if (typeof ms !== 'number' || !(ms >= 0))
          throw new HawserError('protocol_error', 'The server did not say how long it took.');
        return { bytes: answers.count(from.bytes, 'bytes'), ms };
      };
      const headers = { 'content-type': 'application/octet-stream' };
      const request = { method: 'POST', target: `${V1}/probe`, headers, body: noise(bytes), contentLength: bytes } as const;
      return call.json({ ...request, ...stop(options) }, read);
    },
  };
}

/** Random, so that nothing on the way can compress it. */
async function* noise(bytes: number): AsyncGenerator<Uint8Array, void, undefined> {
  const piece = randomFillSync(new Uint8Array(Math.min(bytes, NOISE_BYTES)));
  for (let left = bytes; left > 0; left -= piece.length) yield left < piece.length ? piece.subarray(0, left) : piece;
}

function frameBody(response: TransportResponse): FrameBody {
  const { etag, 'hawser-size': size = '', 'hawser-version': version } = response.headers;
  if (etag === undefined || version === undefined || !/^\d{1,15}$/.test(size)) {
    response.cancel();
    throw new HawserError('protocol_error', 'The server sent a file without saying its ETag, size and version.');
  }
  return { etag, size: Number(size), version, body: response.body, cancel: () => response.cancel() };
}

/** 202 says how far the server is; anything else 2xx is the value itself. `size` is used when the server does not say it. */
async function slow<T>(response: TransportResponse, read: Read<T>, size: number): Promise<Slow<T>> {
  if (response.status !== 202) return { done: true, value: await readJson(response, read) };
  return await pending(response, size);
}

async function pending(response: TransportResponse, size: number): Promise<Pending> {
  const from = await readJson(response, answers.fields);
  return {
    done: false,
    hashedBytes: answers.count(from.hashedBytes, 'hashedBytes'),
    size: from.size === undefined ? size : answers.count(from.size, 'size'),
    retryAfterMs: retryAfterMs(response) ?? DEFAULT_RETRY_MS,
  };
}

/** Follows the pages of a list to its end, or until it has `limit` items. */
async function allPages<T>(
  limit: number,
  ask: (limit: number, cursor: string | undefined) => Promise<{ items: T[]; next: string | null }>,
): Promise<T[]> {
  const all: T[] = [];
  let cursor: string | undefined;
  while (all.length < limit) {
    const { items, next } = await ask(Math.min(limit - all.length, PAGE_ITEMS), cursor);
    all.push(...items);
    if (next === null || items.length === 0) break;
    cursor = next;
  }
  return all;
}

function get(target: string, accept?: string) {
  return { method: 'GET', target, headers: accept === undefined ? {} : { accept } } as const;
}

function send(method: 'POST' | 'PUT' | 'PATCH', target: string, value: unknown) {
  return { method, target, ...jsonBody(value) };
}

function watched(options: SendOptions | undefined): Pick<TransportRequest, 'onSending'> {
  return options?.onSending ? { onSending: options.onSending } : {};
}

function stop(options: CallOptions | undefined): Pick<TransportRequest, 'signal'> {
  return options?.signal ? { signal: options.signal } : {};
}

function withTime<T extends { readonly mtimeNs?: bigint }>(value: T): Omit<T, 'mtimeNs'> & { mtimeNs?: string } {
  const { mtimeNs, ...rest } = value;
  return mtimeNs === undefined ? rest : { ...rest, mtimeNs: String(mtimeNs) };
}

const params = (values: Parameters<typeof query>[0]): string => query(values, pathToUrl);
const segment = (text: string): string => encodeURIComponent(text);

const V1 = '/api/v1';
const BLOCKS = 'application/vnd.hawser.blocks';
const DIGESTS = 'application/vnd.hawser.digests';
const PACK = 'application/vnd.hawser.pack';
const ANSWER_MS = 60_000;
const DEFAULT_RETRY_MS = 1000;
const PAGE_ITEMS = 1000;
/** A server keeps records of months; somebody who wants them all says so. */
const DEFAULT_TRANSFERS = 100;
/** How much small files come to, nobody knows before. */
const USUAL_PACK_BYTES = 1024 * 1024;
const NOISE_BYTES = 256 * 1024;
