/**
 * A sender and a receiver of packets without content, joined by simulated links: rate control as a lane uses it, with the
 * acknowledgements that a lane gets. Those are sparse: one per interval, with a bitmap of the last eight intervals and an arrival
 * sample about every millisecond, and they are lost like anything else.
 */
import type { LanePolicy } from '../../../src/core/lane/contract.ts';
import { PACKET_LOG_SIZE } from '../../../src/core/lane/contract.ts';
import { Pacer } from '../../../src/core/lane/pacer.ts';
import { PacketLog } from '../../../src/core/lane/packet-log.ts';
import { RateController, type RateControllerOptions } from '../../../src/core/lane/rate-controller.ts';
import type { HostOptions } from './network.ts';
import { SimHost, type SimLink } from './network.ts';
import type { Scheduler } from './scheduler.ts';

export const PACKET_BYTES = 1345;
export const SYMBOL_SHARE = 1280 / PACKET_BYTES;

export interface RateFlowOptions {
  /** Beside the links' own delays, there and back. */
  rttUs: number;
  guessedRttUs: number;
  startUs: number;
  stopUs: number;
  policy: LanePolicy;
  capBytesPerSecond: number;
  cachedBytesPerSecond: number;
  /** 0: as guessed. */
  cachedRttUs: number;
  /** Bytes a second that the application has; Infinity: always something to send. */
  sourceBytesPerSecond: number;
  sender: Partial<HostOptions>;
  receiver: Partial<HostOptions>;
  /** Datagrams of a bulk transfer leave by the dozen, as the thread does it that waits to the microsecond; otherwise by Node's timers. */
  gathers: boolean;
  /** Clocks of day disagree by so much. */
  wallErrorUs: number;
  decisionLog: ((line: string) => void) | null;
  /** For canaries: a controller that is wrong in one respect. */
  makeController: (options: RateControllerOptions) => RateController;
}

const DEFAULTS: RateFlowOptions = {
  rttUs: 100_000,
  guessedRttUs: 0,
  startUs: 0,
  stopUs: Number.POSITIVE_INFINITY,
  policy: { kind: 'fair' },
  capBytesPerSecond: Number.POSITIVE_INFINITY,
  cachedBytesPerSecond: 0,
  cachedRttUs: 0,
  sourceBytesPerSecond: Number.POSITIVE_INFINITY,
  sender: { timerLateUs: 500 },
  receiver: { receiveBatchUs: 1000 },
  gathers: false,
  wallErrorUs: 0,
  decisionLog: null,
  makeController: (options) => new RateController(options),
};

const MASK = PACKET_LOG_SIZE - 1;
const MAX_SAMPLES = 24;
const MAX_AGAIN = 8;
const SAMPLE_EVERY_US = 1000;
const TICK_US = 1000;
/** As in thread-loop.ts. */
const GATHERED = 40;
const MOST_GATHER_US = 4000;
const SPARSE_US = 250;
const REORDER_PACKETS = 3;
const MIN_REORDER_US = 4000;

interface Ack {
  largest: number;
  ackTimeUs: number;
  lagMs: number;
  lowest: number;
  sequence: number;
  samples: Float64Array;
}

export class RateFlow {
  readonly log = new PacketLog();
  readonly options: RateFlowOptions;
  controller!: RateController;
  deliveredPackets = 0;
  sentPackets = 0;
  acksSent = 0;
  readonly #net: Scheduler;
  readonly #out: SimLink;
  readonly #back: SimLink;
  readonly #sender: SimHost;
  readonly #receiver: SimHost;
  #pacer!: Pacer;
  #timerAt = Number.POSITIVE_INFINITY;
  #gatherUntilUs = Number.NEGATIVE_INFINITY;
  #sourceBytes = 0;
  #sourceUs = 0;
  // What the receiver knows: when each packet was read, on its clock.
  readonly #readUs = new Float64Array(PACKET_LOG_SIZE).fill(Number.NaN);
  readonly #readPn = new Float64Array(PACKET_LOG_SIZE).fill(-1);
  #largestRead = -1;
  #lastReadUs = Number.NEGATIVE_INFINITY;
  #lastSampleUs = Number.NEGATIVE_INFINITY;
  #newestInWake = -1;
  #ackPlanned = false;
  #samplePns: number[] = [];
  /** Samples of the acknowledgement before, told once more. */
  #again: number[] = [];
  #ackStarts: number[] = [];
  // The sender's loss detection.
  #floor = 0;
  #covered = -1;
  #reorderUs = MIN_REORDER_US;

