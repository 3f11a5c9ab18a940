/** The part of the FileStore contract that is about many small entries at once. */
import assert from 'node:assert/strict';
import { aFile, aFolder, aLink, type Check, codeOf, MTIME, names, put, putAll, read } from './files-fixtures.ts';

export function manyContract(check: Check): void {
  check('puts files, folders and links, and gives what stat gives', async ({ store }) => {
    const entries = [
      aFolder('/d', { mode: 0o750, mtimeNs: MTIME }),
      aFile('/d/a', 'first', { mode: 0o600, mtimeNs: MTIME + 1n }),
      aFile('/deep/er/b', ''),
      aLink('/d/l', 'a', { mtimeNs: MTIME + 2n }),
    ];
    const results = await putAll(store, ...entries);
    for (const [i, entry] of entries.entries()) assert.deepEqual(results[i], await store.stat(entry.path));
    assert.deepEqual(
      results.map(({ kind, size }) => [kind, size]),
      [
        ['folder', 0],
        ['file', 5],
        ['file', 0],
        ['link', 0],
      ],
    );
    assert.equal(results[0]!.mtimeNs, MTIME, 'what is put into a folder does not change the mtime that came with it');
    assert.deepEqual([results[0]!.mode, results[1]!.mode, results[2]!.mode], [0o750, 0o600, 0o644]);
    assert.deepEqual([results[1]!.mtimeNs, results[3]!.mtimeNs], [MTIME + 1n, MTIME + 2n]);
    assert.equal(results[3]!.target, 'a');
    assert.equal(await read(store, '/d/l'), 'first');
    assert.deepEqual(await store.listStaging(), []);
  });

  check('takes contents out of shared memory, which may be used again afterwards', async ({ store }) => {
    const shared = [new Uint8Array(new SharedArrayBuffer(64)), new Uint8Array(new SharedArrayBuffer(64))];
    const inShared = (path: string, text: string, buffer: number, at: number) => {
      const bytes = shared[buffer]!.subarray(at, at + text.length);
      bytes.set(Buffer.from(text));
      return { ...aFile(path), bytes };
    };
    const entries = [
      aFile('/own', 'own'),
      aFile('/empty', ''),
      inShared('/s1', 'one', 0, 5),
      inShared('/s2', 'second', 0, 20),
      aFile('/own2', 'between'),
      inShared('/s3', 'third', 1, 0),
      inShared('/s4', 'fourth', 0, 40),
    ];
    await putAll(store, ...entries);
    for (const buffer of shared) buffer.fill(0);
    const texts = [];
    for (const { path } of entries) texts.push(await read(store, path));
    assert.deepEqual(texts, ['own', '', 'one', 'second', 'between', 'third', 'fourth']);
  });

  check('stores what it can of a mixed batch and says what failed', async ({ store }) => {
    await store.makeFolder('/folder');
    await put(store, '/file');
    const results = await store.putMany(
      [
        aFile('/ok1'),
        aFile('/folder'),
        aFile('/file/below'),
        aLink('/bad', '../outside'),
        aFolder('/file'),
        aFile(`/${'n'.repeat(256)}`),
        aFile('/'),
        aFile('/ok2'),
        aLink('/empty', ''),
        aFile('/folder/ok3'),
      ],
      'always',
    );
    assert.deepEqual(results.map(codeOf), [
      'stored',
      'is_folder',
      'not_folder',
      'link_escapes',
      'not_folder',
      'path_invalid',
      'is_folder',
      'stored',
      'path_invalid',
      'stored',
    ]);
    assert.deepEqual(await names(store), ['/file', '/folder', '/folder/ok3', '/ok1', '/ok2']);
    assert.deepEqual(await store.listStaging(), []);
  });

  check('obeys the overwrite rule for every entry', async ({ store }) => {
    await putAll(store, aFile('/a', 'old', { mtimeNs: MTIME }), aLink('/l', 'a', { mtimeNs: MTIME }));
    const again = [
      aFile('/a', 'new', { mtimeNs: MTIME }),
      aLink('/l', 'b', { mtimeNs: MTIME }),
      aFile('/b', 'new', { mtimeNs: MTIME }),
    ];
    assert.deepEqual((await store.putMany(again, 'newer')).map(codeOf), ['not_newer', 'not_newer', 'stored']);
    assert.deepEqual((await store.putMany(again, 'never')).map(codeOf), ['exists', 'exists', 'exists']);
    assert.equal(await read(store, '/a'), 'old');
    const later = again.map((entry) => ({ ...entry, mtimeNs: MTIME + 1n }));
    assert.deepEqual((await store.putMany(later, 'newer')).map(codeOf), ['stored', 'stored', 'stored']);
    assert.equal((await store.stat('/l')).target, 'b');
    assert.deepEqual((await store.putMany([aFile('/twice', '1'), aFile('/twice', '2')], 'never')).map(codeOf), [
      'stored',
      'exists',
    ]);
    assert.equal(await read(store, '/twice'), '1');
  });

  check('does more than one batch holds, in order', async ({ store }) => {
    const count = 2500;
    const entries = Array.from({ length: count }, (_, i) => aFile(`/f${i % 300}/x${i % 2400}`, `${i}`));
    const results = await store.putMany(entries, 'always');
    assert.deepEqual(
      results.map((result) => (result instanceof Error ? result.message : result.path)),
      entries.map((entry) => entry.path),
    );
    const got = await store.getMany(['/f0/x0', '/f0/x2399', '/f299/x2399', '/f0/x0'], 100);
    assert.deepEqual(
      got.map((result) => (result instanceof Error ? codeOf(result) : Buffer.from(result.bytes).toString())),
      ['2400', 'not_found', '2399', '2400'],
    );
    assert.deepEqual(await store.putMany([], 'always'), []);
  });

  check('leaves the buffers of the caller alone', async ({ store }) => {
    const bytes = Buffer.from('mine');
    const storing = store.putMany([{ path: '/a', kind: 'file', bytes }], 'always');
    await storing;
    bytes.write('XXXX');
    assert.equal(bytes.length, 4);
    assert.equal(await read(store, '/a'), 'mine');
  });

  check('gets many at once: bytes with their entry, or the error, in order', async ({ store }) => {
    await putAll(
      store,
      aFile('/a', 'aaa'),
      aFile('/d/b', ''),
      aFile('/big', 'x'.repeat(101)),
      aLink('/l', 'd/../a'),
      aLink('/ld', 'd'),
    );
    const paths = ['/a', '/none', '/d', '/big', '/d/b', '/l', '/', '/a/x', '/ld', '/ld/b'];
    const results = await store.getMany(paths, 100);
    assert.deepEqual(
      results.map((result) => (result instanceof Error ? codeOf(result) : Buffer.from(result.bytes).toString())),
      ['aaa', 'not_found', 'is_folder', 'body_too_large', '', 'aaa', 'is_folder', 'not_found', 'is_folder', ''],
    );
    const [first] = results;
    assert.ok(first !== undefined && !(first instanceof Error));
    assert.deepEqual(first.entry, await store.stat('/a'));
    assert.deepEqual(await store.getMany([], 100), []);
  });
}
