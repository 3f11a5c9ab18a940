/** Reading: opened files as bytes or block frames, digests that are computed when nobody knew them, and verification. */
import { HawserError } from '../core/errors.ts';
import { toHex } from '../core/hex.ts';
import { parsePath } from '../core/path.ts';
import { MAX_BLOCK_BYTES, MIN_BLOCK_BYTES } from '../core/transfer/block-size.ts';
import { BLOCK_HEADER_BYTES, encodeBlockHeader } from '../core/wire/block-frames.ts';
import { encodeDigestRecords } from '../core/wire/digest-records.ts';
import type { FileStore, ReadFile } from '../store/files/contract.ts';
import type { MetaStore } from '../store/meta/contract.ts';
import { blake3, createBlake3 } from './blake3.ts';
import { DIGEST_BYTES } from './block-map.ts';
import { createBufferPools } from './buffer-pool.ts';
import { type Clock, within } from './clock.ts';
import type { FileInfo, OpenedFile, Principal, Slow, VerifyResult } from './contract.ts';
import { checkFile, checkVersion, fileInfo, recordOf } from './file-info.ts';
import type { InFlight } from './in-flight.ts';
import { createLimiter } from './limiter.ts';
import { permit } from './permission.ts';
import type { Live, Transfers } from './transfers.ts';

export interface ReadContext {
  readonly files: FileStore;
  readonly meta: MetaStore;
  readonly clock: Clock;
  readonly transfers: () => Transfers;
  readonly inFlight: InFlight;
  readonly patienceMs: number;
}

interface HashJob {
  hashedBytes: number;
  readonly size: number;
  readonly result: Promise<{ info: FileInfo; digest: string; recorded: string | null }>;
}

export function createReads(context: ReadContext) {
  const { files, meta, clock, inFlight } = context;
  const pools = createBufferPools();
  const jobs = new Map<string, HashJob>();
  const hashing = createLimiter(HASHES_AT_ONCE, 256);

  async function open(who: Principal, raw: string, options: { transfer?: string; version?: string } = {}): Promise<OpenedFile> {
    permit(who, 'read');
    inFlight.checkOpen();
    const path = parsePath(raw);
    const gate = await context.transfers().admit(who, options.transfer);
    try {
      const file = await files.openRead(path);
      try {
        checkVersion(file.entry, options.version);
        return opened(file, fileInfo(file.entry, await meta.getFile(path)), gate);
      } catch (error) {
        await file.close();
        throw error;
      }
    } catch (error) {
      context.transfers().release(gate);
      throw error;
    }
  }

  function opened(file: ReadFile, info: FileInfo, gate: Live | null): OpenedFile {
    let closed = false;
    const proceed = async (bytes: number) => {
      inFlight.checkOpen();
      context.transfers().check(gate);
      await context.transfers().pace(gate, bytes);
    };
    return {
      info,
      async *read(start, end, options = {}) {
        const pool = pools(PIECE_BYTES);
        yield* pieces(start, end, PIECE_BYTES, options.fresh === true ? () => Buffer.allocUnsafeSlow(PIECE_BYTES) : pool.take, {
          fill: async (at, length, into) => await readWhole(file, at, into.subarray(0, length)),
          give: options.fresh === true ? () => undefined : pool.give,
          proceed,
        });
      },
      async *frames(start, end, blockBytes) {
        checkBlockBytes(blockBytes);
        if (start % blockBytes !== 0) {
          throw new HawserError(
            'range_invalid',
            `The range starts at byte ${start}, which is not the start of a block of ${blockBytes} bytes.`,
            {
              value: start,
            },
          );
        }
        const pool = pools(BLOCK_HEADER_BYTES + blockBytes);
        yield* pieces(start, end, blockBytes, pool.take, {
          fill: async (at, length, into) => {
            const data = into.subarray(BLOCK_HEADER_BYTES, BLOCK_HEADER_BYTES + length);
            await readWhole(file, at, data);
            encodeBlockHeader(at, length, blake3(data), into, 0);
            return into.subarray(0, BLOCK_HEADER_BYTES + length);
          },
          give: pool.give,
          proceed,
        });
      },
      async close() {
        if (closed) return;
        closed = true;
        context.transfers().release(gate);
        await file.close();
      },
    };
  }

  async function job(path: string, kind: 'digest' | 'verify'): Promise<HashJob> {
    const { version, size } = await files.stat(path, { follow: true });
    const key = `${kind}\n${path}\n${version}`;
    const running = jobs.get(key);
    if (running) return running;
    const hash = async () => {
      const leave = await hashing.enter();
      try {
        return await hashFile(await files.openRead(path), (bytes) => (started.hashedBytes = bytes));
      } finally {
        leave();
      }
    };
    const started: HashJob = { hashedBytes: 0, size, result: hash() };
    jobs.set(key, started);
    const forget = () => {
      // Kept for a moment: whoever was told "not yet" comes back for it.
      clock.after(KEEP_RESULT_MS, () => jobs.delete(key));
    };
    started.result.then(forget, () => jobs.delete(key));
    return started;
  }

  async function hashFile(file: ReadFile, onProgress: (bytes: number) => void) {
    try {
      const { entry } = file;
      const hash = createBlake3();
      const buffer = Buffer.allocUnsafeSlow(PIECE_BYTES);
      for (let at = 0; at < entry.size; ) {
        inFlight.checkOpen();
        const got = await readWhole(file, at, buffer.subarray(0, Math.min(PIECE_BYTES, entry.size - at)));
        hash.update(got);
        at += got.length;
        onProgress(at);
      }
      const digest = toHex(hash.digest());
      const record = await meta.getFile(entry.path);
      // A change that left size and time as they were is damage, or meant to be hidden: what was recorded still counts.
      const looksSame = record && record.size === entry.size && record.mtimeNs === entry.mtimeNs;
      const recorded = record && (record.version === entry.version || looksSame) ? record.digest : null;
      const now = await files.stat(entry.path, { follow: true });
      if ((recorded === null || recorded === digest) && now.version === entry.version)
        await meta.recordFiles([recordOf(entry, digest, recorded === digest ? record?.mtimeNs : null)]);
      return { info: fileInfo(entry, recordOf(entry, digest, recorded === digest ? record?.mtimeNs : null)), digest, recorded };
    } finally {
      await file.close();
    }
  }

  async function patiently<T>(hashing: HashJob, then: (result: Awaited<HashJob['result']>) => T): Promise<Slow<T>> {
    const result = await within(clock, context.patienceMs, hashing.result);
    if (result) return { done: true, value: then(result) };
    return { done: false, hashedBytes: hashing.hashedBytes, size: hashing.size };
  }

  return {
    open,

    async blockDigests(
      who: Principal,
      raw: string,
      options: { blockBytes: number; version?: string; first: number; count: number },
    ): Promise<Uint8Array> {
      checkBlockBytes(options.blockBytes);
      if (options.count * options.blockBytes > MAX_DIGEST_BYTES) {
        throw new HawserError('request_invalid', `${options.count} blocks are too many for one request: ask for fewer.`, {
          value: options.count,
        });
      }
      const file = await open(who, raw, options.version === undefined ? {} : { version: options.version });
      try {
        const start = options.first * options.blockBytes;
        const end = Math.min(file.info.size, start + options.count * options.blockBytes);
        const digests: Uint8Array[] = [];
        for await (const frame of file.frames(start, Math.max(start, end), options.blockBytes)) {
          // A copy: the frame is only lent, and the slice of a Buffer would be a view.
          digests.push(new Uint8Array(frame.subarray(BLOCK_HEADER_BYTES - DIGEST_BYTES, BLOCK_HEADER_BYTES)));
        }
        return encodeDigestRecords(digests.length === 0 ? [] : [{ first: options.first, digests: Buffer.concat(digests) }]);
      } finally {
        await file.close();
      }
    },

    async digest(who: Principal, raw: string): Promise<Slow<FileInfo>> {
      permit(who, 'read');
      const path = parsePath(raw);
      const entry = await files.stat(path, { follow: true });
      checkFile(entry);
      const info = fileInfo(entry, await meta.getFile(path));
      if (info.digest !== null) return { done: true, value: info };
      return await patiently(await job(path, 'digest'), (result) => result.info);
    },

    async verify(who: Principal, raw: string, expected: string | null): Promise<Slow<VerifyResult>> {
      permit(who, 'read');
      const path = parsePath(raw);
      checkFile(await files.stat(path, { follow: true }));
      return await patiently(await job(path, 'verify'), ({ info, digest, recorded }) => ({
        path,
        size: info.size,
        digest,
        recorded,
        expected,
        matches: (recorded === null || recorded === digest) && (expected === null || expected === digest),
      }));
    },
  };
}

