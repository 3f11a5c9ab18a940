/** Transfers in SQL. */
import type { ExpressionBuilder, Selectable } from 'kysely';
import { storable, storedText, wholeLimit } from '../meta/bounds.ts';
import type { MetaStore, TransferRecord } from '../meta/contract.ts';
import { taken } from '../meta/failures.ts';
import type { MetaDatabase, MetaSchema, TransferTable } from './schema.ts';

type Methods = 'addTransfer' | 'getTransfer' | 'listTransfers' | 'updateTransfer' | 'pruneTransfers';

export function sqlTransfers({ db }: MetaDatabase): Pick<MetaStore, Methods> {
  return {
    async addTransfer(transfer) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto('transfers')
        .values(toRow(storable(transfer)))
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirstOrThrow();
      if (numInsertedOrUpdatedRows === 0n) throw taken('transfer', transfer.id);
    },
    async getTransfer(id) {
      const row = await db.selectFrom('transfers').selectAll().where('id', '=', id).executeTakeFirst();
      return row === undefined ? null : fromRow(row);
    },
    async listTransfers({ limit, state, owner, before }) {
      let query = db
        .selectFrom('transfers')
        .selectAll()
        .orderBy('created_ms', 'desc')
        .orderBy('id', 'desc')
        .limit(wholeLimit(limit));
      if (state !== undefined) query = query.where('state', '=', state);
      if (owner !== undefined) query = query.where('owner', '=', owner);
      if (before !== undefined) {
        query = query.where(({ eb, refTuple, tuple }) =>
          eb(refTuple('created_ms', 'id'), '<', tuple(before.createdMs, before.id)),
        );
      }
      return (await query.execute()).map(fromRow);
    },
    async updateTransfer(id, change) {
      storable(change);
      const row = await db
        .updateTable('transfers')
        .set((eb) => ({
          state: change.state,
          priority: change.priority,
          files_total: change.filesTotal,
          bytes_total: change.bytesTotal,
          files_done: counted(eb, 'files_done', change.filesDone, change.addFiles),
          bytes_done: counted(eb, 'bytes_done', change.bytesDone, change.addBytes),
          ended_ms: change.endedMs,
          error: typeof change.error === 'string' ? storedText(change.error) : change.error,
          updated_ms: change.updatedMs,
        }))
        .where('id', '=', id)
        .returningAll()
        .executeTakeFirst();
      return row === undefined ? null : fromRow(row);
    },
    async pruneTransfers(beforeMs) {
      const { numDeletedRows } = await db
        .deleteFrom('transfers')
        .where('state', 'in', ['cancelled', 'done', 'failed'])
        .where('updated_ms', '<', beforeMs)
        .executeTakeFirstOrThrow();
      return Number(numDeletedRows);
    },
  };
}

/** The absolute count when one is given, and what is added to it or to what is there. */
function counted(
  eb: ExpressionBuilder<MetaSchema, 'transfers'>,
  column: 'files_done' | 'bytes_done',
  absolute: number | undefined,
  added: number | undefined,
) {
  if (absolute !== undefined) return eb.val(absolute + (added ?? 0));
  return added === undefined ? undefined : eb(column, '+', added);
}

function toRow(transfer: TransferRecord): TransferTable {
  return {
    id: transfer.id,
    kind: transfer.kind,
    state: transfer.state,
    priority: transfer.priority,
    owner: transfer.owner,
    source: storedText(transfer.source),
    destination: storedText(transfer.destination),
    files_total: transfer.filesTotal,
    bytes_total: transfer.bytesTotal,
    files_done: transfer.filesDone,
    bytes_done: transfer.bytesDone,
    created_ms: transfer.createdMs,
    updated_ms: transfer.updatedMs,
    ended_ms: transfer.endedMs,
    error: transfer.error === null ? null : storedText(transfer.error),
  };
}

function fromRow(row: Selectable<TransferTable>): TransferRecord {
  return {
    id: row.id,
    kind: row.kind,
    state: row.state,
    priority: row.priority,
    owner: row.owner,
    source: row.source,
    destination: row.destination,
    filesTotal: row.files_total,
    bytesTotal: row.bytes_total,
    filesDone: row.files_done,
    bytesDone: row.bytes_done,
    createdMs: row.created_ms,
    updatedMs: row.updated_ms,
    endedMs: row.ended_ms,
    error: row.error,
  };
}
