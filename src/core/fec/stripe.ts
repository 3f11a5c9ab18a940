/**
 * Parity over whole chunks, against the loss of a path, mirror or peer that a chunk was to come over (inside a chunk, the code
 * of codec.ts makes good lost packets). With one parity it is the exclusive or of the chunks; with three, any ten of 10 + 3 are
 * enough. Chunks may have any length: shorter ones count as padded with zeros to the length of the parity.
 */
import { assignRepairs } from './codec.ts';
import { MAX_SYMBOLS, writeDecodingRows, writeRepairRow } from './matrix.ts';
import { multiplyRows } from './rows.ts';
import { SCRATCH_BYTES, sharedWorkspace, type Workspace } from './workspace.ts';

/**
 * Writes the parity of `chunks`: as many as there are buffers in `parity`, each as long as the longest chunk. Chunks and parity
 * together are at most 255.
 */
export function encodeStripe(
  chunks: readonly Uint8Array[],
  parity: readonly Uint8Array[],
  workspace: Workspace = sharedWorkspace(),
): void {
  const k = chunks.length;
  if (k < 1 || k + parity.length > MAX_SYMBOLS) throw new RangeError(`A stripe of ${k} chunks and ${parity.length} of parity`);
  checkLengths(chunks, parity);
  const matrix = new Uint8Array(parity.length * k);
  for (let i = 0; i < parity.length; i++) writeRepairRow(matrix, i * k, k, k + i);
  multiplyChunks(workspace, matrix, chunks, parity);
}

export interface ReceivedStripe {
  /** All chunks of the stripe, each with its length; those that are missing are written. */
  readonly chunks: readonly Uint8Array[];
  /** A flag a chunk: not 0 where it is there. */
  readonly present: Uint8Array;
  /** All parity of the stripe in the order of `encodeStripe`; null what is missing. */
  readonly parity: readonly (Uint8Array | null)[];
}

/** Writes the missing chunks. A RangeError is a defect of the caller: more chunks are missing than there is parity, or lengths differ. */
export function recoverStripe({ chunks, present, parity }: ReceivedStripe, workspace: Workspace = sharedWorkspace()): void {
  const k = chunks.length;
  if (k < 1 || k + parity.length > MAX_SYMBOLS || present.length !== k) {
    throw new RangeError(`A stripe of ${k} chunks, ${present.length} flags and ${parity.length} of parity`);
  }
  const repairs: number[] = [];
  for (let i = 0; i < parity.length; i++) {
    if (parity[i]) repairs.push(k + i);
  }
  const { symbols, lost } = assignRepairs(k, present, repairs);
  if (lost.length === 0) return;
  const inputs = chunks.map((chunk, j) => (symbols[j] === j ? chunk : (parity[symbols[j]! - k] as Uint8Array)));
  checkLengths(
    chunks,
    inputs.filter((_, j) => symbols[j] !== j),
  );
  const matrix = new Uint8Array(lost.length * k);
  writeDecodingRows(matrix, k, symbols, lost);
  multiplyChunks(
    workspace,
    matrix,
    inputs,
    Array.from(lost, (place) => chunks[place]!),
  );
}

/** outputs = matrix * inputs, in columns that stay in the processor's cache while all rows are made of them. */
function multiplyChunks(
  { kernel, scratch }: Workspace,
  matrix: Uint8Array,
  inputs: readonly Uint8Array[],
  outputs: readonly Uint8Array[],
): void {
  const { arena } = kernel;
  const longestBytes = longest(outputs);
  const roomBytes = SCRATCH_BYTES / (inputs.length + 2) - SET_BYTES;
  const columnBytes = Math.min(COLUMN_BYTES, roomBytes - (roomBytes % 64));
  const strideBytes = columnBytes + SET_BYTES;
  for (let start = 0; start < longestBytes; start += columnBytes) {
    inputs.forEach((input, j) => {
      const piece = input.subarray(start, start + columnBytes);
      const address = scratch + j * strideBytes;
      arena.set(piece, address);
      arena.fill(0, address + piece.length, address + columnBytes);
    });
    const bytes = Math.min(columnBytes, Math.ceil((longestBytes - start) / 64) * 64);
    const column = { input: scratch, strideBytes, count: inputs.length, bytes };
    multiplyRows(kernel, matrix, outputs.length, column, scratch + inputs.length * strideBytes, (row, address) => {
      const output = outputs[row]!;
      if (start < output.length) output.set(arena.subarray(address, address + Math.min(bytes, output.length - start)), start);
    });
  }
}

function checkLengths(chunks: readonly Uint8Array[], parity: readonly Uint8Array[]): void {
  const bytes = longest(chunks);
  for (const { length } of parity) {
    if (length !== bytes) throw new RangeError(`Parity of ${length} bytes for chunks of up to ${bytes}`);
  }
}

function longest(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((most, { length }) => Math.max(most, length), 0);
}

/** Ten chunks of it lie in a second-level cache. */
const COLUMN_BYTES = 8192;
/** Keeps inputs that are a power of two apart from falling into the same set of the first-level cache. */
const SET_BYTES = 64;
