/** The names in a folder, sorted, kept for a while for large folders: each page of a listing needs all of them again. */
import { readdir } from 'node:fs/promises';
import type { Folder } from './folder.ts';

/** Names as byte text (border.ts), whose order as strings is that of the bytes. */
export interface FolderNames {
  sorted(folder: Folder): Promise<readonly string[]>;
}

export function createFolderNames(): FolderNames {
  const kept = new Map<string, { readonly version: string; readonly names: readonly string[] }>();
  return {
    async sorted(folder) {
      const { dev, ino, mtimeNs, ctimeNs } = await folder.handle.stat({ bigint: true });
      const key = `${dev}-${ino}`;
      const version = `${mtimeNs}-${ctimeNs}`;
      const known = kept.get(key);
      if (known?.version === version) return known.names;
      kept.delete(key);
      const names = (await readdir(folder.self, { encoding: 'latin1' })).sort();
      // A second change within one tick of the file system's clock cannot be seen: only what has been quiet is kept.
      const quietMs = Date.now() - Number(ctimeNs / 1_000_000n);
      if (names.length >= WORTH_KEEPING && names.length <= MOST_NAMES && quietMs > QUIET_MS) {
        kept.set(key, { version, names });
        if (kept.size > MOST_FOLDERS) kept.delete(kept.keys().next().value!);
      }
      return names;
    },
  };
}

const QUIET_MS = 2000;
const WORTH_KEEPING = 1000;
/** A larger one is read anew for each page: memory is bounded, time is not. */
const MOST_NAMES = 200_000;
const MOST_FOLDERS = 2;
