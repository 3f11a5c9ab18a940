/**
 * Whom the lane meets on a bottleneck: TCP with CUBIC (RFC 9438, HyStart's delay exit) and with BBRv1, simplified, with an endless
 * source. Their packets are counted in the wire bytes of a full Ethernet frame.
 */
import type { SimLink } from './network.ts';
import type { Scheduler } from './scheduler.ts';

export interface TcpTimes {
  readonly rttUs: number;
  readonly startUs: number;
  readonly stopUs: number;
}

const WIRE_BYTES = 1500;
const ACK_BYTES = 66;

interface Sent {
  readonly us: number;
  readonly delivered: number;
  readonly deliveredUs: number;
}

/** What both have in common: numbered packets, selective acknowledgement, loss by three later ones, a timeout. */
abstract class TcpFlow {
  deliveredBytes = 0;
  protected readonly net: Scheduler;
  protected readonly rttUs: number;
  protected readonly stopUs: number;
  protected next = 0;
  protected inFlight = 0;
  protected highest = -1;
  protected lastAckUs = 0;
  protected acknowledged = 0;
  protected acknowledgedUs = 0;
  protected readonly unacked = new Map<number, Sent>();
  readonly #out: SimLink;
  readonly #back: SimLink;

  constructor(net: Scheduler, out: SimLink, back: SimLink, times: TcpTimes) {
    this.net = net;
    this.#out = out;
    this.#back = back;
    this.rttUs = times.rttUs;
    this.stopUs = times.stopUs;
    net.at(times.startUs, () => {
      this.lastAckUs = net.nowUs;
      this.acknowledgedUs = net.nowUs;
      this.pump();
      this.#watch();
    });
  }

  protected abstract pump(): void;
  protected abstract handleTimeout(): void;
  protected abstract handleAck(pn: number, sent: Sent, lost: number, firstLost: number): void;

  protected get stopped(): boolean {
    return this.net.nowUs > this.stopUs;
  }

  protected emit(): void {
    const pn = this.next++;
    this.unacked.set(pn, { us: this.net.nowUs, delivered: this.acknowledged, deliveredUs: this.acknowledgedUs });
    this.inFlight++;
    this.#out.send(WIRE_BYTES, () => this.#arrive(pn), this.rttUs / 2);
  }

  #arrive(pn: number): void {
    this.deliveredBytes += WIRE_BYTES;
    this.#back.send(ACK_BYTES, () => this.#acknowledge(pn), this.rttUs / 2);
  }

  #acknowledge(pn: number): void {
    const sent = this.unacked.get(pn);
    if (!sent) return;
    this.unacked.delete(pn);
    this.inFlight--;
    this.lastAckUs = this.net.nowUs;
    this.acknowledged++;
    this.acknowledgedUs = this.net.nowUs;
    if (pn > this.highest) this.highest = pn;
    let lost = 0;
    let firstLost = -1;
    let lastLost = -1;
    for (const number of this.unacked.keys()) {
      if (number > this.highest - 3) break;
      this.unacked.delete(number);
      this.inFlight--;
      lost++;
      if (firstLost < 0) firstLost = number;
      lastLost = number;
    }
    this.handleAck(pn, sent, lost, lastLost);
    this.pump();
  }

  #watch(): void {
    if (this.stopped) return;
    if (this.inFlight > 0 && this.net.nowUs - this.lastAckUs > Math.max(1e6, 3 * this.rttUs)) {
      this.inFlight = 0;
      this.unacked.clear();
      this.lastAckUs = this.net.nowUs;
      this.handleTimeout();
    }
    this.pump();
    this.net.after(200_000, () => this.#watch());
  }
}

export class CubicFlow extends TcpFlow {
  #window = 10;
  #threshold = Number.POSITIVE_INFINITY;
  #windowMax = 0;
  #renoWindow = 0;
  #plateauS = 0;
  #epochUs = Number.NaN;
  #recoverUntil = -1;
  #leastRttUs = Number.POSITIVE_INFINITY;
  // HyStart: the least round trip of this round and of the last one.
  #roundEnd = 0;
  #roundRttUs = Number.POSITIVE_INFINITY;
  #lastRoundRttUs = Number.POSITIVE_INFINITY;

