/** Many small files, read at once (worker thread only, so all calls are synchronous). */
import { Buffer } from 'node:buffer';
import { type BigIntStats, closeSync, constants, fstatSync, openSync, readlinkSync, readSync, realpathSync } from 'node:fs';
import { HawserError } from '../../core/errors.ts';
import { baseName, parentPath } from '../../core/path.ts';
import { BatchFolders } from './batch-folders.ts';
import type { BatchError, BatchSetup, GetAnswer } from './batch-messages.ts';
import { batchError } from './batch-put.ts';
import { assertNotState, assertServed, type Border, O_PATH, systemPath } from './border.ts';
import type { Entry } from './contract.ts';
import { entryOf } from './entry.ts';
import { errnoOf, storeError } from './errno.ts';
import { tooLarge } from './refusals.ts';

export function getBatch(setup: BatchSetup, paths: readonly string[], maxBytes: number): GetAnswer {
  const results: (Entry | BatchError)[] = [];
  const folders = new BatchFolders(setup.border);
  let content = new Uint8Array(Math.min(FIRST_BYTES, paths.length * maxBytes));
  let used = 0;
  try {
    for (const path of paths) {
      try {
        const fd = openFile(setup.border, folders, path);
        try {
          const stats = fstatSync(fd, { bigint: true });
          assertFile(setup.border, stats, path);
          const entry = entryOf(path, stats)!;
          if (entry.size > maxBytes) throw tooLarge(path, entry.size, maxBytes);
          content = withRoom(content, used, entry.size);
          readWhole(fd, content.subarray(used, used + entry.size), path);
          used += entry.size;
          results.push(entry);
        } finally {
          closeSync(fd);
        }
      } catch (error) {
        results.push(batchError(error, path, 'read'));
      }
    }
  } finally {
    folders.close();
  }
  return { results, content: content.subarray(0, used) };
}

/** Without waiting for a FIFO's other end; what is not a file is closed again by the caller's check. */
function openFile(border: Border, folders: BatchFolders, path: string): number {
  const place = path === '/' ? systemPath(border, '/') : folders.get(parentPath(path), false).child(baseName(path));
  try {
    return openSync(place, READ | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) !== 'ELOOP') throw error;
    return openFollowed(border, path);
  }
}

function openFollowed(border: Border, path: string): number {
  const latin = { encoding: 'latin1' } as const;
  if (!border.anchored) {
    const real = realpathSync.native(systemPath(border, path), latin);
    assertServed(border, real, path);
    return openSync(Buffer.from(real, 'latin1'), READ | constants.O_NOFOLLOW);
  }
  const seen = openSync(systemPath(border, path), O_PATH);
  try {
    const self = `/proc/self/fd/${seen}`;
    assertServed(border, readlinkSync(self, latin), path);
    assertFile(border, fstatSync(seen, { bigint: true }), path);
    return openSync(self, READ);
  } finally {
    closeSync(seen);
  }
}

function assertFile(border: Border, stats: BigIntStats, path: string): void {
  assertNotState(border, stats, path);
  if (stats.isDirectory()) throw storeError({ code: 'EISDIR' }, path, 'read');
  if (!stats.isFile()) throw storeError({ code: 'ENOENT' }, path, 'read');
}

function readWhole(fd: number, into: Uint8Array, path: string): void {
  for (let done = 0; done < into.length; ) {
    const bytes = readSync(fd, into, done, into.length - done, done);
    if (bytes === 0)
      throw new HawserError('changed', `${JSON.stringify(path)} became shorter while it was read: read it again.`, {
        value: path,
      });
    done += bytes;
  }
}

/** The same buffer, or one of twice the length that begins with its first `used` bytes. */
function withRoom(content: Uint8Array<ArrayBuffer>, used: number, bytes: number): Uint8Array<ArrayBuffer> {
  if (used + bytes <= content.length) return content;
  const larger = new Uint8Array(Math.max(2 * content.length, used + bytes));
  larger.set(content.subarray(0, used));
  return larger;
}

const READ = constants.O_RDONLY | constants.O_NONBLOCK;
const FIRST_BYTES = 1 << 20;
