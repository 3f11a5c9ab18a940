/**
 * What each path of a lane carries next: the rule over failing blocks (blocks-out.ts), how careful it is at which stage, and which
 * path a packet near the end is better kept for.
 */
import {
  type BlocksOut,
  BULK_THRESHOLD,
  NEARLY_DONE_THRESHOLD,
  type SymbolChoice,
  TAIL_THRESHOLD,
  URGENT_THRESHOLD,
} from './blocks-out.ts';
import { DATA_PACKET_BYTES, MAX_SOURCE_SYMBOLS, SYMBOL_BYTES, type Us } from './contract.ts';
import type { Path } from './path.ts';
import type { StreamsOut } from './streams-out.ts';

export class Scheduler {
  private readonly blocksOut: BlocksOut;
  private readonly streamsOut: StreamsOut;
  private readonly redundant: boolean;
  /** Since when there has been nothing new to send; -1: there is. */
  private emptySinceUs: Us = -1;

  /** `redundant`: whatever is in flight on one path, the others shall be able to replace at once. */
  constructor(blocksOut: BlocksOut, streamsOut: StreamsOut, redundant: boolean) {
    this.blocksOut = blocksOut;
    this.streamsOut = streamsOut;
    this.redundant = redundant;
  }

  /** When what is in flight begins to be guarded as a tail, if that is still to come. */
  tailUs(nowUs: Us): Us {
    if (this.emptySinceUs < 0 || !this.blocksOut.hasUnfinished) return Infinity;
    const tailUs = this.emptySinceUs + TAIL_AFTER_US;
    return tailUs > nowUs ? tailUs : Infinity;
  }

  /**
   * Losses as a block meets them: those of each path, by the share that it carries. An end that has sent too little to know them
   * takes them to be as on the way to it.
   */
  updateModel(paths: readonly Path[]): void {
    let rates = 0;
    let loss = 0;
    let burst = 0;
    let sigma = 0;
    for (const path of paths) {
      if (!this.isUsable(paths, path)) continue;
      const { controller } = path;
      const rate = controller.capacityBytesPerSecond + 1;
      const isKnown = path.sentPackets >= KNOWN_LOSS_PACKETS;
      // Where repair may not come too late it is owed to every loss that was seen, whether congestion's or not.
      // So it is where no queue can have lost them: a path that carries a message now and then proves nothing to rate control.
      const counts = this.redundant || controller.queueUs < EMPTY_QUEUE_US;
      const own = counts ? Math.max(controller.lossRate, seenLoss(path)) : controller.lossRate;
      const unknown = path.sentPackets < SEEN_LOSS_PACKETS ? START_LOSS : 0;
      const pathLoss = Math.min(0.6, isKnown ? own : Math.max(own, path.arrivals.lossRate, unknown));
      rates += rate;
      loss += rate * pathLoss;
      const guessed = this.redundant ? own : unknown;
      sigma +=
        rate * (this.redundant || unknown > 0 ? Math.min(controller.lossRateSigma, guessed / 2) : controller.lossRateSigma);
      // Independent losses come in runs too, of 1 / (1 - loss); what is meant here is how much longer they are.
      burst += rate * Math.max(1, controller.lossBurst * (1 - pathLoss));
    }
    // Rounded, or every acknowledgement would have every block's chances reckoned anew.
    const rounded = (sum: number, steps: number): number => Math.ceil((sum / rates) * steps) / steps;
    if (rates > 0) this.blocksOut.setModel({ loss: rounded(loss, 200), sigma: rounded(sigma, 200), burst: rounded(burst, 4) });
  }

  isUsable(paths: readonly Path[], path: Path): boolean {
    if (path.state === 'opening' || path.tooNarrow) return false;
    if (!path.standby) return true;
    return paths.every((other) => other.isOut);
  }

  /** Whether the path would carry something now if its pacer let it. */
  hasWork(nowUs: Us, paths: readonly Path[], path: Path): boolean {
    if (!this.isUsable(paths, path) || !path.allowsBytes(DATA_PACKET_BYTES) || path.isLogFull) return false;
    const { blocksOut, streamsOut } = this;
    if (path.probes > 0 || path.controller.mode === 'stalled')
      return blocksOut.hasUnfinished || (blocksOut.hasRoom && streamsOut.hasWork);
    if (path.suspect) return false;
    if (path.controller.pipeBytes() >= path.controller.windowBytes()) return false;
    return this.choose(nowUs, paths, path, null);
  }

