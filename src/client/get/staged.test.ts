import assert from 'node:assert/strict';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, describe, it, mock } from 'node:test';
import { createEngine } from '../../engine/engine.ts';
import { createMemoryStore } from '../../store/files/memory.ts';
import { createMemoryMeta } from '../../store/meta/memory.ts';
import type { Api } from '../api-contract.ts';
import { runGet } from '../get.ts';
import { createEngineApi } from './engine-api.ts';
import type { FetchItem } from './large.ts';
import { place, type Staged, stage } from './staged.ts';

const work = fs.mkdtempSync(join(tmpdir(), 'hawser-staged-'));
after(() => fs.rmSync(work, { recursive: true, force: true }));
afterEach(() => {
  mock.restoreAll();
  syncBuiltinESMExports();
});

let count = 0;
function local(): string {
  const folder = join(work, `local${++count}`);
  fs.mkdirSync(folder);
  return folder;
}

/** A server with so many small files in /many. */
async function server(files: number): Promise<{ api: Api }> {
  const engine = createEngine({ files: createMemoryStore(), meta: createMemoryMeta() });
  const who = { id: 'me', name: 'me', role: 'admin' } as const;
  const api = createEngineApi(engine, who);
  for (let i = 0; i < files; i++) {
    const source = (async function* () {
      yield Buffer.from(`content ${i}`);
    })();
    await engine.putFile(who, { path: `/many/f${i}`, size: null }, source, {});
  }
  return { api };
}

type Step = 'written' | 'synced' | 'renamed';

/** What is done to the file system from now on, in order. */
function watchSteps(): Step[] {
  const steps: Step[] = [];
  const isPartial = (path: unknown) => String(path).endsWith('.hawser-partial');
  const { openSync, renameSync } = fs;
  mock.method(fs, 'openSync', (path: string, flags: number, mode?: number) => {
    // What was written is opened once more only to be synced: by itself, or with the file system that it lies on.
    if (isPartial(path)) steps.push(flags & fs.constants.O_CREAT ? 'written' : 'synced');
    return openSync(path, flags, mode);
  });
  mock.method(fs, 'renameSync', (from: string, to: string) => {
    if (isPartial(from)) steps.push('renamed');
    renameSync(from, to);
  });
  syncBuiltinESMExports();
  return steps;
}

function item(folder: string, name: string): FetchItem {
  return { path: `/${name}`, info: {} as FetchItem['info'], place: { folder, name, path: join(folder, name) } };
}

async function placed(files: readonly Staged[], syncWhole?: (fd: number) => boolean): Promise<Map<string, string | null>> {
  const results = new Map<string, string | null>();
  await place(
    files,
    (file, error) => results.set(file.item.place.name, error === null ? null : (error as { code: string }).code),
    syncWhole,
  );
  return results;
}

describe('small files', () => {
  for (const files of [1, 40]) {
    it(`are synced before any of them gets its name: ${files}`, async () => {
      const { api } = await server(files);
      const to = local();
      const steps = watchSteps();
      const summary = await runGet(api, ['/many'], to, { stateFolder: join(work, 'state'), preserve: false });
      assert.equal(summary.filesDone, files);
      assert.equal(steps.filter((step) => step === 'renamed').length, files);
      const firstRename = steps.indexOf('renamed');
      const lastWrite = steps.lastIndexOf('written');
      assert.ok(lastWrite < firstRename, 'all are written before the first is renamed');
      assert.ok(steps.slice(lastWrite, firstRename).includes('synced'), steps.join(' '));
    });
  }

  it('are in their places while a slow pack is still on its way', async () => {
    const { api } = await server(3);
    const to = local();
    let nowMs = performance.now();
    mock.method(performance, 'now', () => nowMs);
    let early: string[] = [];
    const slow: Api = Object.assign(Object.create(api) as Api, {
      readPack: async (...call: Parameters<Api['readPack']>) => {
        const parts: Uint8Array[] = [];
        for await (const piece of await api.readPack(...call)) parts.push(piece);
        const pack = Buffer.concat(parts);
        return (async function* () {
          const half = Math.floor(pack.length / 2);
          yield pack.subarray(0, half);
          nowMs += 2000;
          yield pack.subarray(half, half + 1);
          early = fs.readdirSync(join(to, 'many')).filter((name) => /^f\d$/.test(name));
          yield pack.subarray(half + 1);
        })();
      },
    });
    const summary = await runGet(slow, ['/many'], to, { stateFolder: join(work, 'state') });
    assert.equal(summary.filesDone, 3);
    assert.deepEqual(early, ['f0']);
  });

  it('that came before the pack broke are kept', async () => {
    const { api } = await server(3);
    const to = local();
    const stop = new AbortController();
    const breaking: Api = Object.assign(Object.create(api) as Api, {
      readPack: async (...call: Parameters<Api['readPack']>) => {
        const parts: Uint8Array[] = [];
        for await (const piece of await api.readPack(...call)) parts.push(piece);
        const pack = Buffer.concat(parts);
        return (async function* () {
          yield pack.subarray(0, Math.floor(pack.length / 2));
          stop.abort();
          yield pack.subarray(0, 0);
        })();
      },
    });
    await assert.rejects(runGet(breaking, ['/many'], to, { stateFolder: join(work, 'state'), signal: stop.signal }), {
      code: 'interrupted',
    });
    assert.deepEqual(fs.readdirSync(join(to, 'many')), ['f0']);
  });
});

