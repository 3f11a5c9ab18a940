/** Folders and files that a benchmark needs for a while. */
import { randomFillSync } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { availableParallelism, freemem } from 'node:os';
import { join } from 'node:path';
import { atEnd, Skip } from './cleanup.ts';

/** A new folder that goes at the end. `memory`: on tmpfs (/dev/shm); `disk`: below /var/tmp. `neededBytes` must be free. */
export function scratch(where: 'memory' | 'disk', neededBytes: number): string {
  const base = process.env.HAWSER_BENCH_DIR ?? (where === 'memory' ? '/dev/shm' : '/var/tmp');
  const { bavail, bsize } = statfsSync(base);
  const freeBytes = where === 'memory' ? Math.min(bavail * bsize, freemem() + cacheBytes()) : bavail * bsize;
  if (freeBytes < neededBytes) {
    throw new Skip(
      `bench: ${base} has ${gib(freeBytes)} free and this needs ${gib(neededBytes)}: free some, choose a smaller --size, or set HAWSER_BENCH_DIR.`,
    );
  }
  const folder = mkdtempSync(join(base, 'hawser-bench-'));
  atEnd(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/** A file that no compression and no deduplication makes smaller. One random MiB with a counter in every 4 KiB is as good, and fast. */
export function randomFile(path: string, bytes: number): void {
  const piece = randomFillSync(Buffer.allocUnsafe(1 << 20));
  const fd = openSync(path, 'wx');
  for (let at = 0; at < bytes; ) {
    for (let page = 0; page < piece.length; page += 4096) randomFillSync(piece, page, 64);
    at += writeSync(fd, piece, 0, Math.min(piece.length, bytes - at));
  }
  closeSync(fd);
}

/** A file of nothing but a hole. */
export function sparseFile(path: string, bytes: number): void {
  const fd = openSync(path, 'wx');
  ftruncateSync(fd, bytes);
  closeSync(fd);
}

/** `count` files of `bytes` random bytes each, a hundred to a folder. */
export function manyFiles(folder: string, count: number, bytes: number): void {
  const content = Buffer.allocUnsafe(bytes);
  for (let i = 0; i < count; i++) {
    const below = join(folder, `d${String(Math.floor(i / 100)).padStart(3, '0')}`);
    if (i % 100 === 0) mkdirSync(below, { recursive: true });
    const fd = openSync(join(below, `f${String(i % 100).padStart(2, '0')}.bin`), 'wx');
    writeSync(fd, randomFillSync(content));
    closeSync(fd);
  }
}

/**
 * Touches as many pages as the copy will need and gives them back, so that the kernel has them at hand. Where a virtual machine
 * returns free memory to its host, the first touch of a page is slow and its cost random; this puts everyone on the same footing.
 */
export function warmPages(folder: string, bytes: number): void {
  const path = join(folder, 'filler');
  const piece = Buffer.alloc(4 << 20, 1);
  const fd = openSync(path, 'w');
  try {
    for (let at = 0; at < bytes; ) at += writeSync(fd, piece, 0, Math.min(piece.length, bytes - at));
  } finally {
    closeSync(fd);
    rmSync(path);
  }
}

export const cores = availableParallelism();

function cacheBytes(): number {
  // What the page cache of disks holds counts as free; tmpfs pages look like cache and do not, which statfs already says.
  return 4 * 2 ** 30;
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
