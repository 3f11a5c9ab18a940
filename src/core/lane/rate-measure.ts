/**
 * What the packets of one interval say about the path: how much was lost, how fast they came out of the bottleneck, and how long
 * they queued. Everything is taken from the receiver's arrival times and bitmaps, so that lost, late or bunched acknowledgements
 * change nothing. Arrival times are sparse (about one packet a millisecond); losses are exact.
 */
import type { Us } from './contract.ts';
import type { PacketLog } from './packet-log.ts';

export interface Measurement {
  /** Packets whose fate is known, and those of them that were lost. */
  packets: number;
  received: number;
  lost: number;
  /** Runs of consecutive losses. */
  runs: number;
  loss: number;
  /** Arrival samples; with fewer than three there is no rate and no queue. */
  samples: number;
  /** Bytes a second through the bottleneck, lost packets included (they took their share of it if they were lost behind it). */
  throughput: number;
  /** Bytes a second as sent. */
  sendRate: number;
  /** throughput less the loss. */
  deliveryRate: number;
  /** One-way delays, not yet less the base delay: the least of all, of the first half, of the second half. */
  leastDelayUs: Us;
  firstDelayUs: Us;
  lastDelayUs: Us;
  mostDelayUs: Us;
  /** Mean spread of delays within 25 ms; NaN when too few samples. */
  jitterUs: Us;
  /** From one arrival sample to the next; NaN when there are not two. */
  sampleGapUs: Us;
  /** Our own sending had paused, during the interval or not long before: a queue may have emptied for that. */
  paused: boolean;
}

interface Point {
  bytes: number;
  sentUs: Us;
  arrivalUs: Us;
}

function setPoint(point: Point, bytes: number, sentUs: Us, arrivalUs: Us): void {
  point.bytes = bytes;
  point.sentUs = sentUs;
  point.arrivalUs = arrivalUs;
}

export class IntervalMeter {
  readonly result: Measurement = {
    packets: 0,
    received: 0,
    lost: 0,
    runs: 0,
    loss: 0,
    samples: 0,
    throughput: 0,
    sendRate: 0,
    deliveryRate: 0,
    leastDelayUs: 0,
    firstDelayUs: 0,
    lastDelayUs: 0,
    mostDelayUs: 0,
    jitterUs: 0,
    sampleGapUs: 0,
    paused: false,
  };
  readonly #log: PacketLog;
  readonly #slope = new PooledSlope();
  readonly #jitter = new JitterMeter();
  /** The first and the last sample. */
  readonly #from: Point = { bytes: 0, sentUs: 0, arrivalUs: 0 };
  readonly #to: Point = { bytes: 0, sentUs: 0, arrivalUs: 0 };

  constructor(log: PacketLog) {
    this.#log = log;
  }

  /**
   * Measures packets [first, end). `breaks` are numbers of packets that were sent after a pause of ours: what was sent before
   * and after it are regressed with one slope but apart, since the pause says nothing about the bottleneck. So are those before and
   * after a jump of the delay that is out of proportion to the usual jitter.
   */
  measure(first: number, end: number, breaks: BreakList, jitterUs: Us): Measurement {
    this.#count(first, end);
    this.#time(first, end, breaks, Math.max(LEAST_JUMP_US, 8 * jitterUs));
    return this.result;
  }

