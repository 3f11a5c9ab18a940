/** How fast bytes of content move over one network while there are any to move. */

export interface RateMeter {
  /** For choosing: null when nothing was measured, or not for long. */
  readonly bytesPerSecond: number | null;
  /** For people: what was measured last, however long ago. */
  readonly lately: number | null;
  /** A request begins, or ends. */
  begin(): void;
  end(): void;
  count(bytes: number): void;
  forget(): void;
}

export function createRateMeter(nowMs: () => number): RateMeter {
  let running = 0;
  let sinceMs = 0;
  let busyMs = 0;
  let bytes = 0;
  let rate: number | null = null;
  let measuredMs = Number.NEGATIVE_INFINITY;

  function settle(): void {
    const now = nowMs();
    if (running > 0) busyMs += now - sinceMs;
    sinceMs = now;
    if (bytes < LEAST_BYTES || busyMs < WINDOW_MS) return;
    const measured = (bytes / busyMs) * 1000;
    rate = rate === null ? measured : (rate + measured) / 2;
    measuredMs = now;
    bytes = busyMs = 0;
  }

  return {
    get bytesPerSecond() {
      settle();
      return nowMs() - measuredMs > FORGET_MS && running === 0 ? null : rate;
    },
    get lately() {
      settle();
      return rate;
    },
    begin() {
      settle();
      running++;
    },
    end() {
      settle();
      running--;
      // What is left of a short run of questions says nothing about the next content.
      if (running === 0 && bytes < LEAST_BYTES) bytes = busyMs = 0;
    },
    count(more) {
      bytes += more;
      settle();
    },
    forget() {
      rate = null;
      bytes = busyMs = 0;
    },
  };
}

/** Of time with something to move. Uploads count by the request, so that less would tell nothing. */
const WINDOW_MS = 500;
const LEAST_BYTES = 64 * 1024;
/** A path that was slow may be so no longer: it is tried again. */
const FORGET_MS = 10_000;
