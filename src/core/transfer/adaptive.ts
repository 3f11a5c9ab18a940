/**
 * How many requests are in flight and how long each is, found by measuring (docs/design/adaptive.md). Pure: told what
 * happened, and when.
 */
import type { FailureClass } from '../errors.ts';
import { formatBytes, formatRate } from '../units.ts';
import { GoodputWindow } from './goodput-window.ts';

export interface AdaptiveOptions {
  /** Default 64 KiB. */
  readonly minChunkBytes?: number;
  /** Default 16 MiB. */
  readonly maxChunkBytes?: number;
  /** Default 16. */
  readonly maxStreams?: number;
  /** Chunks are whole numbers of it. Default: minChunkBytes. */
  readonly blockBytes?: number | undefined;
  /** What the user asked for: not adapted then. */
  readonly fixedStreams?: number | undefined;
  readonly fixedChunkBytes?: number | undefined;
}

/** A request that ended well: all of its bytes are safe. */
export interface ChunkDone {
  readonly nowMs: number;
  readonly startedMs: number;
  readonly bytes: number;
}

/** What the present measurement is for. Every trial starts from `#base`, the best number of streams known. */
type Phase =
  | { readonly name: 'measure' }
  | { readonly name: 'trial'; readonly streams: number }
  /** The trial looked better: back to the base once more, in case the link itself had changed meanwhile. */
  | { readonly name: 'check'; readonly streams: number; readonly rate: number };

/**
 * Chunks: as many bytes as one stream moves in max(1 s, 8 RTT), at most twice the last success, halved by a failure.
 * Streams: starts from the RTT, then climbs while that raises the total goodput by 5 % or more.
 *
 * @example
 * const adaptive = new Adaptive({ maxStreams: 16 });
 * adaptive.handleRtt(80);
 * adaptive.handleChunkDone({ nowMs: 1500, startedMs: 500, bytes: 262144 });
 * adaptive.streams; // requests to keep in flight
 * adaptive.chunkBytes; // length of the next
 */
export class Adaptive {
  readonly #minChunkBytes: number;
  readonly #maxChunkBytes: number;
  readonly #maxStreams: number;
  readonly #fixedStreams: number | null;
  readonly #fixedChunkBytes: number | null;
  readonly #blockBytes: number;

  #rttMs: number | null = null;
  /** Wanted length before rounding to blocks. */
  #chunk: number;
  #growing = true;
  /** Of one stream, bytes a millisecond; 0 before the first chunk. */
  #streamRate = 0;
  #chunkMs = 0;

  #base: number;
  /** Goodput at `#base`, bytes a millisecond. */
  #baseRate: number | null = null;
  #phase: Phase = { name: 'measure' };
  #window: GoodputWindow | null = null;
  #firstMs: number | null = null;
  #nextTrialMs = 0;
  #holdMs = FIRST_HOLD_MS;
  #direction: 1 | -1 = 1;
  #doubling = true;
  /** Set by the first trial that brought nothing: from then on a gain must be seen twice. */
  #cautious = false;
  #odd = 0;

  #failuresInARow = 0;
  #successesInARow = 0;
  #reactedMs = Number.NEGATIVE_INFINITY;
  /** Streams to come back to after an outage. */
  #restoreTo = 0;
  /** The server said that it is busy with one more than this. */
  #ceiling = Number.POSITIVE_INFINITY;
  #ceilingUntilMs = 0;
  #ceilingHoldMs = FIRST_HOLD_MS;
  #reason = 'first guess';

  constructor(options: AdaptiveOptions = {}) {
    this.#minChunkBytes = options.minChunkBytes ?? 64 * 1024;
    this.#maxChunkBytes = Math.max(this.#minChunkBytes, options.maxChunkBytes ?? 16 * 1024 * 1024);
    this.#blockBytes = options.blockBytes ?? this.#minChunkBytes;
    this.#fixedChunkBytes = options.fixedChunkBytes ?? null;
    this.#fixedStreams = options.fixedStreams ?? null;
    this.#maxStreams = Math.max(1, options.maxStreams ?? 16);
    this.#chunk = this.#clampChunk(FIRST_CHUNK_BYTES);
    this.#base = Math.min(this.#maxStreams, startStreams(null));
  }

