/**
 * Coding blocks on their way: which symbols were sent, which arrived, and which should be sent next. It knows nothing of paths
 * but how many symbols of a block are in flight: a symbol helps whichever way it comes.
 */
import type { BlockEncoder } from '../fec/codec.ts';
import { MAX_PATHS, MAX_SOURCE_SYMBOLS, MAX_SYMBOLS, SYMBOL_BYTES } from './contract.ts';
import { failureProbability } from './failure-probability.ts';
import { writeSymbolHead } from './wire.ts';

/** What a packet carries; also what is remembered of it. */
export interface SymbolChoice {
  block: number;
  symbol: number;
}

/** The network as it matters here. */
export interface LossModel {
  /** Probability that a packet is lost. */
  readonly loss: number;
  /** How far that may be from the truth, as a standard deviation. Default 0. */
  readonly sigma?: number;
  /** Mean length of a run of losses. */
  readonly burst: number;
}

export class OutgoingBlock {
  id = -1;
  sourceSymbols = 0;
  symbolBytes = 0;
  lastBytes = 0;
  source: Uint8Array;
  /** Distinct symbols that the receiver holds, as far as is known. */
  rank = 0;
  acked = 0;
  inFlight = 0;
  /** Of these, on each path. */
  readonly inFlightBy = new Uint16Array(MAX_PATHS);
  nextSource = 0;
  nextRepair = 0;
  /** Sent ahead of need from its first symbol on. */
  urgent = false;
  complete = true;
  inDeficit = false;
  /** Per symbol: 1 acknowledged, 2 held lost at least once. */
  readonly state = new Uint8Array(MAX_SYMBOLS);
  failure = 0;
  failureKnown = false;
  /** Where sending again goes on when all 255 symbols were sent. */
  again = 0;

  constructor() {
    this.source = new Uint8Array(MAX_SOURCE_SYMBOLS * SYMBOL_BYTES);
  }

  get need(): number {
    return this.sourceSymbols - this.rank;
  }
}

export class BlocksOut {
  /** The lowest block that is not known to be complete at the receiver. */
  lowest = 0;
  /** Id of the next block to be made. */
  next = 0;
  /** The peer takes blocks below this. */
  credit = INITIAL_CREDIT_BLOCKS;
  sourceSent = 0;
  sentAgain = 0;
  repairSent = 0;
  private ackedSymbols = 0;
  private completedSymbols = 0;
  /** Bytes of blocks that the receiver has whole. */
  completedBytes = 0;
  private readonly ring: (OutgoingBlock | undefined)[] = new Array(RING);
  private readonly spare: OutgoingBlock[] = [];
  /** Blocks that certainly lack symbols, less being in flight than the receiver needs; the lowest first, for streams wait for it. */
  private readonly deficits: number[] = [];
  private readonly urgent: number[] = [];
  /** The block whose source symbols are being sent for the first time. */
  private current: OutgoingBlock | null = null;
  private readonly encoder: BlockEncoder;
  private model: LossModel = { loss: 0, burst: 1 };

  constructor(encoder: BlockEncoder) {
    this.encoder = encoder;
  }

  get hasUnfinished(): boolean {
    return this.lowest < this.next;
  }

  get unsentSymbols(): number {
    return this.current ? this.current.sourceSymbols - this.current.nextSource : 0;
  }

  /** Symbols acknowledged beyond what their blocks needed, less those that are still to be acknowledged. */
  get useless(): number {
    let needed = this.completedSymbols;
    for (let id = this.lowest; id < this.next; id++) needed += this.get(id)?.acked ?? 0;
    return Math.max(0, this.ackedSymbols - needed);
  }

  get unacknowledgedBytes(): number {
    let bytes = 0;
    for (let id = this.lowest; id < this.next; id++) {
      const block = this.get(id);
      if (block) bytes += block.source.length === 0 ? 0 : contentBytes(block);
    }
    return bytes;
  }

  get canMake(): boolean {
    return this.current === null && this.hasRoom;
  }

  /** The receiver takes another block, and there is a place to remember it. */
  get hasRoom(): boolean {
    return this.next < this.credit && this.next - this.lowest < RING;
  }

