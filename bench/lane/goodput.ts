/** Speeds out of samples of how many bytes had arrived when. */

export interface Sample {
  readonly ms: number;
  readonly bytes: number;
}

/**
 * Bytes a second over the middle 80 % of the bytes that moved, so that neither start nor tail counts. Bytes arrive as whole
 * chunks, so it is measured from one arrival to another, never from within a wait. When next to nothing arrived: the mean of
 * `totalMs`.
 */
export function middleGoodput(samples: readonly Sample[], totalMs: number): number {
  const arrivals = samples.filter(({ bytes }, i) => bytes > (samples[i - 1]?.bytes ?? 0));
  const total = arrivals.at(-1)?.bytes ?? 0;
  const first = arrivals.find(({ bytes }) => bytes >= total * 0.1);
  const last = arrivals.findLast(({ bytes }) => bytes <= total * 0.9);
  if (first === undefined || last === undefined || last.ms <= first.ms) return (total / totalMs) * 1000;
  return ((last.bytes - first.bytes) / (last.ms - first.ms)) * 1000;
}

/** Bytes a second between two instants. */
export function goodputBetween(samples: readonly Sample[], fromMs: number, toMs: number): number {
  return ((bytesAt(samples, toMs) - bytesAt(samples, fromMs)) / (toMs - fromMs)) * 1000;
}

/** The longest time without a new byte, from `fromMs` on. */
export function longestGapMs(samples: readonly Sample[], fromMs: number): number {
  let [gapMs, sinceMs, bytes] = [0, fromMs, bytesAt(samples, fromMs)];
  for (const sample of samples) {
    if (sample.ms <= fromMs || sample.bytes <= bytes) continue;
    gapMs = Math.max(gapMs, sample.ms - sinceMs);
    [sinceMs, bytes] = [sample.ms, sample.bytes];
  }
  return gapMs;
}

/** Jain's fairness index (Jain, Chiu, Hawe 1984): 1 when all get the same, 1/n when one gets everything. */
export function jain(shares: readonly number[]): number {
  const sum = shares.reduce((total, share) => total + share, 0);
  return (sum * sum) / (shares.length * shares.reduce((total, share) => total + share * share, 0));
}

/** Between two samples in proportion: chunks are small against the times that this is used for. */
function bytesAt(samples: readonly Sample[], ms: number): number {
  const after = samples.findIndex((sample) => sample.ms >= ms);
  if (after < 0) return samples.at(-1)?.bytes ?? 0;
  const [one, two] = [samples[after - 1] ?? { ms: 0, bytes: 0 }, samples[after]!];
  return two.ms === one.ms ? two.bytes : one.bytes + ((two.bytes - one.bytes) * (ms - one.ms)) / (two.ms - one.ms);
}