describe('placing', () => {
  it('syncs the file system once for many, when all are written and none has its name', async () => {
    const folder = local();
    const files = Array.from({ length: 20 }, (_, i) => stage(item(folder, `n${i}`), Buffer.from('new'), null, null));
    fs.writeFileSync(join(folder, 'n3'), 'good');
    const seen: string[][] = [];
    const results = await placed(files, () => {
      seen.push(fs.readdirSync(folder));
      assert.equal(fs.readFileSync(join(folder, 'n3'), 'utf8'), 'good');
      return true;
    });
    assert.equal(seen.length, 1);
    assert.equal(seen[0]!.filter((name) => name.endsWith('.hawser-partial')).length, 20);
    assert.equal(seen[0]!.filter((name) => name.startsWith('n')).length, 1);
    assert.ok([...results.values()].every((failure) => failure === null));
    assert.equal(fs.readdirSync(folder).length, 20);
    assert.equal(fs.readFileSync(join(folder, 'n3'), 'utf8'), 'new');
  });

  it('syncs each file where the file system cannot be synced as a whole', async () => {
    const folder = local();
    const files = Array.from({ length: 20 }, (_, i) => stage(item(folder, `n${i}`), Buffer.from('new'), null, null));
    const { fsync } = fs;
    let synced = 0;
    mock.method(fs, 'fsync', (fd: number, done: (error: Error | null) => void) => {
      fsync(fd, (error) => {
        synced++;
        done(error);
      });
    });
    const { renameSync } = fs;
    const syncedAtRename: number[] = [];
    mock.method(fs, 'renameSync', (from: string, to: string) => {
      syncedAtRename.push(synced);
      renameSync(from, to);
    });
    syncBuiltinESMExports();
    await placed(files, () => false);
    assert.deepEqual(syncedAtRename, Array(20).fill(20));
  });

  it('renames no file that could not be synced, and reports it', async () => {
    const folder = local();
    const files = ['a', 'b'].map((name) => stage(item(folder, name), Buffer.from('new'), null, null));
    fs.writeFileSync(join(folder, 'a'), 'good');
    let calls = 0;
    mock.method(fs, 'fsync', (_fd: number, done: (error: Error | null) => void) => {
      setImmediate(done, calls++ === 0 ? Object.assign(new Error('no'), { code: 'ENOSPC' }) : null);
    });
    syncBuiltinESMExports();
    const results = await placed(files);
    assert.deepEqual([...results.values()].sort(), ['local_no_space', null].sort());
    const failed = results.get('a') === null ? 'b' : 'a';
    assert.deepEqual(fs.readdirSync(folder).sort(), failed === 'a' ? ['a', 'b'] : ['a']);
    assert.equal(fs.readFileSync(join(folder, 'a'), 'utf8'), failed === 'a' ? 'good' : 'new');
  });

  it('syncs at once what its mode keeps from being opened again, and does not open it', async () => {
    const synced = mock.method(fs, 'fsyncSync');
    syncBuiltinESMExports();
    const folder = local();
    stage(item(folder, 'plain'), Buffer.from('new'), null, { mode: 0o644, mtimeNs: 0n });
    assert.equal(synced.mock.callCount(), 0);
    const closed = stage(item(folder, 'closed'), Buffer.from('new'), null, { mode: 0o000, mtimeNs: 0n });
    assert.equal(synced.mock.callCount(), 1);
    const steps = watchSteps();
    assert.equal((await placed([closed])).get('closed'), null);
    assert.deepEqual(steps, ['renamed']);
  });

  it('takes nothing that another process has put under the partial name', async () => {
    const folder = local();
    const file = stage(item(folder, 'a'), Buffer.from('mine'), null, null);
    fs.unlinkSync(file.partial);
    fs.writeFileSync(file.partial, 'half of th');
    const results = await placed([file]);
    assert.equal(results.get('a'), 'local_io');
    assert.equal(fs.existsSync(join(folder, 'a')), false);
    assert.equal(fs.readFileSync(file.partial, 'utf8'), 'half of th', 'it is not ours to remove');
  });
});