interface PieceSource {
  /** Reads `length` bytes from `at`, returns what to hand out. */
  fill(at: number, length: number, into: Uint8Array): Promise<Uint8Array>;
  give(buffer: Uint8Array): void;
  proceed(bytes: number): Promise<void>;
}

/** The range in steps, each read while the one before it is being sent. */
async function* pieces(
  start: number,
  end: number,
  stepBytes: number,
  take: () => Uint8Array,
  source: PieceSource,
): AsyncGenerator<Uint8Array, void, undefined> {
  const fetch = (at: number) => {
    const buffer = take();
    const piece = source.fill(at, Math.min(stepBytes, end - at), buffer);
    // Looked at when its turn comes; until then a failure must not count as unhandled.
    piece.catch(() => undefined);
    return { buffer, piece };
  };
  let next = start < end ? fetch(start) : null;
  try {
    for (let at = start; at < end; at += stepBytes) {
      const current = next!;
      next = at + stepBytes < end ? fetch(at + stepBytes) : null;
      const piece = await current.piece;
      await source.proceed(piece.length);
      yield piece;
      source.give(current.buffer);
    }
  } finally {
    // A read that is still going on must not write into a buffer that somebody else has.
    const left = next;
    if (left) void left.piece.then(() => source.give(left.buffer)).catch(() => undefined);
  }
}

/** Fills `into` or throws `changed`: the file is shorter than it was when it was opened. */
async function readWhole(file: ReadFile, at: number, into: Uint8Array): Promise<Uint8Array> {
  let got = 0;
  while (got < into.length) {
    const read = await file.read(at + got, into.subarray(got));
    if (read === 0) {
      throw new HawserError('changed', `"${file.entry.path}" became shorter while it was read: look at it again.`, {
        value: file.entry.path,
      });
    }
    got += read;
  }
  return into;
}

function checkBlockBytes(blockBytes: number): void {
  const power = Number.isInteger(Math.log2(blockBytes));
  if (power && blockBytes >= MIN_BLOCK_BYTES && blockBytes <= MAX_BLOCK_BYTES) return;
  throw new HawserError(
    'request_invalid',
    `A block of ${blockBytes} bytes is not offered: take a power of two from ${MIN_BLOCK_BYTES} to ${MAX_BLOCK_BYTES}.`,
    { value: blockBytes },
  );
}

const PIECE_BYTES = 1 << 18;
/** More would only make each other slower. */
const HASHES_AT_ONCE = 4;
const MAX_DIGEST_BYTES = 4 * 2 ** 30;
const KEEP_RESULT_MS = 30_000;
