/** Uploads in SQL, with the blocks that are safe. */
import type { Insertable, Selectable, Updateable } from 'kysely';
import { pathFromKey, pathKey } from '../../core/path.ts';
import { checkRuns, storable, wholeLimit } from '../meta/bounds.ts';
import type { MetaStore, UploadRecord } from '../meta/contract.ts';
import { noUpload, taken } from '../meta/failures.ts';
import type { MetaDatabase, UploadTable } from './schema.ts';

type Methods =
  | 'addUpload'
  | 'getUpload'
  | 'findUpload'
  | 'listUploads'
  | 'updateUpload'
  | 'removeUpload'
  | 'expiredUploads'
  | 'recordBlocks'
  | 'loadBlocks'
  | 'clearBlocks';

export function sqlUploads({ db, durably }: MetaDatabase): Pick<MetaStore, Methods> {
  const getUpload = async (id: string): Promise<UploadRecord | null> => {
    const row = await db.selectFrom('uploads').selectAll().where('id', '=', id).executeTakeFirst();
    return row === undefined ? null : fromRow(row);
  };
  return {
    getUpload,
    async addUpload(upload) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto('uploads')
        .values(toRow(storable(upload)))
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirstOrThrow();
      if (numInsertedOrUpdatedRows === 0n) throw taken('upload', upload.id);
    },
    async findUpload(path, owner) {
      const row = await db
        .selectFrom('uploads')
        .selectAll()
        .where('path', '=', pathKey(path))
        .where('owner', '=', owner)
        .where('state', '!=', 'done')
        .orderBy('created_ms', 'desc')
        .orderBy('id', 'desc')
        .limit(1)
        .executeTakeFirst();
      return row === undefined ? null : fromRow(row);
    },
    async listUploads({ limit, owner, transfer, after, state }) {
      let query = db.selectFrom('uploads').selectAll().orderBy('id').limit(wholeLimit(limit));
      if (owner !== undefined) query = query.where('owner', '=', owner);
      if (transfer !== undefined) query = query.where('transfer', '=', transfer);
      if (state !== undefined) query = query.where('state', '=', state);
      if (after !== undefined) query = query.where('id', '>', after);
      return (await query.execute()).map(fromRow);
    },
    async updateUpload(id, change) {
      const columns = toColumns(storable(change));
      if (Object.values(columns).every((value) => value === undefined)) return getUpload(id);
      const query = db.updateTable('uploads').set(columns).where('id', '=', id).returningAll();
      // The staged file is gone once it is published. Without this record an upload in that moment would be taken for one
      // that lost its bytes.
      const row =
        change.state === 'publishing' || change.state === 'receiving'
          ? await durably((connection) => connection.executeQuery(query).then(({ rows }) => rows[0]))
          : await query.executeTakeFirst();
      return row === undefined ? null : fromRow(row);
    },
    async removeUpload(id) {
      await db.deleteFrom('uploads').where('id', '=', id).execute();
    },
    async expiredUploads(nowMs, limit) {
      const rows = await db
        .selectFrom('uploads')
        .selectAll()
        .where('expires_ms', '<', nowMs)
        .orderBy('expires_ms')
        .orderBy('id')
        .limit(wholeLimit(limit))
        .execute();
      return rows.map(fromRow);
    },

    async recordBlocks(id, runs, nowMs) {
      checkRuns(runs);
      storable({ nowMs });
      // Copied before anything is awaited: the caller's buffers may be used again.
      const rows = runs.map(({ first, digests }) => ({ upload: id, first, digests: digests.slice() }));
      await db.transaction().execute(async (step) => {
        const { numUpdatedRows } = await step
          .updateTable('uploads')
          .set({ updated_ms: nowMs })
          .where('id', '=', id)
          .executeTakeFirstOrThrow();
        if (numUpdatedRows === 0n) throw noUpload(id);
        const { last } = await step
          .selectFrom('upload_blocks')
          .select((eb) => eb.fn.max('seq').as('last'))
          .where('upload', '=', id)
          .executeTakeFirstOrThrow();
        let seq = last ?? 0;
        // One by one: few at a time, and the statement stays the same one.
        for (const row of rows) {
          seq += 1;
          await step
            .insertInto('upload_blocks')
            .values({ ...row, seq })
            .execute();
        }
      });
    },
    loadBlocks: (id) =>
      db.selectFrom('upload_blocks').select(['first', 'digests']).where('upload', '=', id).orderBy('seq').execute(),
    async clearBlocks(id) {
      await db.deleteFrom('upload_blocks').where('upload', '=', id).execute();
    },
  };
}

type UploadChange = Parameters<MetaStore['updateUpload']>[1];

function toColumns(change: UploadChange): { [K in keyof Updateable<UploadTable>]: Updateable<UploadTable>[K] | undefined } {
  return {
    transfer: change.transfer,
    size: change.size,
    mode: change.mode,
    mtime_ns: change.mtimeNs,
    overwrite: change.overwrite,
    state: change.state,
    epoch: change.epoch,
    digest: change.digest,
    updated_ms: change.updatedMs,
    expires_ms: change.expiresMs,
  };
}

function toRow(upload: UploadRecord): Insertable<UploadTable> {
  return {
    id: upload.id,
    transfer: upload.transfer,
    owner: upload.owner,
    path: pathKey(upload.path),
    size: upload.size,
    block_bytes: upload.blockBytes,
    mode: upload.mode,
    mtime_ns: upload.mtimeNs,
    overwrite: upload.overwrite,
    state: upload.state,
    epoch: upload.epoch,
    digest: upload.digest,
    created_ms: upload.createdMs,
    updated_ms: upload.updatedMs,
    expires_ms: upload.expiresMs,
  };
}

function fromRow(row: Selectable<UploadTable>): UploadRecord {
  return {
    id: row.id,
    transfer: row.transfer,
    owner: row.owner,
    path: pathFromKey(row.path),
    size: row.size,
    blockBytes: row.block_bytes,
    mode: row.mode,
    mtimeNs: row.mtime_ns === null ? null : BigInt(row.mtime_ns),
    overwrite: row.overwrite,
    state: row.state,
    epoch: row.epoch,
    digest: row.digest,
    createdMs: row.created_ms,
    updatedMs: row.updated_ms,
    expiresMs: row.expires_ms,
  };
}
