/** Facts in a SQLite file: the store of a server that runs alone, which most do. */

import { sqlFiles } from '../sql/files.ts';
import { openNodeSqlite } from '../sql/open-node-sqlite.ts';
import { sqlTokens } from '../sql/tokens.ts';
import { sqlTransfers } from '../sql/transfers.ts';
import { sqlUploads } from '../sql/uploads.ts';
import type { MetaStore } from './contract.ts';

/**
 * Opens the database, makes it when there is none (readable by its owner only), and brings an older one up to date.
 *
 * What a method recorded survives the death of the process; a power cut may take the last moments back, but never a token's
 * making or removal, or that an upload is being published.
 *
 * @param file its path, or ":memory:" for one that is gone after close.
 * @throws HawserError `database_unusable` when it is damaged or a newer version made it; busy, read_only, no_space, io_error.
 * @example
 * const meta = await openSqliteMeta('/srv/files/.hawser/hawser.db');
 */
export async function openSqliteMeta(file: string): Promise<MetaStore> {
  const database = await openNodeSqlite(file);
  return {
    ...sqlTokens(database),
    ...sqlTransfers(database),
    ...sqlUploads(database),
    ...sqlFiles(database),
    close: () => database.close(),
  };
}
