/**
 * Folders under way to a new name. By the rules of cp the same command would mean "into it" as soon as that folder is there, so
 * that an interrupted transfer, repeated, would begin again one level below. A small file each in the state folder, written before
 * the folder is made and removed when all of it has arrived.
 */
import { createHash } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { writePrivately } from './private-file.ts';

export interface NewName {
  /** It was begun before, and not all has arrived. */
  readonly begun: boolean;
  /** Failing to is no failure: repeating it then takes `/.` behind the source. */
  begin(): void;
  end(): void;
}

/** `identity`: which way, the server, the source, the new name. */
export function openNewName(stateFolder: string, identity: readonly string[]): NewName {
  const text = JSON.stringify(identity);
  const file = join(stateFolder, 'new-names', createHash('sha256').update(text).digest('hex').slice(0, 32));
  return {
    get begun() {
      return existsSync(file);
    },
    begin() {
      try {
        writePrivately(file, `${text}\n`, { synced: true });
      } catch {
        // As said above.
      }
    },
    end: () => rmSync(file, { force: true }),
  };
}
