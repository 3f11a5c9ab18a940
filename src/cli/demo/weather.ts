/** One direction of a bad link, as a calculation: when a datagram arrives at the other end, or what became of it. */

export interface Weather {
  /** Part of the datagrams that is lost, 0 to 1. */
  readonly lossShare: number;
  /** One way. */
  readonly delayMs: number;
  readonly bitsPerSecond: number;
  /** What the link holds back at its rate before it drops. */
  readonly queueMs: number;
  /** The same seed and the same arrivals give the same losses. */
  readonly seed: number;
}

/** `lost`: on the way, so that it took its time on the link. `dropped`: the queue was full. */
export type Fate = 'lost' | 'dropped' | { readonly arrivesMs: number };

export interface WeatherLink {
  /** `bytes` of UDP payload come in at `nowMs`, which never goes back. What arrives keeps its order. */
  take(nowMs: number, bytes: number): Fate;
}

export function createWeatherLink({ lossShare, delayMs, bitsPerSecond, queueMs, seed }: Weather): WeatherLink {
  const random = randomOf(seed);
  let freeMs = 0;
  return {
    take(nowMs, bytes) {
      if (freeMs < nowMs) freeMs = nowMs;
      if (freeMs - nowMs > queueMs) return 'dropped';
      freeMs += ((bytes + IP_UDP_BYTES) * 8000) / bitsPerSecond;
      return random() < lossShare ? 'lost' : { arrivesMs: freeMs + delayMs };
    },
  };
}

/**
 * Content bytes a second that such a link can carry in full packets of the lane: `payloadBytes` in each of `packetBytes` (with IP
 * and UDP headers), of which the lost ones took their time too.
 */
export function weatherLimit(
  { bitsPerSecond, lossShare }: Pick<Weather, 'bitsPerSecond' | 'lossShare'>,
  payloadBytes: number,
  packetBytes: number,
): number {
  return (bitsPerSecond / 8) * (payloadBytes / packetBytes) * (1 - lossShare);
}

/** mulberry32 (Tommy Ettinger, public domain): numbers from 0 to 1. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const IP_UDP_BYTES = 28;
