/** The client for Node: everything that can be done with a server, behind one object. */
import { setTimeout as wait } from 'node:timers/promises';
import { HawserError } from '../core/errors.ts';
import type { FileInfo, Slow } from '../engine/contract.ts';
import type { Transport } from '../transport/contract.ts';
import { createHttpTransport } from '../transport/https.ts';
import { createHttpsPaths } from '../transport/https-paths.ts';
import { choosePaths, type LocalPath } from '../transport/local-paths.ts';
import { createSwitchingTransport } from '../transport/switching.ts';
import type { ApiOptions, Pending } from './api.ts';
import { createApi } from './api.ts';
import type { Api } from './api-contract.ts';
import type { Client, ClientOptions, Progress } from './contract.ts';
import { persistently } from './hedge.ts';
import { type LaneMemory, openLaneMemory } from './lane-memory.ts';
import { probe } from './probe.ts';
import { defaultStateFolder } from './put/digest-cache.ts';

export { HawserError } from '../core/errors.ts';
export type * from './contract.ts';

/**
 * Connects when it is first needed. Throws `request_invalid` when the address or the fingerprint cannot be read; the calls
 * throw HawserError.
 */
export function createClient(options: ClientOptions): Client {
  const { token } = options;
  // Says what is wrong with the address, if anything is.
  const { paths: names, ...others } = options;
  const paths = names && names.length > 0 ? choosePaths(names) : [];
  const https = createHttps(others, paths);
  const prefix = prefixOf(options.url);
  const access = { prefix, ...(token === undefined ? {} : { token }) };
  const transport = createTransport(options, https, access, paths);
  const api = createApi(transport, access);

  return {
    capabilities: () => persistently((signal) => api.capabilities({ signal })),
    whoami: () => persistently((signal) => api.whoami({ signal })),
    forgetLane: () => laneMemory(options)?.forget(),
    async rememberLane() {
      const memory = laneMemory(options);
      if (!memory) return;
      const ticket = await persistently((signal) => api.laneTicket({ signal }));
      memory.learn({ ...ticket, rttMs: https.info().rttMs, worked: true });
    },
    info: () => transport.info(),

    // Loaded when needed: most commands move nothing, and start faster without.
    async put(sources, destination, options = {}) {
      await transport.prepare?.();
      const { runPut } = await import('./put.ts');
      return runPut(api, sources, destination, options);
    },
    async get(sources, destination, options = {}) {
      await transport.prepare?.();
      const { runGet } = await import('./get.ts');
      return runGet(api, sources, destination, options);
    },

    stat: (path, options) => repeatable((signal) => api.stat(path, { ...options, signal })),
    list: (path, options) => allEntries(api, path, options ?? {}),
    makeFolder: (path) => repeatable((signal) => api.makeFolder(path, {}, { signal })),
    move: (from, to, options) => api.move(from, to, options?.overwrite ? 'always' : 'never'),
    remove: (path, options) => api.remove(path, { recursive: options?.recursive ?? false }),
    digest: (path, onProgress) => untilDone(() => api.digest(path), onProgress),
    verify: (path, digest, onProgress) => untilDone(() => api.verify(path, digest), onProgress),

    listTransfers: (options) => repeatable((signal) => api.listTransfers({ ...options, signal })),
    getTransfer: (id) => repeatable((signal) => api.getTransfer(id, { signal })),
    pause: (id) => api.controlTransfer(id, 'pause'),
    resume: (id) => api.controlTransfer(id, 'resume'),
    cancel: (id) => api.controlTransfer(id, 'cancel'),
    listUploads: () => repeatable((signal) => api.listUploads({ signal })),
    listLanes: () => repeatable((signal) => api.listLanes({ signal })),

    createToken: (options) => api.createToken(options),
    listTokens: () => repeatable((signal) => api.listTokens({ signal })),
    removeToken: (id) => api.removeToken(id),

    probe: (options) => probe(api, options),
    close: async () => transport.close(),
  };
}