  /** A new block, of whose `source` the first `bytes` were filled by `fill`. False when there was nothing to fill it with. */
  make(symbols: number, fill: (out: Uint8Array, limit: number) => number): boolean {
    const block = this.spare.pop() ?? new OutgoingBlock();
    const bytes = fill(block.source, symbols * SYMBOL_BYTES);
    if (bytes === 0) {
      this.spare.push(block);
      return false;
    }
    const k = Math.ceil(bytes / SYMBOL_BYTES);
    block.id = this.next++;
    block.sourceSymbols = k;
    block.lastBytes = bytes - (k - 1) * SYMBOL_BYTES;
    block.symbolBytes = k === 1 ? block.lastBytes : SYMBOL_BYTES;
    block.source.fill(0, bytes, k * SYMBOL_BYTES);
    block.rank = block.acked = block.inFlight = block.nextSource = 0;
    block.inFlightBy.fill(0);
    block.nextRepair = k;
    block.urgent = k <= URGENT_SYMBOLS;
    block.complete = block.inDeficit = block.failureKnown = false;
    block.again = 0;
    block.state.fill(0);
    if (block.urgent) this.urgent.push(block.id);
    this.ring[block.id % RING] = block;
    this.current = block;
    return true;
  }

  /** The losses that probabilities are reckoned with from now on. */
  setModel(model: LossModel): void {
    const { loss, burst, sigma } = this.model;
    if (model.loss === loss && model.burst === burst && model.sigma === sigma) return;
    this.model = model;
    for (let id = this.lowest; id < this.next; id++) {
      const block = this.ring[id % RING];
      if (block) block.failureKnown = false;
    }
  }

  /**
   * The symbol to send next, by the rule of docs/design/lane.md: first what a block needs whose probability of failing is above
   * `threshold` (`urgentThreshold` for requests and answers of a few packets), then the next new source symbol. False: nothing
   * is worth sending now.
   */
  choose(threshold: number, urgentThreshold: number, into: SymbolChoice): boolean {
    const urgent = this.worstUrgent(urgentThreshold);
    if (urgent) return this.chooseFrom(urgent, false, into);
    const block = this.worst(threshold);
    if (block) return this.chooseFrom(block, threshold >= BULK_THRESHOLD, into);
    return this.chooseNew(into);
  }

  /** Whether `choose` would find something other than new source symbols. */
  wouldChoose(threshold: number, urgentThreshold: number): boolean {
    return this.worstUrgent(urgentThreshold) !== null || this.worst(threshold) !== null;
  }

  /**
   * For lanes that shall not feel it when a path dies: a symbol of the first block that the receiver could not restore if all that
   * is in flight on one of the other paths were lost, and this path can help. With null it is only asked.
   */
  chooseSpare(path: number, into: SymbolChoice | null): boolean {
    for (let id = this.lowest; id < this.next; id++) {
      const block = this.get(id);
      if (!block || !this.hangsOnAnother(block, path)) continue;
      const isUnsent = block.nextSource < block.sourceSymbols;
      if (!isUnsent && block.nextRepair >= MAX_SYMBOLS) continue;
      if (!into) return true;
      // A block whose source symbols have not all been sent is the current one.
      return isUnsent ? this.chooseNew(into) : this.chooseFrom(block, false, into);
    }
    return false;
  }

  private hangsOnAnother({ inFlight, inFlightBy, need }: OutgoingBlock, path: number): boolean {
    for (let other = 0; other < MAX_PATHS; other++) {
      const there = inFlightBy[other] as number;
      // What the rest loses on its way, the thresholds see to.
      if (other !== path && there > 0 && inFlight - there < need) return true;
    }
    return false;
  }

  /** It is the first symbol after all before was delivered. */
  beginsAnew({ block: id, symbol }: SymbolChoice): boolean {
    return symbol === 0 && id === this.lowest && id === this.next - 1 && this.current?.nextSource === 0;
  }

  /** For probes: what the block that fails likeliest could use, however unlikely. */
  chooseAny(into: SymbolChoice): boolean {
    let chosen: OutgoingBlock | null = null;
    for (let id = this.lowest; id < this.next; id++) {
      const block = this.get(id);
      if (block && block.need > 0 && (!chosen || this.failureOf(block) > this.failureOf(chosen))) chosen = block;
    }
    if (chosen && chosen.nextSource < chosen.sourceSymbols) chosen = null;
    return chosen ? this.chooseFrom(chosen, false, into) : this.chooseNew(into);
  }