  /** Fills `into` with what this path should carry next; with null it is only asked, and no new block is made. */
  choose(nowUs: Us, paths: readonly Path[], path: Path, into: SymbolChoice | null): boolean {
    const { blocksOut, streamsOut } = this;
    if (blocksOut.canMake && streamsOut.hasWork && into) {
      blocksOut.make(this.blockSymbols(nowUs, path), (out, limit) => streamsOut.fill(out, limit));
    }
    const makeable = blocksOut.hasRoom && streamsOut.hasWork ? Math.max(1, streamsOut.sendableBytes) : 0;
    const unsent = blocksOut.unsentSymbols * SYMBOL_BYTES + makeable;
    if (unsent > 0) this.emptySinceUs = -1;
    else if (this.emptySinceUs < 0) this.emptySinceUs = nowUs;
    const mayLeave = !this.redundant && unsent < this.bandwidthDelayBytes(paths);
    if (mayLeave && this.shouldLeaveToOthers(paths, path, unsent)) return false;
    const threshold = this.threshold(nowUs, paths, path, unsent);
    const spares = this.redundant && paths.length > 1;
    if (!into) {
      if (unsent > 0 || blocksOut.wouldChoose(threshold, this.urgentThreshold(path))) return true;
      return spares && blocksOut.chooseSpare(path.id, null);
    }
    if (spares && !path.suspect && blocksOut.chooseSpare(path.id, into)) return true;
    if (blocksOut.choose(threshold, this.urgentThreshold(path), into)) return true;
    // A probe, or the trickle that finds out when a dead path lives again: anything that could be of use.
    return (path.probes > 0 || path.controller.mode === 'stalled') && blocksOut.chooseAny(into);
  }

  private threshold(nowUs: Us, paths: readonly Path[], path: Path, unsentBytes: number): number {
    if (path.controller.minRttUs < NO_REPAIR_BELOW_RTT_US) return BULK_THRESHOLD;
    if (this.redundant) return TAIL_THRESHOLD;
    if (unsentBytes >= this.bandwidthDelayBytes(paths)) return BULK_THRESHOLD;
    // A writer that is late for a moment is not at its end.
    const atEnd = this.emptySinceUs >= 0 && nowUs - this.emptySinceUs >= TAIL_AFTER_US;
    return atEnd ? TAIL_THRESHOLD : NEARLY_DONE_THRESHOLD;
  }

  private urgentThreshold(path: Path): number {
    return path.controller.minRttUs < NO_REPAIR_BELOW_RTT_US ? BULK_THRESHOLD : URGENT_THRESHOLD;
  }

  private bandwidthDelayBytes(paths: readonly Path[]): number {
    let bytes = 0;
    for (const path of paths) {
      if (this.isUsable(paths, path)) bytes += (path.controller.capacityBytesPerSecond * path.controller.srttUs) / 1e6;
    }
    return bytes;
  }

  /** Near the end, a packet is better kept for a path that delivers it sooner (earliest completion, as ECF does: Lim 2017). */
  private shouldLeaveToOthers(paths: readonly Path[], path: Path, unsentBytes: number): boolean {
    if (paths.length < 2 || path.probes > 0) return false;
    const own = this.arrivalUs(path, 0);
    for (const other of paths) {
      if (other === path || other.state !== 'active' || other.suspect) continue;
      const theirs = this.arrivalUs(other, unsentBytes);
      if (own > theirs + Math.max(5_000, theirs / 10)) return true;
    }
    return false;
  }

  /** When a packet would be there if `bytes` more went before it, losses and the time to make them good included. */
  private arrivalUs(path: Path, bytes: number): Us {
    const { controller } = path;
    const loss = Math.min(0.6, controller.lossRate);
    const queuedUs = (bytes / Math.max(1, controller.capacityBytesPerSecond)) * 1e6;
    return controller.srttUs / 2 + queuedUs + (loss / (1 - loss)) * path.timeoutUs;
  }

  /**
   * At a low rate a block of 103 symbols would be seconds long, and what comes behind it would wait: so would the questions at a
   * lane's start, which share a block with content, were it as long as the first train is fast.
   */
  private blockSymbols(nowUs: Us, path: Path): number {
    const symbols = Math.round((path.controller.bytesPerSecondWithoutTrain(nowUs) * BLOCK_SECONDS) / SYMBOL_BYTES);
    return Math.min(MAX_SOURCE_SYMBOLS, Math.max(MIN_BLOCK_SYMBOLS, symbols));
  }
}

/** Over the path's life: few packets a second tell of their losses slowly. */
function seenLoss({ sentPackets, lostPackets }: Path): number {
  return sentPackets >= SEEN_LOSS_PACKETS ? lostPackets / sentPackets : 0;
}

/** Nearer than this, a lost packet is sent again sooner than a decoder is set to work. */
const NO_REPAIR_BELOW_RTT_US = 5_000;
const KNOWN_LOSS_PACKETS = 200;
const EMPTY_QUEUE_US = 3_000;
const SEEN_LOSS_PACKETS = 30;
/** The first questions of a lane are few and small packets, and a lost one costs three round trips: as if one in ten were. */
const START_LOSS = 0.1;
const TAIL_AFTER_US = 10_000;
const BLOCK_SECONDS = 0.05;
const MIN_BLOCK_SYMBOLS = 16;
