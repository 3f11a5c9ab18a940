/** Tests of what only the store on disk can get wrong: links that others planted, full and read-only disks, crashes of threads. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { createBatchPool } from '../../src/store/files/batch-pool.ts';
import { borderOf } from '../../src/store/files/border.ts';
import type { FileStore } from '../../src/store/files/contract.ts';
import { openFileSystemStore } from '../../src/store/files/filesystem.ts';
import { aFile, aFolder, aLink, codeOf, MTIME, names, put, putAll, read, refuses } from './files-fixtures.ts';

export function fileSystemTests(): void {
  describe('file system: links that others planted', () => {
    test('lead nobody out of the root, by whatever way', async (t) => {
      const { root, outside, store } = await setUp(t);
      fs.writeFileSync(join(outside, 'secret'), 'secret');
      fs.mkdirSync(join(root, 'd'));
      fs.symlinkSync(outside, join(root, 'absolute'));
      fs.symlinkSync('../outside', join(root, 'relative'));
      fs.symlinkSync('relative', join(root, 'chain'));
      fs.symlinkSync('..', join(root, 'up'));
      fs.symlinkSync(join(outside, 'secret'), join(root, 'file'));
      fs.symlinkSync(outside, join(root, 'd', 'out'));
      for (const way of ['/absolute', '/relative', '/chain', '/up/outside', '/d/out']) {
        const secret = `${way}/secret`;
        await refuses('path_escapes', store.stat(secret));
        await refuses('path_escapes', store.openRead(secret));
        await refuses('path_escapes', store.list(way, { limit: 1 }));
        await refuses('path_escapes', store.copyToStaging(secret, 'copy'));
        await refuses('path_escapes', put(store, secret, 'overwritten'));
        await refuses('path_escapes', put(store, `${way}/new/file`));
        await refuses('path_escapes', store.makeFolder(`${way}/new`));
        await refuses('path_escapes', store.move(secret, '/got'));
        await refuses('path_escapes', store.remove(secret));
        await put(store, '/mine', 'mine');
        await refuses('path_escapes', store.move('/mine', `${way}/mine`));
        await store.remove('/mine');
        const entries = [aFile(secret), aFile(`${way}/new/file`), aLink(`${way}/link`, 'x'), aFolder(`${way}/folder`)];
        assert.deepEqual((await store.putMany(entries, 'always')).map(codeOf), Array(4).fill('path_escapes'));
        assert.deepEqual((await store.getMany([secret, '/file'], 100)).map(codeOf), ['path_escapes', 'path_escapes']);
      }
      await refuses('path_escapes', store.openRead('/file'));
      await refuses('path_escapes', store.stat('/file', { follow: true }));
      await refuses('path_escapes', store.stat('/up', { follow: true }));
      assert.equal((await store.stat('/file')).kind, 'link');
      await store.remove('/absolute', { recursive: true });
      await put(store, '/file', 'mine now');
      assert.deepEqual(fs.readdirSync(outside), ['secret']);
      assert.equal(fs.readFileSync(join(outside, 'secret'), 'utf8'), 'secret');
      assert.deepEqual(await names(store), ['/chain', '/d', '/d/out', '/file', '/relative', '/up']);
    });

    test('cannot be swapped in between check and use', async (t) => {
      const { root, outside, store } = await setUp(t);
      fs.mkdirSync(join(root, 'd'));
      fs.symlinkSync(outside, join(root, 'planted'));
      let racing = true;
      const swap = async (): Promise<void> => {
        // A folder that was made anew in the gap stops a step; the next round goes on with what is there.
        const step = (from: string, to: string) => fs.promises.rename(join(root, from), join(root, to)).catch(() => undefined);
        for (let i = 0; racing; i++) {
          await step('d', `aside-${i}`);
          await step('planted', 'd');
          await step('d', 'planted');
          await step(`aside-${i}`, 'd');
        }
      };
      const swapping = swap();
      let stored = 0;
      for (let i = 0; i < 150; i++) {
        const results = await Promise.allSettled([
          put(store, `/d/p${i}`, 'x', { overwrite: i % 2 === 0 ? 'always' : 'never' }),
          store
            .putMany([aFile(`/d/m${i}`)], 'always')
            .then(([result]) => (result instanceof Error ? Promise.reject(result) : result)),
          store.makeFolder(`/d/f${i}`),
        ]);
        stored += results.filter((result) => result.status === 'fulfilled').length;
      }
      racing = false;
      await swapping;
      assert.deepEqual(fs.readdirSync(outside), []);
      assert.ok(stored > 0, 'some got through to the real folder');
    });
  });

  describe("file system: Hawser's own folder", () => {
    test('is private, hidden and out of reach wherever it lies', async (t) => {
      const { root } = await setUp(t);
      const state = join(root, 'deep', 'er', 'state');
      const store = await opened(t, root, state);
      assert.equal(fs.statSync(state).mode & 0o777, 0o700);
      assert.equal(fs.statSync(join(state, 'staging')).mode & 0o777, 0o700);
      await (await store.createStaging('a', 1)).close();
      fs.symlinkSync('deep/er/state', join(root, 'link'));
      fs.symlinkSync('deep/er/state/staging/a.part', join(root, 'file'));
      assert.deepEqual(await names(store), ['/deep', '/deep/er', '/file', '/link']);
      assert.deepEqual(await names(store, '/deep/er'), []);
      for (const path of ['/deep/er/state', '/link/staging', '/link/staging/a.part', '/deep/er/state/staging/a.part']) {
        await refuses('path_reserved', store.stat(path));
        await refuses('path_reserved', store.openRead(path));
        await refuses('path_reserved', store.remove(path, { recursive: true }));
        await refuses('path_reserved', store.move(path, '/mine'));
        await refuses('path_reserved', store.makeFolder(path));
        assert.deepEqual((await store.putMany([aFolder(path)], 'always')).map(codeOf), ['path_reserved']);
        assert.deepEqual((await store.getMany([path], 10)).map(codeOf), ['path_reserved']);
      }
      await refuses('path_reserved', store.openRead('/file'));
      await refuses('path_reserved', store.stat('/link', { follow: true }));
      await refuses('path_reserved', store.list('/link', { limit: 1 }));
      await refuses('path_reserved', store.remove('/deep', { recursive: true }));
      await refuses('path_reserved', store.move('/deep', '/elsewhere'));
      assert.deepEqual(await store.listStaging(), ['a']);
    });

    test('has to lie on the same file system as the root', async (t) => {
      const { root } = await setUp(t);
      const elsewhere = '/dev/shm';
      if (!fs.existsSync(elsewhere) || fs.statSync(elsewhere).dev === fs.statSync(root).dev)
        return t.skip('needs a second file system');
      const state = fs.mkdtempSync(join(elsewhere, 'hawser-files-'));
      t.after(() => fs.rmSync(state, { recursive: true }));
      await refuses('request_invalid', openFileSystemStore({ root, state }), state);
    });

    test('needs a root that is there and is a folder', async (t) => {
      const { root } = await setUp(t);
      fs.writeFileSync(join(root, 'file'), '');
      await refuses('not_found', openFileSystemStore({ root: join(root, 'none') }), 'none');
      await refuses('not_folder', openFileSystemStore({ root: join(root, 'file') }), 'file');
    });

    test('is cleared of what a killed process left, and of nothing else', async (t) => {
      const { root, store } = await setUp(t);
      const staging = join(root, '.hawser', 'staging');
      await (await store.createStaging('kept', 1)).close();
      fs.writeFileSync(join(staging, 'x-1.batch'), 'half');
      fs.mkdirSync(join(root, '.hawser', 'trash', 'tree', 'below'), { recursive: true });
      // Between the two steps of a publish that may not replace, the file has both names.
      fs.writeFileSync(join(staging, 'twice.part'), 'published');
      fs.linkSync(join(staging, 'twice.part'), join(root, 'twice'));
      const next = await opened(t, root);
      assert.deepEqual(fs.readdirSync(join(root, '.hawser', 'trash')), []);
      await refuses('not_found', next.openStaging('twice'));
      assert.deepEqual(fs.readdirSync(staging), ['kept.part']);
      assert.equal(await read(next, '/twice'), 'published');
    });
  });

  test('file system: a tree deeper than a path can be long is removed, and leaves nothing in the trash', async (t) => {
    const { root, store } = await setUp(t);
    execFileSync('sh', ['-c', 'for i in $(seq 60); do mkdir $0 && cd $0; done; : > leaf', 'n'.repeat(80)], { cwd: root });
    await store.remove(`/${'n'.repeat(80)}`, { recursive: true });
    assert.deepEqual(await names(store), []);
    assert.deepEqual(fs.readdirSync(join(root, '.hawser', 'trash')), []);
  });

  test('file system: FIFOs and sockets are not there, and nobody waits for them', async (t) => {
    const { root, store } = await setUp(t);
    if (spawnSync('mkfifo', [join(root, 'fifo')]).status !== 0) return t.skip('mkfifo is not installed');
    fs.symlinkSync('fifo', join(root, 'link'));
    assert.deepEqual(await names(store), ['/link']);
    for (const path of ['/fifo', '/link']) {
      await refuses('not_found', store.openRead(path));
      await refuses('not_found', store.stat(path, { follow: true }));
      await refuses('not_found', store.copyToStaging(path, 'copy'));
      assert.deepEqual((await store.getMany([path], 10)).map(codeOf), ['not_found']);
    }
    await refuses('not_found', store.move('/fifo', '/mine'));
    await refuses('not_found', store.remove('/fifo'));
    assert.ok(fs.existsSync(join(root, 'fifo')));
  });

  test('file system: modes are exact under any umask', async (t) => {
    const umask = process.umask(0o077);
    t.after(() => process.umask(umask));
    const { store } = await setUp(t);
    assert.equal((await put(store, '/a', 'x', { mode: 0o666 })).mode, 0o666);
    const made = await putAll(store, aFile('/b', 'x', { mode: 0o664 }), aFolder('/d', { mode: 0o775 }));
    assert.deepEqual(
      made.map((entry) => entry.mode),
      [0o664, 0o775],
    );
    assert.equal((await store.makeFolder('/e', { mode: 0o777 })).mode, 0o777);
  });

  describe('file system: a disk', () => {
    test('that is full says no_space, and loses nothing', async (t) => {
      const root = mounted(t, 'size=2m');
      if (root === null) return;
      const store = await opened(t, root);
      await put(store, '/a', 'kept');
      await refuses('no_space', store.createStaging('big', 5_000_000), '5000000 bytes');
      const free = await store.freeBytes();
      await refuses('no_space', store.createStaging('big', 5_000_000), `${free} bytes free`);
      assert.deepEqual(await store.listStaging(), []);
      const staging = await store.createStaging('a', null);
      const chunk = Buffer.alloc(1_000_000);
      await staging.write(0, chunk);
      await refuses('no_space', staging.write(1_000_000, Buffer.alloc(3_000_000)));
      const results = await store.putMany(
        [aFile('/small', 'x'), { path: '/b', kind: 'file', bytes: Buffer.alloc(3_000_000) }],
        'always',
      );
      assert.equal(codeOf(results[1]), 'no_space');
      await staging.close();
      await store.removeStaging('a');
      assert.deepEqual(fs.readdirSync(join(root, '.hawser', 'staging')), []);
      assert.equal(await read(store, '/a'), 'kept');
      assert.equal(codeOf((await store.putMany([aFile('/small', 'x')], 'always'))[0]), 'stored');
    });

    test('that is read-only says read_only and is still read', async (t) => {
      const root = mounted(t, 'size=2m');
      if (root === null) return;
      const store = await opened(t, root);
      await put(store, '/a', 'still here');
      const staging = await store.createStaging('a', 1);
      await staging.close();
      execFileSync('mount', ['-o', 'remount,ro', root]);
      for (const write of [
        () => store.createStaging('b', 1),
        () => store.openStaging('a'),
        () => store.makeFolder('/d'),
        () => store.move('/a', '/b'),
        () => store.remove('/a'),
      ]) {
        await refuses('read_only', write());
      }
      const entries = [aFile('/c'), aFolder('/d'), aLink('/l', 'a')];
      assert.deepEqual((await store.putMany(entries, 'always')).map(codeOf), ['read_only', 'read_only', 'read_only']);
      assert.equal(await read(store, '/a'), 'still here');
    });
  });

  describe('file system: threads for small files', () => {
    test('that die take their calls with them, and the next call starts a new one', async (t) => {
      const { root, store } = await setUp(t);
      await putAll(store, aFile('/a', 'here'));
      // Dies when it is asked to read "/die", and is the real thread otherwise.
      const program = join(root, 'dies.mjs');
      const worker = pathToFileURL(join(import.meta.dirname, '../../src/store/files/filesystem-worker.ts'));
      fs.writeFileSync(
        program,
        `import { parentPort } from 'node:worker_threads';
parentPort.on('message', ({ request }) => { if (request.paths?.[0] === '/die') process.exit(3); });
await import(${JSON.stringify(worker.href)});`,
      );
      const state = join(root, '.hawser');
      const pool = createBatchPool({ border: borderOf(root, state), staging: join(state, 'staging') }, pathToFileURL(program));
      t.after(() => pool.close());
      const calls = [pool.getMany(['/die'], 10), pool.getMany(['/a'], 10), pool.getMany(['/a'], 10)];
      const settled = await Promise.allSettled(calls);
      const failed = settled.filter((result) => result.status === 'rejected');
      assert.ok(failed.length >= 1 && settled[0]!.status === 'rejected');
      for (const { reason } of failed) assert.equal(codeOf(reason), 'io_error');
      const [again] = await pool.getMany(['/a'], 10);
      assert.ok(again !== undefined && !(again instanceof Error));
      assert.equal(Buffer.from(again.bytes).toString(), 'here');
    });

    test('do not keep the process alive, and print no warnings', () => {
      const { stdout, stderr, status } = inOwnProcess(
        [],
        `
        store.startThreads();
        const results = await store.putMany([{ path: '/a', kind: 'file', bytes: Buffer.from('x'), mtimeNs: ${MTIME}n }], 'always');
        console.log(results[0].mtimeNs);`,
      );
      assert.deepEqual([stdout, stderr, status], [`${MTIME}n\n`, '', 0]);
    });

    test('do not keep the process alive when they were started and nothing came', () => {
      const { stdout, stderr, status } = inOwnProcess([], 'store.startThreads();');
      assert.deepEqual([stdout, stderr, status], ['', '', 0]);
    });

    test('have room for the descriptors of their batches before the first one', { skip: NO_PROC }, () => {
      const { stdout, stderr, status } = inOwnProcess(
        [],
        `
        await store.putMany([{ path: '/a', kind: 'file', bytes: Buffer.from('x') }], 'always');
        console.log(/FDSize:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]);`,
      );
      assert.deepEqual([Number(stdout) >= 2048, stderr, status], [true, '', 0]);
    });

    test('read what is there also when they cannot make that room', () => {
      const { stdout, stderr, status } = inOwnProcess(
        [],
        `
        rmSync(new URL('.hawser/staging', import.meta.url), { recursive: true });
        const [found] = await store.getMany(['/program.mjs'], 100_000);
        console.log(found.message ?? found.entry.kind);`,
      );
      assert.deepEqual([stdout, stderr, status], ['file\n', '', 0]);
    });

    test('do without node:ffi: only the mtime is then a little off', () => {
      const { stdout, stderr, status } = inOwnProcess(
        ['--no-experimental-ffi'],
        `
        const many = Array.from({ length: 20 }, (_, i) => ({ path: '/d' + i + '/a', kind: 'file', bytes: Buffer.from('x'), mtimeNs: ${MTIME}n }));
        const results = [...await store.putMany(many, 'always'), ...await store.putMany(many, 'never')];
        const link = await store.putMany([{ path: '/l', kind: 'link', target: 'a', bytes: Buffer.alloc(0) }], 'never');
        await store.move('/d0/a', '/b');
        const staging = await store.createStaging('s', 1);
        results.push(await staging.publish('/s', 1, { mtimeNs: ${MTIME}n }));
        console.log(JSON.stringify(results.map((r) => r.code ?? Math.abs(Number(r.mtimeNs - ${MTIME}n)) < 1000)), link[0].target);`,
      );
      const expected = JSON.stringify([...Array(20).fill(true), ...Array(20).fill('exists'), true]);
      assert.deepEqual([stdout, stderr, status], [`${expected} a\n`, '', 0]);
    });
  });
}

async function setUp(t: TestContext): Promise<{ root: string; outside: string; store: FileStore }> {
  const base = fs.mkdtempSync(join(tmpdir(), 'hawser-files-'));
  t.after(() => fs.rmSync(base, { recursive: true }));
  const root = join(base, 'root');
  const outside = join(base, 'outside');
  fs.mkdirSync(root);
  fs.mkdirSync(outside);
  return { root, outside, store: await opened(t, root) };
}

async function opened(t: TestContext, root: string, state?: string): Promise<FileStore> {
  const store = await openFileSystemStore(state === undefined ? { root } : { root, state });
  t.after(() => store.close());
  return store;
}

/** A small file system of its own, or null and the test is skipped. */
function mounted(t: TestContext, options: string): string | null {
  const root = fs.mkdtempSync(join(tmpdir(), 'hawser-mount-'));
  const { status, error } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', root]);
  if (status !== 0) {
    fs.rmdirSync(root);
    t.skip(`needs the right to mount a tmpfs (${error?.message ?? `mount ended with ${status}`})`);
    return null;
  }
  t.after(() => {
    execFileSync('umount', ['-l', root]);
    fs.rmdirSync(root);
  });
  return root;
}

/** Runs `body` with a `store`, which it does not close. */
function inOwnProcess(flags: string[], body: string): { stdout: string; stderr: string; status: number | null } {
  const root = fs.mkdtempSync(join(tmpdir(), 'hawser-files-'));
  const module = pathToFileURL(join(import.meta.dirname, '../../src/store/files/filesystem.ts')).href;
  const program = join(root, 'program.mjs');
  fs.writeFileSync(
    program,
    `import { readFileSync, rmSync } from 'node:fs';
import { openFileSystemStore } from ${JSON.stringify(module)};
const store = await openFileSystemStore({ root: ${JSON.stringify(root)} });
${body}`,
  );
  try {
    const env = { ...process.env, NODE_OPTIONS: '' };
    const { stdout, stderr, status } = spawnSync(process.execPath, [...flags, program], { encoding: 'utf8', env });
    return { stdout, stderr, status };
  } finally {
    fs.rmSync(root, { recursive: true });
  }
}

const NO_PROC = process.platform === 'linux' ? false : 'the size of the table is told by /proc';
