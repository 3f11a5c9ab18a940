/** Tokens in SQL. Both changes outlive a power cut: a revoked token must not come back. */
import type { Selectable } from 'kysely';
import { storable, storedText } from '../meta/bounds.ts';
import type { MetaStore, TokenRecord } from '../meta/contract.ts';
import { taken } from '../meta/failures.ts';
import type { MetaDatabase, TokenTable } from './schema.ts';

export function sqlTokens({
  db,
  durably,
}: MetaDatabase): Pick<MetaStore, 'addToken' | 'getToken' | 'listTokens' | 'removeToken'> {
  return {
    async addToken(token) {
      const row = toRow(storable(token));
      await durably(async (connection) => {
        const { numInsertedOrUpdatedRows } = await connection
          .insertInto('tokens')
          .values(row)
          .onConflict((conflict) => conflict.doNothing())
          .executeTakeFirstOrThrow();
        if (numInsertedOrUpdatedRows === 0n) throw taken('token', token.id);
      });
    },
    async getToken(id) {
      const row = await db.selectFrom('tokens').selectAll().where('id', '=', id).executeTakeFirst();
      return row === undefined ? null : fromRow(row);
    },
    async listTokens() {
      const rows = await db.selectFrom('tokens').selectAll().orderBy('created_ms').orderBy('id').execute();
      return rows.map(fromRow);
    },
    removeToken: (id) =>
      durably(async (connection) => {
        const { numDeletedRows } = await connection.deleteFrom('tokens').where('id', '=', id).executeTakeFirstOrThrow();
        return numDeletedRows > 0n;
      }),
  };
}

function toRow(token: TokenRecord): TokenTable {
  return {
    id: token.id,
    name: storedText(token.name),
    role: token.role,
    secret_hash: token.secretHash,
    created_ms: token.createdMs,
    expires_ms: token.expiresMs,
  };
}

function fromRow(row: Selectable<TokenTable>): TokenRecord {
  return {
    id: row.id,
    name: row.name,
    role: row.role,
    secretHash: row.secret_hash,
    createdMs: row.created_ms,
    expiresMs: row.expires_ms,
  };
}
