/**
 * Where bytes rest. The contract speaks of staging, ranges and publishing, never of rename or of writing in place, so that
 * an object store (multipart upload, copy, complete) can fulfil it as well as a folder can.
 *
 * Durability in one paragraph: `write` promises nothing; when `sync` returns, every write that had returned before the call
 * survives a crash; `publish` makes the staged bytes visible under a name, whole, in one step, replacing what was there, and
 * when it returns that survives a crash too. Nothing staged is ever visible through `stat`, `list` or `openRead`.
 *
 * Paths are absolute remote paths as src/core/path.ts parses them ("/a/b", "/" is the root): already free of "..", ".",
 * empty segments and NUL. Resolving symbolic links inside the root, and refusing those that leave it (`path_escapes`), is the
 * store's duty. Every failure is a HawserError: not_found, exists, is_folder, not_folder, not_empty, no_space, read_only,
 * path_escapes, link_escapes, io_error.
 */

export type EntryKind = 'file' | 'folder' | 'link';

export interface Entry {
  readonly path: string;
  readonly kind: EntryKind;
  /** Bytes; 0 for folders and links. */
  readonly size: number;
  /** Permission bits only (0o777 at most: set-id bits are never kept). */
  readonly mode: number;
  /** Nanoseconds since 1970. */
  readonly mtimeNs: bigint;
  /** Changes whenever the content may have changed; compares equal only for the same bytes (inode, size, mtime, ctime). */
  readonly version: string;
  /** Where a link points, as stored. Only for links. */
  readonly target?: string;
}

/** What is kept of a file beside its bytes. Absent fields take the store's default (0644, now). */
export interface Attributes {
  readonly mode?: number;
  readonly mtimeNs?: bigint;
}

export type Overwrite = 'always' | 'newer' | 'never';

export interface PublishOptions extends Attributes {
  /** Default 'always'. 'never': `exists` when the name is taken. 'newer': `not_newer` unless mtimeNs is later than what is there. */
  readonly overwrite?: Overwrite;
}

/** A file that is being received. Reads and writes go to any offset in any order. Closing keeps it; discarding frees it. */
export interface StagingFile {
  readonly id: string;
  /** Writes all of `bytes` at `position`. The buffer may be reused once this returns. */
  write(position: number, bytes: Uint8Array): Promise<void>;
  /** Fills `into` from `position`; returns how many bytes were there (short only at the end). */
  read(position: number, into: Uint8Array): Promise<number>;
  /** Everything written before the call survives a crash once this returns. */
  sync(): Promise<void>;
  /**
   * Makes exactly the first `size` bytes visible at `path`, whole, and durable. Missing parent folders are made.
   * The staging file is gone afterwards and this handle closed. On error it is still there.
   */
  publish(path: string, size: number, options: PublishOptions): Promise<Entry>;
  close(): Promise<void>;
}

/** A published file opened for reading: keeps giving the same bytes when the name is replaced meanwhile. */
export interface ReadFile {
  readonly entry: Entry;
  read(position: number, into: Uint8Array): Promise<number>;
  close(): Promise<void>;
}

/** One member of a pack: a small file with its bytes, a folder, or a link. */
export interface SmallEntry extends Attributes {
  readonly path: string;
  readonly kind: EntryKind;
  /** Content of a file; empty otherwise. */
  readonly bytes: Uint8Array;
  readonly target?: string;
}

export interface ListOptions {
  /** Names strictly after this one (bytewise order of the path) are returned. */
  readonly after?: string;
  /** At most so many. */
  readonly limit: number;
  /** Whole tree below, folders before their content; links are listed and not followed. Default false. */
  readonly recursive?: boolean;
}

export interface FileStore {
  /** A new staging file. `size` in bytes, or null when it is not known yet; used to preallocate and to fail early with no_space. */
  createStaging(id: string, size: number | null): Promise<StagingFile>;
  /** Opens one that an earlier process left. `not_found` when there is none. */
  openStaging(id: string): Promise<StagingFile>;
  /** Frees it; no error when there is none. */
  removeStaging(id: string): Promise<void>;
  listStaging(): Promise<string[]>;
  /**
   * Stages a copy of a published file under a new id, as a clone where the store can share blocks (reflink, server-side copy).
   * The caller verifies the copy before publishing it.
   */
  copyToStaging(path: string, id: string): Promise<StagingFile>;

  /**
   * Stores many small entries with one group sync instead of one each. Every file is published whole or not at all, on its
   * own: one that fails does not stop the others. Returns, in order, the entry or the error.
   * The bytes stay as they are until it has settled: those in a SharedArrayBuffer are read where they lie, without a copy.
   */
  putMany(entries: readonly SmallEntry[], overwrite: Overwrite): Promise<(Entry | Error)[]>;
  /** Reads many small files at once; each at most `maxBytes` (`body_too_large` otherwise). In order: bytes and entry, or the error. */
  getMany(paths: readonly string[], maxBytes: number): Promise<({ entry: Entry; bytes: Uint8Array } | Error)[]>;

  /** `follow` (default false): a link in the last place gives what it points to. */
  stat(path: string, options?: { follow?: boolean }): Promise<Entry>;
  list(path: string, options: ListOptions): Promise<{ entries: Entry[]; more: boolean }>;
  /** Follows links that stay inside the root. */
  openRead(path: string): Promise<ReadFile>;
  /** Makes the folder and its missing parents. No error when it is already there; then only given attributes change. */
  makeFolder(path: string, attributes?: Attributes): Promise<Entry>;
  /** Renames. 'never' (default): `exists` when `to` is taken. A folder never replaces, or is replaced by, anything but by name change. */
  move(from: string, to: string, overwrite?: Overwrite): Promise<Entry>;
  /** Removes a file, a link (never what it points to) or a folder; a folder with content only when `recursive`. */
  remove(path: string, options?: { recursive?: boolean }): Promise<void>;
  /** Free bytes for new files, or null when the store has no such limit. */
  freeBytes(): Promise<number | null>;
  close(): Promise<void>;
}
