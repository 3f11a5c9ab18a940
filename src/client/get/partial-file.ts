/**
 * The local file that grows out of order while it is fetched: blocks are written at their offsets, synced about once a second,
 * and only then noted as safe in the sidecar and counted as done.
 */
import { close, constants, fdatasync, fstatSync, fsync, ftruncateSync, open, read } from 'node:fs';
import { promisify } from 'node:util';
import { HawserError } from '../../core/errors.ts';
import { RangeSet } from '../../core/ranges.ts';
import { BLOCK_HEADER_BYTES } from '../../core/wire/block-frames.ts';
import { type BufferPool, createBufferPool } from '../../engine/buffer-pool.ts';
import { HashFrontier, type MemoryBudget } from '../../engine/hash-frontier.ts';
import type { Meter } from '../progress.ts';
import { type Attributes, setFileAttributes } from './attributes.ts';
import type { RemoteFile } from './fetch-blocks.ts';
import { removeIfThere } from './link.ts';
import { localError } from './local-error.ts';
import { type LocalPath, type PartialNames, showLocal } from './local-path.ts';
import { writeSidecar } from './sidecar.ts';
import { createWriteQueue, type WriteQueue } from './write-queue.ts';

/** Opens or makes the partial file. Never through a link, and never a file that another name shares. */
export async function openPartial(path: LocalPath, mode: number): Promise<{ fd: number; size: number }> {
  const flags = constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);
  try {
    let fd = await openFile(path, flags, mode);
    let stats = fstatSync(fd);
    if (!stats.isFile() || stats.nlink > 1) {
      await closeFile(fd);
      removeIfThere(path);
      fd = await openFile(path, flags | constants.O_EXCL, mode);
      stats = fstatSync(fd);
    }
    return { fd, size: stats.size };
  } catch (error) {
    throw localError(error, path, 'be written');
  }
}

export interface PartialFileOptions {
  readonly fd: number;
  readonly names: PartialNames;
  readonly remote: RemoteFile;
  readonly etag: string | null;
  readonly meter: Meter;
}

export class PartialFile {
  readonly #options: PartialFileOptions;
  readonly #frontier: HashFrontier;
  /** Bytes that are in the file and verified; safe once synced. */
  readonly #written = new RangeSet();
  #safeBytes = 0;
  #failure: HawserError | null = null;
  #waiters: (() => void)[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #checkpoint: Promise<void> | null = null;
  #closed = false;
  readonly #queue: WriteQueue;
  readonly pool: BufferPool;

  constructor(options: PartialFileOptions) {
    this.#options = options;
    this.#frontier = new HashFrontier(options.remote.blockBytes, this.readBack, budget);
    this.#queue = createWriteQueue({ fd: options.fd, onDone: this.#handleDone, onRoom: this.#wake });
    this.pool = poolOf(BLOCK_HEADER_BYTES + options.remote.blockBytes);
  }

  get written(): RangeSet {
    return this.#written;
  }