function createHttps(options: Omit<ClientOptions, 'paths'>, paths: readonly LocalPath[]): Transport {
  const [only] = paths;
  if (only === undefined) return createHttpTransport(options);
  if (paths.length === 1) return createHttpTransport({ ...options, from: only });
  return createHttpsPaths({
    paths,
    make: (from) => createHttpTransport({ ...options, from }),
    target: `${prefixOf(options.url)}/health`,
  });
}

const prefixOf = (url: string): string => URL.parse(url)?.pathname.replace(/\/+$/, '') ?? '';

function createTransport(options: ClientOptions, https: Transport, access: ApiOptions, paths: readonly LocalPath[]): Transport {
  const { protocol, hostname, host } = new URL(options.url);
  const wanted = options.transport ?? 'auto';
  // The keys of a lane are not for lines that anybody can read.
  if (wanted === 'https' || (wanted === 'auto' && protocol !== 'https:')) return https;
  if (protocol !== 'https:')
    throw new HawserError('request_invalid', `A lane needs an https:// address, for its keys: "${options.url}" is none.`, {
      value: options.url,
    });
  const memory = laneMemory(options);
  const server = { host: hostname.replace(/^\[|\]$/g, ''), where: host };
  // On this machine there is nothing that a lane could be better at, and bodies go straight from socket to memory without a choice.
  if (wanted === 'auto' && /^(localhost|127(\.\d+){3}|::1)$/.test(server.host)) return https;
  return createSwitchingTransport({
    https,
    laneOnly: wanted === 'lane',
    expectedRttMs: memory?.known?.worked ? memory.known.rttMs : null,
    openLane: async (signal, onAsked) => {
      // The thread takes longest to start: before all else is read.
      const [{ openLane }] = await Promise.all([import('./lane.ts'), startLaneThread()]);
      return openLane(createApi(https, access), server, { ...options.lane, paths }, memory, signal, onAsked);
    },
  });
}

async function startLaneThread(): Promise<void> {
  const { laneThread } = await import('../transport/lane/worker-host.ts');
  laneThread();
}

function laneMemory({
  url,
  token,
  fingerprint,
  caCert,
  insecure,
  stateFolder = defaultStateFolder(),
}: ClientOptions): LaneMemory | null {
  if (stateFolder === null) return null;
  return openLaneMemory(stateFolder, [new URL(url).origin, token, fingerprint, caCert, insecure]);
}

/** May be asked twice. Connections that are late get others beside them anyway; what is left to be lost is the request and its answer. */
function repeatable<T>(ask: (signal: AbortSignal) => Promise<T>): Promise<T> {
  return persistently(ask, { everyMs: LATE_MS, most: MOST_BESIDE, roundMs: ROUND_MS });
}

async function* allEntries(
  api: Api,
  path: string,
  { recursive = false }: { recursive?: boolean },
): AsyncGenerator<FileInfo, void, undefined> {
  let after: string | undefined;
  for (;;) {
    const page = { recursive, ...(after === undefined ? {} : { after }) };
    const { entries, next } = await repeatable((signal) => api.listPage(path, page, { signal }));
    yield* entries;
    if (next === null) return;
    if (next === after)
      throw new HawserError('protocol_error', `The server lists "${path}" in a circle: it gave the page after "${next}" twice.`);
    after = next;
  }
}

/** Asks again until the server has read the whole file, as often as it wants to be asked. */
async function untilDone<T>(ask: () => Promise<Slow<T>>, onProgress: Progress | undefined): Promise<T> {
  for (;;) {
    const answer = await ask();
    if (answer.done) return answer.value;
    onProgress?.(answer.hashedBytes, answer.size);
    await wait((answer as Pending).retryAfterMs);
  }
}

/** A server that has much to list takes a while, and is not to be asked for it over and over. */
const LATE_MS = 2000;
const MOST_BESIDE = 4;
const ROUND_MS = 20_000;
