/** What a measured interval means on this path, and the rails that hold whatever is decided. */
import type { Us } from './contract.ts';
import type { Decided } from './rate-decisions.ts';
import type { Measurement } from './rate-measure.ts';
import type { Evidence, Interval, RateState } from './rate-state.ts';
import { STEADY } from './rate-state.ts';

/**
 * What the bottleneck let through. A queue that does not grow passes on what is sent: where arrivals say less, it was the receiver
 * that read them late.
 */
function carriedRate(state: RateState, interval: Interval, m: Measurement): number {
  const grewUs = m.lastDelayUs - m.firstDelayUs;
  if (interval.kind !== 'steady' || grewUs > Math.max(FLAT_US, state.jitterUs)) return m.throughput;
  return Math.max(m.throughput, Math.min(m.sendRate, state.throughput));
}

/** Enters a measurement into what is known of the path. */
export function takeEvidence(state: RateState, nowUs: Us, interval: Interval, m: Measurement): Evidence {
  const { loss } = state;
  loss.observeRuns(m.packets, m.lost, m.runs);
  learnJitter(state, interval, m);
  learnSampleGap(state, interval, m);
  if (interval.kind === 'steady') {
    state.recent.age(0.8);
    state.recent.add(m.packets, m.lost);
  }
  const sigma = loss.sigma(m.packets);
  const margin = loss.margin(m.packets);
  // A single burst is an outage, not congestion: excess takes several runs.
  const excess =
    loss.known &&
    m.runs >= 3 &&
    (exceeds(state, m.packets, m.lost) ||
      (interval.kind === 'steady' && exceeds(state, state.recent.packets, state.recent.lost)));
  const throughput = excess ? m.deliveryRate / (1 - Math.min(m.loss, loss.rate + sigma)) : carriedRate(state, interval, m);
  const base = state.baseUs(nowUs);
  const queueUs = m.lastDelayUs - base;
  state.recentLoss += (m.loss - state.recentLoss) * 0.25;
  if (m.samples > 0) {
    state.queueUs = queueUs;
    state.throughput = throughput;
    if (interval.kind === 'steady') state.deliveryRate = m.deliveryRate;
    state.goodput = Math.min(m.throughput, m.sendRate) * (1 - m.loss);
    // What arrives when there is little to send says nothing of what the path delivers: a rate must not be bound by it.
    const full = !interval.appLimited || m.sendRate >= 0.95 * interval.rate * interval.gain || queueUs > QUEUED_US;
    if (full) state.delivered.add(nowUs, Math.min(m.deliveryRate, m.sendRate * (1 - m.loss) * 1.05));
    state.sent.add(nowUs, m.sendRate);
    if (interval.kind === 'steady') state.carried.add(nowUs, throughput);
  }
  const mostQueueUs = m.mostDelayUs - base;
  if (m.samples > 0) state.longest.add(nowUs, mostQueueUs);
  const depthUs = state.depth.max(nowUs);
  const clear = m.samples > 0 && depthUs > Math.max(DEEP_US, 4 * state.jitterUs) && mostQueueUs < 0.5 * depthUs;
  if (m.samples > 0 && loss.known && !excess && m.packets >= 30) state.depth.add(nowUs, queueUs);
  return {
    nowUs,
    interval,
    measured: m,
    throughput,
    queueUs,
    firstQueueUs: m.firstDelayUs - base,
    leastQueueUs: m.leastDelayUs - base,
    targetUs: state.targetUs(throughput),
    sigma,
    margin,
    excess,
    clear,
  };
}

function exceeds(state: RateState, packets: number, lost: number): boolean {
  const { loss } = state;
  return lost > (loss.rate + loss.margin(packets)) * packets && lost - loss.rate * packets > 2 * loss.burst;
}

/**
 * Only from intervals in which our own rate did not change: what a train or a drain does to the queue is no noise. In the ramp
 * there are only trains, and they have to do.
 */
function learnJitter(state: RateState, interval: Interval, m: Measurement): void {
  const swing = swingUs(state, m) / SWING_PER_JITTER;
  if (state.mode === 'ramp' && interval.kind === 'train' && swing > Math.max(LEAST_SWING_US, state.jitterUs)) {
    state.jitterUs = swing;
    state.jitterKnown = true;
    return;
  }
  if (Number.isNaN(m.jitterUs) || (interval.kind !== 'steady' && state.mode !== 'ramp')) return;
  // Jitter is always there, a queue in motion is not: falling is believed sooner than rising.
  const weight = state.jitterKnown ? (m.jitterUs < state.jitterUs ? 0.3 : 0.05) : 1;
  state.jitterUs += weight * (m.jitterUs - state.jitterUs);
  state.jitterKnown = true;
}

