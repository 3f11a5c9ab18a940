/**
 * What of a partly fetched file is safe, kept beside it. It only saves time: without it, or when it does not fit, the blocks
 * themselves are compared with the server's digests.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, statSync, writeSync } from 'node:fs';
import { MAX_BLOCK_BYTES, MIN_BLOCK_BYTES } from '../../core/transfer/block-size.ts';
import { removeIfThere } from './link.ts';
import type { PartialNames } from './local-path.ts';

export interface PartialState {
  readonly size: number;
  /** The server's name for this state of the file. */
  readonly version: string;
  readonly etag: string | null;
  readonly blockBytes: number;
  /** Byte ranges [start, end) that are on disk and were verified, ascending. */
  readonly safe: readonly (readonly [number, number])[];
}

/** Null when there is none, or none that makes sense. */
export function readSidecar(names: PartialNames): PartialState | null {
  try {
    if (statSync(names.state).size > MAX_SIDECAR_BYTES) return null;
    return parse(JSON.parse(readFileSync(names.state, 'utf8')));
  } catch {
    return null;
  }
}

/** Call only after what it claims has been synced. Replaced in one step, so that a crash leaves the old one or the new one. */
export function writeSidecar(names: PartialNames, state: PartialState): void {
  removeIfThere(names.stateNext);
  try {
    const fd = openSync(names.stateNext, 'wx', 0o600);
    try {
      writeSync(fd, JSON.stringify({ format: FORMAT, ...state }));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(names.stateNext, names.state);
  } catch (error) {
    removeIfThere(names.stateNext);
    throw error;
  }
}

export function removeSidecar(names: PartialNames): void {
  removeIfThere(names.state);
  removeIfThere(names.stateNext);
}

function parse(raw: unknown): PartialState | null {
  if (typeof raw !== 'object' || raw === null) return null;
  const { format, size, version, etag, blockBytes, safe } = raw as Record<string, unknown>;
  if (format !== FORMAT || typeof version !== 'string' || (etag !== null && typeof etag !== 'string')) return null;
  if (!isCount(size) || !isCount(blockBytes) || blockBytes < MIN_BLOCK_BYTES || blockBytes > MAX_BLOCK_BYTES) return null;
  if (!Number.isInteger(Math.log2(blockBytes)) || !Array.isArray(safe)) return null;
  const ranges: [number, number][] = [];
  let last = 0;
  for (const pair of safe) {
    if (!Array.isArray(pair) || pair.length !== 2) return null;
    const [start, end] = pair as unknown[];
    if (!isCount(start) || !isCount(end) || start < last || end <= start || end > size) return null;
    if (start % blockBytes !== 0 || (end % blockBytes !== 0 && end !== size)) return null;
    ranges.push([start, end]);
    last = end;
  }
  return { size, version, etag, blockBytes, safe: ranges };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

const FORMAT = 1;
const MAX_SIDECAR_BYTES = 4 << 20;
