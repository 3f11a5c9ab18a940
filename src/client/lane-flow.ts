/** How many requests go over a lane or several networks at once, and how long each is. */
import type { LaneSnapshot } from '../core/lane/contract.ts';
import type { PathInfo } from '../transport/contract.ts';

export type FlowPath = Pick<PathInfo, 'rttMs' | 'lane' | 'paths'>;

/**
 * A lane sends its streams one after another, so that more of them bring nothing. Those that may wait for their answers must cover
 * four times what the path holds, for what is lost waits for another round trip; beyond that, smaller requests are safe sooner.
 */
export function laneChunkBytes({ paths }: LaneSnapshot): number {
  let bytes = 0;
  for (const { rateBytesPerSecond, rttUs } of paths) bytes += (rateBytesPerSecond * (2 * rttUs + 500_000)) / 1e6;
  const wanted = 2 ** Math.ceil(Math.log2((2 * bytes) / MOST_LANE_REQUESTS + 1));
  return Math.min(MAX_LANE_CHUNK_BYTES, Math.max(MIN_LANE_CHUNK_BYTES, wanted));
}

/**
 * Makes each request another size, half to one and a half of what is wanted: whatever they share a rate with, requests that began
 * together do not end together, with the link waiting a round trip for the next ones.
 */
export function createSpread(): (bytes: number) => number {
  let phase = 0;
  return (bytes) => {
    phase = (phase + GOLDEN_RATIO) % 1;
    return Math.round(bytes * (0.5 + phase));
  };
}

/** Of requests over several networks, so that none is idle while there is something to move; 0 where there is but one. */
export function leastStreams({ paths = [] }: FlowPath): number {
  const used = paths.filter(({ state }) => state === 'active').length;
  return used > 1 ? used * STREAMS_A_NETWORK : 0;
}

/** Of a request for bytes: what the path carries is the server's to know. */
export const LANE_RUN_BYTES = 4 * 1024 * 1024;
const GOLDEN_RATIO = 0.618;
export const LANE_STREAMS = 6;
/** What has been sent waits for its last lost packets, several round trips on a bad link, while others send. A lane has as many streams. */
export const MOST_LANE_REQUESTS = 24;
/** One moves while another waits for its answer, and the faster network has room for a third. */
const STREAMS_A_NETWORK = 3;
const MIN_LANE_CHUNK_BYTES = 512 * 1024;
const MAX_LANE_CHUNK_BYTES = 8 * 1024 * 1024;