  constructor(net: Scheduler, out: SimLink, back: SimLink, options: Partial<RateFlowOptions> = {}) {
    this.options = { ...DEFAULTS, ...options };
    this.#net = net;
    this.#out = out;
    this.#back = back;
    this.#sender = new SimHost(net, this.options.sender);
    this.#receiver = new SimHost(net, { clockOffsetUs: 7.3e8, ...this.options.receiver });
    this.#receiver.onWake = () => this.#endOfWake();
    net.at(this.options.startUs, () => this.#start());
  }

  get deliveredBytes(): number {
    return this.deliveredPackets * PACKET_BYTES;
  }

  #start(): void {
    const { options } = this;
    const nowUs = this.#sender.clockUs;
    this.controller = options.makeController({
      nowUs,
      log: this.log,
      policy: options.policy,
      packetBytes: PACKET_BYTES,
      rttUs: options.guessedRttUs || options.rttUs,
      cachedBytesPerSecond: options.cachedBytesPerSecond,
      ...(options.cachedRttUs > 0 ? { cachedRttUs: options.cachedRttUs } : {}),
      capBytesPerSecond: options.capBytesPerSecond,
      wallClockUs: this.#net.nowUs + options.wallErrorUs,
      ...(options.decisionLog ? { decisionLog: options.decisionLog } : {}),
    });
    this.#pacer = new Pacer(nowUs, this.controller.rateBytesPerSecond(nowUs));
    this.#sourceUs = nowUs;
    this.#sender.onLag = (lagUs) => this.controller.handleLag(this.#sender.clockUs, lagUs);
    this.#pump();
  }

  readonly #pump = (): void => {
    const now = this.#sender.clockUs;
    if (now >= this.#timerAt) this.#timerAt = Number.POSITIVE_INFINITY;
    if (this.#net.nowUs > this.options.stopUs) return;
    if (now >= this.controller.nextTimerUs()) this.controller.handleTimer(now);
    this.#send(now);
    this.#arm(now);
  };

  #send(now: number): void {
    const { controller } = this;
    if (now < this.#gatherUntilUs) return;
    this.#gatherUntilUs = now + this.#gatherUs(now);
    this.#pacer.setRate(now, controller.rateBytesPerSecond(now), controller.mostBurstUs);
    while (this.#pacer.canSend(now, PACKET_BYTES) && controller.pipeBytes() < controller.windowBytes()) {
      if (!this.#hasData(now)) {
        controller.handleAppLimited(now);
        return;
      }
      const pn = this.log.add(now, PACKET_BYTES);
      this.#pacer.handleSent(now, PACKET_BYTES);
      controller.handleSent(pn, now);
      this.#pacer.setRate(now, controller.rateBytesPerSecond(now), controller.mostBurstUs);
      this.sentPackets++;
      const wanted = controller.wantsAckNow(pn);
      this.#out.send(PACKET_BYTES, () => this.#arrive(pn, wanted), this.options.rttUs / 2);
    }
  }

  #hasData(now: number): boolean {
    const { sourceBytesPerSecond } = this.options;
    if (sourceBytesPerSecond === Number.POSITIVE_INFINITY) return true;
    this.#sourceBytes = Math.min(this.#sourceBytes + ((now - this.#sourceUs) * sourceBytesPerSecond) / 1e6, 64_000);
    this.#sourceUs = now;
    if (this.#sourceBytes < PACKET_BYTES) return false;
    this.#sourceBytes -= PACKET_BYTES;
    return true;
  }

  #gatherUs(now: number): number {
    const spacingUs = (PACKET_BYTES * 1e6) / this.controller.rateBytesPerSecond(now);
    if (!this.options.gathers || spacingUs > SPARSE_US) return 0;
    return Math.min(GATHERED * spacingUs, MOST_GATHER_US, this.controller.mostGatherUs);
  }

