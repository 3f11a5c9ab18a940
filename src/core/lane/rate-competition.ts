/**
 * Sharing with flows that fill the queue. Delay control alone is bled dry by them, slowly and without ever seeing a long queue,
 * so the test is an active one: when a drain does not empty the queue, somebody else is in it. Then, and only then, share as
 * CUBIC does (RFC 9438), until a drain empties the queue again.
 */
import type { Us } from './contract.ts';
import type { PacketLog } from './packet-log.ts';
import type { Decided } from './rate-decisions.ts';
import type { DrainPlan, Evidence, RateState } from './rate-state.ts';
import { STEADY } from './rate-state.ts';

export class Competition {
  readonly #state: RateState;
  #fails = 0;
  #flat = 0;
  #capacity = 0;
  #enteredUs = 0;
  #busyUs = 0;
  // The window, in packets.
  #window = 0;
  #windowMax = 0;
  #renoWindow = 0;
  #plateauS = 0;
  #epochUs = Number.NaN;
  /** Losses of packets before this one belong to the last reduction. */
  #recoverUntil = 0;
  #surplus = 0;
  #holdUntilUs = 0;
  entries = 0;

  constructor(state: RateState) {
    this.#state = state;
  }

  get windowBytes(): number {
    return Math.max(this.#window, 4) * this.#state.packetBytes;
  }

  /** Outside of competition: did the drain empty the queue? */
  decideDrain(e: Evidence, drain: DrainPlan, nextPn: number): Decided {
    const state = this.#state;
    const { measured: m } = e;
    state.rate = e.interval.rate;
    state.hold = Math.max(state.hold, 2);
    state.wasHigh = state.wasHeld = false;
    this.#judge(e, drain);
    const fell = this.#lossFell(e);
    if (fell) {
      state.loss.learnFallen(m.loss);
      state.lower(Math.min(state.rate, (0.97 * state.deliveryRate) / (1 - state.loss.rate)));
      state.capTarget(e.nowUs);
      state.failTrain();
      state.clearSuspicion();
    } else if (drain.deep && e.leastQueueUs < Math.max(2000, state.jitterUs)) state.loss.learnDrained(m.lost, m.packets);
    else if (m.loss < state.loss.rate) state.loss.drift(m.loss, m.packets);
    if (state.policy.kind !== 'background' && state.loss.rate < FILLABLE_LOSS && this.#fails >= this.#patience(e.nowUs, drain)) {
      this.#enter(e.nowUs, drain.throughput, nextPn);
      return { plan: STEADY, verdict: 'compete' };
    }
    return { plan: STEADY, verdict: fell ? 'drained-loss' : `drained-${this.#fails}` };
  }

  decide(e: Evidence): Decided {
    const state = this.#state;
    if (e.interval.kind === 'drain') {
      const { drain } = e.interval;
      if (this.#judge(e, drain)) {
        this.#leave(Math.min(e.throughput / 0.5, drain.throughput));
        return { plan: STEADY, verdict: 'alone' };
      }
      return { plan: STEADY, verdict: 'not-alone' };
    }
    if (e.queueUs > e.targetUs / 2) this.#busyUs = e.nowUs;
    if (e.nowUs - Math.max(this.#busyUs, this.#enteredUs) > QUIET_US) {
      this.#leave(Math.max(e.throughput, state.rate * 0.9));
      return { plan: STEADY, verdict: 'quiet' };
    }
    return { plan: STEADY, verdict: 'share' };
  }

  /** A drain of so long begins: what it does to the window does not count. */
  handleDrain(nowUs: Us, lengthUs: Us): void {
    this.#holdUntilUs = nowUs + lengthUs + this.#state.srttUs;
  }

  /** Grows and reduces the window by what was newly settled: [from, to) are acknowledged, lost or unknown. */
  handleSettled(nowUs: Us, log: PacketLog, from: number, to: number): void {
    if (nowUs < this.#holdUntilUs) return;
    const state = this.#state;
    this.#grow(nowUs, to - from);
    const most = (2 * state.delivered.max(nowUs)) / (1 - Math.min(state.loss.rate, 0.5));
    this.#window = Math.max(4, Math.min(this.#window, this.#packets(most)));
    let lost = 0;
    let packets = 0;
    for (let pn = Math.max(from, this.#recoverUntil); pn < to; pn++) {
      if (log.isAcked(pn)) packets++;
      else if (!log.isSkipped(pn) && !log.isUnknown(pn)) {
        packets++;
        lost++;
      }
    }
    if (to > this.#recoverUntil && this.#isCongestion(lost, packets)) this.#reduce(log.next);
    state.rate = (this.#window * state.packetBytes * 1e6) / state.srttUs;
  }

  /** A rail lowered the rate. */
  handleLowered(): void {
    this.#window = this.#packets(this.#state.rate);
  }

  /** All lanes slowed down, and less was lost than before: what was lost was congestion, whatever we held it for. */
  #lossFell(e: Evidence): boolean {
    const { recent, loss } = this.#state;
    const { measured: m } = e;
    const spread = Math.max(recent.loss * (1 - recent.loss), 0.002) * loss.variance;
    const sigma = Math.sqrt(spread * (1 / Math.max(m.packets, 1) + 1 / Math.max(recent.packets, 1)));
    return recent.packets > 0 && recent.loss - m.loss > Math.max(0.02, 3 * sigma);
  }

  /** How many failed drains prove a competitor: one when much of the rate was lost before, more when the queue is short; none who takes nothing. */
  #patience(nowUs: Us, drain: DrainPlan): number {
    const share = drain.throughput / this.#state.carried.max(nowUs);
    if (share < 0.6) return 1;
    if (share > 0.9) return Number.POSITIVE_INFINITY;
    return drain.queueUs > 1.5 * this.#state.targetUs(drain.throughput) ? 2 : 3;
  }

  /** True when the queue emptied (or the base delay was found to have moved). */
  #judge(e: Evidence, drain: DrainPlan): boolean {
    const state = this.#state;
    const { measured: m } = e;
    state.residualUs = 0.3 * state.residualUs + 0.7 * Math.max(0, e.queueUs);
    const emptied = e.leastQueueUs <= Math.max(0.3 * drain.queueUs, 3000, 3 * state.jitterUs);
    const tolerance = Math.max(1000, state.jitterUs);
    const flat =
      !emptied &&
      m.loss <= state.loss.rate + e.margin &&
      e.interval.gain < 0.75 &&
      Math.abs(e.leastQueueUs - drain.queueUs) < tolerance &&
      Math.abs(e.queueUs - e.firstQueueUs) < tolerance;
    this.#flat = flat ? this.#flat + 1 : 0;
    if (this.#flat >= 2) {
      this.#flat = 0;
      this.#fails = 0;
      state.shiftBase(e.nowUs, e.leastQueueUs);
      state.flatness.clear();
      return true;
    }
    if (emptied) {
      this.#fails = 0;
      return true;
    }
    // The queue shrank by our share of what flows through it: so much is the whole.
    const share = (drain.queueUs - e.queueUs) / ((1 - drain.gain) * drain.lengthUs);
    this.#capacity = Math.min(drain.throughput / Math.max(0.02, Math.min(1, share)), 20 * drain.throughput);
    this.#fails++;
    return false;
  }

  #enter(nowUs: Us, throughput: number, nextPn: number): void {
    const state = this.#state;
    state.mode = 'compete';
    this.#fails = 0;
    this.entries++;
    this.#enteredUs = nowUs;
    const most = Math.max(throughput, state.carried.max(nowUs));
    const capacity = this.#capacity || throughput;
    const rate = Math.max(throughput, Math.min(0.5 * most, 0.5 * capacity), Math.min(0.25 * capacity, 2 * throughput));
    this.#window = this.#packets(rate);
    this.#windowMax = this.#window * 1.2;
    this.#epochUs = Number.NaN;
    this.#recoverUntil = nextPn;
    this.#surplus = 0;
    this.#holdUntilUs = 0;
    state.rate = rate;
  }

  #leave(rate: number): void {
    const state = this.#state;
    state.mode = 'cruise';
    state.overruns = 0;
    this.#fails = 0;
    state.lower(rate);
  }

  /** RFC 9438, 4.2-4.4: the cubic curve since the last reduction, or what Reno would have if that is more. */
  #grow(nowUs: Us, packets: number): void {
    if (Number.isNaN(this.#epochUs)) {
      this.#epochUs = nowUs;
      this.#plateauS = Math.cbrt(Math.max(0, this.#windowMax - this.#window) / CUBIC_C);
      this.#renoWindow = this.#window;
    }
    const sinceS = (nowUs - this.#epochUs + this.#state.minRttUs) / 1e6;
    const cubic = CUBIC_C * (sinceS - this.#plateauS) ** 3 + this.#windowMax;
    this.#renoWindow += (RENO_FRIENDLY * packets) / this.#window;
    const wanted = Math.min(Math.max(cubic, this.#renoWindow), 1.5 * this.#window);
    if (wanted > this.#window) this.#window += ((wanted - this.#window) / this.#window) * packets;
  }

  #isCongestion(lost: number, packets: number): boolean {
    const { loss } = this.#state;
    if (loss.rate < 0.001) return lost > 0;
    const expected = loss.rate + Math.max(0.004, 0.25 * loss.rate);
    this.#surplus = Math.max(0, this.#surplus + lost - expected * packets);
    return this.#surplus > 4 * loss.burst + 3;
  }

  #reduce(nextPn: number): void {
    this.#surplus = 0;
    this.#windowMax = this.#window < this.#windowMax ? this.#window * FAST_CONVERGENCE : this.#window;
    this.#window *= CUBIC_BETA;
    this.#epochUs = Number.NaN;
    this.#recoverUntil = nextPn;
  }

  #packets(rate: number): number {
    return (rate * this.#state.srttUs) / 1e6 / this.#state.packetBytes;
  }
}

/** Above it, nobody who takes loss for congestion can fill a queue: 1.22 / sqrt(0.02) is 9 packets a round trip. */
const FILLABLE_LOSS = 0.02;
const QUIET_US = 3_000_000;
const CUBIC_C = 0.4;
const CUBIC_BETA = 0.7;
const FAST_CONVERGENCE = 0.85;
const RENO_FRIENDLY = 0.529;
