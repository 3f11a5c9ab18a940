/**
 * Many small entries, stored with one group sync (worker thread only, so all calls are synchronous): stage every file, sync
 * once, put every entry in place in the order given, sync the folders.
 */

import { Buffer } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  type PathLike,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { baseName, isPlainUtf8, parentPath, pathToBytes } from '../../core/path.ts';
import { type BatchFolder, BatchFolders, GROUP_SYNC_FROM } from './batch-folders.ts';
import {
  type BatchEntry,
  type BatchError,
  type BatchSetup,
  type EntryColumns,
  fromColumns,
  isBatchError,
  type PutAnswer,
  toAnswer,
} from './batch-messages.ts';
import { assertNotState, depthOf } from './border.ts';
import type { Entry, Overwrite } from './contract.ts';
import { DEFAULT_FILE_MODE, DEFAULT_FOLDER_MODE, entryOf } from './entry.ts';
import { errnoOf, storeError } from './errno.ts';
import {
  canLinkUnnamed,
  linkUnnamed,
  renameBetween,
  renameWithoutReplacing,
  setLinkTimesExactly,
  setTimesExactly,
  syncFileSystem,
} from './native.ts';
import { assertLinkStays, notNewer, parentForEntry } from './refusals.ts';

export function putBatch(setup: BatchSetup, columns: EntryColumns, content: Uint8Array, overwrite: Overwrite): PutAnswer {
  const entries = fromColumns(columns);
  const results = new Array<Entry | BatchError>(entries.length);
  const staged = new Array<Staged | null>(entries.length).fill(null);
  const batch: Batch = {
    ...setup,
    stagingFd: openSync(setup.staging, constants.O_RDONLY | constants.O_DIRECTORY),
    folders: new BatchFolders(setup.border),
    content,
    overwrite,
  };
  const id = randomUUID();
  const nameOf = (i: number): string => `${id}-${i}${BATCH_SUFFIX}`;
  /** Does one step for every entry that has not failed. */
  const forEach = (step: (entry: BatchEntry, i: number) => void): void => {
    for (const [i, entry] of entries.entries()) {
      if (results[i] !== undefined && isBatchError(results[i])) continue;
      try {
        step(entry, i);
      } catch (error) {
        results[i] = batchError(error, entry.path);
      }
    }
  };
  try {
    forEach((entry, i) => {
      if (entry.kind === 'file') staged[i] = stage(batch, nameOf(i), entry);
    });
    if (entries.length <= GROUP_SYNC_FROM || !syncFileSystem(batch.stagingFd)) {
      forEach((_, i) => {
        if (staged[i] !== null) fsyncSync(staged[i]!.fd);
      });
    }
    forEach((entry, i) => {
      results[i] = putInPlace(batch, entry, staged[i]!, nameOf(i));
    });
    // Last, because every name that is put into a folder changes its mtime, and its mode may forbid that.
    forEach((entry, i) => {
      if (entry.kind === 'folder') results[i] = setFolderAttributes(batch, entry);
    });
    const failure = attempted(() => batch.folders.sync());
    forEach(() => {
      if (failure !== null) throw failure;
    });
  } finally {
    for (const [i, file] of staged.entries()) {
      if (file === null) continue;
      closeSync(file.fd);
      if (file.named && (results[i] === undefined || isBatchError(results[i]))) unlinkIfThere(file.place);
    }
    batch.folders.close();
    closeSync(batch.stagingFd);
  }
  return toAnswer(results);
}

interface Batch extends BatchSetup {
  readonly stagingFd: number;
  readonly folders: BatchFolders;
  readonly content: Uint8Array;
  readonly overwrite: Overwrite;
}

/** A file that is complete. It stays open, to tell afterwards exactly what was put in place. */
interface Staged {
  readonly name: string;
  readonly place: string;
  readonly fd: number;
  /** It has its name in the staging folder; else it has none at all yet. */
  named: boolean;
}