  protected pump(): void {
    if (this.stopped) return;
    while (this.inFlight < this.#window) this.emit();
  }

  protected handleTimeout(): void {
    this.#threshold = Math.max(this.#window / 2, 2);
    this.#window = 1;
    this.#epochUs = Number.NaN;
  }

  protected handleAck(pn: number, sent: Sent, lost: number, lastLost: number): void {
    const rtt = this.net.nowUs - sent.us;
    this.#leastRttUs = Math.min(this.#leastRttUs, rtt);
    if (lost > 0 && lastLost > this.#recoverUntil) this.#reduce();
    if (this.#window < this.#threshold) this.#slowStart(pn, rtt);
    else this.#avoidCongestion();
  }

  #reduce(): void {
    this.#recoverUntil = this.next;
    this.#windowMax = this.#window < this.#windowMax ? this.#window * 0.85 : this.#window;
    this.#window = Math.max(2, this.#window * 0.7);
    this.#threshold = this.#window;
    this.#epochUs = Number.NaN;
  }

  #slowStart(pn: number, rtt: number): void {
    this.#window++;
    if (pn >= this.#roundEnd) {
      this.#roundEnd = this.next;
      this.#lastRoundRttUs = this.#roundRttUs;
      this.#roundRttUs = Number.POSITIVE_INFINITY;
    }
    this.#roundRttUs = Math.min(this.#roundRttUs, rtt);
    if (this.#window <= 16 || this.#lastRoundRttUs === Number.POSITIVE_INFINITY) return;
    const rise = Math.min(16_000, Math.max(4000, this.#lastRoundRttUs / 8));
    if (this.#roundRttUs > this.#lastRoundRttUs + rise) this.#threshold = this.#window;
  }

  #avoidCongestion(): void {
    const now = this.net.nowUs;
    if (Number.isNaN(this.#epochUs)) {
      this.#epochUs = now;
      this.#plateauS = Math.cbrt(Math.max(0, this.#windowMax - this.#window) / 0.4);
      this.#renoWindow = this.#window;
    }
    const sinceS = (now - this.#epochUs + this.#leastRttUs) / 1e6;
    const cubic = 0.4 * (sinceS - this.#plateauS) ** 3 + this.#windowMax;
    this.#renoWindow += 0.529 / this.#window;
    const wanted = Math.min(Math.max(cubic, this.#renoWindow), 1.5 * this.#window);
    if (wanted > this.#window) this.#window += (wanted - this.#window) / this.#window;
  }
}

type BbrPhase = 'startup' | 'drain' | 'probe-bandwidth' | 'probe-rtt';

export class BbrFlow extends TcpFlow {
  #phase: BbrPhase = 'startup';
  /** Packets a second: the most of the last ten rounds. */
  #bandwidth = 0;
  readonly #rounds = new Float64Array(10);
  #round = 0;
  #roundEnd = 0;
  #leastRttUs = Number.POSITIVE_INFINITY;
  #leastRttAtUs = 0;
  #fullBandwidth = 0;
  #fullRounds = 0;
  #filled = false;
  #gain = STARTUP_GAIN;
  #windowGain = STARTUP_GAIN;
  #cycle = 0;
  #cycleUs = 0;
  #probeUntilUs = 0;
  #nextSendUs = 0;
  #waiting = false;

  protected pump(): void {
    while (!this.#waiting && !this.stopped && this.inFlight < this.#window()) {
      if (this.#nextSendUs > this.net.nowUs + 0.001) {
        this.#waiting = true;
        this.net.at(this.#nextSendUs, () => {
          this.#waiting = false;
          this.pump();
        });
        return;
      }
      this.#nextSendUs = Math.max(this.net.nowUs, this.#nextSendUs) + 1e6 / this.#rate();
      this.emit();
    }
  }

  protected handleTimeout(): void {}

  protected handleAck(_pn: number, sent: Sent): void {
    const now = this.net.nowUs;
    this.#handleRtt(now, now - sent.us);
    const elapsedUs = Math.max(now - sent.deliveredUs, 1);
    this.#handleBandwidth(sent.delivered, ((this.acknowledged - sent.delivered) * 1e6) / elapsedUs, elapsedUs);
    const bdp = (this.#bandwidth * this.#leastRttUs) / 1e6;
    if (this.#phase === 'drain' && this.inFlight <= bdp) this.#enterProbeBandwidth();
    if (this.#phase === 'probe-bandwidth') this.#advanceCycle(now, bdp);
  }

  #window(): number {
    if (this.#phase === 'probe-rtt') return 4;
    if (this.#bandwidth === 0) return 10;
    return Math.max(4, (this.#windowGain * this.#bandwidth * this.#leastRttUs) / 1e6 + 3);
  }

  #rate(): number {
    return this.#gain * (this.#bandwidth || 10e6 / this.rttUs);
  }

  #handleRtt(now: number, rtt: number): void {
    const expired = this.#leastRttAtUs > 0 && now - this.#leastRttAtUs > 10e6;
    if (expired && rtt > this.#leastRttUs && this.#phase !== 'probe-rtt') {
      this.#phase = 'probe-rtt';
      this.#gain = 1;
      this.#probeUntilUs = 0;
    }
    if (rtt <= this.#leastRttUs || expired) {
      this.#leastRttUs = rtt;
      this.#leastRttAtUs = now;
    }
    if (this.#phase !== 'probe-rtt') return;
    if (this.#probeUntilUs === 0 && this.inFlight <= 4) this.#probeUntilUs = now + 200_000;
    if (this.#probeUntilUs === 0 || now < this.#probeUntilUs) return;
    this.#leastRttAtUs = now;
    if (this.#filled) this.#enterProbeBandwidth();
    else {
      this.#phase = 'startup';
      this.#gain = STARTUP_GAIN;
      this.#windowGain = STARTUP_GAIN;
    }
  }

  #handleBandwidth(delivered: number, bandwidth: number, elapsedUs: number): void {
    if (delivered >= this.#roundEnd) {
      this.#roundEnd = this.acknowledged;
      this.#round++;
      this.#rounds[this.#round % 10] = 0;
      if (this.#phase === 'startup') this.#checkFull();
    }
    if (elapsedUs < 0.9 * this.#leastRttUs) return;
    const i = this.#round % 10;
    this.#rounds[i] = Math.max(this.#rounds[i]!, bandwidth);
    this.#bandwidth = Math.max(...this.#rounds);
  }

  #checkFull(): void {
    if (this.#bandwidth >= this.#fullBandwidth * 1.25) {
      this.#fullBandwidth = this.#bandwidth;
      this.#fullRounds = 0;
    } else if (++this.#fullRounds >= 3) {
      this.#filled = true;
      this.#phase = 'drain';
      this.#gain = 1 / STARTUP_GAIN;
    }
  }

  #enterProbeBandwidth(): void {
    this.#phase = 'probe-bandwidth';
    this.#windowGain = 2;
    this.#gain = 1;
    this.#cycle = 2 + Math.floor(this.net.random() * 6);
    this.#cycleUs = this.net.nowUs;
  }

  #advanceCycle(now: number, bdp: number): void {
    const elapsedUs = now - this.#cycleUs;
    let advance = elapsedUs > this.#leastRttUs;
    if (this.#gain === 1.25) advance &&= this.inFlight >= 1.25 * bdp || elapsedUs > 3 * this.#leastRttUs;
    if (this.#gain === 0.75) advance ||= this.inFlight <= bdp;
    if (!advance) return;
    this.#cycle = (this.#cycle + 1) % 8;
    this.#cycleUs = now;
    this.#gain = this.#cycle === 0 ? 1.25 : this.#cycle === 1 ? 0.75 : 1;
  }
}

const STARTUP_GAIN = 2.885;
