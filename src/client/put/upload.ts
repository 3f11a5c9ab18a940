/**
 * One large file: an upload is opened, the blocks that the server lacks are sent at once, and meanwhile the file's digest is
 * computed and what the server already has is compared with the file. When the file turns out to be different from what
 * was sent, the upload is opened again, and the same comparison finds the blocks to send.
 */
import { HawserError } from '../../core/errors.ts';
import { toHex } from '../../core/hex.ts';
import { RangeSet } from '../../core/ranges.ts';
import { type DigestRun, decodeDigestRecords } from '../../core/wire/digest-records.ts';
import type { FileInfo, Overwrite, UploadStatus } from '../../engine/contract.ts';
import { chooseUploadId } from '../chosen-ids.ts';
import type { TransferOptions } from '../contract.ts';
import { sleepMs } from '../retry.ts';
import { checkBlockBytes } from './block-bytes.ts';
import type { BufferPool } from './buffers.ts';
import type { DigestCache } from './digest-cache.ts';
import type { EarlyUpload } from './early-upload.ts';
import { framesLength, readFrames } from './frames.ts';
import { createFrontier } from './frontier.ts';
import { type Head, roundTripMatters } from './head.ts';
import type { Job } from './job.ts';
import { changedFailure, type LocalPath, showLocal } from './local.ts';
import { createSending, type Sending } from './sending.ts';
import { openSourceFile, type SourceFile, type SourceState } from './source-file.ts';
import type { Streams } from './streams.ts';

export interface UploadContext {
  readonly job: Job;
  readonly streams: Streams;
  readonly pool: BufferPool;
  readonly cache: DigestCache;
  /** An upload that was opened before all the rest was known, if this file is the one. */
  readonly early: EarlyUpload | null;
  /** The receiver takes running digests, and blocks reach it in order. */
  readonly inOrder: () => boolean;
}

export interface UploadItem {
  readonly local: LocalPath;
  /** Remote path. */
  readonly path: string;
  /** As announced. */
  readonly size: number;
}

/** Resolves when the file is there, or has been reported as failed; never rejects. */
export async function uploadFile(context: UploadContext, item: UploadItem): Promise<void> {
  const { job } = context;
  const count = createCount(job, item.size);
  let source: SourceFile | null = null;
  try {
    source = openSourceFile(item.local, job.options.follow ?? false);
    const sent = await sendUntilSame(context, item, source, count);
    count.finish();
    job.outcomes.finished(item.path, sent.size, sent.digest, sent.outcome);
  } catch (error) {
    if (isKept(error, job.options.overwrite)) {
      count.finish();
      job.outcomes.present(item.path, item.size);
    } else {
      count.drop();
      job.outcomes.failed(item.path, item.size, error);
    }
  } finally {
    source?.close();
  }
}

interface Sent {
  readonly size: number;
  readonly digest: string | null;
  readonly outcome: 'done' | 'deduplicated' | 'skipped';
}

/** What made a round end without the file being there. */
type Again = 'source_changed' | 'digest_mismatch' | 'upload_not_found' | 'upload_incomplete';

async function sendUntilSame(context: UploadContext, item: UploadItem, source: SourceFile, count: Count): Promise<Sent> {
  const { job, cache } = context;
  const rounds: Record<Again, number> = { source_changed: 0, digest_mismatch: 0, upload_not_found: 0, upload_incomplete: 0 };
  let known = await cache.get(source.state().key);
  for (;;) {
    const state = source.state();
    count.handleSize(state.size);
    const taken = context.early?.take(item.path, state, known);
    const status = taken?.status ?? (await openUpload(job, item, state, known));
    if (status.state === 'done') return { size: state.size, digest: status.digest, outcome: 'skipped' };
    let digest: string;
    let info: FileInfo;
    let early: FileInfo | null = null;
    // The server has made it from a copy under another name: what is left is to verify it.
    const copied = status.deduplicated ? known : undefined;
    known = undefined;
    try {
      if (copied === undefined)
        ({ digest, early } = await sendRound(context, item, source, state, status, count, taken?.head ?? null));
      else digest = copied;
      if (source.state().key !== state.key) throw changedFailure(item.local);
      info = early ?? (await askUntilDone(job, status, state.size, digest));
    } catch (error) {
      const again = whyAgain(error);
      if (!again || ++rounds[again] >= MOST_ROUNDS) throw error;
      await prepareAgain(job, item, status, again, rounds[again]);
      continue;
    }
    // Sending again would not change it: the server has ended this upload.
    checkDigest(info, digest);
    cache.put(state.key, digest, state.mtimeNs);
    return { size: state.size, digest, outcome: copied === undefined ? 'done' : 'deduplicated' };
  }
}

