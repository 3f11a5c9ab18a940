/** Records for the tests of MetaStore, whole but for what a test is about, and a way to compare them. */
import type { FileRecord, TokenRecord, TransferRecord, UploadRecord } from '../../src/store/meta/contract.ts';

export function aToken(fields: Partial<TokenRecord> = {}): TokenRecord {
  return {
    id: 'token',
    name: 'laptop',
    role: 'write',
    secretHash: new Uint8Array(32).fill(3),
    createdMs: 1,
    expiresMs: null,
    ...fields,
  };
}

export function aTransfer(fields: Partial<TransferRecord> = {}): TransferRecord {
  return {
    id: 'transfer',
    kind: 'upload',
    state: 'active',
    priority: 'normal',
    owner: 'me',
    source: 'footage.mxf',
    destination: '/incoming/',
    filesTotal: 2,
    bytesTotal: 4096,
    filesDone: 0,
    bytesDone: 0,
    createdMs: 1,
    updatedMs: 1,
    endedMs: null,
    error: null,
    ...fields,
  };
}

export function anUpload(fields: Partial<UploadRecord> = {}): UploadRecord {
  return {
    id: 'upload',
    transfer: 'transfer',
    owner: 'me',
    path: '/incoming/footage.mxf',
    size: 1_000_000,
    blockBytes: 65_536,
    mode: 0o644,
    mtimeNs: 1_732_104_000_123_456_789n,
    overwrite: 'always',
    state: 'receiving',
    epoch: 1,
    digest: null,
    createdMs: 1,
    updatedMs: 1,
    expiresMs: 1000,
    ...fields,
  };
}

export function aFile(path: string, fields: Partial<FileRecord> = {}): FileRecord {
  return { path, version: 'v1', size: 10, digest: DIGEST, mtimeNs: 1_732_104_000_123_456_789n, ...fields };
}

/** `count` blocks from `first`, whose digests are all `fill`. */
export function run(first: number, count: number, fill: number) {
  return { first, digests: new Uint8Array(32 * count).fill(fill) };
}

/** Rows of a database have no prototype and blobs may be Buffers: what counts is the content. */
export function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`;
  if (value instanceof Map) return plain(Object.fromEntries(value));
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value)
        .map(([key, field]) => [key, plain(field)] as const)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  }
  return value;
}

export const DIGEST = 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262';

/** Before 1970, beyond what a number holds, and the ends of 64 bits. */
export const MTIMES = [
  0n,
  -1n,
  -1_000_000_001n,
  2n ** 53n + 1n,
  -(2n ** 53n) - 1n,
  1_732_104_000_123_456_789n,
  2n ** 63n - 1n,
  -(2n ** 63n),
];
