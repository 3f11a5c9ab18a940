/** What SQLite's result codes (https://www.sqlite.org/rescode.html) mean for the caller. */
import { type ErrorCode, HawserError } from '../../core/errors.ts';

export function sqliteFailure(error: unknown): unknown {
  if (error instanceof HawserError || !(error instanceof Error)) return error;
  // Only SQLite's own errors have a result code; its low byte is the primary one.
  const result = (error as { errcode?: unknown }).errcode;
  if (typeof result !== 'number') return error;
  const [code, sentence] = MEANINGS[result & 0xff] ?? ['internal', 'The database refused a statement of Hawser itself'];
  return new HawserError(code, `${sentence} (SQLite ${result}: ${error.message}).`, { value: result, cause: error });
}

const MEANINGS: Readonly<Record<number, readonly [ErrorCode, string]>> = {
  5: ['busy', 'Another process holds the database: try again, and see that only one server runs on this folder'],
  6: ['busy', 'Another process holds the database: try again, and see that only one server runs on this folder'],
  8: ['read_only', 'The database file cannot be written: check who owns it and how it is mounted'],
  10: ['io_error', 'The disk failed while the database was used: check the disk'],
  11: ['database_unusable', 'The database file is damaged: stop the server and restore the file from a backup'],
  13: ['no_space', 'There is no space left for the database: free some on the server'],
  14: ['io_error', 'The database file could not be opened: check that its folder is there and may be written'],
  26: ['database_unusable', 'The file is not a database: give the path of one, or of a file that is not there yet'],
};
