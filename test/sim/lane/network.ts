/**
 * A network in virtual time: one-way links with a rate, a queue and everything that goes wrong on them, and the two ends'
 * machines with clocks that disagree and event loops that stall. A link carries datagrams with content (Uint8Array) or only
 * their size on the wire (number); it never looks inside.
 *
 *     const net = new Scheduler(seed);
 *     const out = new SimLink(net, { bitsPerSecond: 100e6, delayUs: 50_000, queueUs: 100_000, lossRate: 0.1 });
 *     const receiver = new SimHost(net, { clockOffsetUs: 3e9, stallEveryUs: 1e6 });
 *     out.send(datagram, (arrived) => receiver.receive(arrived, handle));
 */
import type { Scheduler } from './scheduler.ts';

/** What is sent: content, to which IP and UDP headers are added, or plainly the bytes on the wire. */
export type Datagram = Uint8Array | number;

export interface LinkOptions {
  /** Infinity: no queue at all. */
  bitsPerSecond: number;
  delayUs: number;
  /** Drop-tail buffer, as the time it takes to drain. */
  queueUs: number;
  /** Random loss after the queue, 0 to 1. */
  lossRate: number;
  /** Mean length of a run of losses in packets (Gilbert); 1: independent. */
  lossBurst: number;
  /** Mean length of a bad period in time instead of packets; 0: by packet. */
  lossBurstUs: number;
  /** Uniform extra delay, in order: what radio links and shared media do. */
  jitterUs: number;
  /** Share of packets that are held back by up to `reorderUs`, and so overtaken. */
  reorderRate: number;
  reorderUs: number;
  duplicateRate: number;
  policer: { readonly bitsPerSecond: number; readonly burstBytes: number } | null;
  /** Active queue management, RFC 8289 (target 5 ms, interval 100 ms). */
  codel: boolean;
  /** Larger packets vanish. */
  mtuBytes: number;
  up: boolean;
}

const PERFECT: LinkOptions = {
  bitsPerSecond: Number.POSITIVE_INFINITY,
  delayUs: 0,
  queueUs: 100_000,
  lossRate: 0,
  lossBurst: 1,
  lossBurstUs: 0,
  jitterUs: 0,
  reorderRate: 0,
  reorderUs: 0,
  duplicateRate: 0,
  policer: null,
  codel: false,
  mtuBytes: 65_535,
  up: true,
};

export interface LinkCounters {
  sent: number;
  delivered: number;
  /** By a full queue, the policer or CoDel. */
  dropped: number;
  /** By chance, an outage or the MTU. */
  lost: number;
}

/** One direction of a path. `options` may be changed at any instant: a step in rate, an outage, a longer way. */
export class SimLink {
  readonly options: LinkOptions;
  readonly counters: LinkCounters = { sent: 0, delivered: 0, dropped: 0, lost: 0 };
  readonly #net: Scheduler;
  readonly #loss: LossProcess;
  readonly #codel = new Codel();
  #freeUs = 0;
  #lastArrivalUs = 0;
  #tokens = 0;
  #tokensUs = 0;

  constructor(net: Scheduler, options: Partial<LinkOptions>) {
    this.#net = net;
    this.options = { ...PERFECT, ...options };
    this.#loss = new LossProcess(net);
    this.#tokens = this.options.policer?.burstBytes ?? 0;
  }

