/**
 * Which blocks of a file are safe, and their digests. Pages keep the memory in proportion to what has arrived, whatever size
 * and offsets a client announces.
 */
import { RangeSet } from '../core/ranges.ts';
import type { BlockRun } from '../store/meta/contract.ts';

export const DIGEST_BYTES = 32;

/** In a recorded run: "this block is no longer safe". No content has this digest. */
export const FORGOTTEN: Uint8Array = new Uint8Array(DIGEST_BYTES);

/** In the place of a digest: the block is safe, and its own digest has not been computed. No content has this digest either. */
export const UNDIGESTED: Uint8Array = new Uint8Array(DIGEST_BYTES).fill(0xff);

export function isUndigested(digest: Uint8Array): boolean {
  return digest.every((byte) => byte === 0xff);
}

export class BlockMap {
  /** Block numbers. */
  readonly safe = new RangeSet();
  readonly #pages = new Map<number, Uint8Array>();

  static from(runs: readonly BlockRun[]): BlockMap {
    const map = new BlockMap();
    for (const run of runs) map.apply(run);
    return map;
  }

  /** Takes a recorded run over. */
  apply(run: BlockRun): void {
    const count = run.digests.length / DIGEST_BYTES;
    for (let i = 0; i < count; i++) {
      const digest = run.digests.subarray(i * DIGEST_BYTES, (i + 1) * DIGEST_BYTES);
      if (isForgotten(digest)) this.safe.remove(run.first + i, run.first + i + 1);
      else this.#set(run.first + i, digest);
    }
  }

  #set(index: number, digest: Uint8Array): void {
    const number = Math.floor(index / PAGE_BLOCKS);
    let page = this.#pages.get(number);
    if (!page) {
      page = new Uint8Array(PAGE_BLOCKS * DIGEST_BYTES);
      this.#pages.set(number, page);
    }
    page.set(digest, (index % PAGE_BLOCKS) * DIGEST_BYTES);
    this.safe.add(index, index + 1);
  }

  /** The digest of a safe block, or undefined. A view: copy it to keep it. */
  digest(index: number): Uint8Array | undefined {
    if (!this.safe.covers(index, index + 1)) return undefined;
    const at = (index % PAGE_BLOCKS) * DIGEST_BYTES;
    return this.#pages.get(Math.floor(index / PAGE_BLOCKS))?.subarray(at, at + DIGEST_BYTES);
  }

  /** Safe blocks whose digest has not been computed, ascending. */
  undigested(): number[] {
    const found: number[] = [];
    for (const [start, end] of this.safe.entries()) {
      for (let i = start; i < end; i++) if (isUndigested(this.digest(i) ?? FORGOTTEN)) found.push(i);
    }
    return found;
  }

  /** All safe blocks as runs, ascending. */
  runs(): BlockRun[] {
    return this.safe.entries().map(([start, end]) => {
      const digests = new Uint8Array((end - start) * DIGEST_BYTES);
      for (let i = start; i < end; i++) digests.set(this.digest(i) ?? FORGOTTEN, (i - start) * DIGEST_BYTES);
      return { first: start, digests };
    });
  }
}

/** Joins single blocks into runs of consecutive ones, in order of their numbers. */
export function joinRuns(blocks: readonly { index: number; digest: Uint8Array }[]): BlockRun[] {
  const sorted = [...blocks].sort((a, b) => a.index - b.index);
  const runs: { first: number; parts: Uint8Array[] }[] = [];
  for (const { index, digest } of sorted) {
    const last = runs.at(-1);
    if (last && last.first + last.parts.length === index) last.parts.push(digest);
    else if (last && last.first + last.parts.length - 1 === index) last.parts[last.parts.length - 1] = digest;
    else runs.push({ first: index, parts: [digest] });
  }
  return runs.map(({ first, parts }) => ({ first, digests: Buffer.concat(parts) }));
}

function isForgotten(digest: Uint8Array): boolean {
  return digest.every((byte) => byte === 0);
}

const PAGE_BLOCKS = 512;
