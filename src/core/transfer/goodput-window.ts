/** Goodput over a stretch of time, from requests that take a good part of it. */

export interface WindowResult {
  /** Bytes a millisecond. */
  readonly rate: number;
  /** Requests in flight, on the average. */
  readonly streams: number;
}

/**
 * Counting whole requests at the moment they end would be wrong by one request a stream, so the bytes of each are spread
 * evenly over its time, and only the part inside the window counts. That part is known once the requests that were in flight
 * at the end have ended, so the result comes a little later than the window ends.
 */
export class GoodputWindow {
  readonly #startMs: number;
  readonly #endMs: number;
  #bytes = 0;
  #busyMs = 0;
  #later = 0;

  constructor(startMs: number, lengthMs: number) {
    this.#startMs = startMs;
    this.#endMs = startMs + lengthMs;
  }

  /** `streams`: how many are wanted in flight. 'open' until the result is known. */
  handleChunk(chunk: { nowMs: number; startedMs: number; bytes: number }, streams: number): WindowResult | 'open' {
    const tookMs = Math.max(0.1, chunk.nowMs - chunk.startedMs);
    const insideMs = Math.min(chunk.nowMs, this.#endMs) - Math.max(chunk.startedMs, this.#startMs);
    if (insideMs > 0) {
      this.#bytes += (chunk.bytes * insideMs) / tookMs;
      this.#busyMs += insideMs;
    }
    if (chunk.startedMs >= this.#endMs) this.#later++;
    const lengthMs = this.#endMs - this.#startMs;
    // One later request a stream has ended, so the earlier ones have too. One that hangs is not waited for.
    if (this.#later < streams && chunk.nowMs < this.#endMs + lengthMs) return 'open';
    return { rate: this.#bytes / lengthMs, streams: this.#busyMs / lengthMs };
  }
}