  #count(first: number, end: number): void {
    const log = this.#log;
    let packets = 0;
    let lost = 0;
    let runs = 0;
    let inRun = false;
    for (let pn = first; pn < end; pn++) {
      if (log.isAcked(pn)) {
        packets++;
        inRun = false;
      } else if (log.isSkipped(pn) || log.isUnknown(pn)) {
        inRun = false;
      } else {
        packets++;
        lost++;
        if (!inRun) runs++;
        inRun = true;
      }
    }
    const { result } = this;
    result.packets = packets;
    result.received = packets - lost;
    result.lost = lost;
    result.runs = runs;
    result.loss = packets > 0 ? lost / packets : 0;
  }

  #time(first: number, end: number, breaks: BreakList, jumpUs: Us): void {
    const log = this.#log;
    const half = first + ((end - first) >> 1);
    const slope = this.#slope;
    const jitter = this.#jitter;
    slope.start();
    jitter.start();
    let bytes = 0;
    let samples = 0;
    let firstDelay = Number.POSITIVE_INFINITY;
    let lastDelay = Number.POSITIVE_INFINITY;
    let previous = Number.POSITIVE_INFINITY;
    let mostDelay = Number.NEGATIVE_INFINITY;
    const paused = breaks.newest >= first;
    const [from, to] = [this.#from, this.#to];
    from.sentUs = Number.NaN;
    for (let pn = first; pn < end; pn++) {
      bytes += log.wireBytes(pn);
      if (paused && breaks.includes(pn)) slope.split();
      const arrival = log.arrivalUs(pn);
      if (Number.isNaN(arrival)) continue;
      const sent = log.sentUs(pn);
      const delay = arrival - sent;
      // No queue grows by so much from one sample to the next: the path paused, or is another one now.
      if (delay - previous > jumpUs) slope.split();
      previous = delay;
      if (Number.isNaN(from.sentUs)) setPoint(from, bytes, sent, arrival);
      setPoint(to, bytes, sent, arrival);
      if (delay > mostDelay) mostDelay = delay;
      samples++;
      slope.add(bytes, arrival, sent);
      jitter.add(sent, delay);
      if (pn < half) firstDelay = Math.min(firstDelay, delay);
      else lastDelay = Math.min(lastDelay, delay);
    }
    slope.split();
    jitter.finish();
    const { result } = this;
    const least = Math.min(firstDelay, lastDelay);
    result.samples = slope.usable ? samples : 0;
    result.sendRate = slope.sendRate;
    // A receiver that stalls sees arrivals bunched: nothing comes out of a bottleneck much faster than it went in.
    result.throughput = Math.min(slope.rate, MAX_COMPRESSION * slope.sendRate);
    // Between the stalls of a busy machine the slope says little. What came in all, stalls included, came through the bottleneck.
    const spanUs = Math.max(to.sentUs - from.sentUs, to.arrivalUs - from.arrivalUs);
    if (spanUs > 0) result.throughput = Math.max(result.throughput, (SURE_SHARE * (to.bytes - from.bytes) * 1e6) / spanUs);
    result.deliveryRate = result.throughput * (1 - result.loss);
    result.leastDelayUs = least;
    result.mostDelayUs = mostDelay;
    result.firstDelayUs = firstDelay === Number.POSITIVE_INFINITY ? least : firstDelay;
    result.lastDelayUs = lastDelay === Number.POSITIVE_INFINITY ? least : lastDelay;
    result.jitterUs = jitter.us;
    result.sampleGapUs = slope.gapUs;
    result.paused = breaks.newest >= first - 2 * (end - first);
  }
}

/** The packet numbers at which our own sending had paused; only the last few are kept. */
export class BreakList {
  readonly #numbers = new Float64Array(16).fill(-1);
  #at = 0;
  newest = -1;

  add(pn: number): void {
    this.#numbers[this.#at++ & 15] = pn;
    this.newest = pn;
  }

  includes(pn: number): boolean {
    for (let i = 0; i < 16; i++) if (this.#numbers[i] === pn) return true;
    return false;
  }
}

/** Least squares of arrival time over bytes sent: one slope for all groups, each group with its own intercept. */
class PooledSlope {
  rate = 0;
  sendRate = 0;
  usable = false;
  gapUs: Us = Number.NaN;
  #sxx = 0;
  #sxy = 0;
  #spanBytes = 0;
  #spanSentUs = 0;
  #spanArrivalUs = 0;
  #groups = 0;
  #samples = 0;
  // Of the group: values are taken relative to its first, so that nothing is lost to the size of a clock.
  #n = 0;
  #x0 = 0;
  #y0 = 0;
  #s0 = 0;
  #x = 0;
  #y = 0;
  #sent = 0;
  #sumX = 0;
  #sumY = 0;
  #sumXX = 0;
  #sumXY = 0;

