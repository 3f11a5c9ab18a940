/** A limit on a rate. */

export interface TokenBucketOptions {
  readonly rateBytesPerSecond: number;
  /** What may go at once after a pause. Default: 100 ms of the rate, at least 64 KiB. */
  readonly burstBytes?: number;
}

/**
 * Holds a flow to a rate. `take` always grants and says how long to wait before the bytes may go: debt is allowed, so that a
 * piece larger than the burst passes too, and so that callers queue in the order in which they asked.
 *
 * @example
 * const bucket = new TokenBucket({ rateBytesPerSecond: 1_000_000 });
 * const waitMs = bucket.take(nowMs, 500_000);
 */
export class TokenBucket {
  readonly rateBytesPerSecond: number;
  readonly burstBytes: number;
  /** Negative: debt. */
  #level: number;
  #atMs: number | null = null;

  constructor({ rateBytesPerSecond, burstBytes }: TokenBucketOptions) {
    if (!(rateBytesPerSecond > 0)) throw new RangeError(`A rate must be above 0 bytes/s, and ${rateBytesPerSecond} is not.`);
    this.rateBytesPerSecond = rateBytesPerSecond;
    this.burstBytes = burstBytes ?? Math.max(64 * 1024, rateBytesPerSecond / 10);
    this.#level = this.burstBytes;
  }

  /** Takes `bytes` and returns the milliseconds to wait before they may go; 0 when they fit. */
  take(nowMs: number, bytes: number): number {
    // A clock that went back gives nothing and takes nothing.
    const elapsedMs = Math.max(0, nowMs - (this.#atMs ?? nowMs));
    this.#atMs = nowMs;
    this.#level = Math.min(this.burstBytes, this.#level + (elapsedMs * this.rateBytesPerSecond) / 1000) - bytes;
    return this.#level >= 0 ? 0 : (-this.#level * 1000) / this.rateBytesPerSecond;
  }
}
