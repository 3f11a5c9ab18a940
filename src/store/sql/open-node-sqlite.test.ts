import assert from 'node:assert/strict';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, it, type TestContext } from 'node:test';
import { Kysely, sql } from 'kysely';
import { nodeSqliteDialect } from './node-sqlite-dialect.ts';
import { durably, openNodeSqlite } from './open-node-sqlite.ts';
import type { MetaSchema } from './schema.ts';

describe('openNodeSqlite', () => {
  it('sets what durability, references and waiting rest on', async (t) => {
    const { db, close } = await openNodeSqlite(join(await aFolder(t), 'hawser.db'));
    t.after(close);
    const pragma = async (name: string) => Object.values((await sql.raw<object>(`pragma ${name}`).execute(db)).rows[0]!)[0];
    assert.equal(await pragma('journal_mode'), 'wal');
    assert.equal(await pragma('synchronous'), 1);
    assert.equal(await pragma('foreign_keys'), 1);
    assert.equal(await pragma('busy_timeout'), 5000);
  });

  it('says what is wrong with a file that is no database, or has no folder', async (t) => {
    const folder = await aFolder(t);
    await writeFile(join(folder, 'text'), 'this is not a database, but it is long enough to be read as one '.repeat(20));
    await assert.rejects(openNodeSqlite(join(folder, 'text')), { code: 'database_unusable' });
    await assert.rejects(openNodeSqlite(join(folder, 'none', 'hawser.db')), { code: 'io_error', message: /none.*ENOENT/ });
  });

  it('says what is wrong with a damaged file', async (t) => {
    const file = join(await aFolder(t), 'hawser.db');
    const first = await openNodeSqlite(file);
    await first.db.selectFrom('files').selectAll().execute();
    await first.close();
    const raw = new DatabaseSync(file);
    const { page } = raw.prepare("SELECT rootpage AS page FROM sqlite_schema WHERE name = 'files'").get() as { page: number };
    raw.close();
    const handle = await open(file, 'r+');
    await handle.write(Buffer.alloc(4096, 0xff), 0, 4096, (page - 1) * 4096);
    await handle.close();
    const second = await openNodeSqlite(file);
    t.after(() => second.close());
    await assert.rejects(second.db.selectFrom('files').selectAll().execute(), { code: 'database_unusable' });
  });
});

describe('durably', () => {
  it('syncs each commit inside the step, and only there, also when it fails', async () => {
    const database = new DatabaseSync(':memory:');
    database.exec('PRAGMA synchronous = NORMAL');
    const level = () => database.prepare('PRAGMA synchronous').get()?.synchronous;
    const db = new Kysely<MetaSchema>({ dialect: nodeSqliteDialect(database) });
    for (let round = 0; round < 2; round++) {
      assert.equal(await durably(database, db, async () => level()), 2);
      assert.equal(level(), 1);
    }
    await assert.rejects(
      durably(database, db, async () => {
        throw new Error('on purpose');
      }),
      /on purpose/,
    );
    assert.equal(level(), 1);
    await db.destroy();
  });
});

describe('nodeSqliteDialect', () => {
  it('takes the write lock when a transaction begins', async (t) => {
    const file = join(await aFolder(t), 'x.db');
    const ours = new DatabaseSync(file);
    const other = new DatabaseSync(file, { timeout: 0 });
    t.after(() => other.close());
    const db = new Kysely<MetaSchema>({ dialect: nodeSqliteDialect(ours) });
    await db.transaction().execute(async () => {
      assert.throws(() => other.exec('BEGIN IMMEDIATE'), /locked/);
    });
    other.exec('BEGIN IMMEDIATE');
    const quick = new Kysely<MetaSchema>({ dialect: nodeSqliteDialect(new DatabaseSync(file, { timeout: 0 })) });
    await assert.rejects(
      quick.transaction().execute(async () => {}),
      { code: 'busy' },
    );
    await quick.destroy();
    await db.destroy();
  });

  it('reads integers exactly, as numbers where they fit', async () => {
    const db = new Kysely<MetaSchema>({ dialect: nodeSqliteDialect(new DatabaseSync(':memory:')) });
    const { rows } = await sql`select 1 as a, 9007199254740991 as b, 9007199254740992 as c, -9223372036854775807 as d`.execute(
      db,
    );
    assert.deepEqual({ ...(rows[0] as object) }, { a: 1, b: 9007199254740991, c: 9007199254740992n, d: -9223372036854775807n });
    await db.destroy();
  });

  it('does not let a query into the transaction of another', async () => {
    const db = new Kysely<MetaSchema>({ dialect: nodeSqliteDialect(new DatabaseSync(':memory:')) });
    await sql`create table t (x integer)`.execute(db);
    const { promise: inside, resolve: entered } = Promise.withResolvers<void>();
    const { promise: asked, resolve: leave } = Promise.withResolvers<void>();
    const undone = db.transaction().execute(async (step) => {
      await sql`insert into t values (1)`.execute(step);
      entered();
      await asked;
      throw new Error('undo');
    });
    await inside;
    const insert = sql`insert into t values (2)`.execute(db);
    leave();
    await assert.rejects(undone, /undo/);
    await insert;
    const { rows } = await sql<{ x: number }>`select x from t`.execute(db);
    assert.deepEqual(
      rows.map(({ x }) => x),
      [2],
    );
    await db.destroy();
  });
});

async function aFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hawser-sqlite-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