async function prepareAgain(job: Job, item: UploadItem, status: Status, again: Again, round: number): Promise<void> {
  if (again === 'source_changed') {
    job.notice('source_changed', `"${showLocal(item.local)}" changed while it was read: what differs is sent again.`);
  } else if (again === 'digest_mismatch') {
    job.notice('digest_mismatch', `"${item.path}" is not yet what "${showLocal(item.local)}" is: what differs is sent again.`);
    // Comparing has not helped, so what the server holds is not what it thinks it holds: from the start, then.
    if (round > 1) await job.call(() => job.api.removeUpload(status.id, { signal: job.signal }));
  }
}

export type Status = Omit<UploadStatus, 'createdMs' | 'expiresMs'>;

async function openUpload(job: Job, { path }: UploadItem, state: SourceState, digest: string | undefined): Promise<Status> {
  const request = { ...uploadRequest(path, state, digest, job.options), transfer: job.transfer, id: chooseUploadId() };
  return checkBlockBytes(await job.call(() => job.api.createUpload(request, { signal: job.signal })));
}

/** Without the transfer that it belongs to. */
export function uploadRequest(
  path: string,
  { size, mode, mtimeNs }: SourceState,
  digest: string | undefined,
  { preserve = true, overwrite }: TransferOptions,
) {
  return {
    path,
    size,
    ...(preserve && { mode, mtimeNs }),
    ...(overwrite && { overwrite }),
    ...(digest !== undefined && { digest }),
  };
}

/** Sends what is missing, compares what is there, and returns the digest of the file as it was read; and the file, if it is there already. */
async function sendRound(
  context: UploadContext,
  item: UploadItem,
  source: SourceFile,
  { size, key }: SourceState,
  status: Status,
  count: Count,
  head: Head | null,
): Promise<{ digest: string; early: FileInfo | null }> {
  const { job, streams, pool, inOrder } = context;
  const { id: upload, epoch, blockBytes } = status;
  const blocks = Math.ceil(size / blockBytes);
  const bytesOf = (first: number, end: number) => Math.min(end * blockBytes, size) - first * blockBytes;
  const there = wholeBlocks(status.safe, blockBytes, size);
  const claimed = there.entries();
  count.handleFound(claimed.reduce((sum, [first, end]) => sum + bytesOf(first, end), 0));

  const ending = new AbortController();
  let differing = 0;
  // Until something has to be sent again: then blocks no longer come in order.
  let runs = claimed.length === 0 && head === null;
  const frontier = createFrontier({
    source,
    size,
    blockBytes,
    pool,
    pace: job,
    claimed,
    digests: () => askDigests(job, upload),
    runs: () => runs && inOrder(),
    onDiffers: (index) => {
      if (differing++ === 0) {
        job.notice('source_changed', `"${showLocal(item.local)}" is not what was sent of it before: what differs is sent again.`);
      }
      count.handleLost(bytesOf(index, index + 1));
      sending.replace(index, index + 1);
      streams.wake();
    },
  });
  const sending: Sending = createSending({
    job,
    upload,
    epoch,
    blockBytes,
    path: item.path,
    bytesOf,
    body: (first, end) => ({
      frames: readFrames({ source, size, blockBytes, pool, frontier, pace: job }, first, end),
      contentLength: framesLength(bytesOf(first, end), end - first),
    }),
    onSafe: (first, end) => count.handleSafe(bytesOf(first, end)),
    onFailure: () => {
      runs = false;
    },
  });
  const from = head?.end ?? 0;
  for (const [first, end] of there.gaps(from, blocks)) sending.add(first, end);
  if (head) {
    void sending.adopt(head).then(streams.wake);
    job.leaving(head.bytes);
    frontier.handleRead(0, from);
  }
  streams.add(sending);
  try {
    const digest = toHex(await Promise.race([frontier.digest(), sending.failure]));
    // Far away the last blocks and the word that they were the last travel together.
    let asked: Promise<FileInfo | null> = Promise.resolve(null);
    const published = Promise.withResolvers<FileInfo>();
    const ask = (): void => {
      if (ending.signal.aborted || !roundTripMatters(job.api) || source.state().key !== key) return;
      asked = completeEarly(job, status, size, digest, ending.signal);
      void asked.then((info) => info && published.resolve(info));
    };
    // What is wrong with the source is said where it is looked at again.
    sending
      .sent()
      .then(ask)
      .catch(() => undefined);
    const early = await Promise.race([published.promise, sending.idle().then(() => asked)]);
    return { digest, early };
  } finally {
    ending.abort();
    streams.remove(sending);
    await head?.drop();
    await Promise.all([sending.stop(), frontier.stop()]);
  }
}

