/**
 * One server per state folder. The lock is an exclusive transaction on an empty SQLite database: SQLite holds it with the
 * system's own file locks, which work on every platform and go with the process, also with kill -9. A pid file or a socket file
 * outlives its owner, and then two starters race for it.
 */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { HawserError } from '../core/errors.ts';

/** `usage` when another server has it. Returns how to give it back. */
export async function lockState(stateDir: string): Promise<() => void> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const file = join(stateDir, 'lock');
  const database = new DatabaseSync(file, { timeout: 0 });
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    if (!/locked|busy/i.test(String((cause as Error).message))) throw cause;
    const message = `Another Hawser serves this folder already ("${file}" is locked): stop it, or serve another folder.`;
    throw new HawserError('usage', message, { value: stateDir, cause });
  }
  return () => database.close();
}
