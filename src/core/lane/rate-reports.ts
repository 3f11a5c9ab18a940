/** What acknowledgements have reported so far: up to which packet, what is still in the pipe, and which delays are to be believed. */
import type { Us } from './contract.ts';
import type { PacketLog } from './packet-log.ts';
import type { RateState } from './rate-state.ts';

export interface AckFacts {
  /** The largest packet number that it reports. */
  readonly largest: number;
  /** When it was made, on the receiver's clock. */
  readonly ackTimeUs: number;
  /** How late the receiver's event loop was at worst since the last one. */
  readonly lagMs: number;
}

export class Reports {
  /** The largest packet number that was acknowledged; -1: none. */
  largest = -1;
  /** Every packet before it is acknowledged, lost or unknown. */
  settled: number;
  /** Sent after the largest acknowledged packet: everything older has left the network. */
  pipeBytes = 0;
  readonly #log: PacketLog;
  readonly #state: RateState;
  /** Share of acknowledgements that came from a late receiver. */
  #lagShare = 0;

  constructor(log: PacketLog, state: RateState) {
    this.#log = log;
    this.#state = state;
    this.settled = log.next;
  }

  /** Half of what the path lets through of the newest 16 packets arrived: what was silent was the way back. */
  get pathIsAlive(): boolean {
    let acked = 0;
    for (let pn = this.largest; pn > this.largest - 16; pn--) if (this.#log.isAcked(pn)) acked++;
    return acked >= 8 * (1 - this.#state.loss.rate);
  }

  handleSent(pn: number): void {
    this.pipeBytes += this.#log.wireBytes(pn);
  }

  handleAck(nowUs: Us, largest: number, lagMs: number): void {
    const log = this.#log;
    const lagged = lagMs * 1000 > LAG_US;
    this.#lagShare += ((lagged ? 1 : 0) - this.#lagShare) / 32;
    // A process that was late stamped its packets late. One that is always late is what the path is like.
    const discard = lagged && this.#lagShare < 0.5;
    for (let pn = this.largest + 1; pn <= largest; pn++) {
      this.pipeBytes -= log.wireBytes(pn);
      const arrival = log.arrivalUs(pn);
      if (Number.isNaN(arrival)) continue;
      this.#state.base.observe(nowUs, arrival - log.sentUs(pn));
      if (discard) log.setArrival(pn, Number.NaN);
    }
    this.largest = largest;
  }

  settle(nowUs: Us): void {
    const log = this.#log;
    const { srttUs } = this.#state;
    const patienceUs = srttUs + Math.max(50_000, srttUs / 2);
    while (this.settled <= this.largest) {
      // A packet that nobody declares lost must not hold decisions up for ever.
      if (log.isOutstanding(this.settled) && nowUs - log.sentUs(this.settled) < patienceUs) return;
      this.settled++;
    }
  }

  /** Nothing that was sent so far is to be judged. */
  skipInFlight(): void {
    this.settled = this.#log.next;
  }

  /** Everything sent has arrived, as is known from elsewhere. */
  handleDelivered(): void {
    this.largest = this.#log.next - 1;
    this.settled = this.#log.next;
    this.pipeBytes = 0;
  }

  /** After silence: what was on its way then is not to be judged. */
  skipToLargest(): void {
    this.settled = Math.max(this.settled, this.largest);
  }
}

/** An event loop that was later than this spoils the arrival times taken after it. */
export const LAG_US = 8000;