/** Digests of the blocks that the server has, some of which it may have to read first. */
async function askDigests(job: Job, upload: string): Promise<DigestRun[]> {
  for (let waitMs = 50; ; waitMs = Math.min(LONGEST_POLL_MS, waitMs * 2)) {
    const answer = await job.call(() => job.api.uploadDigests(upload, { signal: job.signal }));
    if (answer.done) return decodeDigestRecords(answer.value);
    await sleepMs(waitMs, job.signal);
  }
}

/** Asks until the server has verified the file. Throws digest_mismatch when it says that it has another one. */
export async function complete(job: Job, status: Status, size: number, digest: string): Promise<FileInfo> {
  const info = await askUntilDone(job, status, size, digest);
  checkDigest(info, digest);
  return info;
}

function checkDigest(info: FileInfo, digest: string): void {
  if (!info.digest || info.digest === digest) return;
  throw new HawserError(
    'digest_mismatch',
    `The server took "${info.path}", but with the digest ${info.digest} instead of ${digest}: run "hawser verify" on it.`,
    { value: info.digest },
  );
}

async function askUntilDone(job: Job, status: Status, size: number, digest: string): Promise<FileInfo> {
  for (let waitMs = 50; ; waitMs = Math.min(LONGEST_POLL_MS, waitMs * 2)) {
    const request = { epoch: status.epoch, size, digest, ...(job.single && { endTransfer: true }) };
    const answer = await job.call(() => job.api.completeUpload(status.id, request, { signal: job.signal }));
    if (answer.done) {
      if (answer.value.transferEnded) job.ended = true;
      return answer.value;
    }
    await sleepMs(waitMs, job.signal);
  }
}

/** Null when that did not do: then it is asked again when all has been answered. */
async function completeEarly(
  job: Job,
  { id, epoch }: Status,
  size: number,
  digest: string,
  signal: AbortSignal,
): Promise<FileInfo | null> {
  const request = { epoch, size, digest, whenThere: true, ...(job.single && { endTransfer: true }) };
  try {
    const answer = await job.api.completeUpload(id, request, { signal: AbortSignal.any([signal, job.signal]) });
    if (!answer.done) return null;
    if (answer.value.transferEnded) job.ended = true;
    return answer.value;
  } catch {
    return null;
  }
}

function whyAgain(error: unknown): Again | null {
  if (!(error instanceof HawserError)) return null;
  const { code } = error;
  return code === 'source_changed' || code === 'digest_mismatch' || code === 'upload_not_found' || code === 'upload_incomplete'
    ? code
    : null;
}

/** Byte ranges as runs of blocks; what covers only part of a block, or lies behind the end, does not count. */
function wholeBlocks(ranges: readonly (readonly [number, number])[], blockBytes: number, size: number): RangeSet {
  const runs = new RangeSet();
  for (const [start, end] of ranges) {
    runs.add(Math.ceil(start / blockBytes), end >= size ? Math.ceil(size / blockBytes) : Math.floor(end / blockBytes));
  }
  return runs;
}

/** What is there was not to be overwritten: as asked for, and no failure. */
export function isKept(error: unknown, overwrite: Overwrite | undefined): boolean {
  if (!(error instanceof HawserError)) return false;
  return error.code === 'not_newer' || (error.code === 'exists' && overwrite === 'never');
}

type Count = ReturnType<typeof createCount>;

/** What the meter has been told of this file, so that it can be corrected when the file turns out to be another. */
function createCount(job: Job, announced: number) {
  const { meter } = job;
  let size = announced;
  let done = 0;
  const setFound = (bytes: number) => {
    meter.found(bytes - done);
    done = bytes;
  };
  return {
    handleSize(now: number): void {
      meter.expect(0, now - size);
      size = now;
    },
    /** So much is at the receiver, in all. */
    handleFound: setFound,
    handleSafe(bytes: number): void {
      done += bytes;
      meter.safe(bytes);
    },
    handleLost: (bytes: number) => setFound(done - bytes),
    finish: () => setFound(size),
    /** It does not arrive: neither expected nor done. */
    drop(): void {
      setFound(0);
      meter.expect(-1, -size);
    },
  };
}

const MOST_ROUNDS = 3;
const LONGEST_POLL_MS = 2000;
