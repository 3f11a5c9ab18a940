/** How fast bytes move over one transport, by the time in which anything was under way on it. */

export interface TrafficMeter {
  readonly activeMs: number;
  readonly bytesPerSecond: number;
  count(bytes: number): void;
  /** Something is under way; returns how to say that it is over. */
  begin(): () => void;
  reset(): void;
}

export function createTrafficMeter(nowMs: () => number): TrafficMeter {
  let bytes = 0;
  let activeMs = 0;
  let running = 0;
  let sinceMs = 0;
  const settle = (): void => {
    const now = nowMs();
    if (running > 0) activeMs += now - sinceMs;
    sinceMs = now;
  };
  return {
    get activeMs() {
      settle();
      return activeMs;
    },
    get bytesPerSecond() {
      settle();
      return activeMs > 0 ? (bytes / activeMs) * 1000 : 0;
    },
    count(more) {
      bytes += more;
    },
    begin() {
      settle();
      running++;
      let over = false;
      return () => {
        if (over) return;
        over = true;
        settle();
        running--;
      };
    },
    reset() {
      bytes = activeMs = 0;
      sinceMs = nowMs();
    },
  };
}
