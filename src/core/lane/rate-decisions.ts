/**
 * What a measured interval does to the rate, one function per kind of interval. Each changes the state and says what to send
 * next. Congestion is believed when the queue is longer than its target, or when loss exceeds what was proven to be random.
 */
import type { Us } from './contract.ts';
import type { CheckReference, Evidence, Plan, RateState } from './rate-state.ts';
import { RAMP_GAIN, STEADY, TRAIN } from './rate-state.ts';

export interface Decided {
  readonly plan: Plan;
  /** For the decision log. */
  readonly verdict: string;
}

/** A train passes when its packets come out as fast as they went in, and nothing queued or was lost beyond chance. */
export function decideTrain(state: RateState, e: Evidence): Decided {
  const { measured: m, interval } = e;
  const { loss } = state;
  const rate = interval.rate;
  // A late timer sends less than was meant.
  const step = Math.min(interval.gain, m.sendRate / rate) - 1;
  if (step < 0.3 * (interval.gain - 1)) return { plan: state.mode === 'ramp' ? TRAIN : STEADY, verdict: 'not-sent' };
  const expectedLoss = loss.known ? Math.min(loss.rate, 1) : m.loss;
  // Goodput has to rise with the rate: a policer lets packets through at any speed, and drops them.
  const carried = m.deliveryRate / (1 - Math.min(expectedLoss + 0.5 * e.sigma, 0.95));
  const slack = Math.min((2 * e.sigma) / (1 - loss.rate), 0.3 * step);
  const isCarried = e.throughput >= rate * (1 + 0.7 * step) && carried >= rate * (1 + 0.6 * step - slack) && !e.excess;
  // What came out as fast as it went in did not queue: on a path with jitter, the delay before it was none of a queue.
  // In the ramp all of the train was: there the delay is that of the first packets still, which had nobody to wait for.
  if (isCarried) state.learnResidual(state.mode === 'ramp' ? e.queueUs : e.firstQueueUs);
  const passed = isCarried && e.queueUs < state.targetUs(e.throughput);
  if (passed) {
    loss.learnPassed(m.loss, m.packets);
    state.rate = Math.min(rate * interval.gain, e.throughput * 1.02);
    state.holdExponent = 0;
    state.repeats = 0;
    if (state.mode !== 'ramp') state.trainGain = Math.min(maxTrainGain(state), 1 + (interval.gain - 1) * 2);
    // In a shallow buffer a train proves little, and a ladder of them ends in losses.
    if (state.shallow && state.mode !== 'ramp') {
      state.trainGain = CRUISE_GAIN;
      state.hold = Math.max(state.hold, 4);
      return { plan: STEADY, verdict: 'pass' };
    }
    return { plan: TRAIN, verdict: 'pass' };
  }
  // All of it came as fast as it went, but for long runs of losses: a burst, of which the next train will tell more.
  const isBurst =
    m.runs <= 3 && m.lost >= BURST_PACKETS * m.runs && m.throughput >= rate * (1 + 0.7 * step) && e.queueUs < e.targetUs;
  if (state.mode === 'ramp' && isBurst && state.repeats < MOST_REPEATS) {
    state.repeats++;
    return { plan: TRAIN, verdict: 'burst' };
  }
  // It was begun before it was known how much delays vary here. One that filled a buffer has shown enough.
  const isShort = state.isJittery && interval.endUs - interval.startUs < 0.7 * state.noiseUs;
  const mayRepeat = state.repeats < MOST_REPEATS && !e.excess && m.loss <= loss.rate + FULL_LOSS;
  if (state.mode === 'ramp' && isShort && mayRepeat) {
    state.repeats++;
    return { plan: TRAIN, verdict: 'short' };
  }
  // Of losses of which nothing is known while there is a queue, what comes next says more: the queue may be this train's own.
  if (!loss.known && e.queueUs < e.targetUs / 2) loss.learnPassed(m.loss, m.packets);
  const unsure = !loss.known && m.loss > 0.02;
  // The train's packets were spread by the bottleneck to its own rate: that is the capacity, in one step. Of a train that lost
  // more than can be explained, what arrived is proven.
  const endsRamp = state.mode === 'ramp';
  if (endsRamp) {
    const proven = unsure || e.excess ? m.deliveryRate : Math.max(e.throughput, 0.8 * rate);
    state.rate = Math.min(rate * interval.gain, 0.98 * proven);
    if (unsure) return { plan: STEADY, verdict: 'unsure' };
  } else if (!e.excess && e.throughput > 1.08 * rate) state.rate = Math.min(rate * interval.gain, e.throughput * 0.98);
  state.mode = 'cruise';
  state.trainGain = CRUISE_GAIN;
  const mayLook = endsRamp && !state.isJittery && state.policy.kind !== 'background';
  if (mayLook && m.loss <= expectedLoss + e.margin) return { plan: secondLook(state), verdict: 'fail' };
  state.failTrain();
  if (e.excess) state.suspect(e.nowUs, referenceOf(state, e));
  return { plan: STEADY, verdict: 'fail' };
}

