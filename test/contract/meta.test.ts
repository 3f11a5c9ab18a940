/** The contract suite on every MetaStore, that all of them answer alike, and what holds for the database file alone. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { HawserError } from '../../src/core/errors.ts';
import type { MetaStore } from '../../src/store/meta/contract.ts';
import { createMemoryMeta } from '../../src/store/meta/memory.ts';
import { openSqliteMeta } from '../../src/store/meta/sqlite.ts';
import { metaContract } from './meta.contract.ts';
import { aFile, anUpload, aToken, aTransfer, plain, run } from './meta-records.ts';

metaContract('sqlite', () => openSqliteMeta(':memory:'));
metaContract('memory', async () => createMemoryMeta());

describe('sqlite and memory', () => {
  it('give the same answers to any sequence of operations', async (t) => {
    const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
    t.diagnostic(`SEED=${seed} runs it again`);
    await fc.assert(
      fc.asyncProperty(fc.array(anOperation(), { minLength: 1, maxLength: 120, size: 'max' }), async (operations) => {
        const sqlite = await openSqliteMeta(':memory:');
        try {
          const memory = createMemoryMeta();
          for (const [method, ...args] of operations) {
            assert.deepEqual(
              await answer(sqlite, method, args),
              await answer(memory, method, args),
              `${method}(${fc.stringify(args)})`,
            );
          }
        } finally {
          await sqlite.close();
        }
      }),
      { seed, numRuns: 150 },
    );
  });
});

describe('memory', () => {
  it('records nothing when beforeCommit throws or never resolves', async () => {
    let crash: (() => Promise<void>) | undefined;
    const seen: string[] = [];
    const meta = createMemoryMeta({
      beforeCommit: (method) => {
        seen.push(method);
        return crash?.();
      },
    });
    await meta.addUpload(anUpload({ id: 'u' }));
    crash = async () => {
      throw new Error('power cut');
    };
    await assert.rejects(meta.recordBlocks('u', [run(0, 1, 1)], 9), /power cut/);
    crash = () => new Promise(() => {});
    void meta.recordBlocks('u', [run(0, 1, 1)], 9);
    void meta.removeUpload('u');
    crash = undefined;
    await meta.recordBlocks('u', [run(5, 1, 1)], 2);
    assert.deepEqual(plain(await meta.loadBlocks('u')), plain([run(5, 1, 1)]));
    assert.deepEqual(seen, ['addUpload', 'recordBlocks', 'recordBlocks', 'removeUpload', 'recordBlocks']);
  });
});

describe('sqlite', () => {
  it('keeps the database, its log and its index to its owner', {
    skip: process.platform === 'win32' && 'no modes',
  }, async (t) => {
    const file = join(await aFolder(t), 'hawser.db');
    await writeFile(file, '', { mode: 0o666 });
    const before = process.umask(0);
    t.after(() => process.umask(before));
    const meta = await openSqliteMeta(file);
    await meta.addToken(aToken());
    for (const name of [file, `${file}-wal`, `${file}-shm`]) assert.equal((await stat(name)).mode & 0o777, 0o600, name);
    await meta.close();
  });

  it('finds everything again when it is opened again', async (t) => {
    const file = join(await aFolder(t), 'hawser.db');
    const first = await openSqliteMeta(file);
    await first.addToken(aToken());
    await first.addTransfer(aTransfer());
    await first.addUpload(anUpload());
    await first.recordBlocks('upload', [run(3, 2, 1)], 5);
    await first.recordFiles([aFile('/a')]);
    await first.close();
    const second = await openSqliteMeta(file);
    assert.deepEqual(plain(await second.getToken('token')), plain(aToken()));
    assert.deepEqual(plain(await second.getTransfer('transfer')), plain(aTransfer()));
    assert.deepEqual(plain(await second.getUpload('upload')), plain(anUpload({ updatedMs: 5 })));
    assert.deepEqual(plain(await second.loadBlocks('upload')), plain([run(3, 2, 1)]));
    assert.deepEqual(plain(await second.getFile('/a')), plain(aFile('/a')));
    await second.close();
  });

  it('undoes the whole step when one of its statements fails', async (t) => {
    const file = join(await aFolder(t), 'hawser.db');
    const meta = await openSqliteMeta(file);
    t.after(() => meta.close());
    await meta.addUpload(anUpload({ id: 'u', updatedMs: 1 }));
    await meta.recordFiles([aFile('/a/x'), aFile('/b/y')]);
    const other = new DatabaseSync(file);
    other.exec(`
      CREATE TRIGGER no_block BEFORE INSERT ON upload_blocks WHEN new.first = 99 BEGIN SELECT raise(ABORT, 'broken on purpose'); END;
      CREATE TRIGGER no_move BEFORE UPDATE ON files BEGIN SELECT raise(ABORT, 'broken on purpose'); END;
    `);
    other.close();
    await assert.rejects(meta.recordBlocks('u', [run(0, 1, 1), run(99, 1, 1)], 2), /broken on purpose/);
    await assert.rejects(meta.moveFiles('/a', '/b'), /broken on purpose/);
    assert.deepEqual(await meta.loadBlocks('u'), []);
    assert.equal((await meta.getUpload('u'))?.updatedMs, 1);
    assert.deepEqual([...(await meta.getFiles(['/a/x', '/b/y'])).keys()].sort(), ['/a/x', '/b/y']);
    await meta.recordBlocks('u', [run(1, 1, 1)], 3);
    assert.deepEqual(plain(await meta.loadBlocks('u')), plain([run(1, 1, 1)]));
  });

  // From the first run on to beyond a checkpoint of the log (each run takes some pages of it, 4000 pages make a checkpoint).
  for (const acknowledgements of [1, 40, 900]) {
    it(`has what was acknowledged after kill -9 (${acknowledgements} runs in)`, { timeout: 60_000 }, async (t) => {
      const file = join(await aFolder(t), 'hawser.db');
      const child = spawn(process.execPath, [join(import.meta.dirname, 'meta-crash-child.ts'), file], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const gone = once(child, 'exit');
      let acknowledged = 0;
      for await (const line of createInterface({ input: child.stdout })) {
        assert.equal(Number(line), 3 * acknowledged);
        acknowledged += 1;
        if (acknowledged === acknowledgements) child.kill('SIGKILL');
      }
      assert.deepEqual(await gone, [null, 'SIGKILL']);

      const meta = await openSqliteMeta(file);
      const runs = await meta.loadBlocks('u');
      const upload = await meta.getUpload('u');
      await meta.close();
      assert.ok(acknowledged >= acknowledgements);
      // Each step records two runs: the last may have been recorded without being acknowledged, but never half.
      const steps = runs.length / 2;
      assert.ok(steps === acknowledged || steps === acknowledged + 1, `${steps} recorded, ${acknowledged} acknowledged`);
      for (let step = 0; step < steps; step++) {
        assert.deepEqual([runs[2 * step]!.first, runs[2 * step]!.digests.length], [3 * step, 64]);
        assert.deepEqual([runs[2 * step + 1]!.first, runs[2 * step + 1]!.digests.length], [3 * step + 2, 32]);
        assert.equal(Buffer.from(runs[2 * step]!.digests).readUInt32BE(), 3 * step);
      }
      assert.equal(upload?.updatedMs, 3 * (steps - 1));
    });
  }
});

type Operation = readonly [method: keyof MetaStore, ...args: unknown[]];

/** Few ids, owners and paths, so that operations meet; times collide often. */
function anOperation(): fc.Arbitrary<Operation> {
  const id = fc.constantFrom('a', 'b', 'c');
  const owner = fc.constantFrom('me', 'other');
  const ms = fc.integer({ min: 0, max: 6 });
  const limit = fc.integer({ min: 0, max: 4 });
  const count = fc.oneof(fc.nat(9), fc.constant(2 ** 41));
  const text = fc.constantFrom('x', '', '\udcff', '日本', "'");
  const oddPath = fc
    .array(fc.constantFrom('a', 'b', '%', '_', 'a0', '\udcff', '%FF', '\u{1f6a2}'), { minLength: 1, maxLength: 3 })
    .map((names) => `/${names.join('/')}`);
  const path = fc.oneof({ weight: 2, arbitrary: fc.constantFrom('/a', '/b', '/a/b', '/b/a', '/a/b/a') }, oddPath);
  const mtimeNs = fc.oneof(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.bigInt({ min: -5n, max: 5n }));
  const transferState = fc.constantFrom('active', 'paused', 'cancelled', 'done', 'failed');
  const uploadState = fc.constantFrom('receiving', 'publishing', 'done');
  const digest = fc.constantFrom('aa'.repeat(32), `${'aa'.repeat(31)}ab`);
  const orNull = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: null });
  const some = <T extends object>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }) => fc.record(fields, { requiredKeys: [] });
  const call = (method: keyof MetaStore, ...args: fc.Arbitrary<unknown>[]): fc.Arbitrary<Operation> =>
    fc.tuple(...args).map((values) => [method, ...values] as const);

  const token = fc.record({ id, name: text, createdMs: ms, expiresMs: orNull(ms) }).map(aToken);
  const transfer = fc
    .record({
      id,
      owner,
      state: transferState,
      source: text,
      error: orNull(text),
      bytesTotal: orNull(count),
      createdMs: ms,
      updatedMs: ms,
    })
    .map((fields) => aTransfer(fields as Parameters<typeof aTransfer>[0]));
  const upload = fc
    .record({ id, owner, path, state: uploadState, transfer: orNull(id), mtimeNs: orNull(mtimeNs), createdMs: ms, expiresMs: ms })
    .map((fields) => anUpload(fields as Parameters<typeof anUpload>[0]));
  const runs = fc.array(
    fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 3 }), fc.nat(255)).map((args) => run(...args)),
    { maxLength: 3 },
  );
  const files = fc.array(
    fc
      .tuple(path, fc.record({ version: text.map((v) => v.toWellFormed()), digest, mtimeNs, size: count }))
      .map((args) => aFile(...args)),
    { maxLength: 6 },
  );
  return fc.oneof(
    call('addToken', token),
    call('getToken', id),
    call('listTokens'),
    call('removeToken', id),
    call('addTransfer', transfer),
    call('getTransfer', id),
    call(
      'listTransfers',
      fc.tuple(limit, some({ state: transferState, owner, before: fc.record({ createdMs: ms, id }) })).map(withLimit),
    ),
    call(
      'updateTransfer',
      id,
      fc
        .tuple(
          ms,
          some({
            state: transferState,
            filesTotal: orNull(count),
            bytesTotal: orNull(count),
            addFiles: count,
            addBytes: count,
            filesDone: count,
            bytesDone: count,
            endedMs: orNull(ms),
            error: orNull(text),
            priority: fc.constantFrom('high', 'critical'),
          }),
        )
        .map(([updatedMs, change]) => ({ ...change, updatedMs })),
    ),
    call('pruneTransfers', ms),
    call('addUpload', upload),
    call('getUpload', id),
    call('findUpload', path, owner),
    call('listUploads', fc.tuple(limit, some({ owner, transfer: id, after: id, state: uploadState })).map(withLimit)),
    call(
      'updateUpload',
      id,
      some({
        transfer: orNull(id),
        size: orNull(count),
        mode: orNull(fc.nat(0o777)),
        mtimeNs: orNull(mtimeNs),
        overwrite: fc.constantFrom('newer', 'never'),
        state: uploadState,
        epoch: fc.nat(9),
        digest: orNull(digest),
        updatedMs: ms,
        expiresMs: ms,
      }),
    ),
    call('removeUpload', id),
    call('expiredUploads', ms, limit),
    { weight: 3, arbitrary: call('recordBlocks', id, runs, ms) },
    call('loadBlocks', id),
    call('clearBlocks', id),
    { weight: 3, arbitrary: call('recordFiles', files) },
    call('getFile', path),
    call('getFiles', fc.array(path, { maxLength: 5 })),
    // No order is promised: all of them, sorted by answer().
    { weight: 2, arbitrary: call('findByDigest', digest, fc.constant(1000)) },
    { weight: 2, arbitrary: call('moveFiles', path, path) },
    call('removeFiles', fc.oneof({ weight: 9, arbitrary: path }, fc.constant('/'))),
  );
}

function withLimit([limit, options]: [number, object]): object {
  return { ...options, limit };
}

async function answer(meta: MetaStore, method: keyof MetaStore, args: readonly unknown[]): Promise<unknown> {
  try {
    const value = await (meta[method] as (...args: readonly unknown[]) => Promise<unknown>)(...args);
    if (method === 'findByDigest') (value as { path: string }[]).sort((a, b) => (a.path < b.path ? -1 : 1));
    return plain(value);
  } catch (error) {
    if (!(error instanceof HawserError)) throw error;
    return `${error.code}: ${error.message}`;
  }
}

async function aFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hawser-meta-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
