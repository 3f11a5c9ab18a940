/** Small files of our own that hold secrets: tokens, tickets. */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Replaces `file` whole, readable by its owner alone. Whoever reads meanwhile sees the old or the new one. `synced`: also after
 * a power failure, which costs a turn of the disk.
 */
export function writePrivately(file: string, text: string, { synced }: { synced: boolean }): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${process.pid}.tmp`;
  rmSync(temporary, { force: true });
  const handle = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(handle, text);
    if (synced) fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(temporary, file);
}
