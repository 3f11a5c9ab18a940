/** What is said of a file: the store's entry joined with the digest that was verified for this very version of it. */
import { HawserError } from '../core/errors.ts';
import type { Entry } from '../store/files/contract.ts';
import type { FileRecord } from '../store/meta/contract.ts';
import type { FileInfo } from './contract.ts';

export function fileInfo(entry: Entry, record: FileRecord | null | undefined): FileInfo {
  if (entry.kind !== 'file') return { ...entry, digest: null, etag: null };
  if (record?.version !== entry.version) return { ...entry, digest: null, etag: `"v-${entry.version}"` };
  // The record has the time as it was given; the file system may have rounded it.
  return { ...entry, mtimeNs: record.mtimeNs, digest: record.digest, etag: `"${record.digest}"` };
}

export function recordOf(entry: Entry, digest: string, mtimeNs: bigint | null | undefined): FileRecord {
  const given = mtimeNs ?? entry.mtimeNs;
  // A file system that keeps whole seconds only still means the time that was given; anything further off does not.
  const near = given - entry.mtimeNs < 2_000_000_000n && entry.mtimeNs - given < 2_000_000_000n;
  return { path: entry.path, version: entry.version, size: entry.size, digest, mtimeNs: near ? given : entry.mtimeNs };
}

/** Throws `changed` unless the file is still the version that the caller knows. */
export function checkVersion(entry: Entry, version: string | undefined): void {
  if (version === undefined || version === entry.version) return;
  throw new HawserError('changed', `"${entry.path}" is no longer the version that was asked for: look at it again.`, {
    value: entry.path,
  });
}

export function checkFile(entry: Entry): void {
  if (entry.kind === 'file') return;
  throw new HawserError('is_folder', `"${entry.path}" is a ${entry.kind}, not a file: list it instead.`, { value: entry.path });
}
