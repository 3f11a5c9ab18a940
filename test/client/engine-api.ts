/**
 * The client's calls as direct calls of an engine in memory, with a place to put faults: what put and get do is tested here without
 * sockets, so that every failure comes when the test wants it.
 */

import type { Api } from '../../src/client/api-contract.ts';
import type { TransferInfo } from '../../src/client/contract.ts';
import { HawserError } from '../../src/core/errors.ts';
import type { Engine, Principal } from '../../src/engine/contract.ts';
import { createEngine } from '../../src/engine/engine.ts';
import type { FileStore } from '../../src/store/files/contract.ts';
import { createMemoryStore } from '../../src/store/files/memory.ts';
import type { TransferRecord } from '../../src/store/meta/contract.ts';
import { createMemoryMeta } from '../../src/store/meta/memory.ts';

export interface EngineApi {
  readonly api: Api;
  readonly engine: Engine;
  readonly files: FileStore;
  /** Names of the calls so far, in order. */
  readonly calls: string[];
  /** Called before each call; what it throws is the call's failure. */
  onCall: (name: string, count: number) => void | Promise<void>;
  /** Called with each piece of a body on its way, which it may damage; what it throws cuts the body there. */
  onPiece: (name: string, piece: Uint8Array) => void | Promise<void>;
  /** Called after a call has taken effect, and waited for; what it throws is what the client sees: an answer that got lost. */
  onAnswer: (name: string, count: number) => void | Promise<void>;
  /** How far away it is said to be; null: unknown. */
  rttMs: number | null;
  /** The content at a path. */
  content(path: string): Promise<Buffer>;
}

export const WHO: Principal = { id: 'token1', name: 'test', role: 'admin' };

export function createEngineApi(store: FileStore = createMemoryStore()): EngineApi {
  const engine = createEngine({ files: store, meta: createMemoryMeta() });
  const counts = new Map<string, number>();

  const call = async <T>(name: string, signal: AbortSignal | undefined, run: () => Promise<T>): Promise<T> => {
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    self.calls.push(name);
    if (signal?.aborted) throw interrupted();
    await self.onCall(name, count);
    const aborted = Promise.withResolvers<never>();
    const stop = () => aborted.reject(interrupted());
    signal?.addEventListener('abort', stop, { once: true });
    try {
      const value = await Promise.race([run(), aborted.promise]);
      await Promise.race([self.onAnswer(name, count), aborted.promise]);
      return value;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  };

  /** The body as a socket gives it; a failure of the sender's iterable reaches the caller as a transport would report it. */
  async function* body(name: string, source: Uint8Array | AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const pieces = source instanceof Uint8Array ? [source] : source;
    for await (const piece of pieces) {
      // What the receiver sees is its own: the sender may reuse its buffer.
      const copy = Buffer.from(piece);
      await self.onPiece(name, copy);
      yield copy;
    }
  }

  const api: Partial<Api> = {
    transport: {
      request: () => Promise.reject(new Error('not used')),
      info: () => ({ transport: 'memory', remote: 'memory', httpVersion: '1.1', rttMs: self.rttMs }),
      close: () => undefined,
    },
    capabilities: (options) =>
      call('capabilities', options?.signal, async () => ({
        version: '0',
        protocols: [1],
        features: ['running-digests'],
        transports: [],
        digests: ['blake3'],
        blockBytes: { min: 65536, max: 16777216 },
        chunkBytes: { min: 65536, max: 16777216 },
        packBytes: 16777216,
        packEntries: 4096,
        smallFileBytes: 1048576,
      })),
    createTransfer: (request, options) =>
      call('createTransfer', options?.signal, async () => transferInfo(await engine.createTransfer(WHO, request))),
    getTransfer: (id, options = {}) =>
      call('getTransfer', options.signal, async () =>
        transferInfo(
          options.waitMs && options.state
            ? await engine.waitTransfer(WHO, id, options.state, options.waitMs, options.signal)
            : await engine.getTransfer(WHO, id),
        ),
      ),
    changeTransfer: (id, change, options) =>
      call('changeTransfer', options?.signal, async () => transferInfo(await engine.changeTransfer(WHO, id, change))),
    createUpload: (request, options) => call('createUpload', options?.signal, () => engine.createUpload(WHO, request)),
    getUpload: (id, options) => call('getUpload', options?.signal, () => engine.getUpload(WHO, id)),
    uploadDigests: (id, options) => call('uploadDigests', options?.signal, () => engine.uploadDigests(WHO, id)),
    putBlocks: (id, epoch, source, _length, options) =>
      call('putBlocks', options?.signal, () =>
        engine.receiveBlocks(WHO, id, epoch, body('putBlocks', source), undefined, { whenBegun: options?.whenBegun ?? false }),
      ),
    completeUpload: (id, request, options) =>
      call('completeUpload', options?.signal, () => engine.completeUpload(WHO, id, request)),
    removeUpload: (id, options) => call('removeUpload', options?.signal, () => engine.removeUpload(WHO, id, options?.epoch)),
    putPack: (query, source, _length, options) =>
      call('putPack', options?.signal, () => engine.receivePack(WHO, query, body('putPack', source))),
    missingEntries: (entries, options) => call('missingEntries', options?.signal, () => engine.missingEntries(WHO, entries)),
    stat: (path, options) => call('stat', options?.signal, () => engine.stat(WHO, path, { follow: options?.follow ?? false })),
  };

  const self: EngineApi = {
    api: api as Api,
    engine,
    files: store,
    calls: [],
    onCall: () => undefined,
    onPiece: () => undefined,
    onAnswer: () => undefined,
    rttMs: null,
    async content(path) {
      const file = await engine.open(WHO, path);
      const parts: Uint8Array[] = [];
      for await (const piece of file.read(0, file.info.size, { fresh: true })) parts.push(piece);
      await file.close();
      return Buffer.concat(parts);
    },
  };
  return self;
}

/** What a socket that broke looks like to the caller. */
export function broken(): HawserError {
  return new HawserError('unreachable', 'The connection to memory broke.');
}

function interrupted(): HawserError {
  return new HawserError('interrupted', 'The request was interrupted.');
}

function transferInfo(record: TransferRecord): TransferInfo {
  const { createdMs, updatedMs, endedMs, ...rest } = record;
  return {
    ...rest,
    created: new Date(createdMs).toISOString(),
    updated: new Date(updatedMs).toISOString(),
    ended: endedMs === null ? null : new Date(endedMs).toISOString(),
  };
}
