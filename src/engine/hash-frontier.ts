/**
 * The digest of a whole file whose blocks come in any order. BLAKE3 wants its bytes in order, so the frontier is the point up to
 * which they have been hashed: a block that arrives just there is hashed from memory, one further on is read back once
 * the frontier reaches it. On a path that keeps order nothing is ever read twice.
 */
import { HawserError } from '../core/errors.ts';
import { bytesEqual } from '../core/hex.ts';
import { RangeSet } from '../core/ranges.ts';
import { type Blake3, createBlake3 } from './blake3.ts';

export type ReadBack = (position: number, into: Uint8Array) => Promise<number>;

/** Bytes that may still be kept in memory, shared by all uploads of a server. */
export interface MemoryBudget {
  left: number;
}

interface Early {
  readonly data: Uint8Array;
  /** Null while the block is still being written. */
  release: (() => void) | null;
}

export class HashFrontier {
  readonly #blockBytes: number;
  readonly #read: ReadBack;
  #hash: Blake3 = createBlake3();
  /** Bytes hashed so far: always the end of a block, or of the file. */
  #position = 0;
  /** Raised whenever what was hashed is no longer true, so that a read that is under way notices. */
  #generation = 0;
  #running: Promise<void> | null = null;
  /** Blocks that can be read back. */
  readonly #written = new RangeSet();
  /** Blocks that came early and are still in memory, whether they are written yet or not. */
  readonly #early = new Map<number, Early>();
  readonly #budget: MemoryBudget;
  #stepped: PromiseWithResolvers<true> | null = null;

  constructor(blockBytes: number, read: ReadBack, budget: MemoryBudget = { left: 0 }) {
    this.#blockBytes = blockBytes;
    this.#read = read;
    this.#budget = budget;
  }

  get position(): number {
    return this.#position;
  }