  /** Requests to keep in flight, 1 to maxStreams. */
  get streams(): number {
    if (this.#fixedStreams !== null) return this.#fixedStreams;
    return this.#phase.name === 'trial' ? this.#phase.streams : this.#base;
  }

  /** Length of the next request: whole blocks, at least one. */
  get chunkBytes(): number {
    const wanted = this.#fixedChunkBytes ?? this.#chunk;
    return Math.max(this.#blockBytes, wanted - (wanted % this.#blockBytes));
  }

  /** Why it is so, for people. */
  get why(): string {
    const rtt = this.#rttMs === null ? 'RTT unknown' : `RTT ${Math.round(this.#rttMs)} ms`;
    const chunk = this.#fixedChunkBytes !== null ? 'as asked' : `one stream moves ${formatRate(this.#streamRate * 1000)}, ${rtt}`;
    const streams = this.#fixedStreams !== null ? 'as asked' : this.#reason;
    const noun = this.streams === 1 ? 'stream' : 'streams';
    return `${this.streams} ${noun} (${streams}), chunks of ${formatBytes(this.chunkBytes)} (${chunk})`;
  }

  /** A round trip of a small request, or of the handshake. The lowest count most: a full queue is not distance. */
  handleRtt(ms: number): void {
    if (!(ms >= 0)) return;
    this.#rttMs = this.#rttMs === null || ms < this.#rttMs ? ms : this.#rttMs + (ms - this.#rttMs) / 16;
    if (this.#firstMs === null) this.#base = Math.min(this.#maxStreams, startStreams(this.#rttMs));
  }

  handleChunkDone(chunk: ChunkDone): void {
    const tookMs = Math.max(0.1, chunk.nowMs - chunk.startedMs);
    this.#failuresInARow = 0;
    this.#successesInARow++;
    this.#adaptChunk(chunk.bytes, tookMs);
    if (this.#fixedStreams === null) this.#adaptStreams(chunk);
  }

  /**
   * A request failed. Trouble that fewer or shorter requests cannot cure (a refused token, a full disk) changes nothing.
   * Failures that come together count as one.
   */
  handleFailure(nowMs: number, kind: FailureClass): void {
    if (kind !== 'network' && kind !== 'server' && kind !== 'checksum') return;
    this.#successesInARow = 0;
    this.#failuresInARow++;
    const together = nowMs - this.#reactedMs < Math.max(1000, 2 * (this.#rttMs ?? 0));
    const outage = kind === 'network' && this.#failuresInARow >= Math.max(2, Math.ceil(this.streams / 2));
    if (together && !outage) return;
    if (!together && kind !== 'server') this.#chunk = this.#clampChunk(this.#chunk / 2);
    this.#reactedMs = nowMs;
    if (outage) this.#handleOutage();
    else if (kind === 'server') this.#handleBusy(nowMs);
  }

  #adaptChunk(bytes: number, tookMs: number): void {
    // The end of a file is mostly latency: it says nothing about the rate.
    if (this.#streamRate > 0 && bytes * 2 < this.chunkBytes) return;
    const weight = this.#streamRate === 0 ? 1 : 0.3;
    this.#streamRate += (bytes / tookMs - this.#streamRate) * weight;
    this.#chunkMs += (tookMs - this.#chunkMs) * (this.#chunkMs === 0 ? 1 : 0.3);
    const wanted = this.#clampChunk(this.#streamRate * Math.max(1000, 8 * (this.#rttMs ?? 0)));
    const next = Math.min(wanted, Math.max(this.#chunk, 2 * bytes));
    this.#growing = next > this.#chunk * 1.5;
    this.#chunk = next;
  }

  #adaptStreams(chunk: ChunkDone): void {
    const { nowMs } = chunk;
    this.#firstMs ??= nowMs;
    if (this.#restoreTo > 0) {
      if (this.#successesInARow < this.#base) return;
      this.#base = this.#restoreTo;
      this.#restoreTo = 0;
      this.#remeasure('back after an outage');
    }
    if (this.#window === null) {
      // Until requests have their length, more goodput may come from that.
      if (this.#growing && nowMs - this.#firstMs < LONGEST_START_MS) return;
      this.#openWindow(nowMs + this.#settleMs());
      return;
    }
    const result = this.#window.handleChunk(chunk, this.streams);
    if (result === 'open') return;
    // Too few requests were in flight to judge: there is not enough to send.
    if (result.streams < 0.7 * this.streams) {
      this.#openWindow(nowMs);
      return;
    }
    this.#judge(nowMs, result.rate);
  }

  #judge(nowMs: number, rate: number): void {
    const phase = this.#phase;
    const baseRate = this.#baseRate;
    if (phase.name === 'measure' || baseRate === null) {
      this.#judgeBase(nowMs, rate, baseRate);
    } else if (phase.name === 'trial') {
      if (rate < baseRate * WORTH) this.#reject(nowMs, phase.streams, rate);
      else if (this.#cautious) this.#enter({ name: 'check', streams: phase.streams, rate }, nowMs, `checking ${phase.streams}`);
      else this.#accept(nowMs, phase.streams, rate);
    } else {
      this.#baseRate = rate;
      if (phase.rate < rate * WORTH) this.#reject(nowMs, phase.streams, phase.rate);
      else this.#accept(nowMs, phase.streams, phase.rate);
    }
  }

  /** Holding: follows slow change, and looks for a better number at once when the goodput has plainly changed. */
  #judgeBase(nowMs: number, rate: number, baseRate: number | null): void {
    const changed = baseRate !== null && (rate > baseRate * 1.3 || rate < baseRate / 1.3);
    this.#odd = changed ? this.#odd + 1 : 0;
    if (this.#odd >= 2) {
      this.#odd = 0;
      this.#baseRate = rate;
      this.#direction = 1;
      this.#doubling = true;
      this.#holdMs = FIRST_HOLD_MS;
      this.#nextTrialMs = nowMs;
    } else if (!changed) {
      this.#baseRate = baseRate === null ? rate : baseRate + (rate - baseRate) / 2;
    }
    // Not in the middle of a change: what is compared must be comparable.
    if (nowMs >= this.#nextTrialMs && this.#odd === 0) this.#startTrial(nowMs);
    else this.#openWindow(nowMs);
  }

  #startTrial(nowMs: number): void {
    if (nowMs >= this.#ceilingUntilMs) this.#ceiling = Number.POSITIVE_INFINITY;
    const most = Math.min(this.#maxStreams, this.#ceiling);
    const least = Math.min(2, most);
    if (this.#direction === 1 && this.#base >= most) this.#direction = -1;
    else if (this.#direction === -1 && this.#base <= least) this.#direction = 1;
    const up = this.#doubling ? this.#base : Math.max(1, Math.round(this.#base / 4));
    const wanted = this.#direction === 1 ? this.#base + up : this.#base - Math.max(1, Math.round(this.#base / 8));
    const streams = Math.min(most, Math.max(least, wanted));
    if (streams === this.#base) {
      this.#hold(nowMs, 'nothing else to try');
      return;
    }
    this.#enter({ name: 'trial', streams }, nowMs, `trying ${streams} instead of ${this.#base}`);
  }

  #accept(nowMs: number, streams: number, rate: number): void {
    const before = this.#baseRate ?? rate;
    this.#reason = `${formatRate(rate * 1000)}, ${formatRate(before * 1000)} with ${this.#base}`;
    this.#base = streams;
    this.#baseRate = rate;
    this.#doubling = this.#direction === 1;
    this.#holdMs = FIRST_HOLD_MS;
    const room = this.#direction === 1 ? streams < Math.min(this.#maxStreams, this.#ceiling) : streams > 2;
    // Coming from a check the streams must be opened again before anything can be compared with them.
    if (room && this.#phase.name === 'trial') this.#startTrial(nowMs);
    else if (room) {
      this.#nextTrialMs = nowMs;
      this.#enter({ name: 'measure' }, nowMs, this.#reason);
    } else this.#hold(nowMs, this.#reason);
  }

  #reject(nowMs: number, streams: number, rate: number): void {
    const base = this.#baseRate ?? rate;
    // The top lies between: next time a small step the same way, later the other way.
    if (!this.#doubling) this.#direction = this.#direction === 1 ? -1 : 1;
    this.#doubling = false;
    this.#cautious = true;
    this.#hold(nowMs, `${streams} gave ${formatRate(rate * 1000)}, ${this.#base} give ${formatRate(base * 1000)}`);
  }

  #hold(nowMs: number, reason: string): void {
    this.#nextTrialMs = nowMs + this.#holdMs;
    this.#holdMs = Math.min(LONGEST_HOLD_MS, this.#holdMs * 2);
    this.#enter({ name: 'measure' }, nowMs, reason);
  }

  #enter(phase: Phase, nowMs: number, reason: string): void {
    this.#phase = phase;
    this.#reason = reason;
    this.#openWindow(nowMs + this.#settleMs());
  }

  /** Everything in flight failed: one stream after the other is left to find out when the network is back. */
  #handleOutage(): void {
    this.#restoreTo = Math.max(this.#restoreTo, this.#base);
    this.#base = Math.max(1, Math.floor(this.#base / 2));
    this.#failuresInARow = 0;
    this.#remeasure('requests fail');
  }

  #handleBusy(nowMs: number): void {
    const refused = this.streams;
    this.#ceiling = Math.max(1, refused - 1);
    this.#ceilingUntilMs = nowMs + this.#ceilingHoldMs;
    this.#ceilingHoldMs = Math.min(LONGEST_HOLD_MS, this.#ceilingHoldMs * 2);
    // A trial that went too far only goes back to where all was well.
    if (this.#base >= refused) this.#base = Math.max(1, Math.floor(refused / 2));
    this.#remeasure(`the server was busy with ${refused}`);
    this.#nextTrialMs = nowMs;
    this.#doubling = false;
    this.#direction = 1;
  }

  #remeasure(reason: string): void {
    this.#phase = { name: 'measure' };
    this.#baseRate = null;
    this.#window = null;
    this.#odd = 0;
    this.#reason = reason;
  }

  #openWindow(startMs: number): void {
    const lengthMs = Math.max(1000, 4 * (this.#rttMs ?? 0), 2.5 * this.#chunkMs);
    this.#window = new GoodputWindow(startMs, lengthMs);
  }

  /** Time for requests of before to end, and for new connections to get up to speed. */
  #settleMs(): number {
    return Math.max(300, 6 * (this.#rttMs ?? 0), this.#chunkMs);
  }

  #clampChunk(bytes: number): number {
    return Math.min(this.#maxChunkBytes, Math.max(this.#minChunkBytes, Math.round(bytes)));
  }
}

/** Near servers need few; on long paths one stream is most likely limited by its window or by loss. */
function startStreams(rttMs: number | null): number {
  if (rttMs === null) return 4;
  return rttMs < 5 ? 2 : rttMs < 150 ? 4 : 6;
}

const FIRST_CHUNK_BYTES = 256 * 1024;
/** A trial must raise the goodput by this factor. */
const WORTH = 1.05;
const FIRST_HOLD_MS = 15_000;
const LONGEST_HOLD_MS = 300_000;
/** Chunks may grow so long before streams are judged all the same. */
const LONGEST_START_MS = 10_000;
