import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it, type TestContext } from 'node:test';
import type { MetaStore } from '../meta/contract.ts';
import { openSqliteMeta } from '../meta/sqlite.ts';
import { loadMigrations, type Migration, migrate } from './migrate.ts';

const shipped = await loadMigrations();

/**
 * For each migration: what a server of that version may have written to the tables it made or changed, and how that must read
 * with today's code. Never edit an entry: a new migration brings a new one.
 */
const HISTORY: Record<number, { sql: string; check(meta: MetaStore): Promise<void> }> = {
  1: {
    sql: `
      INSERT INTO tokens (id, name, role, secret_hash, created_ms, expires_ms) VALUES ('t1', 'admin', 'admin', x'${'ab'.repeat(32)}', 5, NULL);
      INSERT INTO transfers (id, kind, state, priority, owner, source, destination, files_total, bytes_total, files_done, bytes_done,
        created_ms, updated_ms, ended_ms, error)
      VALUES ('x1', 'upload', 'paused', 'high', 't1', 'a.mxf', '/in/', NULL, 1099511627776, 1, 4096, 6, 7, NULL, NULL);
    `,
    async check(meta) {
      const token = await meta.getToken('t1');
      assert.deepEqual([token?.name, token?.role, token?.secretHash.length, token?.expiresMs], ['admin', 'admin', 32, null]);
      const [transfer] = await meta.listTransfers({ limit: 1, owner: 't1', state: 'paused' });
      assert.deepEqual([transfer?.id, transfer?.bytesTotal, transfer?.bytesDone], ['x1', 1_099_511_627_776, 4096]);
    },
  },
  2: {
    sql: `
      INSERT INTO uploads (id, transfer, owner, path, size, block_bytes, mode, mtime_ns, overwrite, state, epoch, digest, created_ms,
        updated_ms, expires_ms)
      VALUES ('u1', 'x1', 't1', '/in/%FF', NULL, 65536, 420, 9223372036854775807, 'newer', 'receiving', 3, NULL, 1, 2, 3);
      INSERT INTO upload_blocks (upload, seq, first, digests) VALUES ('u1', 1, 4, x'${'cd'.repeat(64)}');
      INSERT INTO files (path, version, size, digest, mtime_ns) VALUES ('/in/100%25', 'v', 9, '${'ef'.repeat(32)}', -9223372036854775808);
    `,
    async check(meta) {
      assert.equal((await meta.findUpload('/in/\udcff', 't1'))?.mtimeNs, 2n ** 63n - 1n);
      assert.deepEqual(
        (await meta.loadBlocks('u1')).map(({ first, digests }) => [first, digests.length]),
        [[4, 64]],
      );
      const [file] = await meta.findByDigest('ef'.repeat(32), 2);
      assert.deepEqual([file?.path, file?.mtimeNs], ['/in/100%', -(2n ** 63n)]);
    },
  },
};

describe('migrations', () => {
  for (const { number, name } of shipped) {
    it(`bring a database as ${name} left it, with data, to the newest schema`, async (t) => {
      const file = await aFile(t);
      const database = new DatabaseSync(file);
      for (const migration of shipped.slice(0, number)) {
        migrate(database, shipped.slice(0, migration.number));
        const history = HISTORY[migration.number];
        assert.ok(history, `${migration.name} needs an entry in HISTORY.`);
        database.exec(history.sql);
      }
      database.close();

      const meta = await openSqliteMeta(file);
      t.after(() => meta.close());
      for (const migration of shipped.slice(0, number)) await HISTORY[migration.number]!.check(meta);
      // And it is as good as a new one.
      const { tables: upgraded } = schemaOf(file);
      assert.deepEqual(upgraded, newest().tables);
    });
  }

  it('are recorded, and not applied again', () => {
    const database = new DatabaseSync(':memory:');
    migrate(database, shipped);
    migrate(database, shipped);
    const applied = database.prepare('SELECT number, name FROM schema_migrations ORDER BY number').all();
    assert.deepEqual(
      applied.map(({ number, name }) => [number, name]),
      shipped.map(({ number, name }) => [number, name]),
    );
  });

  it('leave nothing of one that fails, and keep those before it', () => {
    const database = new DatabaseSync(':memory:');
    const broken = aMigration(2, 'CREATE TABLE b (x INTEGER); INSERT INTO b VALUES (1); INSERT INTO nowhere VALUES (1);');
    assert.throws(() => migrate(database, [aMigration(1, 'CREATE TABLE a (x INTEGER);'), broken]), /nowhere/);
    assert.deepEqual(tablesOf(database), ['a', 'schema_migrations']);
    migrate(database, [aMigration(1, 'CREATE TABLE a (x INTEGER);'), aMigration(2, 'CREATE TABLE b (x INTEGER);')]);
    assert.deepEqual(tablesOf(database), ['a', 'b', 'schema_migrations']);
  });

  it('refuse a database of a newer version, and say so', async (t) => {
    const file = await aFile(t);
    const database = new DatabaseSync(file);
    migrate(database, [...shipped, aMigration(shipped.length + 1, 'CREATE TABLE later (x INTEGER);')]);
    database.close();
    const expected = { code: 'database_unusable', message: /newer version of Hawser: run that version or a later one/ };
    await assert.rejects(openSqliteMeta(file), expected);
  });

  it('refuse one whose text changed, but not for its line ends', () => {
    const database = new DatabaseSync(':memory:');
    migrate(database, [aMigration(1, 'CREATE TABLE a (\n x INTEGER\n);\n')]);
    migrate(database, [aMigration(1, 'CREATE TABLE a (\r\n x INTEGER\r\n);\r\n')]);
    assert.throws(() => migrate(database, [aMigration(1, 'CREATE TABLE a (\n x TEXT\n);\n')]), {
      code: 'database_unusable',
      value: '0001_test.sql',
    });
  });

  it('are numbered without gaps', async (t) => {
    const folder = await aFolder(t);
    await writeFile(join(folder, '0001_a.sql'), 'SELECT 1;');
    await writeFile(join(folder, '0003_c.sql'), 'SELECT 3;');
    await writeFile(join(folder, 'notes.txt'), '');
    await assert.rejects(loadMigrations(folder), { code: 'internal', value: '0003_c.sql' });
    await writeFile(join(folder, '0002_b.sql'), 'SELECT 2;');
    assert.deepEqual(
      (await loadMigrations(folder)).map(({ number, name }) => [number, name]),
      [
        [1, '0001_a.sql'],
        [2, '0002_b.sql'],
        [3, '0003_c.sql'],
      ],
    );
  });
});

function aMigration(number: number, sql: string): Migration {
  return { number, name: `${String(number).padStart(4, '0')}_test.sql`, sql };
}

function tablesOf(database: DatabaseSync): unknown[] {
  return database
    .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")
    .all()
    .map(({ name }) => name);
}

function schemaOf(file: string): { tables: unknown[] } {
  const database = new DatabaseSync(file, { readOnly: true });
  const tables = database.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').all();
  database.close();
  return { tables };
}

function newest(): { tables: unknown[] } {
  const database = new DatabaseSync(':memory:');
  migrate(database, shipped);
  return { tables: database.prepare('SELECT name, sql FROM sqlite_schema ORDER BY name').all() };
}

async function aFile(t: TestContext): Promise<string> {
  return join(await aFolder(t), 'hawser.db');
}

async function aFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hawser-migrate-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
