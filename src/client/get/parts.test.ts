import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { comparePaths, isWithin, parentPath, pathToBytes } from '../../core/path.ts';
import { createPool } from '../slots.ts';
import { createFolders } from './folders.ts';
import { checkLinkTarget } from './link.ts';
import { localError } from './local-error.ts';
import { checkName, partialNames } from './local-path.ts';
import { readSidecar, writeSidecar } from './sidecar.ts';

const work = fs.mkdtempSync(join(tmpdir(), 'hawser-parts-'));
after(() => fs.rmSync(work, { recursive: true, force: true }));

const SEED = Number(process.env.HAWSER_SEED ?? 20261120);
const check = <T>(property: fc.IProperty<T>) => fc.assert(property, { seed: SEED, verbose: 1 });

describe('partial names', () => {
  it('fit into a name, differ for different names, and are never taken from a server', () => {
    const name = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 250 }).filter((text) => {
      try {
        return checkName(text) === text;
      } catch {
        return false;
      }
    });
    check(
      fc.property(name, name, (a, b) => {
        const names = partialNames('', a);
        for (const path of Object.values(names)) {
          const own = path.toString().slice(1);
          assert.ok(pathToBytes(own).length <= 255, own);
          assert.throws(() => checkName(own));
        }
        if (a !== b) assert.notEqual(names.partial.toString(), partialNames('', b).partial.toString());
      }),
    );
    assert.ok(partialNames('/x', `${'n'.repeat(250)}`).stateNext.length <= 3 + 255);
    assert.ok(Buffer.isBuffer(partialNames('/x', '\udcff').partial));
  });
});

describe('links', () => {
  it('that pass lead inside, whatever they look like', () => {
    const part = fc.constantFrom('..', '.', '', 'a', 'b');
    check(
      fc.property(fc.array(part, { maxLength: 6 }), fc.nat(3), (parts, depth) => {
        const target = parts.join('/');
        const folder = `/root${'/d'.repeat(depth)}`;
        const inside = !target.startsWith('/') && target !== '' && isWithin(resolve(folder, target), '/root');
        let passes = true;
        try {
          checkLinkTarget(target, depth, '/link');
        } catch {
          passes = false;
        }
        if (passes) assert.ok(inside, target);
        // Refused in vain only where ".." comes after a name.
        else if (inside) assert.match(target, /(^|\/)[ab]\/(.*\/)?\.\.(\/|$)/);
      }),
    );
  });
});

describe('folders', () => {
  it('are complete once, after all that is in them, in any order of settling', () => {
    const names = fc.array(fc.array(fc.constantFrom('a', 'a-', 'a0', 'b', 'é'), { minLength: 1, maxLength: 4 }), {
      maxLength: 25,
    });
    check(
      fc.property(names, fc.infiniteStream(fc.nat()), (files, choices) => {
        const all = new Set<string>();
        for (const parts of files)
          for (let depth = 1; depth < parts.length; depth++) all.add(`/${parts.slice(0, depth).join('/')}`);
        const leaves = new Set(files.map((parts) => `/${parts.join('/')}`).filter((path) => !all.has(path)));
        const listing = [...all, ...leaves].sort(comparePaths);
        const folders = createFolders();
        const done: string[] = [];
        const open = new Map<string, () => void>();
        const complete = (path: string) => {
          done.push(path);
          for (const leaf of open.keys()) assert.ok(!isWithin(leaf, path), `${path} before ${leaf}`);
          for (const folder of all) if (parentPath(folder) === path) assert.ok(done.includes(folder), `${path} before ${folder}`);
        };
        const settleOne = () => {
          const leaf = [...open.keys()][Number(choices.next().value) % open.size]!;
          const settle = open.get(leaf)!;
          open.delete(leaf);
          settle();
        };
        for (const path of listing) {
          if (all.has(path)) folders.enter(path, () => complete(path));
          else open.set(path, folders.hold(path));
          if (open.size > 3) settleOne();
        }
        folders.finish();
        while (open.size > 0) settleOne();
        assert.deepEqual(done.toSorted(comparePaths), [...all].sort(comparePaths));
      }),
    );
  });

  it('are forgotten while the listing goes on', () => {
    const folders = createFolders();
    let complete = 0;
    for (let i = 10; i < 99; i++) {
      folders.enter(`/${i}`, () => complete++);
      folders.hold(`/${i}/file`)();
      assert.equal(complete, i - 10);
    }
  });
});

describe('the sidecar', () => {
  it('is read as written, and refused when anything in it makes no sense', () => {
    const names = partialNames(work, 'file');
    const state = {
      size: 200_000,
      version: 'v',
      etag: null,
      blockBytes: 65536,
      safe: [
        [0, 65536],
        [131072, 200_000],
      ] as const,
    };
    writeSidecar(names, state);
    assert.deepEqual(readSidecar(names), state);
    const text = fs.readFileSync(names.state, 'utf8');
    const wrong: [string, string][] = [
      ['"size":200000', '"size":150000'],
      ['"size":200000', '"size":-1'],
      ['[0,65536]', '[0,65535]'],
      ['[0,65536]', '[65536,0]'],
      ['[0,65536]', '[0,1e300]'],
      ['[0,65536]', '[0]'],
      ['[131072,', '[65000,'],
      ['"blockBytes":65536', '"blockBytes":65537'],
      ['"blockBytes":65536', '"blockBytes":1'],
      ['"format":1', '"format":2'],
      ['"version":"v"', '"version":5'],
      ['{', ''],
    ];
    for (const [from, to] of wrong) {
      assert.ok(text.includes(from));
      fs.writeFileSync(names.state, text.replace(from, to));
      assert.equal(readSidecar(names), null, `${from} -> ${to}`);
    }
    fs.writeFileSync(names.state, 'null');
    assert.equal(readSidecar(names), null);
  });
});

describe('local failures', () => {
  it('say what they are about', () => {
    const failure = (code: string) => localError(Object.assign(new Error(code), { code }), '/x/y', 'be written');
    assert.equal(failure('ENOSPC').code, 'local_no_space');
    assert.equal(failure('EDQUOT').code, 'local_no_space');
    assert.equal(failure('EACCES').code, 'local_io');
    assert.match(failure('EACCES').message, /"\/x\/y".*EACCES/);
  });
});

describe('a pool', () => {
  it('runs no more at once than its bound, and ends when all have', async () => {
    let running = 0;
    let most = 0;
    let done = 0;
    const pool = createPool(() => 3);
    for (let i = 0; i < 20; i++) {
      await pool.add(async () => {
        most = Math.max(most, ++running);
        await new Promise(setImmediate);
        running--;
        done++;
      });
    }
    await pool.drained();
    assert.deepEqual([most, done, running], [3, 20, 0]);
  });
});
