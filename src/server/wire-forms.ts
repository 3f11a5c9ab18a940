/** What the engine says, in the JSON of docs/protocol/http.md, and the few strings that come back as more than strings. */
import { HawserError } from '../core/errors.ts';
import type { FileInfo, UploadStatus } from '../engine/contract.ts';
import type { TokenRecord, TransferRecord } from '../store/meta/contract.ts';
import type { Static } from './schema-types.ts';
import type { EntryAnswer, TokenAnswer, TransferAnswer, UploadAnswer } from './schemas.ts';

export function entryForm(info: FileInfo): Static<typeof EntryAnswer> {
  const { path, kind, size, mode, mtimeNs, version, digest, etag, target } = info;
  const link = target === undefined ? {} : { target };
  return {
    path,
    kind,
    size,
    mode,
    mtimeNs: String(mtimeNs),
    mtime: time(Number(mtimeNs / 1_000_000n)),
    version,
    digest,
    etag,
    ...link,
  };
}

export function transferForm(record: TransferRecord): Static<typeof TransferAnswer> {
  const { createdMs, updatedMs, endedMs, ...same } = record;
  return { ...same, created: time(createdMs), updated: time(updatedMs), ended: endedMs === null ? null : time(endedMs) };
}

export function uploadForm(status: UploadStatus): Static<typeof UploadAnswer> {
  const { createdMs, expiresMs, safe, ...same } = status;
  return { ...same, safe: safe.map(([start, end]) => [start, end]), created: time(createdMs), expires: time(expiresMs) };
}

export function tokenForm({ id, name, role, createdMs, expiresMs }: TokenRecord): Static<typeof TokenAnswer> {
  return { id, name, role, created: time(createdMs), expires: expiresMs === null ? null : time(expiresMs) };
}

/** The attributes that a body may carry, as the engine takes them. `request_invalid` for a time beyond 64 bits. */
export function attributes(body: { mode?: number; mtimeNs?: string }): { mode?: number; mtimeNs?: bigint } {
  return {
    ...(body.mode === undefined ? {} : { mode: body.mode & 0o777 }),
    ...(body.mtimeNs === undefined ? {} : { mtimeNs: nanoseconds(body.mtimeNs) }),
  };
}

export function nanoseconds(text: string): bigint {
  const value = BigInt(text);
  if (value === BigInt.asIntN(64, value)) return value;
  throw new HawserError('request_invalid', `The time ${text} does not fit 64 bits: give nanoseconds since 1970.`, {
    value: text,
  });
}

/** Times that no calendar of ours reaches become the nearest that it does. */
function time(ms: number): string {
  return new Date(Math.max(-MAX_DATE_MS, Math.min(MAX_DATE_MS, ms))).toISOString();
}

const MAX_DATE_MS = 8.64e15;
