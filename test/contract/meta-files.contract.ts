/** The part of the MetaStore contract that is about published files. Called by meta.contract.ts. */
import assert from 'node:assert/strict';
import { describe } from 'node:test';
import type { MetaStore } from '../../src/store/meta/contract.ts';
import { aFile, DIGEST, MTIMES, plain } from './meta-records.ts';

export function filesContract(name: string, check: (behaviour: string, test: (meta: MetaStore) => Promise<void>) => void): void {
  describe(`${name}: files`, () => {
    check('come back as they were recorded, the last record counts', async (meta) => {
      const records = MTIMES.map((mtimeNs, index) => aFile(`/d/${index}`, { mtimeNs, size: Number.MAX_SAFE_INTEGER - index }));
      await meta.recordFiles(records);
      await meta.recordFiles([]);
      for (const record of records) assert.deepEqual(plain(await meta.getFile(record.path)), plain(record));
      const again = aFile('/d/0', { version: 'v3' });
      await meta.recordFiles([aFile('/d/0', { version: 'v2' }), again]);
      assert.deepEqual(plain(await meta.getFile('/d/0')), plain(again));
      assert.equal(await meta.getFile('/d'), null);
    });

    check('are got many at once; those unknown are left out', async (meta) => {
      const names = ODD_NAMES.map((name) => `/${name}`);
      await meta.recordFiles(names.map((path, index) => aFile(path, { version: `v${index}` })));
      const found = await meta.getFiles([...names, '/none', names[0]!]);
      assert.equal(found.size, names.length);
      for (const [index, path] of names.entries())
        assert.deepEqual(plain(found.get(path)), plain(aFile(path, { version: `v${index}` })));
      assert.equal((await meta.getFiles([])).size, 0);
    });

    check('are recorded by the thousand in one step', async (meta) => {
      const records = Array.from({ length: 5000 }, (_, i) => aFile(`/many/${i}`, { size: i }));
      await meta.recordFiles(records);
      const found = await meta.getFiles(records.map(({ path }) => path));
      assert.equal(found.size, 5000);
      assert.equal(found.get('/many/4321')?.size, 4321);
    });

    check('are recorded all or none', async (meta) => {
      for (const bad of [{ mtimeNs: 2n ** 63n }, { mtimeNs: -(2n ** 63n) - 1n }, { size: 0.5 }]) {
        await assert.rejects(meta.recordFiles([aFile('/a'), aFile('/b', bad)]), /must (fit|be)/);
      }
      assert.equal(await meta.getFile('/a'), null);
    });

    check('are found by digest, at most as many as asked for', async (meta) => {
      const other = `${DIGEST.slice(0, 63)}1`;
      await meta.recordFiles([aFile('/a'), aFile('/b'), aFile('/c', { digest: other }), aFile('/d')]);
      assert.deepEqual((await meta.findByDigest(DIGEST, 10)).map(({ path }) => path).sort(), ['/a', '/b', '/d']);
      assert.deepEqual(plain(await meta.findByDigest(other, 10)), plain([aFile('/c', { digest: other })]));
      assert.equal((await meta.findByDigest(DIGEST, 2)).length, 2);
      assert.deepEqual(await meta.findByDigest(DIGEST, 0), []);
      assert.deepEqual(await meta.findByDigest('00'.repeat(32), 10), []);
    });

    // Names around "/a" in every order a range or a pattern could get wrong.
    const around = [
      '/a',
      '/a/b',
      '/a/b/c',
      '/a/\udcff',
      '/a b',
      '/a-',
      '/a.',
      '/a0',
      '/ab',
      '/A/b',
      '/_/b',
      '/%/b',
      '/%25/b',
      '/z/a/b',
    ];

    check('move with their folder, and only they', async (meta) => {
      await meta.recordFiles(around.map((path) => aFile(path)));
      await meta.moveFiles('/a', '/n/日 100%');
      const moved = (path: string) => (path === '/a' || path.startsWith('/a/') ? `/n/日 100%${path.slice(2)}` : path);
      assert.deepEqual(await paths(meta), around.map(moved).sort());
      assert.equal((await meta.getFile('/n/日 100%/b/c'))?.path, '/n/日 100%/b/c');
      await meta.moveFiles('/none', '/n2');
      assert.deepEqual(await paths(meta), around.map(moved).sort());
    });

    check('move from names that patterns would read', async (meta) => {
      await meta.recordFiles(around.map((path) => aFile(path)));
      await meta.moveFiles('/%', '/p');
      await meta.moveFiles('/_', '/q\udcff');
      const moved = around.map((path) => path.replace(/^\/%(?=\/)/, '/p').replace(/^\/_/, '/q\udcff'));
      assert.deepEqual(await paths(meta), moved.sort());
    });

    check('take the place of what had the new name, below it too', async (meta) => {
      await meta.recordFiles([
        aFile('/new', { version: 'new' }),
        aFile('/old', { version: 'old' }),
        aFile('/old/x'),
        aFile('/oldest'),
      ]);
      await meta.moveFiles('/new', '/old');
      assert.deepEqual(await paths(meta), ['/old', '/oldest']);
      assert.equal((await meta.getFile('/old'))?.version, 'new');
      await meta.moveFiles('/unknown', '/old');
      assert.deepEqual(await paths(meta), ['/oldest']);
    });

    check('stay when moved onto themselves, and are not moved into or above themselves', async (meta) => {
      await meta.recordFiles([aFile('/a'), aFile('/a/b')]);
      await meta.moveFiles('/a', '/a');
      await assert.rejects(meta.moveFiles('/a', '/a/c'), { code: 'path_invalid' });
      await assert.rejects(meta.moveFiles('/a/b', '/a'), { code: 'path_invalid' });
      await assert.rejects(meta.moveFiles('/', '/c'), { code: 'path_invalid' });
      assert.deepEqual(await paths(meta), ['/a', '/a/b']);
    });

    check('are removed with what is below, and only that', async (meta) => {
      await meta.recordFiles(around.map((path) => aFile(path)));
      await meta.removeFiles('/a');
      const left = around.filter((path) => path !== '/a' && !path.startsWith('/a/'));
      assert.deepEqual(await paths(meta), [...left].sort());
      await meta.removeFiles('/%');
      await meta.removeFiles('/none');
      assert.deepEqual(await paths(meta), left.filter((path) => path !== '/%/b').sort());
      await meta.removeFiles('/');
      assert.deepEqual(await paths(meta), []);
    });
  });
}

/** Every path recorded: all records of these tests have one digest. */
async function paths(meta: MetaStore): Promise<string[]> {
  return (await meta.findByDigest(DIGEST, 1000)).map(({ path }) => path).sort();
}

const ODD_NAMES = [
  'a',
  'A',
  'a%',
  'a%25',
  '%FF',
  '\udcff',
  '\udc80',
  "it's",
  '"',
  '\\',
  '\\u0041',
  '_',
  '日本',
  '\u{1f6a2}',
  '\n',
  ' ',
  '[1]',
  '?',
];
