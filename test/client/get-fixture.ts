/** What the tests of get share: an engine on a folder, a place to fetch to, and a worse network. */
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import type { Api } from '../../src/client/api-contract.ts';
import type { TransferEvent, TransferOptions } from '../../src/client/contract.ts';
import { createEngineApi } from '../../src/client/get/engine-api.ts';
import { HawserError } from '../../src/core/errors.ts';
import type { Engine, Principal } from '../../src/engine/contract.ts';
import { createEngine } from '../../src/engine/engine.ts';
import type { FileStore } from '../../src/store/files/contract.ts';
import { openFileSystemStore } from '../../src/store/files/filesystem.ts';
import { createMemoryMeta } from '../../src/store/meta/memory.ts';

export const MIB = 1 << 20;
export const WHO: Principal = { id: 'me', name: 'me', role: 'admin' };
const SEED = Number(process.env.HAWSER_SEED ?? 20261120);

let work: string;
export let remote: string;
let files: FileStore;
export let engine: Engine;
export let api: Api;
let count = 0;

before(async () => {
  console.log(`seed ${SEED}`);
  work = fs.mkdtempSync(join(tmpdir(), 'hawser-get-'));
  remote = join(work, 'remote');
  fs.mkdirSync(remote);
  files = await openFileSystemStore({ root: remote });
  engine = createEngine({ files, meta: createMemoryMeta() });
  api = createEngineApi(engine, WHO);
});

after(async () => {
  await files.close();
  fs.rmSync(work, { recursive: true, force: true });
});

/** Bytes that depend on the seed and differ everywhere. */
export function bytes(length: number, salt = 0): Buffer {
  const data = Buffer.alloc(length);
  let state = (SEED + salt * 7919) >>> 0 || 1;
  for (let at = 0; at + 4 <= length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data.writeUInt32LE(state, at);
  }
  return data;
}

export function put(path: string, data: Uint8Array): void {
  fs.mkdirSync(join(remote, path, '..'), { recursive: true });
  fs.writeFileSync(join(remote, path), data);
}

/** A new local folder for each test. */
export function local(): string {
  const folder = join(work, `local${++count}`);
  fs.mkdirSync(folder);
  return folder;
}

export function options(more: TransferOptions = {}): TransferOptions & { events: TransferEvent[] } {
  const events: TransferEvent[] = [];
  return { stateFolder: join(work, 'state'), onEvent: (event) => events.push(event), events, ...more };
}

interface Trouble {
  /** Called for each piece of a body; throws to break the connection. */
  piece?: (piece: Uint8Array, path: string) => Uint8Array;
  before?: (path: string, start: number) => void | Promise<void>;
  frames?: { path: string; start: number; end: number }[];
}

/** The same Api over a worse network. */
export function troubled(trouble: Trouble): Api {
  async function* through(body: AsyncIterable<Uint8Array>, path: string) {
    for await (const piece of body) yield trouble.piece?.(piece, path) ?? piece;
  }
  return {
    ...apiCalls(),
    getFrames: async (path, query, call) => {
      await trouble.before?.(path, query.start);
      trouble.frames?.push({ path, start: query.start, end: query.end });
      const frames = await api.getFrames(path, query, call);
      return { ...frames, body: through(frames.body, path) };
    },
    readPack: async (paths, query, call) => through(await api.readPack(paths, query, call), 'pack'),
  };
}

export function apiCalls(): Api {
  const { transport, capabilities, createTransfer, getTransfer, changeTransfer, readPack } = api;
  const { getFrames, fileDigests, stat, listPage, digest } = api;
  return {
    ...({ transport, capabilities, createTransfer, getTransfer, changeTransfer, readPack } as Api),
    ...{ getFrames, fileDigests, stat, listPage, digest },
  };
}

export function broken(): HawserError {
  return new HawserError('unreachable', 'The connection was reset.');
}

export const isCode = (code: string) => (error: unknown) => error instanceof HawserError && error.code === code;
export const partials = (folder: string) => fs.readdirSync(folder).filter((name) => name.includes('hawser-partial'));
