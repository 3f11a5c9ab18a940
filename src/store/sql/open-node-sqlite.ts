/** Opens a SQLite file as Hawser wants it: private to its owner, write-ahead log, newest schema. */
import { chmodSync, closeSync, existsSync, openSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { Kysely } from 'kysely';
import { HawserError } from '../../core/errors.ts';
import { loadMigrations, migrate } from './migrate.ts';
import { nodeSqliteDialect } from './node-sqlite-dialect.ts';
import type { MetaDatabase, MetaSchema } from './schema.ts';
import { sqliteFailure } from './sqlite-failure.ts';

/** `file`: a path, or ":memory:". Errors: database_unusable, busy, read_only, no_space, io_error. */
export async function openNodeSqlite(file: string): Promise<MetaDatabase & { close(): Promise<void> }> {
  const migrations = await loadMigrations();
  if (file !== ':memory:') makePrivate(file);
  const database = openWith(file, (opened) => {
    opened.exec(PRAGMAS);
    migrate(opened, migrations);
  });
  const db = new Kysely<MetaSchema>({ dialect: nodeSqliteDialect(database) });
  let closing: Promise<void> | undefined;
  return {
    db,
    durably: (step) => durably(database, db, step),
    close() {
      closing ??= db
        // Waits for what was asked before.
        .connection()
        .execute(async () => {})
        .then(() => db.destroy());
      return closing;
    },
  };
}

/**
 * With synchronous = NORMAL a commit is not synced until the next checkpoint: a power cut may take the last commits back (never
 * a part of one). For most facts that only means work done twice; a step for which it would mean more goes through here.
 */
export function durably<T>(
  database: DatabaseSync,
  db: Kysely<MetaSchema>,
  step: (db: Kysely<MetaSchema>) => Promise<T>,
): Promise<T> {
  return db.connection().execute(async (connection) => {
    // Not through the builder: SQLite acts on this pragma when it is compiled, and compiled statements are kept.
    database.exec('PRAGMA synchronous = FULL');
    try {
      return await step(connection);
    } finally {
      database.exec('PRAGMA synchronous = NORMAL');
    }
  });
}

function openWith(file: string, prepare: (database: DatabaseSync) => void): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file, { timeout: BUSY_TIMEOUT_MS, enableForeignKeyConstraints: true, defensive: true });
    prepare(database);
    return database;
  } catch (error) {
    database?.close();
    throw sqliteFailure(error);
  }
}

/** SQLite gives -wal and -shm the mode of the database file, so the file is made before SQLite sees it. */
function makePrivate(file: string): void {
  try {
    closeSync(openSync(file, 'a', 0o600));
    for (const name of [file, `${file}-wal`, `${file}-shm`]) if (existsSync(name)) chmodSync(name, 0o600);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const kind =
      code === 'ENOSPC' ? 'no_space' : code === 'EROFS' || code === 'EACCES' || code === 'EPERM' ? 'read_only' : 'io_error';
    throw new HawserError(kind, `The database "${file}" could not be made private (${code}): check its folder and who owns it.`, {
      value: file,
      cause: error,
    });
  }
}

const BUSY_TIMEOUT_MS = 5000;

/** A checkpoint syncs, while everything waits: one each 16 MiB of log (pages of 4 KiB), where 4 MiB is the default. */
const PRAGMAS = `
  PRAGMA journal_mode = WAL;
  PRAGMA synchronous = NORMAL;
  PRAGMA wal_autocheckpoint = 4000;
  PRAGMA journal_size_limit = 67108864;
`;