/** By how much delays differ beyond what a queue can have grown by. The first trains have too few arrival times to show more. */
function swingUs(state: RateState, m: Measurement): Us {
  if (m.samples === 0) return 0;
  const sentUs = (m.packets * state.packetBytes * 1e6) / Math.max(m.sendRate, 1);
  // A full queue drops, and what is dropped makes the rest seem fast: only what arrived came through.
  const queuedUs = Math.max(0, m.sendRate / Math.max(m.deliveryRate, 1) - 1) * sentUs;
  return Math.min(m.mostDelayUs - m.leastDelayUs - queuedUs, MOST_SWING_US);
}

/** A receiver that reads in batches gives few arrival times: intervals last long enough for several. */
function learnSampleGap(state: RateState, interval: Interval, m: Measurement): void {
  const gapUs = m.samples > 0 ? m.sampleGapUs : Math.max(m.sampleGapUs || 0, (interval.endUs - interval.startUs) / 2);
  if (m.packets >= 8) state.sampleGapUs += (Math.min(gapUs, MAX_SAMPLE_GAP_US) - state.sampleGapUs) * 0.5;
}

/** Never keep a rate that nobody receives; never keep one of which most is lost without proof that it is not our doing. */
export function applyRails(state: RateState, e: Evidence): Decided | null {
  const { measured: m } = e;
  if (m.packets >= Math.max(8, 4 * state.loss.burst) && m.received < 3) {
    state.lower(state.rate * 0.5);
    // In one run they are an outage, or a burst: the ramp goes on from there.
    if (state.mode === 'ramp' && m.runs >= 3) state.mode = 'cruise';
    return { plan: STEADY, verdict: 'nothing-arrived' };
  }
  if (m.loss > 0.5 && m.loss > state.loss.rate + Math.max(0.2, 4 * e.sigma)) state.lower(state.rate * 0.7);
  return null;
}

/** No rate above 1.3 times what was delivered lately, random losses made good, or above the cap. Who sent little delivered little. */
export function boundRate(state: RateState, { nowUs, interval }: Evidence, cap: number): void {
  const delivered = interval.appLimited ? 0 : state.delivered.max(nowUs);
  const most =
    delivered > 0 ? (MOST_OVER_DELIVERED * delivered) / (1 - Math.min(state.loss.rate, 0.6)) : Number.POSITIVE_INFINITY;
  state.rate = Math.max(Math.min(state.rate, most, cap), state.floor);
}

/** However short it lasted: packets left at the rate, and neither queued nor were lost beyond chance. */
export function isCarried({ interval, measured: m, excess, queueUs, targetUs }: Evidence): boolean {
  return m.samples > 0 && m.sendRate >= 0.9 * interval.rate && !excess && queueUs < targetUs;
}

/** One line: enough to see every mistake. */
export function describeDecision(e: Evidence, state: RateState, verdict: string, rateBefore: number): string {
  const { interval, measured: m } = e;
  const ms = (us: number) => (us / 1000).toFixed(1);
  return (
    `${(e.nowUs / 1e6).toFixed(3)} ${state.mode}/${interval.kind}${interval.appLimited ? '!' : ''} g=${interval.gain.toFixed(2)}` +
    ` x=${mbit(interval.rate)} X=${mbit(e.throughput)} S=${mbit(m.sendRate)} L=${m.loss.toFixed(3)} p0=${state.loss.rate.toFixed(3)}` +
    ` b=${state.loss.burst.toFixed(1)} J=${ms(state.jitterUs)} q=${ms(e.leastQueueUs)}/${ms(e.queueUs)} T=${ms(e.targetUs)}` +
    ` n=${m.packets}/${m.samples} ${verdict} ${mbit(rateBefore)}->${mbit(state.rate)}`
  );
}

export function mbit(bytesPerSecond: number): string {
  return ((bytesPerSecond * 8) / 1e6).toFixed(2);
}

/** A queue that short may be a tick of ours. */
const DEEP_US = 6000;
const FLAT_US = 1000;
/** Of a jitter that keeps the order: mean deviation within 25 ms is about an eighth of all that a delay may vary by. */
const SWING_PER_JITTER = 8;
const LEAST_SWING_US = 1000;
const MOST_SWING_US = 160_000;
const MAX_SAMPLE_GAP_US = 50_000;
const MOST_OVER_DELIVERED = 1.3;
/** A queue of so much shows that more was sent than the path takes, however little that was. */
const QUEUED_US = 5000;
