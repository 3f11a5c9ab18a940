/** What every FileStore does, whatever it keeps its bytes in. Run by files.test.ts. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { aFile, type Check, codeOf, MTIME, names, put, putAll, read, refuses, text, type World } from './files-fixtures.ts';
import { linksContract } from './files-links.contract.ts';
import { manyContract } from './files-many.contract.ts';
import { listContract, treeContract } from './files-tree.contract.ts';

export function filesContract(name: string, createWorld: () => Promise<World>): void {
  const check: Check = (behaviour, run) => {
    test(behaviour, async () => {
      const world = await createWorld();
      try {
        await run(world);
      } finally {
        await world.done();
      }
    });
  };
  describe(`${name}: staging`, () => stagingContract(check));
  describe(`${name}: publishing`, () => publishContract(check));
  describe(`${name}: many small entries`, () => manyContract(check));
  describe(`${name}: looking and listing`, () => listContract(check));
  describe(`${name}: folders, moving and removing`, () => treeContract(check));
  describe(`${name}: links`, () => linksContract(check));
}

function stagingContract(check: Check): void {
  check('takes writes at any offset in any order and reads them back', async ({ store }) => {
    const staging = await store.createStaging('a', 10);
    await staging.write(6, text('6789'));
    await staging.write(0, text('012'));
    await staging.write(3, text('345'));
    const into = Buffer.alloc(20);
    assert.equal(await staging.read(0, into), 10);
    assert.equal(into.subarray(0, 10).toString(), '0123456789');
    assert.equal(await staging.read(8, into), 2);
    assert.equal(await staging.read(10, into), 0);
    assert.equal((await staging.publish('/a', 10, {})).size, 10);
  });

  check('lets the buffer be used again once a write has returned', async ({ store }) => {
    const staging = await store.createStaging('a', null);
    const buffer = Buffer.from('first');
    await staging.write(0, buffer);
    buffer.write('XXXXX');
    await staging.sync();
    await staging.publish('/a', 5, {});
    assert.equal(await read(store, '/a'), 'first');
  });

  check('is seen by nobody before it is published', async ({ store }) => {
    const staging = await store.createStaging('hidden', 4);
    await staging.write(0, text('here'));
    await staging.sync();
    assert.deepEqual(await names(store), []);
    await refuses('not_found', store.stat('/hidden'));
    await staging.close();
  });

  check('survives the process: what was synced is read by the next one', async ({ store, reopen }) => {
    const staging = await store.createStaging('kept', 100);
    await staging.write(50, text('middle'));
    await staging.sync();
    const next = await reopen();
    assert.deepEqual(await next.listStaging(), ['kept']);
    const again = await next.openStaging('kept');
    const into = Buffer.alloc(6);
    assert.equal(await again.read(50, into), 6);
    assert.equal(into.toString(), 'middle');
    await again.publish('/kept', 56, {});
    await staging.close();
    assert.equal((await read(next, '/kept')).slice(50), 'middle');
    assert.deepEqual(await next.listStaging(), []);
  });

  check('is kept by closing and freed by removing', async ({ store }) => {
    const staging = await store.createStaging('a', 3);
    await staging.write(0, text('abc'));
    await staging.close();
    const again = await store.openStaging('a');
    await again.close();
    await store.removeStaging('a');
    await store.removeStaging('a');
    await refuses('not_found', store.openStaging('a'));
    assert.deepEqual(await store.listStaging(), []);
  });

  check('refuses an id that is taken, or that is no id', async ({ store }) => {
    await (await store.createStaging('a', 1)).close();
    await refuses('exists', store.createStaging('a', 1));
    for (const id of ['', '..', '../a', 'a/b', 'A', 'a.part', 'x'.repeat(65), 'a\0']) {
      await refuses('request_invalid', store.createStaging(id, 1));
      await refuses('request_invalid', store.openStaging(id));
      await refuses('request_invalid', store.removeStaging(id));
      await refuses('request_invalid', store.copyToStaging('/x', id));
    }
    for (const size of [-1, 1.5, Number.NaN, 2 ** 60]) await refuses('request_invalid', store.createStaging('b', size));
    assert.deepEqual(await store.listStaging(), ['a']);
  });

  check('can begin as a copy of a published file, which stays as it is', async ({ store }) => {
    await put(store, '/a', 'original', { mode: 0o400 });
    const copy = await store.copyToStaging('/a', 'copy');
    await copy.write(0, text('O'));
    await copy.sync();
    await copy.publish('/b', 8, {});
    assert.equal(await read(store, '/b'), 'Original');
    assert.equal(await read(store, '/a'), 'original');
    await refuses('not_found', store.copyToStaging('/none', 'x'));
    await refuses('is_folder', store.copyToStaging('/', 'x'));
    await (await store.createStaging('taken', 1)).close();
    await refuses('exists', store.copyToStaging('/a', 'taken'));
    assert.deepEqual(await store.listStaging(), ['taken']);
  });
}

function publishContract(check: Check): void {
  check('gives the entry that stat gives then, with exact mtime and mode', async ({ store }) => {
    for (const [mtimeNs, mode] of [
      [MTIME, 0o640],
      [1n, 0o600],
      [2_000_000_000_999_999_999n, 0o444],
    ] as const) {
      const entry = await put(store, `/f${mode}`, 'x', { mtimeNs, mode });
      assert.deepEqual(entry, await store.stat(`/f${mode}`));
      assert.equal(entry.mtimeNs, mtimeNs);
      assert.equal(entry.mode, mode);
      assert.equal(entry.kind, 'file');
    }
    assert.equal((await put(store, '/plain')).mode, 0o644);
  });

  check('drops set-id and sticky bits', async ({ store }) => {
    assert.equal((await put(store, '/f', 'x', { mode: 0o7755 })).mode, 0o755);
    assert.equal((await store.makeFolder('/d', { mode: 0o7750 })).mode, 0o750);
    assert.equal((await putAll(store, aFile('/g', 'x', { mode: 0o6711 })))[0]!.mode, 0o711);
  });

  check('cuts to the size that is given, and makes parent folders', async ({ store }) => {
    const staging = await store.createStaging('a', 100);
    await staging.write(0, text('0123456789'));
    assert.equal((await staging.publish('/x/y/z', 4, {})).size, 4);
    assert.equal(await read(store, '/x/y/z'), '0123');
    assert.deepEqual(await names(store), ['/x', '/x/y', '/x/y/z']);
    assert.equal((await store.stat('/x/y')).mode, 0o755);
  });

  check('takes empty files', async ({ store }) => {
    assert.equal((await put(store, '/empty', '')).size, 0);
    assert.equal(await read(store, '/empty'), '');
  });

  check('replaces a file in one step: who reads the old one goes on with its bytes', async ({ store }) => {
    const first = await put(store, '/a', 'old bytes');
    const reader = await store.openRead('/a');
    const second = await put(store, '/a', 'new');
    assert.notEqual(second.version, first.version);
    const into = Buffer.alloc(9);
    assert.equal(await reader.read(0, into), 9);
    assert.equal(into.toString(), 'old bytes');
    await reader.close();
    assert.equal(await read(store, '/a'), 'new');
  });

  check('shows the old file or the new one to whoever looks meanwhile', async ({ store }) => {
    await put(store, '/a', 'x'.repeat(1000));
    let publishing = true;
    const seen = new Set<number>();
    const watch = async (): Promise<void> => {
      while (publishing) {
        const content = await read(store, '/a');
        assert.match(content, /^(x+|y+)$/);
        seen.add(content.length).add((await store.stat('/a')).size);
      }
    };
    const watching = watch();
    for (let i = 0; i < 20; i++) await put(store, '/a', i % 2 === 0 ? 'y'.repeat(2000) : 'x'.repeat(1000));
    publishing = false;
    await watching;
    assert.deepEqual(
      [...seen].filter((size) => size !== 1000 && size !== 2000),
      [],
    );
    assert.ok(seen.size > 0);
  });

  check('obeys the overwrite rule', async ({ store }) => {
    await put(store, '/a', 'first', { overwrite: 'never', mtimeNs: MTIME });
    await refuses('exists', put(store, '/a', 'second', { overwrite: 'never', mtimeNs: MTIME + 1n }));
    await refuses('not_newer', put(store, '/a', 'second', { overwrite: 'newer', mtimeNs: MTIME }));
    await refuses('not_newer', put(store, '/a', 'second', { overwrite: 'newer', mtimeNs: MTIME - 1n }));
    assert.equal(await read(store, '/a'), 'first');
    await put(store, '/a', 'newer', { overwrite: 'newer', mtimeNs: MTIME + 1n });
    assert.equal(await read(store, '/a'), 'newer');
    await put(store, '/a', 'older', { overwrite: 'always', mtimeNs: 1n });
    assert.equal(await read(store, '/a'), 'older');
    await put(store, '/b', 'new', { overwrite: 'newer', mtimeNs: 1n });
  });

  check('lets exactly one of many win that may not replace', async ({ store }) => {
    const tries = Array.from({ length: 10 }, (_, i) => put(store, '/one', `try ${i}`, { overwrite: 'never' }));
    const results = await Promise.allSettled(tries);
    const won = results.flatMap((result, i) => (result.status === 'fulfilled' ? [i] : []));
    assert.equal(won.length, 1);
    for (const result of results) if (result.status === 'rejected') assert.equal(codeOf(result.reason), 'exists');
    assert.equal(await read(store, '/one'), `try ${won[0]}`);
    assert.deepEqual(await store.listStaging(), []);
  });

  check('keeps the staging file when it is refused', async ({ store }) => {
    await store.makeFolder('/folder');
    await put(store, '/file');
    const staging = await store.createStaging('a', 4);
    await staging.write(0, text('good'));
    for (const overwrite of ['always', 'newer', 'never'] as const) {
      await refuses('is_folder', staging.publish('/folder', 4, { overwrite }));
    }
    await refuses('is_folder', staging.publish('/', 4, {}));
    await refuses('not_folder', staging.publish('/file/below', 4, {}));
    await refuses('exists', staging.publish('/file', 4, { overwrite: 'never', mode: 0o400 }));
    assert.deepEqual(await store.listStaging(), ['a']);
    await staging.close();
    await (await store.openStaging('a')).publish('/good', 4, {});
    assert.equal(await read(store, '/good'), 'good');
    assert.equal(await read(store, '/file'), 'content');
  });

  check('takes odd names, and lists them as they are', async ({ store }) => {
    const odd = [
      '/new\nline',
      '/-rf',
      '/ ',
      '/~',
      '/\\',
      '/a"b',
      '/ünï',
      '/\u{1f6a2}',
      '/n\udcffot\udc80utf8',
      `/${'x'.repeat(255)}`,
      '/*',
    ];
    for (const [i, path] of odd.entries()) {
      assert.equal((await put(store, path, `content ${i}`)).path, path);
      assert.equal((await store.stat(path)).path, path);
      assert.equal(await read(store, path), `content ${i}`);
    }
    await putAll(store, aFile('/d\udcfe/e\udcff', 'batch'));
    assert.equal(await read(store, '/d\udcfe/e\udcff'), 'batch');
    const listed = await names(store);
    assert.deepEqual(new Set(listed), new Set([...odd, '/d\udcfe', '/d\udcfe/e\udcff']));
    await store.move('/n\udcffot\udc80utf8', '/m\udcff');
    await store.remove('/m\udcff');
    await store.remove('/d\udcfe', { recursive: true });
    assert.equal((await names(store)).length, odd.length - 1);
  });
}
