/**
 * How fast a path may send. Rate control that tolerates loss: the rate follows the queueing delay that the receiver's arrival
 * times show, and random loss, once proven to be random, does not slow it.
 *
 * Time is cut into intervals, one decision each: packets are sent at one known rate, and when all of them have been reported,
 * what they say (rate-measure.ts) changes the rate (rate-decisions.ts) and chooses the purpose of the next interval. A competitor
 * that fills the queue is met in rate-competition.ts, silence in rate-stall.ts.
 */
import type { LanePolicy, Us } from './contract.ts';
import type { PacketLog } from './packet-log.ts';
import { Competition } from './rate-competition.ts';
import type { Decided } from './rate-decisions.ts';
import {
  checkPlan,
  decideAppLimited,
  decideBlind,
  decideCheck,
  decideFixed,
  decideSteady,
  decideTrain,
  drainPlan,
  REFILL_GAIN,
  trainToCap,
} from './rate-decisions.ts';
import { applyRails, boundRate, describeDecision, isCarried, mbit, takeEvidence } from './rate-evidence.ts';
import { BreakList, IntervalMeter } from './rate-measure.ts';
import { RateMemory } from './rate-memory.ts';
import { type AckFacts, LAG_US, Reports } from './rate-reports.ts';
import { Rest, STALE_US } from './rate-rest.ts';
import { type RateSnapshot, takeSnapshot } from './rate-snapshot.ts';
import { CircuitBreaker, Stall } from './rate-stall.ts';
import type { Evidence, Interval, Plan } from './rate-state.ts';
import { beginInterval, LEAST_GUESSED_RTT_US, RateState, STEADY, TRAIN, tellsNothing } from './rate-state.ts';

export interface RateControllerOptions {
  readonly nowUs: Us;
  readonly log: PacketLog;
  readonly policy: LanePolicy;
  /** Of a full data packet on the wire. */
  readonly packetBytes: number;
  readonly rttUs: Us;
  /** `measured`: by packets that went this way just now; `told`: by others. Default: told. */
  readonly rttIs?: 'guessed' | 'told' | 'measured';
  /**
   * What an earlier lane on this path reached: half of it is tried with the first packet train when the round trip is nearly what
   * it was then (draft-ietf-tsvwg-careful-resume).
   */
  readonly cachedBytesPerSecond?: number;
  /** The round trip of then. Default: `rttUs`. */
  readonly cachedRttUs?: Us;
  readonly capBytesPerSecond?: number;
  /** One line a decision. */
  readonly decisionLog?: (line: string) => void;
  /** Time of day at `nowUs`, for drains at the same instant as other lanes. */
  readonly wallClockUs?: Us;
}

export class RateController {
  readonly #log: PacketLog;
  readonly #state: RateState;
  readonly #competition: Competition;
  readonly #stall = new Stall();
  readonly #rest = new Rest();
  readonly #breaker = new CircuitBreaker();
  readonly #reports: Reports;
  readonly #meter: IntervalMeter;
  readonly #breaks = new BreakList();
  readonly #decisionLog: ((line: string) => void) | undefined;
  readonly #memory: RateMemory;
  #cap: number;
  #interval: Interval;
  #lastSent = -1;
  #lastSentUs: Us;
  #acked = false;
  /** The round trip is known, so that it can be compared with that of an earlier lane. */
  #knowsRtt: boolean;
  #lastWanted = -1;
  #appLimitedSinceUs = Number.NaN;
  #movedUs = Number.NEGATIVE_INFINITY;
  /** What silence is given beyond what the round trip asks for. */
  #patienceUs: Us;

