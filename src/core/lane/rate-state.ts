/**
 * What rate control knows of a path, in one place: the decisions (rate-decisions.ts, rate-competition.ts) read and change it, the
 * controller (rate-controller.ts) feeds it.
 */
import { ownIntervalUs } from './arrivals.ts';
import type { LanePolicy, Us } from './contract.ts';
import { LossBaseline, LossPool } from './rate-loss.ts';
import type { Measurement } from './rate-measure.ts';
import { BaseDelay, WindowedMax } from './rate-window.ts';

/**
 * ramp: looking for the path's rate, each packet train up to four times as fast as the last. cruise: the rate is known, and
 * follows the queue. compete: somebody fills the queue whatever we do, so share as CUBIC does. stalled: nothing comes back.
 */
export type RateMode = 'ramp' | 'cruise' | 'compete' | 'stalled';

/** A run of packets sent at one known rate, measured and decided upon when they have all been reported. */
export type Interval = {
  /** Packet numbers [first, end); end is -1 while it is being sent. */
  first: number;
  end: number;
  startUs: Us;
  endUs: Us;
  /** Bytes a second of the path when it began, and how much faster or slower these packets go. */
  rate: number;
  gain: number;
  minPackets: number;
  /** It began anew, because too few packets had left in its time. */
  again: boolean;
  /** There was nothing to send, or a cap below the rate: what was reached says nothing of what could be. */
  appLimited: boolean;
} & Purpose;

export type Purpose =
  | { readonly kind: 'steady' }
  /** Is more possible? A short burst above the rate. */
  | { readonly kind: 'train' }
  /** Is the loss random? It does not fall with the rate if so. */
  | { readonly kind: 'check'; readonly reference: CheckReference }
  /** How long is the way when the queue is empty, and does it empty? */
  | { readonly kind: 'drain'; readonly drain: DrainPlan };

/** The interval whose loss is in question. */
export interface CheckReference {
  readonly queueUs: Us;
  readonly loss: number;
  readonly packets: number;
  readonly deliveryRate: number;
  /** To return to when the loss proves random. */
  readonly rate: number;
}

export interface DrainPlan {
  readonly queueUs: Us;
  readonly throughput: number;
  /** Relative to the throughput. */
  readonly gain: number;
  readonly lengthUs: Us;
  /** How long to go faster afterwards, to put back what was in the queue. */
  readonly refillUs: Us;
  /** Long and slow enough to learn the random loss too. */
  readonly deep: boolean;
}

/** What to do next. */
export type Plan = Purpose & { readonly gain?: number; readonly lengthUs?: Us; readonly minPackets?: number };

export const STEADY: Plan = { kind: 'steady' };
export const TRAIN: Plan = { kind: 'train' };

/** A measured interval with what it means on this path. */
export interface Evidence {
  readonly nowUs: Us;
  readonly interval: Interval;
  readonly measured: Measurement;
  /** Bytes a second that the path carries: unexplained loss is taken off. */
  throughput: number;
  /** Queueing delay at the end of the interval, its least at the start and over all of it. */
  queueUs: Us;
  firstQueueUs: Us;
  leastQueueUs: Us;
  targetUs: Us;
  sigma: number;
  margin: number;
  /** More loss than chance explains. */
  excess: boolean;
  /** The queue was far from full all the time: what was lost is random. */
  clear: boolean;
}

export class RateState {
  policy: LanePolicy;
  readonly packetBytes: number;
  /** Bytes a second, lost ones included; before gains and caps. */
  rate: number;
  mode: RateMode = 'ramp';
  trainGain = 2;
  /** Decisions to wait before the next train; doubles with every train that fails. */
  hold = 0;
  holdExponent = 0;
  /** Trains in a row that were repeated, because a burst of losses had hit them. */
  repeats = 0;
  #easedUs: Us = 0;
  /** Half of the buffer, where losses prove that it is smaller than the target. */
  targetCapUs = Number.POSITIVE_INFINITY;
  /** Decisions in a row with a queue well above the target. */
  overruns = 0;
  wasHigh = false;
  /** The last decision was to leave a queue of about its target as it is. */
  wasHeld = false;
  lastEarlyDrainUs: Us = Number.NEGATIVE_INFINITY;
  /** Seconds since 1970 at instant 0, if known: flows that drain together see the queue empty. */
  readonly wallOffsetUs: Us;

