/**
 * kysely on Node's own SQLite. kysely's SQLite dialect asks for a database with `prepare` and `close`; this gives it one,
 * with what the rest relies on: transactions take the write lock when they begin (no upgrade that can fail half-way),
 * integers are exact, statements are compiled once, and failures are HawserErrors.
 *
 * kysely gives the one connection to one query or transaction after the other, so nothing interleaves with a transaction.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { CompiledQuery, type Dialect, type SqliteDatabase, SqliteDialect, type SqliteStatement } from 'kysely';
import { sqliteFailure } from './sqlite-failure.ts';

export function nodeSqliteDialect(database: DatabaseSync): Dialect {
  const sqlite = new SqliteDialect({ database: adaptDatabase(database) });
  return {
    createAdapter: () => sqlite.createAdapter(),
    createIntrospector: (db) => sqlite.createIntrospector(db),
    createQueryCompiler: () => sqlite.createQueryCompiler(),
    createDriver() {
      const driver = sqlite.createDriver();
      driver.beginTransaction = async (connection) => {
        await connection.executeQuery(CompiledQuery.raw('begin immediate'));
      };
      const rollback = driver.rollbackTransaction.bind(driver);
      driver.rollbackTransaction = async (connection) => {
        // A full disk has SQLite roll back by itself; doing it again would fail and hide why.
        if (database.isTransaction) await rollback(connection);
      };
      return driver;
    },
  };
}

function adaptDatabase(database: DatabaseSync): SqliteDatabase {
  const statements = new Map<string, SqliteStatement>();
  return {
    prepare(query) {
      let statement = statements.get(query);
      if (statement === undefined) {
        if (statements.size >= MAX_STATEMENTS) statements.clear();
        statement = attempt(() => adaptStatement(database.prepare(query, { readBigInts: true })));
        statements.set(query, statement);
      }
      return statement;
    },
    close() {
      statements.clear();
      database.close();
    },
  };
}

function adaptStatement(statement: StatementSync): SqliteStatement {
  return {
    reader: statement.columns().length > 0,
    all: (parameters) => attempt(() => statement.all(...(parameters as SQLInputValue[])).map(withNumbers)),
    run: (parameters) => attempt(() => statement.run(...(parameters as SQLInputValue[]))),
    *iterate(parameters) {
      for (const row of statement.iterate(...(parameters as SQLInputValue[]))) yield withNumbers(row);
    },
  };
}

/** Integers as numbers where a number is exact, and as bigint beyond: reading them as numbers would throw there. */
function withNumbers(row: Record<string, unknown>): Record<string, unknown> {
  for (const column in row) {
    const value = row[column];
    if (typeof value === 'bigint' && value >= MIN_EXACT && value <= MAX_EXACT) row[column] = Number(value);
  }
  return row;
}

function attempt<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    throw sqliteFailure(error);
  }
}

/** The store has some forty different queries; the bound is there for the day somebody builds them in a loop. */
const MAX_STATEMENTS = 200;
const MIN_EXACT = BigInt(Number.MIN_SAFE_INTEGER);
const MAX_EXACT = BigInt(Number.MAX_SAFE_INTEGER);