  constructor(options: RateControllerOptions) {
    const { nowUs, log } = options;
    this.#log = log;
    this.#memory = new RateMemory(options.cachedBytesPerSecond ?? 0, options.cachedRttUs ?? options.rttUs);
    this.#state = new RateState({ ...options, rttUs: Math.max(options.rttUs, LEAST_GUESSED_RTT_US) });
    this.#competition = new Competition(this.#state);
    this.#meter = new IntervalMeter(log);
    this.#decisionLog = options.decisionLog;
    this.#cap = options.capBytesPerSecond ?? Number.POSITIVE_INFINITY;
    this.#lastSentUs = nowUs;
    this.#knowsRtt = options.rttIs === 'measured';
    this.#reports = new Reports(log, this.#state);
    this.#patienceUs = options.rttIs === 'guessed' ? UNKNOWN_US : 0;
    this.#stall.handleProgress(nowUs);
    this.#interval = this.#begin(nowUs, TRAIN);
  }

  handleSent(pn: number, nowUs: Us): void {
    if (this.#reports.largest >= this.#lastSent) this.#handleRestart(nowUs);
    this.#rampAnew(pn, nowUs);
    this.#lastSent = pn;
    this.#lastSentUs = nowUs;
    this.#reports.handleSent(pn);
    if (nowUs >= Math.min(this.#state.drainAtUs, this.#state.checkAtUs)) this.#keepAppointment(nowUs);
    const interval = this.#interval;
    if (interval.end >= 0) return;
    // One packet ahead, so that the last of an interval can ask for its acknowledgement at once.
    const nextUs = nowUs + (this.#state.packetBytes * 1e6) / this.rateBytesPerSecond(nowUs);
    if (nextUs < interval.endUs || pn + 1 - interval.first < interval.minPackets) return;
    interval.end = pn + 1;
    interval.endUs = Math.min(interval.endUs, nextUs);
    if (interval.kind !== 'steady') this.#lastWanted = interval.end;
  }

  /** After the acknowledgement's bitmap and samples went into the log. */
  handleAck(nowUs: Us, ack: AckFacts): void {
    const state = this.#state;
    const reports = this.#reports;
    if (ack.largest > reports.largest) {
      this.#handleRtt(nowUs, ack.largest, ack.ackTimeUs);
      reports.handleAck(nowUs, ack.largest, ack.lagMs);
      const gapUs = this.#stall.handleProgress(nowUs);
      if (state.mode === 'stalled') this.#resume(nowUs);
      else if (gapUs > 4 * state.ackIntervalUs && reports.pathIsAlive) this.#stall.learnGap(gapUs);
      if (!this.#acked) this.#handleFirstAck(nowUs);
    }
    const before = reports.settled;
    reports.settle(nowUs);
    if (state.mode === 'compete' && reports.settled > before)
      this.#competition.handleSettled(nowUs, this.#log, before, reports.settled);
    if (this.#interval.end >= 0 && reports.settled >= this.#interval.end) this.#decide(nowUs);
  }

  /** All that was sent is known to have arrived, though not every packet was told of: nothing is in the pipe. */
  handleDelivered(): void {
    this.#reports.handleDelivered();
    if (this.#state.mode === 'stalled') this.#stall.cancel(this.#state);
  }

  /** Our own event loop was late by so much. */
  handleLag(_nowUs: Us, lagUs: Us): void {
    if (lagUs > LAG_US) this.#breaks.add(this.#log.next);
  }

  /** The pacer would have let a packet go, and there was none. */
  handleAppLimited(_nowUs: Us): void {
    if (this.#interval.end < 0) this.#interval.appLimited = true;
  }

  /**
   * The peer has another address. What went to the old one is lost for no fault of the path, and is not judged, but for a peer that
   * moves all the time.
   */
  handleMoved(nowUs: Us): void {
    const state = this.#state;
    const isRare = nowUs - this.#movedUs > Math.max(MOVES_US, 8 * state.srttUs);
    this.#movedUs = nowUs;
    if (!isRare || state.mode === 'stalled') return;
    if (this.#interval.kind === 'check') state.clearSuspicion();
    this.#reports.skipInFlight();
    this.#interval = this.#begin(nowUs, state.mode === 'ramp' ? TRAIN : STEADY);
  }

  handleTimer(nowUs: Us): void {
    const state = this.#state;
    if (state.mode === 'stalled' || nowUs < this.nextTimerUs()) return;
    this.#stall.begin(nowUs, state);
    state.mode = 'stalled';
    this.#decisionLog?.(`${(nowUs / 1e6).toFixed(3)} stalled`);
  }

  /** Infinity: nothing is due. */
  nextTimerUs(): Us {
    const waiting = this.#lastSent > this.#reports.largest && this.#state.mode !== 'stalled';
    return waiting ? this.#stall.dueUs(this.#state) + this.#patienceUs : Number.POSITIVE_INFINITY;
  }

  /** Of wire bytes, now. */
  rateBytesPerSecond(nowUs: Us): number {
    const state = this.#state;
    if (state.mode === 'stalled') return Math.min(this.#stall.rate(nowUs, state), this.#cap);
    const interval = this.#interval;
    const { gain, endUs, rate } = interval;
    if (interval.kind === 'drain' && nowUs >= endUs && nowUs < endUs + interval.drain.refillUs)
      return Math.min(state.rate * REFILL_GAIN, this.#cap);
    const steady = state.mode === 'compete' ? state.rate : rate;
    return Math.min(nowUs < endUs ? steady * gain : state.rate, this.#cap);
  }

  bytesPerSecondWithoutTrain(nowUs: Us): number {
    return Math.min(this.rateBytesPerSecond(nowUs), this.#state.rate);
  }

  /** A safety net: pacing is what controls. */
  windowBytes(): number {
    const state = this.#state;
    const least = state.initialPackets * state.packetBytes;
    if (state.mode === 'stalled') return Number.POSITIVE_INFINITY;
    if (!this.#acked) return 2 * least;
    if (state.mode === 'compete')
      return Math.max(this.#competition.windowBytes * 1.1 + (2 * state.ackIntervalUs * state.rate) / 1e6, least);
    const { kind, startUs, endUs, gain, rate } = this.#interval;
    const trainBytes = kind === 'train' ? ((gain - 1) * rate * (endUs - startUs)) / 1e6 : 0;
    const queueUs = Math.max(3 * state.targetUs(state.rate), 50_000);
    const spanUs = state.minRttUs + queueUs + 3 * state.ackIntervalUs + 2 * state.jitterUs + this.#stall.usualGapUs;
    return Math.max(((state.rate * spanUs) / 1e6) * (state.mode === 'ramp' ? 2.2 : 1.3), least) + trainBytes;
  }

  /** Sent after the largest acknowledged packet; everything older has left the network. */
  pipeBytes(): number {
    return this.#reports.pipeBytes;
  }

  /** The last packet of a train, a check or a drain: the sooner its acknowledgement, the sooner the decision. */
  wantsAckNow(pn: number): boolean {
    return pn === this.#lastWanted;
  }

  setPolicy(policy: LanePolicy): void {
    this.#state.policy = policy;
  }

  /** Infinity: no cap. */
  setCap(bytesPerSecond: number): void {
    this.#cap = bytesPerSecond;
  }

  get srttUs(): Us {
    return this.#state.srttUs;
  }

  get rttVarUs(): Us {
    return this.#state.rttVarUs;
  }

  get minRttUs(): Us {
    return this.#state.minRttUs;
  }

  /** How often the receiver should acknowledge. */
  get ackIntervalUs(): Us {
    return this.#state.ackIntervalUs;
  }

  get jitterUs(): Us {
    return this.#state.jitterUs;
  }

  get queueUs(): Us {
    return this.#state.queueUs;
  }

  /** Loss that is held to be random, 0 to 1, and its standard deviation over an interval. */
  get lossRate(): number {
    return this.#state.loss.rate;
  }

  get lossRateSigma(): number {
    return this.#state.loss.sigma(Math.min(this.#state.loss.samples, 1000));
  }

  get lossBurst(): number {
    return this.#state.loss.burst;
  }

  /** Of the last intervals, random or not. */
  get recentLoss(): number {
    return this.#state.recentLoss;
  }

  get mostBurstUs(): Us {
    return this.#state.mostBurstUs;
  }

  get mostGatherUs(): Us {
    return this.#state.mostGatherUs;
  }

  get mode(): string {
    return this.#state.mode;
  }

  get goodputBytesPerSecond(): number {
    return this.#state.goodput;
  }

  /** What the path carries, by the last measurement. */
  get capacityBytesPerSecond(): number {
    return this.#state.throughput;
  }

  /** How long acknowledgements stay away at times though the path is well; 0: never. */
  get usualGapUs(): Us {
    return this.#stall.usualGapUs;
  }

  /** Circuit breaker (RFC 8084): for 10 s hardly anything of what was sent arrived. Give the path up. */
  get failed(): boolean {
    return this.#breaker.open;
  }

  snapshot(nowUs: Us): RateSnapshot {
    return takeSnapshot(this.#state, this.rateBytesPerSecond(nowUs), this.#interval.appLimited);
  }

  #begin(nowUs: Us, plan: Plan, first = this.#log.next): Interval {
    return beginInterval(this.#state, this.#knowsRtt ? this.#memory.planFor(this.#state, plan) : plan, nowUs, first);
  }

  #handleRtt(nowUs: Us, largest: number, ackTimeUs: number): void {
    const state = this.#state;
    const arrival = this.#log.arrivalUs(largest);
    if (Number.isNaN(arrival)) return;
    const rttUs = Math.max(1, nowUs - this.#log.sentUs(largest) - (ackTimeUs - arrival));
    state.observeRtt(rttUs, !this.#acked);
  }

  #handleFirstAck(nowUs: Us): void {
    this.#acked = true;
    this.#patienceUs = 0;
    if (this.#knowsRtt) return;
    this.#knowsRtt = true;
    if (this.#state.handleFirstRtt() || this.#memory.planFor(this.#state, TRAIN) !== TRAIN)
      this.#interval = this.#begin(nowUs, TRAIN);
  }

  #resume(nowUs: Us): void {
    const state = this.#state;
    const saved = this.#stall.savedRate ?? state.rate;
    const mode = this.#stall.savedMode;
    const silentUs = this.#stall.end();
    if (this.#reports.pathIsAlive) {
      // Only the acknowledgements were lost: nothing happened to what we sent.
      this.#stall.learnGap(silentUs);
      state.mode = mode;
      state.rate = saved;
      this.#interval = this.#begin(nowUs, mode === 'ramp' ? TRAIN : STEADY);
    } else {
      state.rate = Math.max(0.5 * saved, state.initialRate);
      state.base.reset();
      state.minRttUs = state.srttUs;
      this.#restart(nowUs);
    }
    this.#reports.skipToLargest();
    this.#decisionLog?.(`${(nowUs / 1e6).toFixed(3)} resumed ${state.mode} x=${mbit(state.rate)}`);
  }

  #restart(nowUs: Us): void {
    const state = this.#state;
    state.mode = 'ramp';
    state.trainGain = 2;
    state.hold = state.holdExponent = state.repeats = 0;
    this.#interval = this.#begin(nowUs, TRAIN);
  }

  #rampAnew(pn: number, nowUs: Us): void {
    const { mode, srttUs } = this.#state;
    const before = this.#interval;
    if (mode !== 'ramp' || !tellsNothing(before, pn, nowUs, nowUs - this.#lastSentUs > srttUs / 4)) return;
    this.#interval = { ...this.#begin(nowUs, TRAIN, pn), again: pn > before.first };
  }

  /** The first packet after everything was acknowledged. */
  #handleRestart(nowUs: Us): void {
    const state = this.#state;
    const idleUs = nowUs - this.#lastSentUs;
    this.#stall.handleProgress(nowUs);
    if (idleUs < Math.max(state.srttUs, 100_000)) return;
    const most = Math.max(1.25 * state.sent.max(nowUs), state.initialRate);
    if (idleUs > STALE_US && most < state.rate) {
      state.rate = Math.max(most, this.#rest.rateAfter(nowUs, state.rate, this.#lastSentUs));
      this.#restart(nowUs);
    } else this.#interval = this.#begin(nowUs, state.mode === 'ramp' ? TRAIN : STEADY);
  }

  #decide(nowUs: Us): void {
    const state = this.#state;
    const interval = this.#interval;
    const measured = this.#meter.measure(interval.first, interval.end, this.#breaks, state.jitterUs);
    const e = takeEvidence(state, nowUs, interval, measured);
    if (interval.appLimited && measured.samples > 0 && measured.sendRate >= 0.95 * interval.rate * interval.gain)
      interval.appLimited = false;
    this.#memory.handleInterval(interval.appLimited);
    if (isCarried(e)) this.#rest.handleUsed(nowUs);
    if (!interval.appLimited) this.#appLimitedSinceUs = Number.NaN;
    else if (Number.isNaN(this.#appLimitedSinceUs)) this.#appLimitedSinceUs = nowUs;
    const before = state.rate;
    const railed = applyRails(state, e);
    const decided = railed ?? this.#choose(e);
    boundRate(state, e, this.#cap);
    if (state.mode === 'compete' && railed) this.#competition.handleLowered();
    if (this.#decisionLog) this.#decisionLog(describeDecision(e, state, decided.verdict, before));
    this.#breaker.observe(nowUs, measured.loss, state.recentLoss);
    const exceedsCap = decided.plan.kind === 'train' && state.rate * state.trainGain > this.#cap;
    this.#interval = this.#begin(nowUs, exceedsCap ? trainToCap(state, this.#cap) : decided.plan);
  }

  /** The instant at which all lanes look has come: what is being measured gives way. */
  #keepAppointment(nowUs: Us): void {
    const state = this.#state;
    const check = nowUs >= state.checkAtUs;
    const lateUs = nowUs - (check ? state.checkAtUs : state.drainAtUs);
    if (nowUs >= state.drainAtUs) state.planDrain(nowUs);
    const busy =
      state.mode === 'ramp' || state.mode === 'stalled' || this.#interval.kind === 'check' || this.#interval.kind === 'drain';
    if (check && (busy || lateUs > LATE_US)) state.checkAtUs = state.slotUs(nowUs, 1_000_000);
    if (busy || lateUs > LATE_US) return;
    if (check && state.suspicion && state.mode === 'cruise') {
      state.checkAtUs = Number.POSITIVE_INFINITY;
      this.#interval = this.#begin(nowUs, checkPlan(state, state.suspicion));
      return;
    }
    if (check) state.clearSuspicion();
    else if (state.mode === 'cruise' || state.queueUs > 3000) {
      const plan = drainPlan(state);
      this.#competition.handleDrain(nowUs, plan.lengthUs ?? 0);
      this.#interval = this.#begin(nowUs, plan);
    }
  }

  #choose(e: Evidence): Decided {
    const state = this.#state;
    const { interval } = e;
    if (e.measured.samples === 0) return decideBlind(state, e);
    if (state.mode === 'compete') return this.#competition.decide(e);
    if (interval.appLimited)
      return decideAppLimited(state, e, this.#rest.rateAfter(e.nowUs, state.rate, this.#appLimitedSinceUs));
    if (state.policy.kind === 'fixed') return decideFixed(state, e, state.policy.bytesPerSecond);
    switch (interval.kind) {
      case 'train':
        return decideTrain(state, e);
      case 'check':
        return decideCheck(state, e, interval.reference);
      case 'drain':
        return this.#competition.decideDrain(e, interval.drain, this.#log.next);
      case 'steady':
        return decideSteady(state, e);
    }
  }
}

const MOVES_US = 1_000_000;
/** With the guess, a second: RFC 6298 section 2.1. */
const UNKNOWN_US = 700_000;
/** After it, the others no longer look. */
const LATE_US = 30_000;
