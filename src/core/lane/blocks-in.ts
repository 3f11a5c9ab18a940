/**
 * Coding blocks as they arrive: source symbols go straight to their place, repair symbols are kept aside, and with as many
 * symbols as the block has sources, in whatever mixture, it is whole.
 */
import { decodeBlock } from '../fec/codec.ts';
import { MAX_SOURCE_SYMBOLS, SYMBOL_BYTES } from './contract.ts';
import type { SymbolHead } from './wire.ts';

interface IncomingBlock {
  readonly id: number;
  readonly sourceSymbols: number;
  readonly symbolBytes: number;
  readonly lastBytes: number;
  readonly bytes: Uint8Array;
  readonly present: Uint8Array;
  sources: number;
  readonly repairIds: number[];
  readonly repairs: Uint8Array[];
}

export interface BlocksInOptions {
  /** Most blocks that may be incomplete at once, at least 64 and at most 1024: the memory of a lane is this times 128 KiB, twice at the very worst. */
  readonly windowBlocks: number;
  /** A whole block, in order of completion; the buffer is the taker's. What is wrong with it, or null. */
  readonly deliver: (content: Uint8Array) => string | null;
}

export class BlocksIn {
  /** Every block below is complete. */
  lowest = 0;
  /** One more than the highest block seen. */
  highest = 0;
  /** The peer may send blocks below this; told with every acknowledgement. */
  credit: number;
  decodedWithRepair = 0;
  completed = 0;
  duplicates = 0;
  private window: number;
  private readonly mostBlocks: number;
  private readonly options: BlocksInOptions;
  /** Memory of blocks that were delivered, of this lane alone. */
  private readonly spare: Uint8Array[] = [];
  private readonly ring: (IncomingBlock | 'complete' | undefined)[] = new Array(RING);

  constructor(options: BlocksInOptions) {
    this.options = options;
    this.mostBlocks = Math.max(INITIAL_WINDOW_BLOCKS, Math.min(options.windowBlocks, RING));
    this.window = INITIAL_WINDOW_BLOCKS;
    this.credit = this.window;
  }

  get hasIncomplete(): boolean {
    return this.lowest < this.highest;
  }

  /** Symbols held of a block: 255 when it is complete, 0 when nothing of it has come. */
  rank(id: number): number {
    if (id < this.lowest) return COMPLETE;
    const block = id < this.highest ? this.ring[id % RING] : undefined;
    if (block === undefined) return 0;
    return block === 'complete' ? COMPLETE : block.sources + block.repairs.length;
  }

  /** One symbol. Null: well; otherwise why the peer cannot have meant it. */
  handleSymbol(head: SymbolHead, symbol: Uint8Array): string | null {
    const { block: id } = head;
    if (id < this.lowest) {
      this.duplicates++;
      return null;
    }
    if (id >= this.credit) return `block ${id} is beyond the credit`;
    const block = this.ring[id % RING] ?? this.begin(head);
    if (block === 'complete') {
      this.duplicates++;
      return null;
    }
    if (block.sourceSymbols !== head.sourceSymbols || block.lastBytes !== head.lastBytes) return `block ${id} changes its size`;
    if (!this.place(block, head.symbol, symbol)) {
      this.duplicates++;
      return null;
    }
    return block.sources + block.repairs.length === block.sourceSymbols ? this.finish(block) : null;
  }

  /** Memory for a block that is still to come. */
  recycle(memory: Uint8Array): void {
    if (memory.length === MOST_BLOCK_BYTES && this.spare.length < MOST_SPARE) this.spare.push(memory);
  }

  private memory(bytes: number): Uint8Array {
    // Memory of one size only, and not for the sake of a few bytes.
    if (2 * bytes < MOST_BLOCK_BYTES) return new Uint8Array(bytes);
    const spare = this.spare.pop();
    if (!spare) return new Uint8Array(MOST_BLOCK_BYTES).subarray(0, bytes);
    // The decoder takes it that what the last symbol lacks is zero.
    return spare.subarray(0, bytes).fill(0, bytes - SYMBOL_BYTES);
  }

  private begin(head: SymbolHead): IncomingBlock {
    const { block: id, sourceSymbols, lastBytes } = head;
    const symbolBytes = sourceSymbols === 1 ? lastBytes : SYMBOL_BYTES;
    const block = {
      id,
      sourceSymbols,
      symbolBytes,
      lastBytes,
      bytes: this.memory(sourceSymbols * symbolBytes),
      present: new Uint8Array(sourceSymbols),
      sources: 0,
      repairIds: [],
      repairs: [],
    };
    this.ring[id % RING] = block;
    if (id >= this.highest) this.highest = id + 1;
    // More than half of the window is waiting for the lost: a longer path than was thought.
    if (this.highest - this.lowest > this.window / 2) this.window = Math.min(this.window * 2, this.mostBlocks);
    this.raiseCredit();
    return block;
  }

  private place(block: IncomingBlock, symbol: number, bytes: Uint8Array): boolean {
    if (symbol < block.sourceSymbols) {
      if (block.present[symbol]) return false;
      block.present[symbol] = 1;
      block.sources++;
      block.bytes.set(bytes, symbol * block.symbolBytes);
      return true;
    }
    if (block.repairIds.includes(symbol)) return false;
    block.repairIds.push(symbol);
    block.repairs.push(new Uint8Array(bytes));
    return true;
  }

  private finish(block: IncomingBlock): string | null {
    if (block.repairs.length > 0) {
      this.decodedWithRepair++;
      decodeBlock({
        k: block.sourceSymbols,
        symbolBytes: block.symbolBytes,
        block: block.bytes,
        present: block.present,
        repairEsi: block.repairIds,
        repairSymbols: block.repairs,
      });
    }
    this.completed++;
    this.ring[block.id % RING] = 'complete';
    while (this.lowest < this.highest && this.ring[this.lowest % RING] === 'complete') {
      this.ring[this.lowest % RING] = undefined;
      this.lowest++;
    }
    this.raiseCredit();
    return this.options.deliver(block.bytes.subarray(0, (block.sourceSymbols - 1) * block.symbolBytes + block.lastBytes));
  }

  private raiseCredit(): void {
    this.credit = Math.max(this.credit, this.lowest + this.window);
  }
}

const MOST_BLOCK_BYTES = MAX_SOURCE_SYMBOLS * SYMBOL_BYTES;
/** 4 MiB. */
const MOST_SPARE = 32;
const RING = 1024;
const COMPLETE = 255;
/** What a sender may assume before it hears more (INITIAL_CREDIT_BLOCKS of blocks-out.ts). */
const INITIAL_WINDOW_BLOCKS = 64;
