/**
 * Spreads packets over time: a budget of bytes that grows at the rate and is spent by what is sent. A late timer is made good by
 * a burst, but a short one: what a stalled process did not send is not sent all at once afterwards.
 */
import type { Us } from './contract.ts';

export class Pacer {
  #rate: number;
  #budgetBytes: number;
  #accruedUs: Us;
  #promisedUs: Us = Number.NaN;
  #lateUs = 0;
  #catchUpUs = 0;
  #mostBurstUs = Number.POSITIVE_INFINITY;

  constructor(nowUs: Us, bytesPerSecond: number) {
    this.#accruedUs = nowUs;
    this.#rate = bytesPerSecond;
    this.#budgetBytes = MIN_BURST_BYTES;
  }

  /** `mostBurstUs`: what the path can take at once. */
  setRate(nowUs: Us, bytesPerSecond: number, mostBurstUs: Us = Number.POSITIVE_INFINITY): void {
    if (bytesPerSecond === this.#rate && mostBurstUs === this.#mostBurstUs) return;
    this.#accrue(nowUs);
    this.#rate = bytesPerSecond;
    this.#mostBurstUs = mostBurstUs;
    this.#budgetBytes = Math.min(this.#budgetBytes, this.#burstBytes());
  }

  canSend(nowUs: Us, bytes: number): boolean {
    this.#accrue(nowUs);
    return this.#budgetBytes >= bytes - ROUNDING_BYTES;
  }

  handleSent(nowUs: Us, bytes: number): void {
    this.#accrue(nowUs);
    this.#budgetBytes -= bytes;
  }

  /** When canSend becomes true; Infinity at rate 0. */
  nextUs(nowUs: Us, bytes: number): Us {
    this.#accrue(nowUs);
    const missing = bytes - this.#budgetBytes;
    if (missing <= ROUNDING_BYTES) return nowUs;
    if (!(this.#rate > 0)) return Number.POSITIVE_INFINITY;
    this.#promisedUs = nowUs + (missing / this.#rate) * 1e6;
    return this.#promisedUs;
  }

  #accrue(nowUs: Us): void {
    if (nowUs >= this.#promisedUs) {
      // How late timers usually are on this machine (1 ms on Linux, up to 16 ms on Windows) sets the burst; a lone stall does not.
      const late = nowUs - this.#promisedUs;
      this.#lateUs += (Math.min(late, MAX_TICK_US) - this.#lateUs) / 64;
      this.#catchUpUs = Math.min(late, MAX_CATCH_UP_US);
      this.#promisedUs = Number.NaN;
    }
    if (nowUs <= this.#accruedUs) return;
    const grown = this.#budgetBytes + (this.#rate * (nowUs - this.#accruedUs)) / 1e6;
    this.#budgetBytes = Math.min(grown, this.#burstBytes());
    this.#accruedUs = nowUs;
  }

  #burstBytes(): number {
    const burstUs = Math.min(Math.max(MIN_BURST_US, 2 * this.#lateUs, this.#catchUpUs), this.#mostBurstUs);
    return Math.max(MIN_BURST_BYTES, (this.#rate * burstUs) / 1e6);
  }
}

/** Two full packets, so that a slow path can send one when its timer fires late. */
const MIN_BURST_BYTES = 2 * 1400;
/** Four ticks of a millisecond timer. */
const MIN_BURST_US = 4000;
const MAX_TICK_US = 16_000;
/** After a stall, what drained from the path's queue meanwhile is made good: about its target, and not all that was missed. */
const MAX_CATCH_UP_US = 12_000;
const ROUNDING_BYTES = 1e-3;
