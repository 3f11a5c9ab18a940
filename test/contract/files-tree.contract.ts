/** The part of the FileStore contract that is about what is published: looking, listing, folders, moving and removing. */
import assert from 'node:assert/strict';
import { aFile, aFolder, aLink, type Check, MTIME, names, put, putAll, read, refuses } from './files-fixtures.ts';

export function listContract(check: Check): void {
  check('says not_found for what is not there, and not_folder when it is no folder', async ({ store }) => {
    await put(store, '/file');
    await refuses('not_found', store.stat('/none'), '/none');
    await refuses('not_found', store.stat('/file/below'), '/file/below');
    await refuses('not_found', store.openRead('/none/below'), '/none/below');
    await refuses('is_folder', store.openRead('/'));
    await refuses('not_found', store.list('/none', { limit: 1 }));
    await refuses('not_folder', store.list('/file', { limit: 1 }));
    assert.equal((await store.stat('/')).kind, 'folder');
  });

  check('reads at any offset, and less only at the end', async ({ store }) => {
    await put(store, '/a', '0123456789');
    const file = await store.openRead('/a');
    const into = Buffer.alloc(4);
    assert.equal(await file.read(8, into), 2);
    assert.equal(into.subarray(0, 2).toString(), '89');
    assert.equal(await file.read(3, into), 4);
    assert.equal(into.toString(), '3456');
    assert.equal(await file.read(10, into), 0);
    assert.equal(await file.read(99, into), 0);
    await file.close();
  });

  check('lists one folder in the order of the bytes', async ({ store }) => {
    await putAll(store, ...['/b', '/a', '/B', '/\u{10000}', '/\uffff', '/a-b', '/d/x', '/\udcff'].map((path) => aFile(path)));
    assert.deepEqual(await names(store, '/', false), ['/B', '/a', '/a-b', '/b', '/d', '/\uffff', '/\u{10000}', '/\udcff']);
    const { entries } = await store.list('/', { limit: 100 });
    for (const entry of entries) assert.deepEqual(entry, await store.stat(entry.path));
  });

  check('lists a tree with folders before their content', async ({ store }) => {
    await putAll(store, aFile('/a/x'), aFile('/a-b'), aFile('/a/b/c'), aFile('/a.b'), aFolder('/z'), aLink('/k', 'a'));
    assert.deepEqual(await names(store), ['/a', '/a/b', '/a/b/c', '/a/x', '/a-b', '/a.b', '/k', '/z']);
    assert.deepEqual(await names(store, '/a'), ['/a/b', '/a/b/c', '/a/x']);
    assert.deepEqual(await names(store, '/k'), ['/k/b', '/k/b/c', '/k/x'], 'a link to a folder can be listed by its name');
  });

  check('pages through a tree without losing or doubling an entry', async ({ store }) => {
    const files = Array.from({ length: 2500 }, (_, i) => aFile(`/t${i % 7}/${i % 31}/f${i}`, ''));
    await putAll(store, ...files);
    const all = await names(store);
    assert.equal(all.length, 2500 + 7 + 7 * 31);
    const paged: string[] = [];
    for (let after: string | undefined; ; after = paged.at(-1)) {
      const page = await store.list('/', { limit: 100, recursive: true, ...(after === undefined ? {} : { after }) });
      assert.ok(page.entries.length === 100 || !page.more);
      paged.push(...page.entries.map((entry) => entry.path));
      if (!page.more) break;
    }
    assert.deepEqual(paged, all);
  });

  check('goes on after any path, there or not', async ({ store }) => {
    await putAll(store, aFile('/a/x'), aFile('/b/y/z'), aFile('/c'));
    const after = async (path: string, recursive: boolean, at = '/'): Promise<string[]> =>
      (await store.list(at, { limit: 10, recursive, after: path })).entries.map((entry) => entry.path);
    assert.deepEqual(await after('/a', true), ['/a/x', '/b', '/b/y', '/b/y/z', '/c']);
    assert.deepEqual(await after('/aa', true), ['/b', '/b/y', '/b/y/z', '/c']);
    assert.deepEqual(await after('/b/y/none', true), ['/b/y/z', '/c']);
    assert.deepEqual(await after('/b/zzz', true), ['/c']);
    assert.deepEqual(await after('/b/y', false), ['/c']);
    assert.deepEqual(await after('/z', true), []);
    assert.deepEqual(await after('/a', true, '/b'), ['/b/y', '/b/y/z']);
    assert.deepEqual(await after('/c', true, '/b'), []);
    assert.deepEqual(await after('/b', true, '/b'), ['/b/y', '/b/y/z']);
    assert.deepEqual(await store.list('/', { limit: 3 }), {
      entries: (await store.list('/', { limit: 9 })).entries,
      more: false,
    });
  });

  check('gives a new version when the content changes, and the same while it does not', async ({ store }) => {
    const first = await put(store, '/a', 'same', { mtimeNs: MTIME });
    assert.equal((await store.stat('/a')).version, first.version);
    const second = await put(store, '/a', 'diff', { mtimeNs: MTIME });
    assert.notEqual(second.version, first.version);
  });

  check('tells how much room there is', async ({ store }) => {
    const freeBytes = await store.freeBytes();
    assert.ok(freeBytes === null || freeBytes > 0);
  });
}

