/**
 * Where facts rest: tokens, transfers, uploads with their safe blocks, and the digests of published files.
 *
 * Each method is one atomic step: either all of it is recorded or none of it. Times are milliseconds since 1970, given by the
 * caller. Paths are keys here, kept exactly (see pathKey in src/core/path.ts for names that are not UTF-8).
 */
import type { Overwrite } from '../files/contract.ts';

export type Role = 'read' | 'write' | 'admin';
export type Priority = 'critical' | 'high' | 'normal';

export interface TokenRecord {
  /** Public part of the token; names it in lists. */
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  /** SHA-256 of the secret part, 32 bytes. The secret has 256 random bits, so a fast hash is enough. */
  readonly secretHash: Uint8Array;
  readonly createdMs: number;
  readonly expiresMs: number | null;
}

export type TransferKind = 'upload' | 'download';
export type TransferState = 'active' | 'paused' | 'cancelled' | 'done' | 'failed';

export interface TransferRecord {
  readonly id: string;
  readonly kind: TransferKind;
  readonly state: TransferState;
  readonly priority: Priority;
  /** Id of the token that started it. */
  readonly owner: string;
  /** For people: what is sent, and where to. */
  readonly source: string;
  readonly destination: string;
  /** What the client announced; null until it knows. */
  readonly filesTotal: number | null;
  readonly bytesTotal: number | null;
  readonly filesDone: number;
  /** Bytes safe at the receiver. */
  readonly bytesDone: number;
  readonly createdMs: number;
  readonly updatedMs: number;
  readonly endedMs: number | null;
  /** Sentence for people when it failed. */
  readonly error: string | null;
}

export type UploadState =
  | 'receiving'
  | 'publishing' // digest matched; the name may or may not be in place yet
  | 'done';

export interface UploadRecord {
  readonly id: string;
  readonly transfer: string | null;
  readonly owner: string;
  readonly path: string;
  /** Bytes, or null while a stream of unknown length comes in. */
  readonly size: number | null;
  readonly blockBytes: number;
  readonly mode: number | null;
  readonly mtimeNs: bigint | null;
  readonly overwrite: Overwrite;
  readonly state: UploadState;
  /** Counts takeovers: requests that carry an older one are refused (the newest request wins). */
  readonly epoch: number;
  /** Hex BLAKE3 of the whole file, set from 'publishing' on. */
  readonly digest: string | null;
  readonly createdMs: number;
  readonly updatedMs: number;
  readonly expiresMs: number;
}

/** A run of consecutive blocks that are safe, with the digest (32 bytes) of each, one after the other. */
export interface BlockRun {
  readonly first: number;
  readonly digests: Uint8Array;
}

/** What was true of a published file when its digest was verified. Valid only while `version` equals the store's. */
export interface FileRecord {
  readonly path: string;
  readonly version: string;
  readonly size: number;
  /** Hex BLAKE3. */
  readonly digest: string;
  /** Kept exactly, also where the file system rounds. */
  readonly mtimeNs: bigint;
}

export interface MetaStore {
  addToken(token: TokenRecord): Promise<void>;
  getToken(id: string): Promise<TokenRecord | null>;
  listTokens(): Promise<TokenRecord[]>;
  /** False when there was none. */
  removeToken(id: string): Promise<boolean>;

  addTransfer(transfer: TransferRecord): Promise<void>;
  getTransfer(id: string): Promise<TransferRecord | null>;
  /** Newest first. `before` is a createdMs and id to go on from. */
  listTransfers(options: {
    limit: number;
    state?: TransferState;
    owner?: string;
    before?: { createdMs: number; id: string };
  }): Promise<TransferRecord[]>;
  /** Changes the given fields only; adds filesDone and bytesDone to what is there. Null when there is no such transfer. */
  updateTransfer(
    id: string,
    change: {
      state?: TransferState;
      filesTotal?: number | null;
      bytesTotal?: number | null;
      addFiles?: number;
      addBytes?: number;
      /** Absolute, for downloads, where the receiver says what it has. */
      filesDone?: number;
      bytesDone?: number;
      endedMs?: number | null;
      error?: string | null;
      priority?: Priority;
      updatedMs: number;
    },
  ): Promise<TransferRecord | null>;
  /** Ended transfers that have not changed since `beforeMs` are forgotten; returns how many. */
  pruneTransfers(beforeMs: number): Promise<number>;

  addUpload(upload: UploadRecord): Promise<void>;
  getUpload(id: string): Promise<UploadRecord | null>;
  /** The newest unfinished upload to this path by this owner, whatever its size. */
  findUpload(path: string, owner: string): Promise<UploadRecord | null>;
  listUploads(options: {
    limit: number;
    owner?: string;
    transfer?: string;
    after?: string;
    state?: UploadState;
  }): Promise<UploadRecord[]>;
  updateUpload(
    id: string,
    change: Partial<
      Pick<
        UploadRecord,
        'transfer' | 'size' | 'mode' | 'mtimeNs' | 'overwrite' | 'state' | 'epoch' | 'digest' | 'updatedMs' | 'expiresMs'
      >
    >,
  ): Promise<UploadRecord | null>;
  /** With its blocks. */
  removeUpload(id: string): Promise<void>;
  /** Unfinished and done uploads whose expiresMs is before `nowMs`. */
  expiredUploads(nowMs: number, limit: number): Promise<UploadRecord[]>;
  /** Records runs as safe; a later run replaces the digests of an earlier one where they overlap. */
  recordBlocks(id: string, runs: readonly BlockRun[], nowMs: number): Promise<void>;
  /** In the order recorded: apply them one after the other. */
  loadBlocks(id: string): Promise<BlockRun[]>;
  /** Forgets all blocks of the upload. */
  clearBlocks(id: string): Promise<void>;

  recordFiles(files: readonly FileRecord[]): Promise<void>;
  getFile(path: string): Promise<FileRecord | null>;
  getFiles(paths: readonly string[]): Promise<Map<string, FileRecord>>;
  findByDigest(digest: string, limit: number): Promise<FileRecord[]>;
  /** A file or folder was renamed: its record, and those below it, move along. */
  moveFiles(from: string, to: string): Promise<void>;
  /** The record of the path, and those below it. */
  removeFiles(path: string): Promise<void>;

  close(): Promise<void>;
}
