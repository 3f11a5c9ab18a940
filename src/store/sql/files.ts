/**
 * Records of published files in SQL. Many at once travel as one JSON parameter that SQLite takes apart (json_each): one
 * statement whatever their number, where a list of parameters would be compiled anew for each length.
 */
import { type ExpressionBuilder, type Selectable, sql } from 'kysely';
import { pathFromKey, pathKey } from '../../core/path.ts';
import { checkMove, storable, wholeLimit } from '../meta/bounds.ts';
import type { FileRecord, MetaStore } from '../meta/contract.ts';
import type { FileTable, MetaDatabase, MetaSchema } from './schema.ts';

type Methods = 'recordFiles' | 'getFile' | 'getFiles' | 'findByDigest' | 'moveFiles' | 'removeFiles';

export function sqlFiles({ db }: MetaDatabase): Pick<MetaStore, Methods> {
  return {
    async recordFiles(files) {
      if (files.length === 0) return;
      const rows = JSON.stringify(files.map((file) => toTuple(storable(file))));
      // "where true" tells SQLite's parser that "on conflict" is not the condition of a join.
      await sql`
        insert into files (path, version, size, digest, mtime_ns)
        select value ->> 0, value ->> 1, value ->> 2, value ->> 3, cast(value ->> 4 as integer) from json_each(${rows}) where true
        on conflict (path) do update set
          version = excluded.version, size = excluded.size, digest = excluded.digest, mtime_ns = excluded.mtime_ns
      `.execute(db);
    },
    async getFile(path) {
      const row = await db.selectFrom('files').selectAll().where('path', '=', pathKey(path)).executeTakeFirst();
      return row === undefined ? null : fromRow(row);
    },
    async getFiles(paths) {
      const keys = JSON.stringify(paths.map(pathKey));
      const { rows } = await sql<Selectable<FileTable>>`
        select * from files where path in (select value from json_each(${keys}))
      `.execute(db);
      return new Map(rows.map((row) => [pathFromKey(row.path), fromRow(row)]));
    },
    async findByDigest(digest, limit) {
      const rows = await db
        .selectFrom('files')
        .selectAll()
        // As the index has it; no order, so that it stops at the limit where very many files are alike (empty ones).
        .where(sql<boolean>`substr(digest, 1, 8) = substr(${digest}, 1, 8)`)
        .where('digest', '=', digest)
        .limit(wholeLimit(limit))
        .execute();
      return rows.map(fromRow);
    },
    async moveFiles(from, to) {
      if (from === to) return;
      checkMove(from, to);
      await db.transaction().execute(async (step) => {
        // What had the new name is no longer there.
        await step.deleteFrom('files').where(within(to)).execute();
        await step
          .updateTable('files')
          .set({ path: sql`${pathKey(to)} || substr(path, length(${pathKey(from)}) + 1)` })
          .where(within(from))
          .execute();
      });
    },
    async removeFiles(path) {
      await db.deleteFrom('files').where(within(path)).execute();
    },
  };
}

/** The path itself and what is below it, as a range of keys: "0" is the character after "/". */
function within(path: string) {
  const key = pathKey(path);
  const folder = key === '/' ? '' : key;
  return (eb: ExpressionBuilder<MetaSchema, 'files'>) =>
    eb.or([eb('path', '=', key), eb.and([eb('path', '>=', `${folder}/`), eb('path', '<', `${folder}0`)])]);
}

/** 64-bit integers as text: JSON readers may round them. */
function toTuple(file: FileRecord): (string | number)[] {
  return [pathKey(file.path), file.version, file.size, file.digest, String(file.mtimeNs)];
}

function fromRow(row: Selectable<FileTable>): FileRecord {
  return {
    path: pathFromKey(row.path),
    version: row.version,
    size: row.size,
    digest: row.digest,
    mtimeNs: BigInt(row.mtime_ns),
  };
}
