/**
 * Brings a database to the newest schema. Migrations are the numbered .sql files beside this one; they only go forward, each
 * in a transaction of its own, and each is recorded with a checksum of its text.
 *
 * A database is refused, untouched, when it has migrations that this program does not know (a newer version made it), or when
 * one that it has was since edited (then the schema is not the one the queries were written for).
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { HawserError } from '../../core/errors.ts';

export interface Migration {
  /** From 1, without gaps. */
  readonly number: number;
  /** File name. */
  readonly name: string;
  readonly sql: string;
}

export function migrate(database: DatabaseSync, migrations: readonly Migration[]): void {
  database.exec(CREATE_RECORD);
  checkApplied(database, migrations);
  for (const migration of migrations) apply(database, migration);
}

export async function loadMigrations(folder: string = MIGRATIONS_FOLDER): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  return Promise.all(
    names.map(async (name, index) => {
      const number = index + 1;
      if (!name.startsWith(`${String(number).padStart(4, '0')}_`)) {
        throw new HawserError('internal', `The migration "${name}" is out of line: number ${number} is the next.`, {
          value: name,
        });
      }
      return { number, name, sql: await readFile(join(folder, name), 'utf8') };
    }),
  );
}

function checkApplied(database: DatabaseSync, migrations: readonly Migration[]): void {
  const applied = database.prepare('SELECT number, name, checksum FROM schema_migrations ORDER BY number').all();
  for (const { number, name, checksum } of applied) {
    const known = migrations.find((migration) => migration.number === number);
    if (known === undefined) {
      throw new HawserError(
        'database_unusable',
        `The database has the migration "${name}", made by a newer version of Hawser: run that version or a later one.`,
        { value: String(name) },
      );
    }
    if (checksum !== checksumOf(known)) {
      throw new HawserError(
        'database_unusable',
        `The migration "${known.name}" is not the one that this database was made with ("${name}"): install Hawser afresh.`,
        { value: known.name },
      );
    }
  }
}

/** Another process may be migrating the same file: who gets the lock second finds it done. */
function apply(database: DatabaseSync, migration: Migration): void {
  database.exec('BEGIN IMMEDIATE');
  try {
    if (database.prepare('SELECT 1 FROM schema_migrations WHERE number = ?').get(migration.number) === undefined) {
      database.exec(migration.sql);
      database
        .prepare('INSERT INTO schema_migrations (number, name, checksum) VALUES (?, ?, ?)')
        .run(migration.number, migration.name, checksumOf(migration));
    }
    database.exec('COMMIT');
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

/** Over the text with "\n" line ends, which a checkout may have changed. */
function checksumOf(migration: Migration): string {
  return createHash('sha256').update(migration.sql.replaceAll('\r\n', '\n')).digest('hex');
}

const MIGRATIONS_FOLDER = join(import.meta.dirname, 'migrations');

const CREATE_RECORD = `CREATE TABLE IF NOT EXISTS schema_migrations (
  number INTEGER NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  checksum TEXT NOT NULL
) STRICT`;