  /**
   * A verified block is about to be written: `keep` or `handleLost` follows. True when it was hashed from memory. One that comes
   * early stays in memory until its turn when there is room, so that it need not be read back; its turn may come before it is
   * written, because the next body begins while the last blocks of the one before are still on their way to the disk.
   */
  handleArrival(index: number, data: Uint8Array): boolean {
    const at = index * this.#blockBytes;
    if (at < this.#position) this.reset();
    if (this.#running || at !== this.#position) {
      if (this.#budget.left >= data.length && !this.#early.has(index)) {
        this.#budget.left -= data.length;
        this.#early.set(index, { data, release: null });
      }
      return false;
    }
    this.#hash.update(data);
    this.#position += data.length;
    this.#takeEarly();
    this.#handleStep();
    return true;
  }

  /**
   * A block came with a running digest: that of the file from its start to the end of the block. True: it is right, and hashed; it is
   * about to be written, and `handleLost` follows if it is not. False: it is wrong. Null: what comes before it is not all hashed,
   * or more than that is.
   */
  handleRunning(index: number, data: Uint8Array, digest: Uint8Array): boolean | null {
    if (this.#running || index * this.#blockBytes !== this.#position) return null;
    this.#hash.update(data);
    if (!bytesEqual(this.#hash.digest(), digest)) {
      this.reset();
      return false;
    }
    this.#position += data.length;
    this.#takeEarly();
    this.#handleStep();
    return true;
  }

  /**
   * Resolves when the frontier has moved, or may be able to: whoever waits for what comes before block `index` looks again then. What of
   * it is only on disk is read back.
   */
  step(index: number): Promise<true> {
    const next = Math.floor(this.#position / this.#blockBytes);
    if (!this.#running && next < index && this.#written.covers(next, index)) {
      this.#start(index * this.#blockBytes).catch(() => undefined);
    }
    this.#stepped ??= Promise.withResolvers<true>();
    return this.#stepped.promise;
  }

  #handleStep(): void {
    this.#stepped?.resolve(true);
    this.#stepped = null;
  }

  /** The block is written. `release` is called when `data` is free again, which may be now. */
  keep(index: number, data: Uint8Array, release: () => void): void {
    const early = this.#early.get(index);
    if (early?.data === data) early.release = release;
    else release();
  }

  #takeEarly(): void {
    for (;;) {
      const index = this.#position / this.#blockBytes;
      const early = this.#early.get(index);
      if (!early) return;
      this.#hash.update(early.data);
      this.#position += early.data.length;
      this.#drop(index, early);
    }
  }

  #drop(index: number, { data, release }: Early): void {
    this.#early.delete(index);
    this.#budget.left += data.length;
    release?.();
  }

  /** The blocks [start, end) are on disk and can be read back. Catches up when the frontier stands before a run of such blocks. */
  handleWritten(start: number, end = start + 1): void {
    this.#written.add(start, end);
    const next = Math.floor(this.#position / this.#blockBytes);
    if (!this.#running && end > next + 1 && this.#written.covers(next, Math.min(end, next + CATCH_UP_BLOCKS))) {
      // A failed read shows again, and is reported, when the digest is asked for.
      this.#start(this.#readable()).catch(() => undefined);
    }
    this.#handleStep();
  }

  /** A block stopped being what was hashed or written: its write failed, or other bytes are to take its place. */
  handleLost(index: number): void {
    this.#written.remove(index, index + 1);
    const early = this.#early.get(index);
    if (early) this.#drop(index, early);
    if (index * this.#blockBytes < this.#position) this.reset();
  }

  /** Starts over, from the disk. */
  reset(): void {
    for (const [index, early] of this.#early) this.#drop(index, early);
    this.#hash = createBlake3();
    this.#position = 0;
    this.#generation++;
  }

  /** Hashes on to `size`, which must all be written, and returns the digest. The frontier is spent when nothing changes any more. */
  async finish(size: number): Promise<Uint8Array> {
    for (;;) {
      if (this.#running) await this.#running;
      if (this.#position > size) this.reset();
      if (this.#position === size) break;
      const { position, generation } = { position: this.#position, generation: this.#generation };
      await this.#start(size);
      if (this.#position === position && this.#generation === generation) {
        throw new HawserError(
          'io_error',
          `The staged file ends at byte ${position} where ${size} bytes were written: send it again.`,
          {
            value: position,
          },
        );
      }
    }
    const digest = this.#hash.digest();
    // Asked again (a completion that is repeated), it starts over: from what is on the disk then.
    this.reset();
    return digest;
  }

  /** Resolves when a read that is under way has ended: call before closing the file. */
  async settle(): Promise<void> {
    this.#generation++;
    await this.#running?.catch(() => undefined);
    for (const [index, early] of this.#early) this.#drop(index, early);
  }

  /** Where the run of written blocks that begins at the frontier ends. */
  #readable(): number {
    const next = Math.floor(this.#position / this.#blockBytes);
    for (const [start, end] of this.#written.entries()) if (start <= next && next < end) return end * this.#blockBytes;
    return this.#position;
  }

  #start(until: number): Promise<void> {
    const run = this.#advance(until).finally(() => {
      this.#running = null;
      this.#takeEarly();
      this.#handleStep();
    });
    this.#running = run;
    return run;
  }

  async #advance(until: number): Promise<void> {
    const generation = this.#generation;
    const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
    for (;;) {
      this.#takeEarly();
      if (this.#position >= until) return;
      const want = Math.min(READ_BYTES, until - this.#position);
      const got = await this.#read(this.#position, buffer.subarray(0, want));
      if (generation !== this.#generation) return;
      if (got === 0) return;
      this.#hash.update(buffer.subarray(0, got));
      this.#position += got;
      this.#passEarly();
    }
  }

  /** Forgets the early blocks that were read back after all. */
  #passEarly(): void {
    for (const [index, early] of this.#early) if (index * this.#blockBytes < this.#position) this.#drop(index, early);
  }
}

const READ_BYTES = 1 << 20;
/** How long a run of written blocks must be to be worth a catch-up before the end. */
const CATCH_UP_BLOCKS = 4;