/** For the answer to the main thread. */
export function batchError(error: unknown, path: string, purpose: 'read' | 'write' = 'write'): BatchError {
  const { code, message } = storeError(error, path, purpose);
  return { code, message };
}

function stage(batch: Batch, name: string, entry: BatchEntry): Staged {
  const mode = (entry.mode ?? DEFAULT_FILE_MODE) & 0o777;
  const place = stagingPlace(batch, name);
  const unnamed = openUnnamed(batch, mode);
  const fd = unnamed ?? openSync(place, CREATE, mode);
  try {
    for (let at = entry.start; at < entry.end; ) at += writeSync(fd, batch.content, at, entry.end - at);
    if ((mode & batch.border.umask) !== 0) fchmodSync(fd, mode);
    if (entry.mtimeNs !== undefined) setTimesExactly(fd, entry.mtimeNs);
    return { name, place, fd, named: unnamed === null };
  } catch (error) {
    closeSync(fd);
    if (unnamed === null) unlinkIfThere(place);
    throw error;
  }
}

/**
 * A file without a name, which is put in place by giving it one: cheaper than a name in the staging folder and a rename, and
 * nothing of it is left when the process is killed. Null where that does not work.
 */
function openUnnamed(batch: Batch, mode: number): number | null {
  unnamedWorks ??= canBeNamed(batch);
  return unnamedWorks ? openSync(batch.staging, UNNAMED, mode) : null;
}

/** Not every kernel and file system has them, and before Linux 6.10 naming one by its descriptor took a capability. */
function canBeNamed(batch: Batch): boolean {
  if (!canLinkUnnamed()) return false;
  const name = `${randomUUID()}${BATCH_SUFFIX}`;
  try {
    const fd = openSync(batch.staging, UNNAMED, 0o600);
    try {
      if (!linkUnnamed(fd, batch.stagingFd, name)) return false;
    } finally {
      closeSync(fd);
    }
    unlinkSync(stagingPlace(batch, name));
    return true;
  } catch {
    // What is really wrong the named way will say.
    return false;
  }
}

/** A named file can be renamed over another, which one without a name cannot. */
function giveName(batch: Batch, staged: Staged): void {
  if (staged.named) return;
  if (!linkUnnamed(staged.fd, batch.stagingFd, staged.name)) throw storeError({ code: 'EIO' }, staged.name, 'write');
  staged.named = true;
}

function putInPlace(batch: Batch, entry: BatchEntry, staged: Staged | null, stagingName: string): Entry {
  const parent = parentForEntry(entry.path);
  const put = (): Entry => {
    const folder = batch.folders.get(parent, true);
    if (staged !== null) putFile(batch, staged, folder, entry);
    else if (entry.kind === 'link') putLink(batch, stagingPlace(batch, stagingName), folder, entry);
    else putFolder(batch, folder, entry);
    batch.folders.touch(parent);
    if (staged !== null) return entryOf(entry.path, fstatSync(staged.fd, { bigint: true }))!;
    const stats = lstatSync(folder.child(baseName(entry.path)), { bigint: true });
    return entryOf(entry.path, stats, entry.kind === 'link' ? entry.target : undefined)!;
  };
  try {
    return put();
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    // The folder that was open has been removed meanwhile.
    batch.folders.drop(parent);
    return put();
  }
}

function putFile(batch: Batch, staged: Staged, folder: BatchFolder, entry: BatchEntry): void {
  const name = baseName(entry.path);
  const plain = isPlainUtf8(name);
  if (batch.overwrite !== 'always') {
    assertMayReplaceNow(folder.child(name), entry, batch.overwrite, fstatSync(staged.fd, { bigint: true }).mtimeNs);
  }
  // Never over another: right for all three ways of overwriting, as long as the name is free.
  if (plain && !staged.named && linkUnnamed(staged.fd, folder.fd, name)) return;
  giveName(batch, staged);
  const place = folder.child(name);
  if (batch.overwrite === 'always' && plain && renameBetween(batch.stagingFd, staged.name, folder.fd, name)) return;
  if (batch.overwrite !== 'never') renameSync(staged.place, place);
  else if (!renameWithoutReplacing(staged.place, place)) {
    linkSync(staged.place, place);
    unlinkSync(staged.place);
  }
}