  /** Writes head and symbol of a data packet's plaintext, returns its length, and counts it as in flight. */
  write({ block: id, symbol }: SymbolChoice, out: Uint8Array, path = 0): number {
    const block = this.get(id) as OutgoingBlock;
    const { sourceSymbols, symbolBytes, lastBytes } = block;
    writeSymbolHead(out, 0, id, symbol, sourceSymbols, lastBytes);
    block.inFlight++;
    block.inFlightBy[path]!++;
    block.failureKnown = false;
    if (symbol >= sourceSymbols) {
      this.encoder.repair(
        id,
        block.source.subarray(0, contentBytes(block)),
        sourceSymbols,
        symbolBytes,
        symbol,
        out.subarray(HEAD, HEAD + symbolBytes),
      );
      this.repairSent++;
      return HEAD + symbolBytes;
    }
    const bytes = symbol === sourceSymbols - 1 ? lastBytes : symbolBytes;
    out.set(block.source.subarray(symbol * symbolBytes, symbol * symbolBytes + bytes), HEAD);
    if (symbol < block.nextSource) this.sentAgain++;
    else {
      this.sourceSent++;
      block.nextSource = symbol + 1;
      if (block.nextSource === sourceSymbols && this.current === block) this.current = null;
    }
    return HEAD + bytes;
  }

  /** A packet with this symbol was acknowledged; not `wasInFlight`: it had been given up before. */
  handleAcked(id: number, symbol: number, wasInFlight: boolean, path = 0): void {
    const block = this.get(id);
    this.ackedSymbols++;
    if (!block) return;
    if (wasInFlight) removeFrom(block, path);
    block.failureKnown = false;
    if (block.state[symbol] !== ACKED) {
      block.state[symbol] = ACKED;
      block.acked++;
      if (block.acked > block.rank) block.rank = block.acked;
    }
    if (block.rank >= block.sourceSymbols) this.finish(block);
    else this.noteDeficit(block);
  }

  handleLost(id: number, symbol: number, path = 0): void {
    const block = this.get(id);
    if (!block) return;
    if (block.state[symbol] !== ACKED) block.state[symbol] = LOST;
    this.handleUnknown(id, path);
  }

  /** A packet is not in flight any more, and whether it arrived nobody says: the rank may, but not which symbols make it up. */
  handleUnknown(id: number, path = 0): void {
    const block = this.get(id);
    if (!block) return;
    removeFrom(block, path);
    block.failureKnown = false;
    this.noteDeficit(block);
  }

  /** The receiver says how many symbols of a block it holds; all of them and more: `complete`. */
  handleRank(id: number, rank: number, complete: boolean): void {
    const block = this.get(id);
    if (!block) return;
    if (complete || rank >= block.sourceSymbols) this.finish(block);
    else if (rank > block.rank) {
      block.rank = rank;
      block.failureKnown = false;
    }
  }

  /** Every block below is complete. False: that cannot be, for some were never made. */
  handleCompleteBelow(id: number): boolean {
    if (id > this.next) return false;
    for (let at = this.lowest; at < id; at++) {
      const block = this.get(at);
      if (block) this.finish(block);
    }
    return true;
  }

  get(id: number): OutgoingBlock | undefined {
    if (id < this.lowest || id >= this.next) return undefined;
    const block = this.ring[id % RING];
    return block && block.id === id && !block.complete ? block : undefined;
  }

  private worst(threshold: number): OutgoingBlock | null {
    while (this.deficits.length > 0) {
      const block = this.get(this.deficits[0] as number);
      if (block && block.inFlight < block.need - (block.sourceSymbols - block.nextSource)) return block;
      this.deficits.shift();
      if (block) block.inDeficit = false;
    }
    if (threshold >= BULK_THRESHOLD) return null;
    let chosen: OutgoingBlock | null = null;
    let most = 0;
    for (let id = this.lowest; id < this.next; id++) {
      const block = this.get(id);
      if (!block || block.nextSource < block.sourceSymbols) continue;
      const failure = this.failureOf(block);
      if (failure > most && failure > threshold) {
        most = failure;
        chosen = block;
      }
    }
    return chosen;
  }

