/**
 * What a path's sender knows of every data packet it sent: when, how large, and what became of it. Typed-array rings indexed by
 * packet number; numbers are never reused, and a number older than the rings reads as unknown.
 */
import type { Us } from './contract.ts';
import { PACKET_LOG_SIZE } from './contract.ts';

const OUTSTANDING = 1;
const ACKED = 2;
const LOST = 3;
const SKIPPED = 4;
const UNKNOWN = 0;

const MASK = PACKET_LOG_SIZE - 1;

export class PacketLog {
  /** Number of the next packet. */
  next = 0;
  /** -1: nothing is acknowledged yet. */
  largestAcked = -1;

  readonly #sentUs = new Float64Array(PACKET_LOG_SIZE);
  readonly #arrivalUs = new Float64Array(PACKET_LOG_SIZE);
  readonly #wireBytes = new Uint16Array(PACKET_LOG_SIZE);
  readonly #fate = new Uint8Array(PACKET_LOG_SIZE);

  /** Takes the next number for a packet of so many bytes on the wire (IP and UDP headers included), and returns it. */
  add(sentUs: Us, wireBytes: number): number {
    const pn = this.next++;
    this.#fill(pn, sentUs, wireBytes, OUTSTANDING);
    return pn;
  }

  /** Leaves a number out, so that a peer that acknowledges what it did not receive gives itself away (RFC 9000, 21.4). */
  skip(): void {
    this.#fill(this.next++, 0, 0, SKIPPED);
  }

  sentUs(pn: number): Us {
    return this.#holds(pn) ? (this.#sentUs[pn & MASK] ?? 0) : Number.NaN;
  }

  wireBytes(pn: number): number {
    return this.#holds(pn) ? (this.#wireBytes[pn & MASK] ?? 0) : 0;
  }

  /** On the receiver's clock; NaN when the receiver did not say. */
  arrivalUs(pn: number): number {
    return this.#holds(pn) ? (this.#arrivalUs[pn & MASK] ?? 0) : Number.NaN;
  }

  isAcked(pn: number): boolean {
    return this.#is(pn, ACKED);
  }

  isLost(pn: number): boolean {
    return this.#is(pn, LOST);
  }

  /** Sent, and neither acknowledged nor held lost. */
  isOutstanding(pn: number): boolean {
    return this.#is(pn, OUTSTANDING);
  }

  isSkipped(pn: number): boolean {
    return this.#is(pn, SKIPPED);
  }

  /** No acknowledgement that covered it arrived, and none will: it counts neither as received nor as lost. */
  isUnknown(pn: number): boolean {
    return !this.#holds(pn) || this.#fate[pn & MASK] === UNKNOWN;
  }

  setAcked(pn: number): void {
    if (!this.#holds(pn)) return;
    this.#fate[pn & MASK] = ACKED;
    if (pn > this.largestAcked) this.largestAcked = pn;
  }

  setLost(pn: number): void {
    if (this.#holds(pn)) this.#fate[pn & MASK] = LOST;
  }

  /**
   * For packets between the end of one acknowledgement's bitmap and the start of the next one's, when those between were lost:
   * their fate stays unknown for ever, and taking them for lost would read a loss on the way back as congestion on the way out.
   */
  setUnknown(pn: number): void {
    if (this.#holds(pn)) this.#fate[pn & MASK] = UNKNOWN;
  }

  setArrival(pn: number, us: number): void {
    if (this.#holds(pn)) this.#arrivalUs[pn & MASK] = us;
  }

  #fill(pn: number, sentUs: Us, wireBytes: number, fate: number): void {
    const i = pn & MASK;
    this.#sentUs[i] = sentUs;
    this.#arrivalUs[i] = Number.NaN;
    this.#wireBytes[i] = wireBytes;
    this.#fate[i] = fate;
  }

  #holds(pn: number): boolean {
    return pn >= 0 && pn < this.next && pn >= this.next - PACKET_LOG_SIZE;
  }

  #is(pn: number, fate: number): boolean {
    return this.#fate[pn & MASK] === fate && this.#holds(pn);
  }
}
