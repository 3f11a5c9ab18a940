/**
 * A stream of unknown length as one upload: what comes in is cut into blocks that stay in memory until they are safe, because there
 * is no second reading.
 */
import { HawserError } from '../../core/errors.ts';
import { toHex } from '../../core/hex.ts';
import { RangeSet } from '../../core/ranges.ts';
import { BLOCK_HEADER_BYTES, encodeBlockHeader } from '../../core/wire/block-frames.ts';
import { blake3, createBlake3 } from '../../engine/blake3.ts';
import { chooseUploadId } from '../chosen-ids.ts';
import { checkBlockBytes } from './block-bytes.ts';
import { createBufferPool } from './buffers.ts';
import { framesLength } from './frames.ts';
import type { Job } from './job.ts';
import { paced } from './paced.ts';
import { createSending } from './sending.ts';
import type { Streams } from './streams.ts';
import { complete } from './upload.ts';

/** Resolves when all of it has arrived under `path`; throws what made it fail. */
export async function uploadStream(job: Job, streams: Streams, source: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  const { api, signal } = job;
  const { overwrite } = job.options;
  const request = { path, size: null, transfer: job.transfer, id: chooseUploadId(), ...(overwrite && { overwrite }) };
  const status = checkBlockBytes(await job.call(() => api.createUpload(request, { signal })));
  const { blockBytes } = status;
  const frameBytes = BLOCK_HEADER_BYTES + blockBytes;
  const pool = createBufferPool(frameBytes, Math.max(4, Math.floor(MEMORY_BYTES / frameBytes)));
  /** Whole frames by block number, until they are safe. */
  const held = new Map<number, Buffer>();
  const whole = createBlake3();
  let size = 0;

  const bytesOf = (first: number, end: number) => Math.min(end * blockBytes, size) - first * blockBytes;
  const sending = createSending({
    job,
    upload: status.id,
    epoch: status.epoch,
    blockBytes,
    path,
    bytesOf,
    body: (first, end) => ({
      frames: readHeld(job, held, first, end),
      contentLength: framesLength(bytesOf(first, end), end - first),
    }),
    onSafe: (first, end) => {
      for (let i = first; i < end; i++) {
        const frame = held.get(i);
        if (frame) pool.give(wholeBuffer(frame));
        held.delete(i);
      }
      job.meter.safe(bytesOf(first, end));
    },
  });
  const before = RangeSet.from(status.safe.map(([start, end]) => [Math.floor(start / blockBytes), Math.ceil(end / blockBytes)]));

  function seal(buffer: Buffer, length: number): void {
    const index = Math.floor(size / blockBytes);
    const data = buffer.subarray(BLOCK_HEADER_BYTES, BLOCK_HEADER_BYTES + length);
    whole.update(data);
    encodeBlockHeader(size, length, blake3(data), buffer);
    held.set(index, buffer.subarray(0, BLOCK_HEADER_BYTES + length));
    size += length;
    job.meter.expect(0, length);
    // An earlier stream of this name may have left blocks: they are not ours.
    if (before.covers(index, index + 1)) sending.replace(index, index + 1);
    else sending.add(index, index + 1);
    streams.wake();
  }

  streams.add(sending);
  try {
    await cutIntoBlocks(source, blockBytes, sending.failed, { take: pool.take, seal });
    await sending.idle();
    const digest = toHex(whole.digest());
    await complete(job, status, size, digest);
    job.outcomes.done(path, size, digest);
  } catch (error) {
    // A stream cannot be read again, so what arrived of it is of no use, and may be what fills the disk.
    if (!isTakenOver(error)) await api.removeUpload(status.id, { epoch: status.epoch }).catch(() => undefined);
    throw error;
  } finally {
    streams.remove(sending);
    await sending.stop();
  }
}

/** The upload belongs to a newer client, or is gone already. */
function isTakenOver(error: unknown): boolean {
  return error instanceof HawserError && ['superseded', 'transfer_cancelled', 'upload_not_found'].includes(error.code);
}

interface BlockSink {
  /** A buffer with room for a header and a block. */
  take(): Buffer | Promise<Buffer>;
  seal(buffer: Buffer, length: number): void;
}

async function cutIntoBlocks(
  source: AsyncIterable<Uint8Array>,
  blockBytes: number,
  failed: AbortSignal,
  sink: BlockSink,
): Promise<void> {
  let buffer: Buffer | null = null;
  let length = 0;
  for await (const piece of readStream(source, failed)) {
    for (let at = 0; at < piece.length; ) {
      buffer ??= await orAborted(sink.take(), failed);
      const part = piece.subarray(at, at + blockBytes - length);
      buffer.set(part, BLOCK_HEADER_BYTES + length);
      length += part.length;
      at += part.length;
      if (length < blockBytes) continue;
      sink.seal(buffer, length);
      buffer = null;
      length = 0;
    }
  }
  if (buffer) sink.seal(buffer, length);
}

/** The pieces of the source, until it ends or the upload fails: a terminal may wait for its next line for ever. */
async function* readStream(source: AsyncIterable<Uint8Array>, failed: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  const iterator = source[Symbol.asyncIterator]();
  let ended = false;
  try {
    for (;;) {
      const next = await orAborted(iterator.next(), failed);
      if (next.done) {
        ended = true;
        return;
      }
      yield next.value;
    }
  } catch (error) {
    if (error instanceof HawserError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new HawserError('local_io', `The stream could not be read to its end: ${why}.`, { cause: error });
  } finally {
    // Not waited for: it queues behind a read that may never return.
    if (!ended) iterator.return?.().catch(() => undefined);
  }
}

/** Rejects with the signal's reason when it aborts first. Unlike Promise.race it leaves nothing behind at the signal. */
function orAborted<T>(value: T | Promise<T>, signal: AbortSignal): T | Promise<T> {
  if (!(value instanceof Promise)) return value;
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop, { once: true });
    value.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

async function* readHeld(
  job: Job,
  held: ReadonlyMap<number, Buffer>,
  first: number,
  end: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (let i = first; i < end; i++) {
    const frame = held.get(i);
    if (!frame) throw new HawserError('internal', `Block ${i} of the stream is no longer in memory: send the stream again.`);
    yield* paced(job, frame, frame.length - BLOCK_HEADER_BYTES);
  }
}

/** The pooled buffer that a frame lies in. */
function wholeBuffer(frame: Buffer): Buffer {
  return Buffer.from(frame.buffer, 0, frame.buffer.byteLength);
}

/** Bounds what is read from the stream and not yet safe. */
const MEMORY_BYTES = 48 * 1024 * 1024;
