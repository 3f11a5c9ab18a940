/**
 * The calls that `get` makes, answered by an engine in the same process, without a transport: for tests. What is not needed for
 * fetching is left out and throws.
 */
import { HawserError } from '../../core/errors.ts';
import type { Engine, Principal } from '../../engine/contract.ts';
import type { TransferRecord } from '../../store/meta/contract.ts';
import type { Api } from '../api-contract.ts';
import type { TransferInfo } from '../contract.ts';

export function createEngineApi(engine: Engine, who: Principal): Api {
  const calls: Partial<Api> = {
    transport: {
      request: () => Promise.reject(new HawserError('unsupported', 'There is no transport here.')),
      info: () => ({ transport: 'memory', remote: 'here', httpVersion: '', rttMs: null }),
      close: () => undefined,
    },
    capabilities: async () => ({
      version: '0',
      protocols: [1],
      features: [],
      transports: [],
      digests: ['blake3'],
      blockBytes: { min: 65536, max: 1 << 24 },
      chunkBytes: { min: 65536, max: 1 << 24 },
      packBytes: 1 << 24,
      packEntries: 4096,
      smallFileBytes: 1 << 20,
    }),
    createTransfer: async (request) => info(await engine.createTransfer(who, request)),
    getTransfer: async (id, { waitMs = 0, state = 'active', signal } = {}) =>
      info(await engine.waitTransfer(who, id, state, waitMs, signal)),
    changeTransfer: async (id, change) => info(await engine.changeTransfer(who, id, change)),
    readPack: async (paths, query, options) => stoppable(engine.readPack(who, query, paths), options?.signal),
    getFrames: async (path, { start, end, blockBytes, ...query }, options) => {
      const file = await engine.open(who, path, query);
      const { etag, size, version } = file.info;
      const frames = closing(file.frames(start, end, blockBytes), () => file.close());
      return { etag: etag ?? '', size, version, body: stoppable(frames, options?.signal), cancel: () => void file.close() };
    },
    fileDigests: (path, query) => engine.fileDigests(who, path, query),
    stat: (path, { follow = false } = {}) => engine.stat(who, path, { follow }),
    listPage: async (path, { limit = 1000, after, recursive = false }) => {
      const { entries, more } = await engine.list(who, path, { limit, recursive, ...(after !== undefined && { after }) });
      return { entries, next: more ? (entries.at(-1)?.path ?? null) : null };
    },
    digest: (path) => engine.digest(who, path),
  };
  return new Proxy(calls as Api, {
    get: (target, name) => Reflect.get(target, name) ?? (() => Promise.reject(new Error(`${String(name)} is not answered here`))),
  });
}

/** Ends with `interrupted` when the signal aborts, as a transport does. */
export async function* stoppable(
  body: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const piece of body) {
    if (signal?.aborted) throw new HawserError('interrupted', 'The request was ended.');
    yield piece;
  }
}

async function* closing(
  body: AsyncIterable<Uint8Array>,
  close: () => Promise<void>,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* body;
  } finally {
    await close();
  }
}

function info(record: TransferRecord): TransferInfo {
  const { createdMs, updatedMs, endedMs, ...rest } = record;
  const time = (ms: number) => new Date(ms).toISOString();
  return { ...rest, created: time(createdMs), updated: time(updatedMs), ended: endedMs === null ? null : time(endedMs) };
}
