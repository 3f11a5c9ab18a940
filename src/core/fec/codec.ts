/**
 * A coding block's repair symbols, and its lost source symbols again from them: a systematic Reed-Solomon code of up to 255
 * symbols a block, any k of which give back the block (matrix.ts). Symbols have a multiple of 64 bytes; with k = 1 any number,
 * and every repair symbol is a copy of the only source symbol.
 */
import { ROW_BYTES } from './kernel.ts';
import { MAX_SYMBOLS, writeDecodingRows, writeRepairRow } from './matrix.ts';
import { multiplyRows } from './rows.ts';
import { SCRATCH_BYTES, SLOT_BYTES, sharedWorkspace, type Workspace } from './workspace.ts';

/** Makes repair symbols, and keeps the sources of the blocks it was asked for last, so that the next repair needs no copy of them. */
export interface BlockEncoder {
  /**
   * Writes repair symbol `symbol` of a block into `out`.
   *
   * @param key what the block is known by until it is forgotten; with k above 1 its source must not change meanwhile
   * @param source the source symbols one after the other. The last may be short: the code takes it as padded with zeros
   * @param k source symbols of the block, at least 1
   * @param symbolBytes bytes of a symbol: a multiple of 64, or anything with k = 1; k * symbolBytes is at most SLOT_BYTES
   * @param symbol number of the repair symbol, k to 254
   * @param out at least `symbolBytes` long
   */
  repair(key: number, source: Uint8Array, k: number, symbolBytes: number, symbol: number, out: Uint8Array): void;
  /** The block is done with, and its key free for another. */
  forget(key: number): void;
}

/** Encoders that share a workspace share its slots, not their keys. */
export function createBlockEncoder(workspace: Workspace = sharedWorkspace()): BlockEncoder {
  const { kernel, slots, scratch } = workspace;
  const slotOf = new Map<number, number>();
  let result = kernel.arena.subarray(scratch, scratch);

  function load(key: number, source: Uint8Array, blockBytes: number): number {
    const slot = slots.take(slotOf, key);
    const address = slots.address(slot);
    kernel.arena.set(source, address);
    kernel.arena.fill(0, address + source.length, address + blockBytes);
    return slot;
  }

  return {
    repair(key, source, k, symbolBytes, symbol, out) {
      checkBlock(k, symbolBytes, SLOT_BYTES);
      checkRepair(k, symbol);
      if (source.length > k * symbolBytes || source.length <= (k - 1) * symbolBytes || out.length < symbolBytes) {
        throw new RangeError(`${source.length} bytes as ${k} symbols of ${symbolBytes}, and ${out.length} for a repair symbol`);
      }
      if (k === 1) {
        out.set(source);
        out.fill(0, source.length, symbolBytes);
        return;
      }
      const slot = slotOf.get(key) ?? load(key, source, k * symbolBytes);
      slots.use(slot);
      if (symbol === k) kernel.sum(scratch, slots.address(slot), symbolBytes, k, symbolBytes);
      else {
        writeRepairRow(kernel.coefficients, 0, k, symbol);
        kernel.dot(scratch, slots.address(slot), symbolBytes, k, symbolBytes);
      }
      if (result.length !== symbolBytes) result = kernel.arena.subarray(scratch, scratch + symbolBytes);
      out.set(result);
    },
    forget(key) {
      const slot = slotOf.get(key);
      if (slot !== undefined) slots.release(slot);
    },
  };
}

export interface ReceivedBlock {
  /** Source symbols of the block. */
  readonly k: number;
  /** A multiple of 64, or anything with k = 1. */
  readonly symbolBytes: number;
  /** k * symbolBytes long: the source symbols that arrived, each at its place, the last padded with zeros. The others are written. */
  readonly block: Uint8Array;
  /** k flags: not 0 where the source symbol is in `block`. */
  readonly present: Uint8Array;
  /** Numbers of the repair symbols, k to 254, all different, and their bytes. Only the first ones are used, as many as are missing. */
  readonly repairEsi: ArrayLike<number>;
  readonly repairSymbols: readonly Uint8Array[];
}

/**
 * Writes the missing source symbols into `block`. It cannot fail: a RangeError is a defect of the caller, who hands in too few
 * symbols, one twice or sizes that do not fit. `present` is left as it is.
 *
 * Cost: about missing * k * symbolBytes / (25 GB/s).
 */
export function decodeBlock(received: ReceivedBlock, workspace: Workspace = sharedWorkspace()): void {
  const { k, symbolBytes, block, present, repairEsi, repairSymbols } = received;
  checkBlock(k, symbolBytes, SCRATCH_BYTES - 2 * symbolBytes);
  if (block.length !== k * symbolBytes || present.length !== k) {
    throw new RangeError(`A block of ${block.length} bytes and ${present.length} flags for ${k} symbols of ${symbolBytes}`);
  }
  const { symbols, lost } = assignRepairs(k, present, repairEsi);
  if (repairSymbols.length < lost.length)
    throw new RangeError(`${repairSymbols.length} repair symbols for ${lost.length} missing`);
  for (let i = 0; i < lost.length; i++) {
    if (repairSymbols[i]!.length !== symbolBytes) throw new RangeError(`A repair symbol of ${repairSymbols[i]!.length} bytes`);
  }
  if (lost.length === 0) return;
  if (k === 1) {
    block.set(repairSymbols[0]!);
    return;
  }

  const { kernel, scratch } = workspace;
  const output = scratch + k * symbolBytes;
  kernel.arena.set(block, scratch);
  for (let i = 0; i < lost.length; i++) kernel.arena.set(repairSymbols[i]!, scratch + lost[i]! * symbolBytes);
  const rows = new Uint8Array(lost.length * k);
  writeDecodingRows(rows, k, symbols, lost);
  const inputs = { input: scratch, strideBytes: symbolBytes, count: k, bytes: symbolBytes };
  multiplyRows(kernel, rows, lost.length, inputs, output, (row, address) => {
    block.set(kernel.arena.subarray(address, address + symbolBytes), lost[row]! * symbolBytes);
  });
}

/** Gives each missing source symbol's place to a repair symbol: the first ones, as many as are needed. */
export function assignRepairs(
  k: number,
  present: Uint8Array,
  repairs: ArrayLike<number>,
): { symbols: Uint8Array; lost: Uint8Array } {
  const symbols = new Uint8Array(k);
  const lost: number[] = [];
  const taken = new Uint8Array(ROW_BYTES);
  for (let j = 0; j < k; j++) {
    symbols[j] = j;
    if (present[j]) continue;
    const symbol = repairs[lost.length];
    if (symbol === undefined)
      throw new RangeError(`Only ${repairs.length} repair symbols, and more of ${k} source symbols are missing`);
    checkRepair(k, symbol);
    if (taken[symbol]) throw new RangeError(`Repair symbol ${symbol} is there twice`);
    taken[symbol] = 1;
    symbols[j] = symbol;
    lost.push(j);
  }
  return { symbols, lost: Uint8Array.from(lost) };
}

function checkBlock(k: number, symbolBytes: number, mostBytes: number): void {
  const fits = k >= 1 && k < MAX_SYMBOLS && symbolBytes >= 1 && k * symbolBytes <= mostBytes;
  if (!fits || (k > 1 && symbolBytes % 64 !== 0)) throw new RangeError(`A block of ${k} symbols of ${symbolBytes} bytes`);
}

function checkRepair(k: number, symbol: number): void {
  if (!(symbol >= k && symbol < MAX_SYMBOLS)) throw new RangeError(`Repair symbol ${symbol} of a block of ${k}`);
}
