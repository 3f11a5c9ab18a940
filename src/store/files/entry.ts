/** What the file system knows of a name, as an Entry of the contract. */
import type { BigIntStats } from 'node:fs';
import type { Entry } from './contract.ts';

/** Null for what is neither file, folder nor link: FIFOs, devices and sockets are not served. */
export function entryOf(path: string, stats: BigIntStats, target?: string): Entry | null {
  const type = stats.mode & TYPE_MASK;
  const kind = type === TYPE_FILE ? 'file' : type === TYPE_FOLDER ? 'folder' : type === TYPE_LINK ? 'link' : null;
  if (kind === null) return null;
  const entry: Entry = {
    path,
    kind,
    size: kind === 'file' ? Number(stats.size) : 0,
    mode: Number(stats.mode & 0o777n),
    mtimeNs: stats.mtimeNs,
    version: versionOf(stats),
  };
  return target === undefined ? entry : { ...entry, target };
}

/** Mode of a file or folder that comes without one. */
export const DEFAULT_FILE_MODE = 0o644;
export const DEFAULT_FOLDER_MODE = 0o755;

/**
 * Renaming, rewriting and touching all change the ctime, and nobody can set it back: equal versions mean equal bytes, as far
 * as a file system can tell (two changes within one tick of its clock look alike, unless the size or the inode differs).
 */
function versionOf(stats: BigIntStats): string {
  return `${stats.ino.toString(36)}-${stats.size.toString(36)}-${stats.mtimeNs.toString(36)}-${stats.ctimeNs.toString(36)}`;
}

// inode(7), "The file type and mode".
const TYPE_MASK = 0o170000n;
const TYPE_FILE = 0o100000n;
const TYPE_FOLDER = 0o040000n;
const TYPE_LINK = 0o120000n;