/** All lanes slowed down: loss that stays is random, loss that falls was ours. */
export function decideCheck(state: RateState, e: Evidence, reference: CheckReference): Decided {
  const { measured: m } = e;
  const { loss, slowed, fast } = state;
  state.clearSuspicion();
  // On a slow path one check has too few packets to tell; a few in a row have not.
  slowed.age(0.7);
  slowed.add(m.packets, m.lost);
  fast.age(0.7);
  fast.add(reference.packets, reference.loss * reference.packets);
  const sigma = differenceSigma(state, fast.loss, slowed.packets, fast.packets);
  const empty = e.leastQueueUs < Math.max(2000, state.jitterUs);
  if (slowed.loss < fast.loss - 2 * sigma) {
    if (slowed.loss < loss.rate || empty) loss.learnVerified(Math.min(slowed.loss, fast.loss), m.packets);
    const capacity = reference.deliveryRate / (1 - Math.min(loss.rate, m.loss));
    state.lower(Math.min(reference.rate, capacity * 0.97));
    state.capTarget(e.nowUs);
    state.failTrain();
    return settled(state, 'check-congested');
  }
  if (empty && fast.loss - loss.rate > 2 * sigma) {
    const packets = slowed.packets + fast.packets;
    loss.learnVerified((slowed.lost + fast.lost) / packets, packets);
    state.rate = Math.max(state.rate, reference.rate);
    return settled(state, 'check-random');
  }
  if (empty) {
    loss.learnDrained(m.lost, m.packets);
    state.rate = Math.max(state.rate, 0.97 * reference.rate);
    return { plan: STEADY, verdict: 'check-unsure' };
  }
  if (e.queueUs < 0.8 * reference.queueUs && m.loss <= loss.rate + 0.1) {
    // The queue shrank and the loss did not: it did not come from the queue.
    loss.learnVerified(loss.rate + 0.5 * (Math.min(m.loss, reference.loss) - loss.rate), m.packets);
    state.rate = Math.max(state.rate, reference.rate);
    return settled(state, 'check-shrank');
  }
  state.lower(Math.min(state.rate, (reference.deliveryRate / (1 - loss.rate)) * 0.97));
  state.capTarget(e.nowUs);
  return settled(state, 'check-busy');
}

function settled(state: RateState, verdict: string): Decided {
  state.slowed.clear();
  state.fast.clear();
  return { plan: STEADY, verdict };
}

/** Standard deviation of the difference of two measured losses, were both `loss`. */
function differenceSigma(state: RateState, loss: number, packets: number, others: number): number {
  const spread = Math.max(loss * (1 - loss), 0.002) * state.loss.variance;
  return Math.sqrt(spread * (1 / Math.max(packets, 1) + 1 / Math.max(others, 1)));
}

/** At the path's rate: hold the queue at its target, and look for more when there is none. */
export function decideSteady(state: RateState, e: Evidence): Decided {
  const { measured: m } = e;
  if (!state.loss.known) {
    if (e.queueUs < e.targetUs / 2) {
      state.loss.learnPassed(m.loss, m.packets);
      return { plan: TRAIN, verdict: 'learned' };
    }
    state.loss.assumeNone();
    state.mode = 'cruise';
    state.trainGain = CRUISE_GAIN;
    state.failTrain();
  }
  if (e.clear) {
    const settled = learnClear(state, e);
    if (settled) return settled;
  } else if (e.excess) {
    const reference = referenceOf(state, e);
    state.suspect(e.nowUs, reference);
    // A long queue is congestion, whatever the losses are.
    if (e.leastQueueUs > 2 * e.targetUs + LONG_QUEUE_US) return holdQueue(state, e);
    const least = 0.7 * (state.suspicion?.rate ?? state.rate);
    state.lower(Math.min(state.rate, Math.max(0.97 * e.throughput, 0.85 * state.rate, least)));
    return { plan: STEADY, verdict: 'excess' };
  }
  state.easeTarget(e.nowUs);
  if (!e.clear) state.loss.drift(Math.min(m.loss, state.loss.rate + e.margin), m.packets);
  return predictedQueueUs(state, e) < e.targetUs / 2 ? growWhenQuiet(state, e) : holdQueue(state, e);
}

