/**
 * One upload while its bytes come in: the staging file, the map of safe blocks, the hash frontier, and the order on which
 * everything hangs: write, sync, record, acknowledge. Any number of requests write into one session at once.
 */
import { HawserError } from '../core/errors.ts';
import { bytesEqual } from '../core/hex.ts';
import { RangeSet } from '../core/ranges.ts';
import type { StagingFile } from '../store/files/contract.ts';
import type { MetaStore, UploadRecord } from '../store/meta/contract.ts';
import { blake3 } from './blake3.ts';
import { type BlockMap, FORGOTTEN, isUndigested, joinRuns, UNDIGESTED } from './block-map.ts';
import { type Clock, within } from './clock.ts';
import type { FileInfo } from './contract.ts';
import { HashFrontier, type MemoryBudget } from './hash-frontier.ts';

/** Blocks that are written and become safe together, with one sync and one record. */
interface Batch {
  readonly blocks: { readonly index: number; readonly digest: Uint8Array }[];
  readonly safe: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class UploadSession {
  record: UploadRecord;
  readonly staging: StagingFile;
  readonly blocks: BlockMap;
  readonly frontier: HashFrontier;
  /** Called for every request of an older epoch when a newer client takes over. */
  readonly requests = new Set<{ readonly epoch: number; readonly interrupt: () => void }>();
  /** Filled by a server-side copy: all there, nothing recorded, verified at completion. */
  copied = false;
  /** Set while the file is hashed and published: nothing may change any more. */
  #sealed = false;
  /** A completion that is under way, so that one asked for again joins it. */
  completing: { readonly digest: string; readonly published: Promise<FileInfo> } | null = null;
  lastUsedMs: number;

  readonly #meta: MetaStore;
  readonly #clock: Clock;
  readonly #onSafe: (bytes: number) => Promise<void>;
  /** Takes the blocks written from now on. */
  #open: Batch | null = null;
  /** Digests of blocks that are written and not yet recorded. */
  readonly #pending = new Map<number, Uint8Array>();
  /** Blocks that are being written: another write of the same block waits. */
  readonly #writing = new Map<number, Promise<unknown>>();
  #flushing: Promise<void> | null = null;
  #flushedMs: number;
  readonly #safeWaiters: (() => void)[] = [];
  #digesting: Promise<void> | null = null;
  /** How often recorded blocks have been given up for other bytes. */
  #forgets = 0;
  #closing = false;

  constructor(
    record: UploadRecord,
    staging: StagingFile,
    blocks: BlockMap,
    context: { meta: MetaStore; clock: Clock; budget: MemoryBudget; onSafe: (bytes: number) => Promise<void> },
  ) {
    this.record = record;
    this.staging = staging;
    this.blocks = blocks;
    this.#meta = context.meta;
    this.#clock = context.clock;
    this.#onSafe = context.onSafe;
    this.lastUsedMs = this.#flushedMs = context.clock.now();
    this.frontier = new HashFrontier(record.blockBytes, (position, into) => staging.read(position, into), context.budget);
    for (const [start, end] of blocks.safe.entries()) this.frontier.handleWritten(start, end);
  }

  get idle(): boolean {
    const writes = this.#writing.size > 0 || this.#open !== null || this.#flushing !== null;
    return this.requests.size === 0 && !writes && !this.completing && !this.#digesting;
  }

  safeBytes(): number {
    const { size, blockBytes } = this.record;
    if (this.copied && size !== null) return size;
    return this.blocks.safe.entries().reduce((sum, [start, end]) => sum + this.#byteRange(start, end, size, blockBytes), 0);
  }

  /** Byte ranges that are safe. */
  safeRanges(): [number, number][] {
    const { size, blockBytes } = this.record;
    if (this.copied && size !== null) return size > 0 ? [[0, size]] : [];
    return this.blocks.safe
      .entries()
      .map(([start, end]): [number, number] => [start * blockBytes, Math.min(end * blockBytes, size ?? Number.MAX_SAFE_INTEGER)]);
  }

  #byteRange(start: number, end: number, size: number | null, blockBytes: number): number {
    return Math.min(end * blockBytes, size ?? Number.MAX_SAFE_INTEGER) - start * blockBytes;
  }

  /** Throws frame_invalid when a block does not lie on the grid, or not inside the file. */
  checkPlace(offset: number, length: number): number {
    const { blockBytes, size } = this.record;
    const aligned = offset % blockBytes === 0 && length <= blockBytes;
    // Of unknown size: near what has come without a gap, so that far-off blocks of one byte cannot fill the memory.
    const nearBytes = (this.blocks.safe.runEnd(0) + MAX_BLOCKS_AHEAD) * blockBytes;
    const whole = size === null ? offset <= nearBytes : length === Math.min(blockBytes, size - offset);
    if (!aligned || !whole) {
      throw new HawserError(
        'frame_invalid',
        `The block at byte ${offset} with ${length} bytes does not fit: blocks have ${blockBytes} bytes, the file ${size ?? 'not yet a size'}.`,
        { value: offset },
      );
    }
    return offset / blockBytes;
  }

  /**
   * Resolves when the digest of the file from its start to the end of this block is right, and the block hashed: `store` has to follow at
   * once. Waits a little for what comes before it. Throws block_mismatch, and running_digest_early.
   */
  async verifyRunning(index: number, digest: Uint8Array, data: Uint8Array): Promise<void> {
    const offset = index * this.record.blockBytes;
    const endMs = this.#clock.now() + RUNNING_PATIENCE_MS;
    for (;;) {
      const right = this.frontier.handleRunning(index, data, digest);
      if (right) return;
      if (right === false) throw damagedBlock(offset);
      const leftMs = endMs - this.#clock.now();
      const hopeless = this.frontier.position > offset || leftMs <= 0;
      if (hopeless || !(await within(this.#clock, leftMs, this.frontier.step(index)))) throw earlyBlock(offset);
    }
  }

  /**
   * Writes one verified block. It is safe when the `safe` that comes back has resolved, which a `flush` brings about. `release` is
   * called, once, when `data` is free again: when it is written, or later, when it had to wait for its turn to be hashed.
   * `digest` is null after `verifyRunning`: the block's own is not known.
   */
  async store(
    epoch: number,
    index: number,
    digest: Uint8Array | null,
    data: Uint8Array,
    release: () => void,
  ): Promise<{ safe: Promise<void> }> {
    let kept = false;
    try {
      while (this.#writing.has(index)) await this.#writing.get(index)?.catch(() => undefined);
      // Looked at after the wait: what an older client sent may not land any more.
      this.checkEpoch(epoch);
      if (this.#sealed) {
        throw new HawserError('busy', `The upload of "${this.record.path}" is being completed: no block of it can change now.`, {
          retryAfterMs: 1000,
        });
      }
      const write = this.#write(index, digest, data);
      this.#writing.set(index, write);
      try {
        const stored = await write;
        kept = stored !== ALREADY_SAFE;
        return stored;
      } finally {
        this.#writing.delete(index);
      }
    } catch (error) {
      // It was hashed as if it were there.
      if (digest === null) this.frontier.handleLost(index);
      throw error;
    } finally {
      if (kept) this.frontier.keep(index, data, release);
      else release();
    }
  }

  async #write(index: number, own: Uint8Array | null, data: Uint8Array): Promise<{ safe: Promise<void> }> {
    const isSame = (other: Uint8Array): boolean => own !== null && bytesEqual(other, own);
    const recorded = this.blocks.digest(index);
    if (recorded && isSame(recorded)) return ALREADY_SAFE;
    const pending = this.#pending.get(index);
    // Other bytes are about to take the place of a block that is, or soon will be, recorded: a crash half-way must not find
    // its old digest there.
    if (recorded || (pending && !isSame(pending))) await this.#forget(index);
    if (own) this.frontier.handleArrival(index, data);
    const digest = own ?? new Uint8Array(UNDIGESTED);
    try {
      await this.staging.write(index * this.record.blockBytes, data);
    } catch (error) {
      this.frontier.handleLost(index);
      throw error;
    }
    this.frontier.handleWritten(index);
    this.#pending.set(index, digest);
    this.#open ??= openBatch();
    const batch = this.#open;
    batch.blocks.push({ index, digest });
    if (this.#clock.now() - this.#flushedMs >= FLUSH_EVERY_MS) void this.flush();
    return { safe: batch.safe };
  }

  async #forget(index: number): Promise<void> {
    this.#forgets++;
    await this.flush();
    await this.#meta.recordBlocks(this.record.id, [{ first: index, digests: FORGOTTEN }], this.#clock.now());
    this.blocks.safe.remove(index, index + 1);
    this.frontier.handleLost(index);
  }

  /** Syncs and records what was written before the call. Never rejects: each batch tells its own writers how it went. */
  async flush(): Promise<void> {
    while (this.#flushing) await this.#flushing;
    if (!this.#open) return;
    const batch = this.#open;
    this.#open = null;
    this.#flushing = this.#flushBatch(batch).finally(() => {
      this.#flushing = null;
    });
    await this.#flushing;
  }

  async #flushBatch(batch: Batch): Promise<void> {
    try {
      await this.staging.sync();
      const runs = joinRuns(batch.blocks);
      await this.#meta.recordBlocks(this.record.id, runs, this.#clock.now());
      const before = this.safeBytes();
      for (const run of runs) this.blocks.apply(run);
      this.#flushedMs = this.#clock.now();
      const fresh = this.safeBytes() - before;
      if (fresh > 0) await this.#onSafe(fresh);
      for (const wake of this.#safeWaiters.splice(0)) wake();
      batch.resolve();
    } catch (error) {
      // Nothing of it counts; whoever sent it sends it again, and is covered by the sync of that.
      for (const { index } of batch.blocks) this.frontier.handleLost(index);
      batch.reject(error);
    } finally {
      for (const { index, digest } of batch.blocks) if (this.#pending.get(index) === digest) this.#pending.delete(index);
    }
  }

  /** Throws `superseded` unless this is the newest epoch. */
  checkEpoch(epoch: number): void {
    if (epoch === this.record.epoch) return;
    throw takenOver(this.record);
  }

  /** The newest request wins: what older ones have begun to write ends first, what they send after this is refused. */
  async raiseEpoch(): Promise<number> {
    const epoch = this.record.epoch + 1;
    this.record = { ...this.record, epoch };
    for (const old of [...this.requests]) if (old.epoch < epoch) old.interrupt();
    await this.#settle();
    return epoch;
  }

  /** From now on no block changes, and all that was written is safe. What is hashed after this is what will be published. */
  async seal(): Promise<void> {
    this.#sealed = true;
    await this.#settle();
  }

  async #settle(): Promise<void> {
    while (this.#writing.size > 0) await Promise.allSettled(this.#writing.values());
    await this.flush();
  }

  unseal(): void {
    this.#sealed = false;
  }

  /** Forgets what does not fit a file of another size: the last block of either, and all beyond. */
  async resize(size: number | null): Promise<void> {
    const { blockBytes, size: old } = this.record;
    if (size === old) return;
    const keep = Math.floor(Math.min(size ?? Number.MAX_SAFE_INTEGER, old ?? Number.MAX_SAFE_INTEGER) / blockBytes);
    const lost = new RangeSet();
    for (const [start, end] of this.blocks.safe.entries()) if (end > keep) lost.add(Math.max(start, keep), end);
    const now = this.#clock.now();
    for (const [start, end] of lost.entries()) {
      await this.#meta.recordBlocks(
        this.record.id,
        [{ first: start, digests: new Uint8Array((end - start) * FORGOTTEN.length) }],
        now,
      );
      this.blocks.safe.remove(start, end);
      for (let i = start; i < end; i++) this.frontier.handleLost(i);
    }
  }

  /**
   * Resolves when every block of a file of `size` bytes is safe; or when that will not be soon: nobody sends, and nothing became
   * safe for a while; or after `mostMs`.
   */
  async untilComplete(size: number, mostMs: number): Promise<void> {
    const endMs = this.#clock.now() + mostMs;
    while (!this.#isComplete(size)) {
      const leftMs = endMs - this.#clock.now();
      if (leftMs <= 0) return;
      const came = await this.#nextSafe(Math.min(leftMs, GRACE_MS));
      if (!came && this.requests.size === 0) return;
    }
  }

  /** False: nothing became safe in time. */
  async #nextSafe(mostMs: number): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const cancel = this.#clock.after(mostMs, () => resolve(false));
    this.#safeWaiters.push(() => resolve(true));
    return await promise.finally(cancel);
  }

  #isComplete(size: number): boolean {
    return this.copied || this.blocks.safe.covers(0, Math.ceil(size / this.record.blockBytes));
  }

  /** Throws upload_incomplete unless every block of a file of `size` bytes is safe. */
  checkComplete(size: number): void {
    if (this.#isComplete(size)) return;
    const count = Math.ceil(size / this.record.blockBytes);
    const [gap] = this.blocks.safe.gaps(0, count);
    throw new HawserError(
      'upload_incomplete',
      `The upload ${this.record.id} lacks bytes from ${(gap?.[0] ?? 0) * this.record.blockBytes}: send them, then complete it again.`,
      { value: this.record.id },
    );
  }

  /** Resolves when the digest of every safe block is known: those of blocks that came with a running one are computed from the disk. */
  digestBlocks(): Promise<void> {
    this.#digesting ??= this.#digestBlocks().finally(() => {
      this.#digesting = null;
    });
    return this.#digesting;
  }

  async #digestBlocks(): Promise<void> {
    const { blockBytes } = this.record;
    const buffer = Buffer.allocUnsafeSlow(blockBytes);
    for (const index of this.blocks.undigested()) {
      for (let forgets = -1; forgets !== this.#forgets && !this.#closing; ) {
        forgets = this.#forgets;
        const wanted = Math.min(blockBytes, (this.record.size ?? Number.MAX_SAFE_INTEGER) - index * blockBytes);
        const bytes = buffer.subarray(0, await this.staging.read(index * blockBytes, buffer.subarray(0, wanted)));
        const now = this.blocks.digest(index);
        // Whatever is there by now: it was not overwritten while it was read.
        if (forgets === this.#forgets && now && isUndigested(now)) this.blocks.apply({ first: index, digests: blake3(bytes) });
      }
    }
  }

  async close(): Promise<void> {
    this.#closing = true;
    await Promise.allSettled([...this.#writing.values(), this.#digesting]);
    await this.frontier.settle();
    await this.flush();
    await this.staging.close();
  }
}

function openBatch(): Batch {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  // Its writers may have gone before it fails.
  promise.catch(() => undefined);
  return { blocks: [], safe: promise, resolve, reject };
}

export function takenOver({ id, path }: Pick<UploadRecord, 'id' | 'path'>): HawserError {
  return new HawserError('superseded', `A newer client took over the upload of "${path}": this one stops.`, { value: id });
}

export function damagedBlock(offset: number): HawserError {
  return new HawserError(
    'block_mismatch',
    `The block at byte ${offset} differs from its digest: it was damaged on the way. Send it again.`,
    { value: offset },
  );
}

function earlyBlock(offset: number): HawserError {
  return new HawserError(
    'running_digest_early',
    `The block at byte ${offset} has a running digest, and what comes before it is not there: send it with its own digest.`,
    { value: offset },
  );
}

const ALREADY_SAFE = { safe: Promise.resolve() };

/** Of a stream: far more than a client holds in memory. */
const MAX_BLOCKS_AHEAD = 4096;
/** Longest that a block waits for its sync while the request that brought it goes on. */
const FLUSH_EVERY_MS = 1000;
/** A request that was sent before another may come after it by so much. */
const GRACE_MS = 1000;
/** So long a block with a running digest waits for those before it, which left before it. */
const RUNNING_PATIENCE_MS = 2000;
