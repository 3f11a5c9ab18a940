/** Measures the path to a server for `hawser doctor`: bounded in bytes and in time. */
import { performance } from 'node:perf_hooks';
import type { Api, CallOptions } from './api-contract.ts';

export interface ProbeResult {
  readonly rttMs: { readonly min: number; readonly median: number; readonly samples: number };
  readonly sendBytesPerSecond: number;
  readonly receiveBytesPerSecond: number;
}

/** `bytes`: most in each direction and request; default 64 MiB, which is also the most that a server takes. */
export async function probe(
  api: Pick<Api, 'health' | 'probeSend' | 'probeReceive'>,
  { bytes = MOST_BYTES, signal }: { bytes?: number; signal?: AbortSignal } = {},
): Promise<ProbeResult> {
  const options: CallOptions = signal ? { signal } : {};
  const most = Math.max(1, Math.min(Math.floor(bytes), MOST_BYTES));
  const rttMs = await roundTrips(() => api.health(options));
  const sendBytesPerSecond = await speed((bytes) => api.probeSend(bytes, options), most);
  const receiveBytesPerSecond = await speed((bytes) => api.probeReceive(bytes, options), most);
  return { rttMs, sendBytesPerSecond, receiveBytesPerSecond };
}

async function roundTrips(ask: () => Promise<unknown>): Promise<ProbeResult['rttMs']> {
  // The first one also opens the connection, which is two round trips more.
  await ask();
  const times: number[] = [];
  const startedMs = performance.now();
  while (times.length < MOST_SAMPLES && (times.length === 0 || performance.now() - startedMs < MOST_RTT_MS)) {
    const askedMs = performance.now();
    await ask();
    times.push(performance.now() - askedMs);
  }
  times.sort((a, b) => a - b);
  return { min: times[0]!, median: times[times.length >> 1]!, samples: times.length };
}

/** Larger and larger, until one takes about a second: small ones measure the start of the connection, not its speed. */
async function speed(move: (bytes: number) => Promise<{ bytes: number; ms: number }>, most: number): Promise<number> {
  let bytes = Math.min(FIRST_BYTES, most);
  let best = 0;
  for (;;) {
    const startedMs = performance.now();
    const moved = await move(bytes);
    const tookMs = performance.now() - startedMs;
    // A measured time of nothing (all of it came at once) says less than the whole round trip does.
    best = Math.max(best, (moved.bytes * 1000) / Math.max(moved.ms >= 1 ? moved.ms : tookMs, 0.001));
    if (bytes >= most || tookMs >= ENOUGH_MS) return best;
    const growth = Math.min(Math.max(AIM_MS / tookMs, 2), 16);
    bytes = Math.min(Math.ceil(bytes * growth), most);
  }
}

const MOST_BYTES = 64 * 1024 * 1024;
const FIRST_BYTES = 256 * 1024;
const MOST_SAMPLES = 10;
const MOST_RTT_MS = 5000;
const AIM_MS = 1000;
const ENOUGH_MS = 700;