  /** How long a packet sent now would wait. */
  get queueUs(): number {
    return Math.max(0, this.#freeUs - this.#net.nowUs);
  }

  /**
   * Sends a datagram; `deliver` is called once, twice (duplicate) or never. `extraDelayUs` is the way to and from this link,
   * so that flows with different round trips can share it. Returns false when the queue had no room.
   */
  send<T extends Datagram>(datagram: T, deliver: (datagram: T) => void, extraDelayUs = 0): boolean {
    const { options } = this;
    const now = this.#net.nowUs;
    const bytes = typeof datagram === 'number' ? datagram : datagram.length + IP_UDP_BYTES;
    this.counters.sent++;
    if (!this.#admits(now, bytes)) {
      this.counters.dropped++;
      return false;
    }
    this.#freeUs = Math.max(this.#freeUs, now) + (bytes * 8e6) / options.bitsPerSecond;
    if (!options.up || bytes > options.mtuBytes || this.#loss.loses(options)) {
      this.counters.lost++;
      return true;
    }
    this.counters.delivered++;
    this.#net.at(this.#arrival(extraDelayUs), deliver, datagram);
    if (options.duplicateRate > 0 && this.#net.random() < options.duplicateRate)
      this.#net.at(this.#arrival(extraDelayUs), deliver, datagram);
    return true;
  }

  #admits(now: number, bytes: number): boolean {
    const { policer, queueUs, codel } = this.options;
    if (policer) {
      const grown = this.#tokens + ((now - this.#tokensUs) * policer.bitsPerSecond) / 8e6;
      this.#tokens = Math.min(policer.burstBytes, grown);
      this.#tokensUs = now;
      if (this.#tokens < bytes) return false;
      this.#tokens -= bytes;
    }
    const waitUs = this.#freeUs - now;
    if (waitUs > queueUs) return false;
    return !(codel && this.#codel.drops(now, waitUs));
  }

  #arrival(extraDelayUs: number): number {
    const { delayUs, jitterUs, reorderRate, reorderUs } = this.options;
    let at = this.#freeUs + delayUs;
    if (jitterUs > 0) {
      at = Math.max(at + jitterUs * this.#net.random(), this.#lastArrivalUs);
      this.#lastArrivalUs = at;
    }
    if (reorderRate > 0 && this.#net.random() < reorderRate) at += reorderUs * this.#net.random();
    return at + extraDelayUs;
  }
}

/** Independent loss, or Gilbert's two states: every packet of a bad period is lost. */
class LossProcess {
  readonly #net: Scheduler;
  #bad = false;
  #changesUs = Number.NaN;

  constructor(net: Scheduler) {
    this.#net = net;
  }

  loses(options: LinkOptions): boolean {
    const { lossRate, lossBurst, lossBurstUs } = options;
    if (lossRate <= 0) return false;
    if (lossBurstUs > 0) return this.#losesByTime(lossRate, lossBurstUs);
    if (lossBurst <= 1) return this.#net.random() < lossRate;
    const leave = 1 / lossBurst;
    const enter = (leave * lossRate) / (1 - lossRate);
    const change = this.#net.random();
    this.#bad = this.#bad ? change >= leave : change < enter;
    return this.#bad;
  }

  #losesByTime(lossRate: number, badUs: number): boolean {
    const goodUs = (badUs * (1 - lossRate)) / lossRate;
    if (Number.isNaN(this.#changesUs)) this.#changesUs = this.#net.nowUs + this.#exponential(goodUs);
    while (this.#changesUs <= this.#net.nowUs) {
      this.#bad = !this.#bad;
      this.#changesUs += this.#exponential(this.#bad ? badUs : goodUs);
    }
    return this.#bad;
  }

  #exponential(mean: number): number {
    return -mean * Math.log(1 - this.#net.random());
  }
}

/** RFC 8289, with the sojourn time known at enqueue, which in a FIFO is the wait. */
class Codel {
  #aboveSinceUs = 0;
  #dropping = false;
  #nextUs = 0;
  #count = 0;

  drops(now: number, waitUs: number): boolean {
    if (waitUs < CODEL_TARGET_US) {
      this.#aboveSinceUs = 0;
      this.#dropping = false;
      return false;
    }
    if (this.#aboveSinceUs === 0) {
      this.#aboveSinceUs = now + CODEL_INTERVAL_US;
      return false;
    }
    if (now < this.#aboveSinceUs) return false;
    if (!this.#dropping) {
      this.#dropping = true;
      const recently = now - this.#nextUs < 16 * CODEL_INTERVAL_US;
      this.#count = recently && this.#count > 2 ? this.#count - 2 : 1;
      this.#nextUs = now;
    }
    if (now < this.#nextUs) return false;
    this.#count++;
    this.#nextUs = now + CODEL_INTERVAL_US / Math.sqrt(this.#count);
    return true;
  }
}

export interface HostOptions {
  /** The host's clock reads this much more than the scheduler's. */
  clockOffsetUs: number;
  clockSkewPpm: number;
  /** Packets are read together, at most this often: what interrupt moderation and a busy socket do. */
  receiveBatchUs: number;
  /** Timers fire up to this much late, uniformly. */
  timerLateUs: number;
  /** Mean time between stalls of the event loop (garbage collection, other work); 0: never. */
  stallEveryUs: number;
  /** A stall lasts from a quarter of this to all of it. */
  stallUs: number;
}

/** One end's machine: its clock, and an event loop that is not always there when a packet or a timer is. */
export class SimHost {
  /** The longest stall since it was last asked for; `takeLagUs` clears it. */
  #lagUs = 0;
  #busyUntilUs = 0;
  #queue: { datagram: Datagram; handle: (datagram: never) => void }[] = [];
  #wakeUs = Number.POSITIVE_INFINITY;
  #lastWakeUs = 0;
  readonly #net: Scheduler;
  readonly #options: HostOptions;
  /** Called after every wake-up in which packets were handled: when a driver would build an acknowledgement. */
  onWake: (() => void) | null = null;
  /** Called when a stall ends, with its length. */
  onLag: ((lagUs: number) => void) | null = null;

  constructor(net: Scheduler, options: Partial<HostOptions> = {}) {
    this.#net = net;
    this.#options = { ...STEADY, ...options };
    if (this.#options.stallEveryUs > 0) this.#planStall();
  }

  /** What this host's clock says. */
  get clockUs(): number {
    const { clockOffsetUs, clockSkewPpm } = this.#options;
    return this.#net.nowUs * (1 + clockSkewPpm * 1e-6) + clockOffsetUs;
  }

  takeLagUs(): number {
    const lag = this.#lagUs;
    this.#lagUs = 0;
    return lag;
  }

  /** A packet reached the network card; `handle` is called when the process reads it. */
  receive<T extends Datagram>(datagram: T, handle: (datagram: T) => void): void {
    this.#queue.push({ datagram, handle });
    if (this.#wakeUs < Number.POSITIVE_INFINITY) return;
    this.#wakeUs = Math.max(this.#net.nowUs, this.#busyUntilUs, this.#lastWakeUs + this.#options.receiveBatchUs);
    this.#net.at(this.#wakeUs, this.#wake);
  }

  /** Calls at the instant or, when the loop is late, after it. */
  timer(atUs: number, handle: () => void): void {
    const lateUs = this.#options.timerLateUs;
    const due = Math.max(atUs, this.#net.nowUs) + (lateUs > 0 ? lateUs * this.#net.random() : 0);
    this.#net.at(due, this.#fire, handle);
  }

  readonly #fire = (handle: () => void): void => {
    if (this.#busyUntilUs > this.#net.nowUs) this.#net.at(this.#busyUntilUs, this.#fire, handle);
    else handle();
  };

  readonly #wake = (): void => {
    if (this.#busyUntilUs > this.#net.nowUs) {
      this.#net.at(this.#busyUntilUs, this.#wake);
      return;
    }
    this.#wakeUs = Number.POSITIVE_INFINITY;
    this.#lastWakeUs = this.#net.nowUs;
    const batch = this.#queue;
    this.#queue = [];
    for (const { datagram, handle } of batch) handle(datagram as never);
    this.onWake?.();
  };

  #planStall(): void {
    const { stallEveryUs, stallUs } = this.#options;
    this.#net.after(-stallEveryUs * Math.log(1 - this.#net.random()), () => {
      const lasts = stallUs * (0.25 + 0.75 * this.#net.random());
      this.#busyUntilUs = this.#net.nowUs + lasts;
      this.#net.at(this.#busyUntilUs, () => {
        this.#lagUs = Math.max(this.#lagUs, lasts);
        this.onLag?.(lasts);
        this.#planStall();
      });
    });
  }
}

const STEADY: HostOptions = {
  clockOffsetUs: 0,
  clockSkewPpm: 0,
  receiveBatchUs: 0,
  timerLateUs: 0,
  stallEveryUs: 0,
  stallUs: 30_000,
};

const IP_UDP_BYTES = 28;
const CODEL_TARGET_US = 5000;
const CODEL_INTERVAL_US = 100_000;