  start(): void {
    this.#sxx = 0;
    this.#sxy = 0;
    this.#spanBytes = 0;
    this.#spanSentUs = 0;
    this.#spanArrivalUs = 0;
    this.#groups = 0;
    this.#samples = 0;
    this.#n = 0;
    this.usable = false;
    this.gapUs = Number.NaN;
    this.rate = 0;
    this.sendRate = 0;
  }

  add(bytes: number, arrivalUs: Us, sentUs: Us): void {
    if (this.#n === 0) {
      this.#x0 = bytes;
      this.#y0 = arrivalUs;
      this.#s0 = sentUs;
      this.#sumX = 0;
      this.#sumY = 0;
      this.#sumXX = 0;
      this.#sumXY = 0;
    }
    const x = bytes - this.#x0;
    const y = arrivalUs - this.#y0;
    this.#n++;
    this.#x = x;
    this.#y = y;
    this.#sent = sentUs - this.#s0;
    this.#sumX += x;
    this.#sumY += y;
    this.#sumXX += x * x;
    this.#sumXY += x * y;
  }

  /** Ends the group. */
  split(): void {
    const n = this.#n;
    if (n >= 2) {
      this.#sxx += this.#sumXX - (this.#sumX * this.#sumX) / n;
      this.#sxy += this.#sumXY - (this.#sumX * this.#sumY) / n;
      this.#spanBytes += this.#x;
      this.#spanSentUs += this.#sent;
      this.#spanArrivalUs += this.#y;
      this.#groups++;
      this.#samples += n;
      this.#finish();
    }
    this.#n = 0;
  }

  #finish(): void {
    this.gapUs = this.#spanArrivalUs / (this.#samples - this.#groups);
    if (this.#samples - this.#groups < 2 || !(this.#sxx > 0)) return;
    let usPerByte = this.#sxy / this.#sxx;
    if (!(usPerByte > 1e-9)) usPerByte = Math.max(this.#spanArrivalUs, 1) / this.#spanBytes;
    this.rate = 1e6 / usPerByte;
    this.sendRate = (this.#spanBytes * 1e6) / Math.max(this.#spanSentUs, 1);
    this.usable = true;
  }
}

/** How far delays spread within 25 ms, less what a queue that grows or shrinks adds. */
class JitterMeter {
  #sum = 0;
  #windows = 0;
  #startUs = 0;
  #n = 0;
  #total = 0;
  #least = 0;
  #first = 0;
  #last = 0;

  start(): void {
    this.#sum = 0;
    this.#windows = 0;
    this.#n = 0;
  }

  add(sentUs: Us, delayUs: Us): void {
    if (this.#n > 0 && sentUs - this.#startUs > JITTER_WINDOW_US) this.#close();
    if (this.#n === 0) {
      this.#startUs = sentUs;
      this.#total = 0;
      this.#least = delayUs;
      this.#first = delayUs;
    }
    this.#n++;
    this.#total += delayUs;
    this.#last = delayUs;
    if (delayUs < this.#least) this.#least = delayUs;
  }

  get us(): Us {
    return this.#windows > 0 ? Math.min(Math.max(0, this.#sum / this.#windows), MAX_JITTER_US) : Number.NaN;
  }

  /** The last window counts too, if there is enough in it. */
  finish(): void {
    if (this.#n > 0) this.#close();
  }

  #close(): void {
    if (this.#n >= JITTER_SAMPLES) {
      this.#sum += this.#total / this.#n - this.#least - Math.abs(this.#last - this.#first) / 2;
      this.#windows++;
    }
    this.#n = 0;
  }
}

const LEAST_JUMP_US = 25_000;
const MAX_COMPRESSION = 1.4;
/** Of what came in all: arrival times of the first and the last are not exact. */
const SURE_SHARE = 0.95;
const JITTER_WINDOW_US = 75_000;
const JITTER_SAMPLES = 6;
const MAX_JITTER_US = 20_000;
