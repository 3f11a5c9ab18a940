/** Is there room for what is to be fetched? Asked before hours are spent on what cannot end well. */
import { statfsSync } from 'node:fs';
import { HawserError } from '../../core/errors.ts';
import { formatBytes } from '../../core/units.ts';
import type { FileInfo } from '../../engine/contract.ts';
import { type Kept, lookAt, sameTime } from './attributes.ts';
import { checkName, joinLocal, type LocalPath, partialNames } from './local-path.ts';

export interface Wanted {
  readonly info: FileInfo;
  /** Below the trunk. */
  readonly names: readonly string[];
}

/**
 * Throws local_no_space when the files are larger than what is free on the trunk's disk. What earlier runs fetched of them counts
 * as room. So do the files that they replace, unless there is only one: an old file goes when the new one is whole.
 */
export function checkRoom(trunk: string, files: readonly Wanted[], isKept: Kept, freeBytesOf = freeBytesAt): void {
  const wanted = files.filter(({ info }) => info.kind === 'file');
  const freeBytes = freeBytesOf(trunk);
  // Only what may be too much is worth a look at each.
  if (freeBytes === null || sum(wanted.map(({ info }) => info.size)) <= freeBytes) return;
  const bytes = sum(wanted.map((file) => missingBytes(trunk, file, isKept, wanted.length > 1)));
  if (bytes <= freeBytes) return;
  throw new HawserError(
    'local_no_space',
    `${formatBytes(bytes)} are still to come, and there are ${formatBytes(freeBytes)} of free space for them in "${trunk}": free some, or choose another destination.`,
    { value: trunk },
  );
}

/** Null: nobody knows. There are file systems that do not count their blocks. */
function freeBytesAt(folder: string): number | null {
  try {
    const { bsize, blocks, bavail, bfree } = statfsSync(folder);
    // The superuser may use what is kept back for him.
    return bsize > 0 && blocks > 0 ? bsize * (process.getuid?.() === 0 ? bfree : bavail) : null;
  } catch {
    return null;
  }
}

/** What cannot be looked at is missing; why it cannot is told when it is to be written. */
function missingBytes(trunk: string, { info, names }: Wanted, isKept: Kept, replacedIsRoom: boolean): number {
  try {
    const device = lookAt(trunk)?.dev;
    let folder: LocalPath = trunk;
    for (const name of names.slice(0, -1)) {
      folder = joinLocal(folder, checkName(name));
      const there = lookAt(folder);
      if (!there) return info.size;
      // Another disk is mounted there.
      if (there.dev !== device) return 0;
    }
    const name = checkName(names.at(-1) ?? '');
    const there = lookAt(joinLocal(folder, name));
    if (there && (isKept(there.mtimeNs, info) || (Number(there.size) === info.size && sameTime(there.mtimeNs, info.mtimeNs))))
      return 0;
    // Both are sparse where nothing was written, so that their size says little.
    const partial = lookAt(partialNames(folder, name).partial);
    const here = Number(partial?.blocks ?? 0) * BLOCK_BYTES;
    const replaced = replacedIsRoom ? Number(there?.blocks ?? 0) * BLOCK_BYTES : 0;
    return Math.max(0, info.size - here) - replaced;
  } catch {
    return info.size;
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** Of st_blocks, whatever the file system's own are. */
const BLOCK_BYTES = 512;
