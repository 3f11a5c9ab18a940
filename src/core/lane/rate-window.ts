/** The largest of what was seen lately, in bins, so that nothing is kept per value. For the smallest, negate. */
import type { Us } from './contract.ts';

export class WindowedMax {
  readonly #binUs: Us;
  readonly #epochs: Float64Array;
  readonly #values: Float64Array;

  constructor(binUs: Us, bins: number) {
    this.#binUs = binUs;
    this.#epochs = new Float64Array(bins).fill(Number.NEGATIVE_INFINITY);
    this.#values = new Float64Array(bins);
  }

  add(nowUs: Us, value: number): void {
    const epoch = Math.floor(nowUs / this.#binUs);
    const i = ((epoch % this.#epochs.length) + this.#epochs.length) % this.#epochs.length;
    if (this.#epochs[i] === epoch) {
      if (value > this.#values[i]!) this.#values[i] = value;
    } else {
      this.#epochs[i] = epoch;
      this.#values[i] = value;
    }
  }

  /** Over the last `bins` bins, the current one included; -Infinity when nothing was seen in them. */
  max(nowUs: Us, bins = this.#epochs.length): number {
    const oldest = Math.floor(nowUs / this.#binUs) - bins;
    let max = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < this.#epochs.length; i++) {
      if (this.#epochs[i]! > oldest && this.#values[i]! > max) max = this.#values[i]!;
    }
    return max;
  }

  clear(): void {
    this.#epochs.fill(Number.NEGATIVE_INFINITY);
  }
}

/**
 * The one-way delay of an empty queue: the least delay seen in the last 12 s, on clocks that need not agree, for only
 * differences of delays are used (RFC 6817, 3.4.1 calls it the base delay). While a competitor is suspected of never letting the
 * queue empty, the last 30 s are looked at.
 */
export class BaseDelay {
  readonly #least = new WindowedMax(BIN_US, LONG_BINS);

  observe(nowUs: Us, delayUs: Us): void {
    this.#least.add(nowUs, -delayUs);
  }

  /** Infinity when nothing was seen. */
  us(nowUs: Us, long: boolean): Us {
    return -this.#least.max(nowUs, long ? LONG_BINS : SHORT_BINS);
  }

  /** The path changed: what was seen before says nothing. */
  reset(nowUs?: Us, delayUs?: Us): void {
    this.#least.clear();
    if (nowUs !== undefined && delayUs !== undefined) this.observe(nowUs, delayUs);
  }
}

const BIN_US = 500_000;
const SHORT_BINS = 24;
const LONG_BINS = 60;