  srttUs: Us;
  rttVarUs: Us;
  minRttUs: Us;
  ackIntervalUs: Us = 10_000;
  jitterUs: Us = 0;
  jitterKnown = false;
  sampleGapUs: Us = 1000;
  /** What is left of the queue at the end of drains: on a path with jitter, not a queue at all. */
  residualUs: Us = 0;
  queueUs: Us = 0;

  readonly base = new BaseDelay();
  readonly loss = new LossBaseline();
  /** Delivered bytes a second: the most of the last 5 s; throughput: of 30 s; sent: of 10 s. */
  readonly delivered = new WindowedMax(500_000, 10);
  readonly carried = new WindowedMax(1_000_000, 30);
  readonly sent = new WindowedMax(1_000_000, 10);
  /** The longest queue of the last 30 s that lost no more than was random: the buffer is at least so deep. */
  readonly depth = new WindowedMax(1_000_000, 30);
  /** The longest queue of the last 30 s at all. */
  readonly longest = new WindowedMax(1_000_000, 30);
  /** Losses while the queue was much shorter than that, and so not at its limit. */
  readonly clear = new LossPool();
  readonly flatness = new FlatDelay();
  /** Losses of the last steady intervals at about this rate. */
  readonly recent = new LossPool();
  /** Losses of the last checks, and of the intervals that they were made for. */
  readonly slowed = new LossPool();
  readonly fast = new LossPool();
  suspicion: CheckReference | null = null;
  checkAtUs: Us = Number.POSITIVE_INFINITY;
  drainAtUs: Us;
  drains = 0;
  deliveryRate = 0;
  throughput = 0;
  goodput = 0;
  recentLoss = 0;
  initialPackets = 32;
  baseShifts = 0;

  constructor(options: { nowUs: Us; policy: LanePolicy; packetBytes: number; rttUs: Us; wallClockUs?: Us }) {
    this.policy = options.policy;
    this.packetBytes = options.packetBytes;
    this.srttUs = options.rttUs;
    this.rttVarUs = options.rttUs / 2;
    this.minRttUs = options.rttUs;
    this.rate = (this.initialPackets * options.packetBytes * 1e6) / options.rttUs;
    this.wallOffsetUs = (options.wallClockUs ?? options.nowUs) - options.nowUs;
    this.drainAtUs = this.slotUs(options.nowUs + 2e6, DRAIN_PERIOD_US);
  }

  /** RFC 9002, 5.3, with a slower mean: acknowledgements are many. */
  observeRtt(rttUs: Us, isFirst: boolean): void {
    if (isFirst) {
      this.srttUs = this.minRttUs = rttUs;
      this.rttVarUs = rttUs / 2;
    } else {
      this.rttVarUs += (Math.abs(rttUs - this.srttUs) - this.rttVarUs) / 8;
      this.srttUs += (rttUs - this.srttUs) / 10;
      this.minRttUs = Math.min(this.minRttUs, rttUs);
    }
    this.ackIntervalUs = ownIntervalUs(this.minRttUs);
  }

  baseUs(nowUs: Us): Us {
    return this.base.us(nowUs, this.mode === 'compete' || this.overruns > 0);
  }