/** A queue that is far from full loses nothing: what is lost then is random, and settles what was suspected. */
function learnClear(state: RateState, e: Evidence): Decided | null {
  const { measured: m } = e;
  const { loss, clear, suspicion } = state;
  loss.learnClear(m.loss, m.packets);
  if (!suspicion) return null;
  clear.add(m.packets, m.lost);
  if (clear.packets < 100) return null;
  const sigma = differenceSigma(state, suspicion.loss, clear.packets, suspicion.packets);
  const random = clear.loss >= suspicion.loss - 2 * sigma;
  state.clearSuspicion();
  if (!random) return { plan: STEADY, verdict: 'clear-fell' };
  state.rate = Math.max(state.rate, suspicion.rate);
  return { plan: STEADY, verdict: 'clear-random' };
}

/** Too few arrival times to know rate or queue; losses are known all the same. */
export function decideBlind(state: RateState, e: Evidence): Decided {
  const { measured: m, interval } = e;
  if (m.loss <= state.loss.rate + e.margin && interval.kind !== 'train') state.loss.drift(m.loss, m.packets);
  if (interval.kind === 'check') state.rate = interval.reference.rate;
  if (interval.kind === 'train') return { plan: state.mode === 'ramp' ? TRAIN : STEADY, verdict: 'blind' };
  return { plan: STEADY, verdict: 'blind' };
}

/** Less was sent than allowed: what was reached is no limit, and a rate that was not used for long is forgotten. */
export function decideAppLimited(state: RateState, e: Evidence, believedRate: number): Decided {
  const { measured: m } = e;
  if (e.excess) state.lower(Math.min(state.rate, Math.max(m.sendRate, 0.85 * state.rate)));
  else state.loss.drift(Math.min(m.loss, state.loss.rate + e.margin), m.packets);
  if (e.throughput > state.rate && e.queueUs < e.targetUs) state.rate = e.throughput;
  state.rate = Math.min(state.rate, Math.max(believedRate, 1.25 * state.sent.max(e.nowUs), state.initialRate));
  return { plan: STEADY, verdict: 'app-limited' };
}

/** A rate that the user commands, losses made good up to half; reached by trains, held whatever the queue. */
export function decideFixed(state: RateState, e: Evidence, bytesPerSecond: number): Decided {
  const { interval } = e;
  // What the rails took stays taken while most is lost.
  if (e.measured.loss > 0.5) return { plan: STEADY, verdict: 'fixed-railed' };
  // A full queue loses packets too: those are not made good.
  const random = e.queueUs < 2 * e.targetUs ? Math.min(state.loss.rate, 0.5) : 0;
  const wanted = bytesPerSecond / (1 - random);
  let decided: Decided = { plan: STEADY, verdict: 'fixed' };
  if (state.mode === 'ramp' && interval.kind === 'train') decided = decideTrain(state, e);
  else if (interval.kind === 'check') decided = decideCheck(state, e, interval.reference);
  else if (e.excess) state.suspect(e.nowUs, referenceOf(state, e));
  if (state.mode !== 'ramp' || state.rate >= wanted) {
    state.mode = 'cruise';
    state.rate = wanted;
    if (decided.plan.kind === 'train') decided = { plan: STEADY, verdict: 'fixed' };
  }
  return decided;
}

function growWhenQuiet(state: RateState, e: Evidence): Decided {
  state.overruns = Math.max(0, state.overruns - 1);
  if (e.queueUs < e.targetUs / 4) {
    // Somebody left, or the path has become faster: look at once for what there is now.
    if (state.wasHigh || (state.wasHeld && !e.measured.paused)) state.hold = state.holdExponent = 0;
    if (state.wasHeld && !e.measured.paused) state.trainGain = maxTrainGain(state);
  }
  state.wasHigh = state.wasHeld = false;
  if (state.suspicion) return { plan: STEADY, verdict: 'suspect' };
  // It was slower for a queue to go away, and the queue was there all the time: what came through is all that can.
  if (e.leastQueueUs > Math.max(3000, 3 * state.jitterUs)) state.rate = Math.max(state.rate, 0.98 * e.throughput);
  if (state.hold === 0) return { plan: TRAIN, verdict: 'quiet' };
  state.hold--;
  // The less often trains pass there, the slower.
  const most = state.shallow ? 0.01 / 2 ** Math.max(0, state.holdExponent - 2) : 1;
  state.rate *= 1 + Math.min(most, (0.5 * Math.min(e.targetUs - e.queueUs, 20_000)) / cycleUs(state, e));
  return { plan: STEADY, verdict: 'creep' };
}