  private worstUrgent(threshold: number): OutgoingBlock | null {
    let chosen: OutgoingBlock | null = null;
    for (let i = this.urgent.length - 1; i >= 0; i--) {
      const block = this.get(this.urgent[i] as number);
      if (!block) {
        this.urgent.splice(i, 1);
        continue;
      }
      const failing = block.nextSource === block.sourceSymbols && this.failureOf(block) > threshold;
      if (failing && (!chosen || block.failure > chosen.failure)) chosen = block;
    }
    return chosen;
  }

  private failureOf(block: OutgoingBlock): number {
    if (!block.failureKnown) {
      const { loss, burst, sigma } = this.model;
      block.failure = failureProbability(block.inFlight, block.need, loss, burst, sigma);
      block.failureKnown = true;
    }
    return block.failure;
  }

  private chooseFrom(block: OutgoingBlock, preferSource: boolean, into: SymbolChoice): boolean {
    into.block = block.id;
    // A lost source symbol costs the same on the wire as repair, and no decoding. But when the receiver holds symbols that no
    // acknowledgement told of, it may be one of those, and only a new symbol is sure to help.
    if ((!preferSource || block.rank > block.acked) && block.nextRepair < MAX_SYMBOLS) {
      into.symbol = block.nextRepair++;
      return true;
    }
    const lost = block.state.subarray(0, block.nextSource).indexOf(LOST);
    if (lost >= 0) {
      block.state[lost] = 0;
      into.symbol = lost;
    } else if (block.nextRepair < MAX_SYMBOLS) into.symbol = block.nextRepair++;
    else into.symbol = nextUnacknowledged(block);
    return true;
  }

  private chooseNew(into: SymbolChoice): boolean {
    if (!this.current) return false;
    into.block = this.current.id;
    into.symbol = this.current.nextSource;
    return true;
  }

  private noteDeficit(block: OutgoingBlock): void {
    if (block.inDeficit || block.inFlight >= block.need - (block.sourceSymbols - block.nextSource)) return;
    block.inDeficit = true;
    let at = this.deficits.length;
    while (at > 0 && (this.deficits[at - 1] as number) > block.id) at--;
    this.deficits.splice(at, 0, block.id);
  }

  private finish(block: OutgoingBlock): void {
    block.complete = true;
    this.completedBytes += contentBytes(block);
    this.completedSymbols += block.sourceSymbols;
    this.encoder.forget(block.id);
    if (this.current === block) this.current = null;
    this.ring[block.id % RING] = undefined;
    if (this.spare.length < MAX_SPARE) this.spare.push(block);
    while (this.lowest < this.next && this.ring[this.lowest % RING] === undefined) this.lowest++;
  }
}

function removeFrom(block: OutgoingBlock, path: number): void {
  block.inFlight--;
  block.inFlightBy[path]!--;
}

/** All 255 symbols were sent: the source symbols that are not acknowledged go again, in turn. */
function nextUnacknowledged(block: OutgoingBlock): number {
  const k = block.sourceSymbols;
  for (let i = 0; i < k; i++) {
    const symbol = (block.again + i) % k;
    if (block.state[symbol] === ACKED) continue;
    block.again = symbol + 1;
    return symbol;
  }
  return 0;
}

function contentBytes(block: OutgoingBlock): number {
  return (block.sourceSymbols - 1) * block.symbolBytes + block.lastBytes;
}

/** Thresholds of the probability of failing above which more is sent. In the bulk: only what is certainly lacking. */
export const BULK_THRESHOLD = 1 - 1e-6;
/** Less than one bandwidth-delay product is left to send. */
export const NEARLY_DONE_THRESHOLD = 0.9;
/** Nothing is left to send. */
export const TAIL_THRESHOLD = 0.01;
/** Requests and answers of a few packets. */
export const URGENT_THRESHOLD = 0.001;
/** Blocks that the peer takes before its first word about it: 8 MiB. */
export const INITIAL_CREDIT_BLOCKS = 64;
const URGENT_SYMBOLS = 4;
const RING = 1024;
const MAX_SPARE = 64;
const ACKED = 1;
const LOST = 2;
const HEAD = 8;