  readonly read = (position: number, into: Uint8Array): Promise<number> =>
    new Promise((resolve, reject) => {
      read(this.#options.fd, into, 0, into.length, position, (error, bytes) => {
        if (error) reject(localError(error, this.#options.names.partial, 'be read'));
        else resolve(bytes);
      });
    });

  /** Like `read`, of what must be there. Past the end there is nothing. */
  readonly readBack = async (position: number, into: Uint8Array): Promise<number> => {
    const bytes = await this.read(position, into);
    if (bytes === 0 && position < this.#options.remote.size) {
      throw new HawserError('local_io', `"${this.#shown}" became shorter: let nothing else write to it.`, { value: this.#shown });
    }
    return bytes;
  };

  /** What an earlier run left: it counts as done at once. */
  handleFound(start: number, end: number): void {
    this.#written.add(start, end);
    this.#safeBytes += end - start;
    this.#options.meter.found(end - start);
    const { blockBytes } = this.#options.remote;
    for (let at = start; at < end; at += blockBytes) this.#frontier.handleWritten(at / blockBytes);
  }

  /** The block turned out to be another one on the server. */
  handleWrong(start: number, end: number): void {
    if (!this.#written.covers(start, end)) return;
    this.#written.remove(start, end);
    this.#safeBytes -= end - start;
    this.#options.meter.found(start - end);
    this.#frontier.handleLost(start / this.#options.remote.blockBytes);
  }

  /** Writes a verified block, whose memory goes back to the pool. A promise asks to wait, and rejects when the disk failed. */
  handleBlock(offset: number, data: Uint8Array): Promise<void> | undefined {
    this.#frontier.handleArrival(offset / this.#options.remote.blockBytes, data);
    this.#queue.add(offset, data);
    return this.#queue.pendingBytes > MAX_PENDING_BYTES || this.#failure ? this.#room(MAX_PENDING_BYTES) : undefined;
  }

  /** From now on what was written is synced and noted about once a second. */
  start(): void {
    let pauseMs = CHECKPOINT_MS;
    const next = () => {
      if (this.#closed) return;
      this.#timer = setTimeout(async () => {
        const startedMs = performance.now();
        await this.checkpoint().catch((error: unknown) => {
          this.#failure ??= localError(error, this.#options.names.partial, 'be written');
        });
        // A disk that needs long is not asked all the time.
        pauseMs = Math.max(CHECKPOINT_MS, 3 * (performance.now() - startedMs));
        next();
      }, pauseMs);
    };
    next();
  }

  /** Syncs what is written, notes it, and counts it as done. */
  checkpoint(): Promise<void> {
    this.#checkpoint ??= this.#sync().finally(() => {
      this.#checkpoint = null;
    });
    return this.#checkpoint;
  }

  /** Hex BLAKE3 of the whole file, when all of it is written. */
  async digest(): Promise<string> {
    await this.#room(0);
    return Buffer.from(await this.#frontier.finish(this.#options.remote.size)).toString('hex');
  }

  /** Everything is in place and verified: sets the attributes (null: leaves them), and makes it survive a crash. */
  async seal(attributes: Attributes | null): Promise<void> {
    const { fd, names } = this.#options;
    try {
      if (attributes) setFileAttributes(fd, attributes);
      await syncFile(fd);
    } catch (error) {
      throw localError(error, names.partial, 'be written');
    }
    this.#countSafe(this.#written.total);
  }

  /** Bytes of it that were counted as done: for whoever starts over. */
  get safeBytes(): number {
    return this.#safeBytes;
  }

  /** `keep` (default true): notes what is safe, for the next run. Closes in any case. */
  async close(options: { keep?: boolean } = {}): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#settled();
    await this.#checkpoint?.catch(() => undefined);
    try {
      if (options.keep !== false) await this.checkpoint();
    } catch {
      // The sidecar only saves time; what made the fetch end is reported elsewhere.
    } finally {
      await this.#frontier.settle();
      await closeFile(this.#options.fd);
    }
  }

  get #shown(): string {
    return showLocal(this.#options.names.partial);
  }

  async #sync(): Promise<void> {
    const { fd, names, remote, etag } = this.#options;
    const snapshot = this.#written.clone();
    if (snapshot.total === this.#safeBytes) return;
    await syncData(fd);
    writeSidecar(names, {
      size: remote.size,
      version: remote.version,
      etag,
      blockBytes: remote.blockBytes,
      safe: snapshot.entries(),
    });
    this.#countSafe(snapshot.total);
  }

  #countSafe(total: number): void {
    if (total > this.#safeBytes) this.#options.meter.safe(total - this.#safeBytes);
    this.#safeBytes = Math.max(total, this.#safeBytes);
  }

  readonly #handleDone = (offset: number, data: Uint8Array, error: Error | null): void => {
    const index = offset / this.#options.remote.blockBytes;
    if (error) {
      this.#failure ??= localError(error, this.#options.names.partial, 'be written');
      this.#frontier.handleLost(index);
    } else {
      this.#written.add(offset, offset + data.length);
      this.#frontier.handleWritten(index);
    }
    this.#frontier.keep(index, data, () => this.pool.give(data));
  };

  readonly #wake = (): void => {
    for (const wake of this.#waiters.splice(0)) wake();
  };

  /** Resolves when at most so many bytes wait to be written. */
  async #room(bytes: number): Promise<void> {
    if (this.#queue.pendingBytes > bytes) this.#queue.flush();
    while (this.#queue.pendingBytes > bytes && !this.#failure) await new Promise<void>((resolve) => this.#waiters.push(resolve));
    if (this.#failure) throw this.#failure;
  }

  async #settled(): Promise<void> {
    this.#queue.flush();
    while (this.#queue.pendingBytes > 0) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }
}

/** Cuts what is beyond the file's end. */
export function cutTo(fd: number, path: LocalPath, size: number): void {
  try {
    ftruncateSync(fd, size);
  } catch (error) {
    throw localError(error, path, 'be cut');
  }
}

/** Shared by the files that are fetched at the same time. */
function poolOf(frameBytes: number): BufferPool {
  const pool = pools.get(frameBytes) ?? createBufferPool(frameBytes, IDLE_BYTES / frameBytes);
  pools.set(frameBytes, pool);
  return pool;
}

const openFile = promisify(open);
const closeFile = promisify(close);
const syncData = promisify(fdatasync);
const syncFile = promisify(fsync);
const pools = new Map<number, BufferPool>();
const IDLE_BYTES = 48 << 20;
/** Of blocks that came early and wait in memory for their turn to be hashed: read back from the file, they cost more. */
const budget: MemoryBudget = { left: 32 << 20 };
const CHECKPOINT_MS = 1000;
/** For each file: beyond it, nothing more is read from the network. */
const MAX_PENDING_BYTES = 8 << 20;