function putLink(batch: Batch, aside: string, folder: BatchFolder, entry: BatchEntry): void {
  assertLinkStays(depthOf(batch.border, folder.real), entry.path, entry.target ?? '');
  const place = folder.child(baseName(entry.path));
  const target = entry.target ?? '';
  const mtimeNs = entry.mtimeNs ?? BigInt(Date.now()) * 1_000_000n;
  if (batch.overwrite !== 'always') assertMayReplaceNow(place, entry, batch.overwrite, mtimeNs);
  const targetPath = isPlainUtf8(target) ? target : Buffer.from(pathToBytes(target));
  // symlink(2) never replaces; otherwise it is made aside and renamed.
  const made = batch.overwrite === 'never' ? place : aside;
  symlinkSync(targetPath, made);
  try {
    if (entry.mtimeNs !== undefined) setLinkTimesExactly(made, entry.mtimeNs);
    if (made !== place) renameSync(made, place);
  } catch (error) {
    unlinkIfThere(made);
    throw error;
  }
}

function putFolder(batch: Batch, folder: BatchFolder, entry: BatchEntry): void {
  const place = folder.child(baseName(entry.path));
  try {
    mkdirSync(place, DEFAULT_FOLDER_MODE);
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    const there = lstatSync(place, { bigint: true });
    assertNotState(batch.border, there, entry.path);
    if (!there.isDirectory()) throw storeError({ code: 'ENOTDIR' }, entry.path, 'write');
  }
}

function setFolderAttributes(batch: Batch, entry: BatchEntry): Entry {
  const place = batch.folders.get(parentPath(entry.path), false).child(baseName(entry.path));
  const fd = openSync(place, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  try {
    assertNotState(batch.border, fstatSync(fd, { bigint: true }), entry.path);
    if (entry.mode !== undefined) fchmodSync(fd, entry.mode & 0o777);
    if (entry.mtimeNs !== undefined) setTimesExactly(fd, entry.mtimeNs);
    fsyncSync(fd);
    return entryOf(entry.path, fstatSync(fd, { bigint: true }))!;
  } finally {
    closeSync(fd);
  }
}

function assertMayReplaceNow(place: PathLike, entry: BatchEntry, overwrite: Overwrite, mtimeNs: bigint): void {
  const there = lstatSync(place, { bigint: true, throwIfNoEntry: false });
  if (there === undefined) return;
  if (there.isDirectory()) throw storeError({ code: 'EISDIR' }, entry.path, 'write');
  if (overwrite === 'never') throw storeError({ code: 'EEXIST' }, entry.path, 'write');
  if (mtimeNs <= there.mtimeNs) throw notNewer(entry.path);
}

function attempted(action: () => void): unknown {
  try {
    action();
    return null;
  } catch (error) {
    return error;
  }
}

function stagingPlace(batch: Batch, name: string): string {
  return `${batch.staging}/${name}`;
}

function unlinkIfThere(place: PathLike): void {
  try {
    unlinkSync(place);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
/** open(2), O_TMPFILE with the O_DIRECTORY that is part of it: Node does not name it. */
const UNNAMED = constants.O_WRONLY | 0o20000000 | (constants.O_DIRECTORY ?? 0);
/** Null until it has been tried: the staging folder stays on one file system as long as the thread lives. */
let unnamedWorks: boolean | null = null;
/** Files with this suffix are left over from a process that was killed: nobody knows of them. */
export const BATCH_SUFFIX = '.batch';
/** What the batches of two threads hold open, with their folders and the connections beside them. */
export const MOST_DESCRIPTORS = 2048;