export function treeContract(check: Check): void {
  check('makes folders with their parents; one that is there only gets the attributes', async ({ store }) => {
    const made = await store.makeFolder('/a/b/c', { mode: 0o700, mtimeNs: MTIME });
    assert.deepEqual([made.kind, made.mode, made.mtimeNs], ['folder', 0o700, MTIME]);
    assert.deepEqual(made, await store.stat('/a/b/c'));
    assert.equal((await store.makeFolder('/a/b/c')).mode, 0o700);
    assert.equal((await store.makeFolder('/a/b/c')).mtimeNs, MTIME);
    assert.equal((await store.makeFolder('/a/b', { mode: 0o711 })).mode, 0o711);
    assert.equal((await store.makeFolder('/d')).mode, 0o755);
    assert.equal((await store.makeFolder('/')).kind, 'folder');
    await put(store, '/file');
    await refuses('not_folder', store.makeFolder('/file'), '/file');
    await refuses('not_folder', store.makeFolder('/file/below'), '/file/below');
  });

  check('moves files, folders and links by name', async ({ store }) => {
    const before = (await putAll(store, aFile('/d/a', 'bytes', { mtimeNs: MTIME, mode: 0o600 }), aLink('/d/l', 'a')))[0]!;
    const after = await store.move('/d/a', '/new/b');
    assert.deepEqual({ ...after, version: '' }, { ...before, path: '/new/b', version: '' });
    assert.deepEqual(after, await store.stat('/new/b'));
    assert.equal((await store.move('/d', '/e')).kind, 'folder');
    assert.equal((await store.move('/e/l', '/e/m')).target, 'a');
    assert.deepEqual(await names(store), ['/e', '/e/m', '/new', '/new/b']);
    assert.equal(await read(store, '/new/b'), 'bytes');
  });

  check('refuses moves that would replace, or that make no sense', async ({ store }) => {
    await putAll(
      store,
      aFile('/a', 'a', { mtimeNs: MTIME }),
      aFile('/b', 'b', { mtimeNs: MTIME }),
      aFile('/d/x'),
      aFolder('/empty'),
    );
    await refuses('exists', store.move('/a', '/b'));
    await refuses('not_newer', store.move('/a', '/b', 'newer'));
    await refuses('is_folder', store.move('/a', '/empty', 'always'));
    await refuses('is_folder', store.move('/d', '/empty', 'always'), '/empty');
    await refuses('exists', store.move('/d', '/a', 'always'));
    await refuses('not_found', store.move('/none', '/c'), '/none');
    await refuses('path_invalid', store.move('/d', '/d/inside'));
    await refuses('path_invalid', store.move('/', '/c'));
    await refuses('is_folder', store.move('/a', '/'));
    await refuses('not_folder', store.move('/a', '/b/c'));
    assert.deepEqual(await names(store), ['/a', '/b', '/d', '/d/x', '/empty']);
    assert.equal(await read(store, '/b'), 'b');
    await store.move('/a', '/b', 'always');
    assert.equal(await read(store, '/b'), 'a');
    assert.deepEqual(await names(store), ['/b', '/d', '/d/x', '/empty']);
    await store.move('/b', '/b', 'always');
    assert.equal(await read(store, '/b'), 'a');
  });

  check('removes files and empty folders; a tree only when asked to', async ({ store }) => {
    await putAll(store, aFile('/a'), aFile('/d/e/f'), aFile('/d/g'), aFolder('/empty'));
    await store.remove('/a');
    await store.remove('/empty');
    await refuses('not_found', store.remove('/a'), '/a');
    await refuses('not_found', store.remove('/a/b/c'), '/a/b/c');
    await refuses('not_empty', store.remove('/d'), '/d');
    await refuses('path_invalid', store.remove('/', { recursive: true }));
    assert.deepEqual(await names(store), ['/d', '/d/e', '/d/e/f', '/d/g']);
    await store.remove('/d', { recursive: true });
    assert.deepEqual(await names(store), []);
  });

  check('removes trees whose folders are write-protected', async ({ store }) => {
    await putAll(store, aFile('/d/e/f'), aFolder('/d/e', { mode: 0o500 }), aFolder('/d', { mode: 0o500 }));
    await store.remove('/d', { recursive: true });
    assert.deepEqual(await names(store), []);
  });
}
