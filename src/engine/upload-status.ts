/** What is said of an upload, and of one that is not there. */
import { HawserError } from '../core/errors.ts';
import { blockBytesFor } from '../core/transfer/block-size.ts';
import type { MetaStore, UploadRecord } from '../store/meta/contract.ts';
import type { BlockMap } from './block-map.ts';
import type { FileInfo, Principal, UploadRequest, UploadStatus } from './contract.ts';
import { owns } from './permission.ts';
import { UploadSession } from './upload-session.ts';

/** The record, when the principal may see it. Somebody else's looks like none at all. */
export async function loadUpload(meta: MetaStore, who: Principal, id: string): Promise<UploadRecord> {
  const record = await meta.getUpload(id);
  if (!record || !owns(who, record.owner)) throw unknownUpload(id);
  return record;
}

export function uploadStatus(
  record: UploadRecord,
  blocks: UploadSession | BlockMap,
  { resumed }: { resumed: boolean },
): UploadStatus {
  const { blockBytes, size } = record;
  const ranges =
    blocks instanceof UploadSession
      ? blocks.safeRanges()
      : blocks.safe
          .entries()
          .map(([start, end]): [number, number] => [
            start * blockBytes,
            Math.min(end * blockBytes, size ?? Number.MAX_SAFE_INTEGER),
          ]);
  return {
    id: record.id,
    path: record.path,
    size,
    blockBytes,
    epoch: record.epoch,
    state: record.state === 'done' ? 'done' : 'receiving',
    transfer: record.transfer,
    safeBytes: ranges.reduce((sum, [start, end]) => sum + end - start, 0),
    safe: ranges,
    digest: record.digest,
    deduplicated: blocks instanceof UploadSession && blocks.copied,
    resumed,
    createdMs: record.createdMs,
    expiresMs: record.expiresMs,
  };
}

export function statusInPlace(info: FileInfo, request: UploadRequest, nowMs: number): UploadStatus {
  return {
    id: 'in-place',
    path: info.path,
    size: info.size,
    blockBytes: blockBytesFor(info.size),
    epoch: 0,
    state: 'done',
    transfer: request.transfer ?? null,
    safeBytes: info.size,
    safe: info.size > 0 ? [[0, info.size]] : [],
    digest: info.digest,
    deduplicated: true,
    resumed: false,
    createdMs: nowMs,
    expiresMs: nowMs,
  };
}

export function unknownUpload(id: string): HawserError {
  return new HawserError(
    'upload_not_found',
    `There is no upload "${id}": it was completed, cancelled or expired. Create it again.`,
    { value: id },
  );
}
