/** The tables as the newest migration leaves them. Migrations are the truth; this only gives them TypeScript types. */
import type { ColumnType, Kysely } from 'kysely';
import type { Overwrite } from '../files/contract.ts';
import type { Priority, Role, TransferKind, TransferState, UploadState } from '../meta/contract.ts';

/** 64-bit integers that may not fit a number: written as bigint, read as whatever keeps them exact. BigInt() takes all three. */
type Integer64 = ColumnType<number | bigint | string, bigint, bigint>;
type Integer64OrNull = ColumnType<number | bigint | string | null, bigint | null, bigint | null>;

export interface TokenTable {
  id: string;
  name: string;
  role: Role;
  secret_hash: Uint8Array;
  created_ms: number;
  expires_ms: number | null;
}

export interface TransferTable {
  id: string;
  kind: TransferKind;
  state: TransferState;
  priority: Priority;
  owner: string;
  source: string;
  destination: string;
  files_total: number | null;
  bytes_total: number | null;
  files_done: number;
  bytes_done: number;
  created_ms: number;
  updated_ms: number;
  ended_ms: number | null;
  error: string | null;
}

export interface UploadTable {
  id: string;
  transfer: string | null;
  owner: string;
  path: string;
  size: number | null;
  block_bytes: number;
  mode: number | null;
  mtime_ns: Integer64OrNull;
  overwrite: Overwrite;
  state: UploadState;
  epoch: number;
  digest: string | null;
  created_ms: number;
  updated_ms: number;
  expires_ms: number;
}

export interface BlockTable {
  upload: string;
  seq: number;
  first: number;
  digests: Uint8Array;
}

export interface FileTable {
  path: string;
  version: string;
  size: number;
  digest: string;
  mtime_ns: Integer64;
}

export interface MetaSchema {
  tokens: TokenTable;
  transfers: TransferTable;
  uploads: UploadTable;
  upload_blocks: BlockTable;
  files: FileTable;
}

/** What the queries need of a database: the builder, and a way to have a step survive a power cut once it returned. */
export interface MetaDatabase {
  readonly db: Kysely<MetaSchema>;
  /** Other steps survive the death of the process at once, and a power cut some moments later. */
  durably<T>(step: (db: Kysely<MetaSchema>) => Promise<T>): Promise<T>;
}