function holdQueue(state: RateState, e: Evidence): Decided {
  const { interval, measured: m } = e;
  if (e.queueUs > 1.5 * e.targetUs) state.wasHigh = true;
  else if (state.isJittery && !state.suspicion) {
    // What looks like a queue may be jitter: only a train can tell.
    if (state.hold === 0) return { plan: TRAIN, verdict: 'jittery' };
    state.hold--;
  }
  state.trainGain = CRUISE_GAIN;
  const before = state.rate;
  if (e.queueUs > Math.max(BLOATED_US, 2 * state.minRttUs)) state.rate = e.throughput * 0.5;
  else {
    const error = (e.targetUs - predictedQueueUs(state, e)) / cycleUs(state, e);
    const step = Math.max(-0.5, Math.min(0.1, (error < 0 ? 0.7 : 0.5) * error));
    state.rate = e.throughput * (1 + step - yieldShare(state, e));
  }
  const tolerance = Math.max(1000, state.jitterUs);
  const history = state.flatness;
  history.push(interval.rate, e.leastQueueUs);
  if (m.loss <= state.loss.rate + e.margin && e.leastQueueUs > 1.5 * e.targetUs + 5000 && history.isFlat(tolerance)) {
    // Three times slower and slower, and the delay does not move: it is not a queue, the way became longer.
    state.rate = Math.max(before, history.oldestRate);
    history.clear();
    state.shiftBase(e.nowUs, e.leastQueueUs);
    return { plan: STEADY, verdict: 'base-shift' };
  }
  // At this rate it will stay as it is, if nobody else does anything.
  state.wasHeld = e.queueUs > 0.7 * e.targetUs && state.jitterUs < e.targetUs / 20 && state.rate > 0.97 * e.throughput;
  if (e.leastQueueUs > 1.5 * e.targetUs + 3000) state.overruns++;
  else state.overruns = Math.max(0, state.overruns - 1);
  if (state.overruns >= 4 && e.nowUs - state.lastEarlyDrainUs > Math.max(500_000, 4 * state.srttUs)) {
    state.lastEarlyDrainUs = e.nowUs;
    state.overruns = 2;
    return { plan: drainPlan(state), verdict: 'overrun' };
  }
  return { plan: STEADY, verdict: 'hold-queue' };
}

/** In the background: at a low rate our part of the queue is small, and holding it is not yielding. A queue that stays is somebody's. */
function yieldShare(state: RateState, e: Evidence): number {
  if (state.policy.kind !== 'background' || state.overruns < 2) return 0;
  return 0.2 * Math.min(1, Math.max(0, e.queueUs / e.targetUs - 1));
}

/**
 * What the last round trip already added to the queue or took from it is not seen yet (Smith's predictor). Where less came through
 * than was meant, and there is hardly a queue, it was we who sent less.
 */
function predictedQueueUs(state: RateState, e: Evidence): Us {
  const { startUs, endUs, rate } = e.interval;
  const shown = (2 * Math.max(0, e.queueUs)) / Math.max(endUs - startUs, 1);
  const overload = Math.min(rate / Math.max(e.throughput, 1) - 1, shown);
  return Math.max(0, e.queueUs + overload * state.srttUs);
}

/** The interval whose loss is in question, with those before it at the same rate. */
function referenceOf(state: RateState, e: Evidence): CheckReference {
  const { measured: m } = e;
  return {
    queueUs: e.queueUs,
    loss: m.loss,
    packets: m.packets,
    deliveryRate: m.deliveryRate,
    rate: state.rate,
  };
}

export function checkPlan(state: RateState, reference: CheckReference): Plan {
  const packetsUs = (400 * state.loss.burst * state.packetBytes * 1e6) / (CHECK_GAIN * state.rate);
  const emptyUs = (1.2 * state.queueUs) / (1 - CHECK_GAIN) + 20_000;
  const lengthUs = Math.max(emptyUs, 150_000, Math.min(packetsUs, Math.max(300_000, state.srttUs)));
  return { kind: 'check', gain: CHECK_GAIN, lengthUs: Math.min(lengthUs, 1_000_000), minPackets: 16, reference };
}