  #arm(now: number): void {
    const soonest = this.options.gathers ? Math.max(now, this.#gatherUntilUs) : now + TICK_US;
    const due = Math.max(soonest, Math.min(this.#pacer.nextUs(now, PACKET_BYTES), now + 20 * TICK_US));
    if (this.#timerAt <= due) return;
    this.#timerAt = due;
    this.#sender.timer(this.#net.nowUs + (due - now), this.#pump);
  }

  #arrive(pn: number, wanted: boolean): void {
    this.#receiver.receive(PACKET_BYTES, () => this.#read(pn, wanted));
  }

  #read(pn: number, wanted: boolean): void {
    const i = pn & MASK;
    if (this.#readPn[i] === pn) return;
    const now = this.#receiver.clockUs;
    this.#readPn[i] = pn;
    this.#readUs[i] = now;
    this.deliveredPackets++;
    const silent = now - this.#lastReadUs > 200_000;
    this.#lastReadUs = now;
    if (pn > this.#largestRead) this.#largestRead = pn;
    if (pn > this.#newestInWake) this.#newestInWake = pn;
    if (silent || wanted) this.#net.after(0, this.#ack);
    else if (!this.#ackPlanned) {
      this.#ackPlanned = true;
      this.#receiver.timer(this.#net.nowUs + this.controller.ackIntervalUs, this.#ack);
    }
  }

  #endOfWake(): void {
    const now = this.#receiver.clockUs;
    if (this.#newestInWake >= 0 && now - this.#lastSampleUs >= SAMPLE_EVERY_US) {
      this.#samplePns.push(this.#newestInWake);
      if (this.#samplePns.length > MAX_SAMPLES - MAX_AGAIN - 1) this.#samplePns.shift();
      this.#lastSampleUs = now;
    }
    this.#newestInWake = -1;
  }

  readonly #ack = (): void => {
    this.#ackPlanned = false;
    const largest = this.#largestRead;
    if (largest < 0) return;
    this.#ackStarts.push(largest + 1);
    const lowest = this.#ackStarts.length > 8 ? this.#ackStarts.shift()! : 0;
    const news = this.#samplePns;
    if (news[news.length - 1] !== largest) news.push(largest);
    const pns = [...this.#again, ...news];
    const samples = new Float64Array(2 * pns.length);
    for (let i = 0; i < pns.length; i++) {
      samples[2 * i] = pns[i]!;
      samples[2 * i + 1] = this.#readUs[pns[i]! & MASK]!;
    }
    const again = Math.min(news.length, MAX_AGAIN);
    this.#again = Array.from({ length: again }, (_, i) => news[Math.ceil(((i + 1) * news.length) / again) - 1] as number);
    this.#samplePns = [];
    const ack: Ack = {
      largest,
      ackTimeUs: this.#receiver.clockUs,
      lagMs: Math.min(255, Math.round(this.#receiver.takeLagUs() / 1000)),
      lowest: Math.max(lowest, largest - 8191),
      sequence: this.acksSent++,
      samples,
    };
    const bytes = 28 + 29 + 25 + 4 * pns.length + Math.ceil((largest - ack.lowest + 1) / 8);
    const deliver = (): void => this.#sender.receive(bytes, () => this.#handleAck(ack));
    this.#back.send(bytes, deliver, this.options.rttUs / 2);
  };

  #handleAck(ack: Ack): void {
    const { log } = this;
    const now = this.#sender.clockUs;
    const lowest = Math.max(ack.lowest, log.next - PACKET_LOG_SIZE, 0);
    for (let pn = lowest; pn <= ack.largest; pn++) {
      const i = pn & MASK;
      if (this.#readPn[i] !== pn || this.#readUs[i]! > ack.ackTimeUs || log.isAcked(pn)) continue;
      if (log.isLost(pn)) this.#handleSpurious(pn);
      log.setAcked(pn);
    }
    const { samples } = ack;
    for (let i = 0; i < samples.length; i += 2) log.setArrival(samples[i]!, samples[i + 1]!);
    for (let pn = this.#covered + 1; pn < lowest; pn++) if (log.isOutstanding(pn)) log.setUnknown(pn);
    this.#covered = Math.max(this.#covered, ack.largest);
    this.#detectLosses();
    this.controller.handleAck(now, ack);
    this.#send(now);
    this.#arm(now);
  }

  #detectLosses(): void {
    const { log } = this;
    const newest = log.largestAcked;
    const newestSentUs = log.sentUs(newest);
    let contiguous = true;
    for (let pn = this.#floor; pn < newest; pn++) {
      if (log.isOutstanding(pn)) {
        if (newestSentUs - log.sentUs(pn) < this.#reorderUs) break;
        if (newest - pn < REORDER_PACKETS) contiguous = false;
        else log.setLost(pn);
      }
      if (contiguous) this.#floor = pn + 1;
    }
  }

  #handleSpurious(pn: number): void {
    const lateUs = this.log.sentUs(this.log.largestAcked) - this.log.sentUs(pn);
    const mostUs = Math.max(MIN_REORDER_US, this.controller.srttUs / 2);
    if (lateUs <= mostUs) this.#reorderUs = Math.max(this.#reorderUs, Math.min(mostUs, 1.25 * lateUs));
  }
}