  /**
   * The queueing delay to hold at a rate: 10 ms at 100 Mbit/s, falling with the square root. Flows on one bottleneck see the same
   * queue and so come to the same rate, whatever their round trips. 20 ms means four times the share.
   */
  targetUs(rate: number): Us {
    const noise = Math.min(20_000, 2 * this.jitterUs);
    const residual = this.isJittery ? Math.min(this.residualUs, 12 * this.jitterUs, MOST_RESIDUAL_US) : 0;
    return Math.max(2000, Math.min(this.#freeTargetUs(rate), this.targetCapUs), noise) + residual;
  }

  /** What lasts for less says little of a rate. */
  get noiseUs(): Us {
    return Math.max(8 * this.jitterUs, 4 * this.sampleGapUs);
  }

  /** Delays vary by more than our own timers make them. */
  get isJittery(): boolean {
    return this.jitterUs > 1000;
  }

  /** So long was the delay while there was no queue. */
  learnResidual(delayUs: Us): void {
    this.residualUs = Math.max(this.residualUs, delayUs);
  }

  /** In a buffer as deep as we like, without jitter. */
  #freeTargetUs(rate: number): Us {
    const { kind } = this.policy;
    const scale = kind === 'high' ? 2 : 1;
    const fast = Math.max(rate, SLOW_TARGET_RATE);
    let target = Math.max(MIN_TARGET_US, BASE_TARGET_US * Math.sqrt(REFERENCE_RATE / fast));
    // Slow flows are told apart less, for nobody wants to wait that long.
    if (rate < SLOW_TARGET_RATE) target = Math.min(MAX_TARGET_US, target * (SLOW_TARGET_RATE / Math.max(rate, 1)) ** 0.25);
    target *= scale;
    return kind === 'background' ? Math.min(target, BASE_TARGET_US) / 2 : target;
  }

  /** The least rate: 4 packets a round trip. */
  get floor(): number {
    return (4 * this.packetBytes * 1e6) / Math.max(this.srttUs, 100_000);
  }

  /** Until now the round trip was a guess, and at a server a long one. True: the rate is that of the first packets in the one that it is. */
  handleFirstRtt(): boolean {
    const rate = (this.initialPackets * this.packetBytes * 1e6) / Math.max(this.srttUs, LEAST_GUESSED_RTT_US);
    if (rate <= this.rate) return false;
    this.rate = rate;
    return true;
  }

  /** What may be sent without knowing anything: 32 packets a round trip. */
  get initialRate(): number {
    return (this.initialPackets * this.packetBytes * 1e6) / Math.max(this.srttUs, 1000);
  }

  /** Losses are proven to be congestion: keep the queue to half of what it can be. */
  capTarget(nowUs: Us): void {
    this.targetCapUs = Math.max(2000, Math.min(this.targetCapUs, 0.5 * this.longest.max(nowUs)));
  }

  /** Buffers grow when paths change: the cap is forgotten within some ten seconds, and at once when a queue was longer and lost nothing. */
  easeTarget(nowUs: Us): void {
    const steps = Math.min(20, Math.max(1, (nowUs - this.#easedUs) / EASE_US));
    this.#easedUs = nowUs;
    this.targetCapUs = Math.max(this.targetCapUs * 1.01 ** steps, 0.5 * this.depth.max(nowUs));
  }

  /** Less room than we would use: a little more at a time. */
  get shallow(): boolean {
    return this.targetCapUs < 0.9 * this.#freeTargetUs(this.rate);
  }

  /** What may leave at once: the longest queue that was seen, where losses have shown that there is no room for more. */
  get mostBurstUs(): Us {
    return this.shallow ? 2 * this.targetCapUs : Number.POSITIVE_INFINITY;
  }

  /**
   * What leaves together makes a queue of as much: a quarter of the buffer where that is short, and little while nobody knows
   * whether it is.
   */
  get mostGatherUs(): Us {
    if (this.mode === 'ramp' || this.suspicion) return UNKNOWN_GATHER_US;
    return this.shallow ? this.targetCapUs / 2 : Number.POSITIVE_INFINITY;
  }

  failTrain(): void {
    this.holdExponent = Math.min(this.holdExponent + 1, 5);
    this.hold = 1 << this.holdExponent;
  }

  lower(rate: number): void {
    this.rate = Math.max(rate, this.floor);
  }

  /**
   * The next instant at which every lane slows down to look: a whole number of periods of the wall clock, less the way to the
   * bottleneck, so that all of them show there at once. What all do together tells what none could tell alone.
   */
  slotUs(afterUs: Us, periodUs: Us): Us {
    const shiftUs = this.wallOffsetUs + this.srttUs / 2;
    return (Math.floor((afterUs + shiftUs) / periodUs) + 1) * periodUs - shiftUs;
  }

  planDrain(nowUs: Us): void {
    this.drainAtUs = this.slotUs(nowUs + DRAIN_PERIOD_US / 4, DRAIN_PERIOD_US);
  }

  /** More is lost than was proven to be random: go no faster, and look at the next instant at which all others look too. */
  suspect(nowUs: Us, reference: CheckReference): void {
    // There are no checks in the ramp.
    if (this.mode === 'ramp') this.mode = 'cruise';
    this.suspicion ??= reference;
    if (this.checkAtUs === Number.POSITIVE_INFINITY) this.checkAtUs = this.slotUs(nowUs, CHECK_PERIOD_US);
  }

  clearSuspicion(): void {
    this.suspicion = null;
    this.checkAtUs = Number.POSITIVE_INFINITY;
    this.recent.clear();
    this.clear.clear();
  }

  /** The way has become longer, or another one: what the delay is now is the new base. */
  shiftBase(nowUs: Us, queueUs: Us): void {
    this.base.reset(nowUs, this.baseUs(nowUs) + queueUs);
    this.minRttUs = this.srttUs;
    this.overruns = 0;
    this.baseShifts++;
  }
}

/** The interval that a plan asks for, from packet number `first` on. */
export function beginInterval(state: RateState, plan: Plan, nowUs: Us, first: number): Interval {
  const { packetBytes } = state;
  const rate = Math.max(state.rate, 1);
  const packetsUs = (packets: number, gain: number) => (packets * packetBytes * 1e6) / (gain * rate);
  let gain = plan.gain ?? 1;
  let lengthUs = plan.lengthUs ?? Math.max(state.srttUs / 2, 25_000, packetsUs(40, 1), 4 * state.jitterUs, 6 * state.sampleGapUs);
  if (plan.kind === 'train' && plan.gain === undefined) {
    const ramp = state.mode === 'ramp';
    const { noiseUs } = state;
    gain = ramp ? RAMP_GAIN : state.trainGain;
    const excessUs = Math.max(TRAIN_EXCESS_US, Math.min(noiseUs, MOST_EXCESS_US));
    if (ramp && state.isJittery) gain = Math.min(gain, Math.max(LEAST_RAMP_GAIN, 1 + excessUs / noiseUs));
    // The excess volume is 20 ms of queue however long the round trip, and the length covers bunched arrival times.
    const neededUs = Math.max(TRAIN_EXCESS_US / Math.max(gain - 1, 0.05), packetsUs(ramp ? 32 : 16, gain), noiseUs);
    lengthUs = Math.min(neededUs, Math.max(state.srttUs, 10_000, noiseUs));
  }
  return {
    ...plan,
    first,
    end: -1,
    startUs: nowUs,
    endUs: nowUs + lengthUs,
    rate: state.rate,
    gain,
    minPackets: plan.minPackets ?? 8,
    again: false,
    appLimited: false,
  };
}

/**
 * A train of the ramp begins with its first packet, and anew while it has too few to tell anything: after questions comes content, and
 * code that runs for the first time may take longer than a train, once. `pn`: the packet that goes now.
 */
export function tellsNothing(interval: Interval, pn: number, nowUs: Us, rested: boolean): boolean {
  const { kind, appLimited, first, end, endUs, again } = interval;
  if (end >= 0) return false;
  const sent = pn - first;
  if (appLimited && (sent < FEW_PACKETS || rested)) return true;
  return kind === 'train' && (sent === 0 || (nowUs >= endUs && sent < TELLING_PACKETS && !again));
}

/**
 * The last decisions that lowered the rate because of a queue: did the queue notice? One that halves the rate or three that lower
 * it must show in a queue that is ours.
 */
export class FlatDelay {
  #rates: number[] = [];
  #delays: number[] = [];

  get oldestRate(): number {
    return this.#rates[0] ?? 0;
  }

  push(rate: number, delayUs: Us): void {
    this.#rates.push(rate);
    this.#delays.push(delayUs);
    if (this.#rates.length > 3) {
      this.#rates.shift();
      this.#delays.shift();
    }
  }

  isFlat(toleranceUs: Us): boolean {
    const [rate0 = 0, rate1 = 0, rate2 = rate1] = this.#rates;
    const [delay0 = 0, delay1 = 0, delay2 = delay1] = this.#delays;
    if (this.#rates.length < 2 || rate2 > (this.#rates.length < 3 ? 0.6 : 0.85) * rate0) return false;
    return Math.abs(delay2 - delay0) < toleranceUs && Math.abs(delay1 - delay0) < toleranceUs;
  }

  clear(): void {
    this.#rates = [];
    this.#delays = [];
  }
}

const REFERENCE_RATE = 100e6 / 8;
const BASE_TARGET_US = 10_000;
const MIN_TARGET_US = 5000;
const MAX_TARGET_US = 60_000;
const SLOW_TARGET_RATE = 20e6 / 8;
/** A train's excess is 20 ms of queue whatever its gain, and 4 reaches the path's rate in half the round trips of 2. */
export const RAMP_GAIN = 4;
const TRAIN_EXCESS_US = 20_000;
/** Where jitter makes trains long, they are slower instead: this is the most that one may add to a queue. */
const MOST_EXCESS_US = 60_000;
const LEAST_RAMP_GAIN = 1.5;
const MOST_RESIDUAL_US = 60_000;
const EASE_US = 250_000;
const UNKNOWN_GATHER_US = 1000;
const DRAIN_PERIOD_US = 5_000_000;
const FEW_PACKETS = 8;
const TELLING_PACKETS = 16;
const CHECK_PERIOD_US = 1_000_000;
/** Below it, 32 packets a round trip would be too fast for a path of which nothing is known. */
export const LEAST_GUESSED_RTT_US = 20_000;
