/** The part of the FileStore contract that is about links: they are stored as they are, and never lead outside. */
import assert from 'node:assert/strict';
import { aFile, aFolder, aLink, type Check, codeOf, names, put, putAll, read, refuses } from './files-fixtures.ts';

export function linksContract(check: Check): void {
  check('are made when their target stays inside by its words, whether it is there or not', async ({ store }) => {
    const inside = [aLink('/a', 'none'), aLink('/d/b', '../x'), aLink('/d/e/c', '../../d/./e//f'), aLink('/n\udcff', 't\udcfe')];
    const results = await store.putMany(inside, 'always');
    assert.deepEqual(
      results.map((result) => (result instanceof Error ? result.message : result.target)),
      inside.map((entry) => entry.target),
    );
    assert.equal((await store.stat('/n\udcff')).target, 't\udcfe');
    const outside = [
      aLink('/o1', '/etc/passwd'),
      aLink('/o2', '..'),
      aLink('/d/o3', '../../x'),
      aLink('/o4', 'd/../../x'),
      aLink('/o5', '/'),
      aLink('/o6', 'x/../..'),
    ];
    assert.deepEqual((await store.putMany(outside, 'always')).map(codeOf), Array(outside.length).fill('link_escapes'));
    assert.ok((await names(store)).every((path) => !path.includes('o')));
  });

  check('count the folder where they really are, not the one they were sent to', async ({ store }) => {
    await putAll(store, aFolder('/a/b/c'), aLink('/a/b/c/top', '../../..'));
    assert.deepEqual((await store.putMany([aLink('/a/b/c/top/l', '../../../x')], 'always')).map(codeOf), ['link_escapes']);
    await refuses('not_found', store.stat('/l'));
  });

  check('are followed by reads and by stat on request, inside the root', async ({ store }) => {
    await putAll(
      store,
      aFile('/d/file', 'here'),
      aLink('/l', 'd/file'),
      aLink('/chain', 'l'),
      aLink('/ld', 'd'),
      aLink('/gone', 'none'),
    );
    assert.equal(await read(store, '/chain'), 'here');
    assert.equal(await read(store, '/ld/file'), 'here');
    assert.equal((await store.stat('/l')).kind, 'link');
    const followed = await store.stat('/chain', { follow: true });
    assert.deepEqual([followed.kind, followed.size, followed.path], ['file', 4, '/chain']);
    assert.equal((await store.stat('/ld', { follow: true })).kind, 'folder');
    await refuses('not_found', store.openRead('/gone'));
    await refuses('not_found', store.stat('/gone', { follow: true }));
    await refuses('is_folder', store.openRead('/ld'));
    assert.deepEqual(await names(store), ['/chain', '/d', '/d/file', '/gone', '/l', '/ld']);
  });

  check('are replaced and removed themselves, never what they point to', async ({ store }) => {
    await putAll(store, aFile('/file', 'kept'), aLink('/l', 'file'), aFile('/d/x', 'kept'), aLink('/ld', 'd'));
    await put(store, '/l', 'replaced');
    assert.equal((await store.stat('/l')).kind, 'file');
    assert.equal(await read(store, '/file'), 'kept');
    await refuses('not_folder', store.makeFolder('/ld'));
    assert.deepEqual((await store.putMany([aFolder('/ld', { mode: 0o700 })], 'always')).map(codeOf), ['not_folder']);
    await store.remove('/ld', { recursive: true });
    assert.deepEqual(await names(store), ['/d', '/d/x', '/file', '/l']);
  });

  check('in a parent are followed by writes', async ({ store }) => {
    await putAll(store, aFolder('/real'), aLink('/via', 'real'));
    await put(store, '/via/new/a', 'one');
    await putAll(store, aFile('/via/b', 'two'), aFile('/via/new2/c', 'three'));
    assert.equal(await read(store, '/real/new/a'), 'one');
    assert.equal(await read(store, '/real/new2/c'), 'three');
    await store.move('/via/b', '/via/new/b');
    await store.remove('/via/new/b');
    assert.deepEqual(await names(store, '/real'), ['/real/new', '/real/new/a', '/real/new2', '/real/new2/c']);
  });

  check('that lead nowhere or round in circles end at once', async ({ store }) => {
    await putAll(store, aLink('/gone', 'none'), aLink('/self', 'self'), aLink('/x', 'y'), aLink('/y', 'x'));
    await refuses('not_folder', put(store, '/gone/a'));
    await refuses('not_folder', put(store, '/self/a'));
    for (const path of ['/self', '/x']) {
      await refuses('not_found', store.openRead(path));
      await refuses('not_found', store.stat(`${path}/below`));
    }
    const results = await store.putMany([aFile('/gone/a'), aFile('/x/a')], 'always');
    assert.deepEqual(results.map(codeOf), ['not_folder', 'not_folder']);
  });

  check('that stay inside by their words and still lead out are refused when they are used', async ({ store }) => {
    // "up" is the root, so "up/.." is outside, though "/a/up/../x" looks like "/a/x".
    await putAll(store, aFolder('/a'), aLink('/a/up', '..'), aLink('/a/out', 'up/../x'), aLink('/a/folder', 'up/..'));
    const uses = [
      () => store.openRead('/a/out'),
      () => store.stat('/a/folder', { follow: true }),
      () => store.list('/a/folder', { limit: 10 }),
      () => store.stat('/a/folder/any'),
      () => put(store, '/a/folder/new'),
      () => store.makeFolder('/a/folder/new'),
      () => store.remove('/a/folder/any'),
      () => store.move('/a/up', '/a/folder/new'),
      () => store.copyToStaging('/a/folder/any', 'copy'),
    ];
    for (const use of uses) await assertNoWayOut(use());
    for (const result of await store.putMany([aFile('/a/folder/new'), aLink('/a/folder/l', 'x')], 'always')) {
      assert.equal(codeOf(result), 'path_escapes');
    }
    const [got] = await store.getMany(['/a/folder/any'], 100);
    assert.equal(codeOf(got), 'path_escapes');
  });

  check('are not moved to where they would point outside', async ({ store }) => {
    await putAll(store, aLink('/d/e/l', '../x'), aFolder('/f'));
    await refuses('link_escapes', store.move('/d/e/l', '/l'));
    assert.equal((await store.move('/d/e/l', '/f/l')).target, '../x');
  });

  check("do not lead into Hawser's own folder", async ({ store }) => {
    await putAll(store, aFolder('/d'), aLink('/d/up', '..'), aLink('/own', '.hawser'));
    for (const path of ['/d/up/.hawser', '/own/staging', '/d/up/.hawser/staging', '/d/up/.hawser/x']) {
      await refuses('path_reserved', put(store, `${path}/new`));
    }
    await refuses('path_reserved', put(store, '/d/up/.hawser/x'));
    for (const path of ['/d/up/.hawser', '/own', '/own/staging', '/own/staging/x']) {
      await assert.rejects(store.list(path, { limit: 1 }), (error) => ['path_reserved', 'not_found'].includes(codeOf(error)));
    }
    assert.deepEqual((await store.putMany([aFile('/own/x'), aFile('/d/up/.hawser/x')], 'always')).map(codeOf), [
      'path_reserved',
      'path_reserved',
    ]);
    assert.deepEqual(await names(store), ['/d', '/d/up', '/own']);
  });
}

/** A file that the link leads to may be missing outside, which is as good as being refused. */
async function assertNoWayOut(use: Promise<unknown>): Promise<void> {
  await assert.rejects(use, (error) => ['path_escapes', 'not_found'].includes(codeOf(error)));
}