export function drainPlan(state: RateState): Plan {
  const throughput = Math.max(state.throughput, state.floor);
  const queueUs = Math.max(state.queueUs, state.targetUs(throughput));
  // Random losses are proven again every other time, and sooner when the proof is weak.
  // Whoever fills the queue first after a drain has the larger share of it: so all put back what was theirs.
  const refill = state.mode === 'cruise' && state.queueUs > 1000 ? Math.min(state.queueUs, state.targetUs(throughput)) : 0;
  const deep = state.loss.doubtful || (state.loss.rate >= 0.02 && (state.drains & 1) === 0);
  state.drains++;
  const gain = deep ? 0.3 : 0.5;
  const emptyUs = (1.2 * queueUs) / (1 - gain) + 20_000;
  let lengthUs = Math.min(Math.max(emptyUs, 50_000), Math.max(1.5 * state.srttUs, 500_000));
  if (deep) lengthUs = Math.max(lengthUs, 150_000);
  return {
    kind: 'drain',
    gain: (gain * throughput) / state.rate,
    lengthUs,
    minPackets: 16,
    drain: { queueUs, throughput, gain, lengthUs, refillUs: refill / (REFILL_GAIN - 1), deep },
  };
}

/**
 * Careful Resume: a few milliseconds at half of what was reached before, and what comes back decides. Should the path be
 * ten times slower now, that is a queue of 50 ms. Null: the next train of the ramp is as fast.
 */
export function resumePlan(state: RateState, rate: number): Plan | null {
  if (rate <= RAMP_GAIN * state.rate) return null;
  const most = (MOST_RESUME_PACKETS * state.packetBytes * 1e6) / RESUME_US;
  const trainRate = Math.max(Math.min(rate, most), RAMP_GAIN * state.rate);
  const lengthUs = Math.max(RESUME_US, (LEAST_RESUME_PACKETS * state.packetBytes * 1e6) / trainRate);
  return { kind: 'train', gain: trainRate / state.rate, lengthUs, minPackets: LEAST_RESUME_PACKETS };
}

/**
 * The ramp ends with a train of a few milliseconds. If a busy machine held it up, there is more than it showed: another one looks at
 * once, so short that it adds little to a queue.
 */
function secondLook(state: RateState): Plan {
  const packetsUs = (16 * state.packetBytes * 1e6) / (LOOK_GAIN * state.rate);
  const lengthUs = Math.max(LOOK_US, packetsUs, 4 * Math.max(state.jitterUs, state.sampleGapUs));
  return { kind: 'train', gain: LOOK_GAIN, lengthUs: Math.min(lengthUs, Math.max(state.srttUs, LOOK_US)) };
}

/** A train that stays below the cap; a step of a few percent up to it needs none. */
export function trainToCap(state: RateState, cap: number): Plan {
  const gain = cap / state.rate;
  if (gain > 1.1) return { kind: 'train', gain, lengthUs: 20_000 / (gain - 1) };
  state.rate = cap;
  state.mode = 'cruise';
  return STEADY;
}

function maxTrainGain(state: RateState): number {
  return state.policy.kind === 'background' ? CRUISE_GAIN : 2;
}

/** From one decision to the next. */
function cycleUs(state: RateState, e: Evidence): Us {
  return state.srttUs + (e.interval.endUs - e.interval.startUs);
}

const CRUISE_GAIN = 1.25;
/** Mean run of losses in a train that a full queue or a policer would have cut into shorter ones. */
const BURST_PACKETS = 4;
const MOST_REPEATS = 2;
/** Of a train that is four times as fast as the path's buffer lets through much more is lost. */
const FULL_LOSS = 0.15;
const CHECK_GAIN = 0.4;
export const REFILL_GAIN = 1.5;
const RESUME_US = 12_000;
const LEAST_RESUME_PACKETS = 16;
/** Four times what may be sent without knowing anything. */
const MOST_RESUME_PACKETS = 128;
const LOOK_GAIN = 2;
const LOOK_US = 8000;
const LONG_QUEUE_US = 10_000;
/** A queue that no target explains: half the throughput until it is gone. */
const BLOATED_US = 250_000;
