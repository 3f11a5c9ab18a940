/** Rounds and what is made of them. */

export interface Contender<Result> {
  readonly name: string;
  run(round: number): Promise<Result>;
}

/**
 * Everyone once per round, each round beginning with another, so that what drifts on the machine hits all alike. Round 0 is
 * a warm-up and does not count.
 */
export async function interleave<Result>(
  contenders: readonly Contender<Result>[],
  rounds: number,
  onResult: (name: string, round: number, result: Result) => void,
): Promise<Map<string, Result[]>> {
  const results = new Map<string, Result[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (let i = 0; i < contenders.length; i++) {
      const { name, run } = contenders[(i + round) % contenders.length]!;
      const result = await run(round);
      onResult(name, round, result);
      if (round > 0) results.get(name)!.push(result);
    }
  }
  return results;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

/** A generator of numbers from 0 to 1 that repeats itself for a seed (mulberry32, public domain, Tommy Ettinger). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const seconds = (ms: number) => `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
export const rate = (bytes: number, ms: number) => `${(bytes / ms / 1000).toFixed(0)} MB/s`;
export const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
export const times = (factor: number) => `${factor.toFixed(2)}`;
export const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
