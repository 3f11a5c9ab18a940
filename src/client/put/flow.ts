/** How many requests carry bytes at once, and how long each is: measured, unless the user said. */
import { HawserError } from '../../core/errors.ts';
import { Adaptive } from '../../core/transfer/adaptive.ts';
import type { TransferOptions } from '../contract.ts';
import { createSpread, type FlowPath, LANE_STREAMS, laneChunkBytes, leastStreams, MOST_LANE_REQUESTS } from '../lane-flow.ts';
import { isNextDoor } from '../next-door.ts';
import { PIECE_BYTES } from './source-file.ts';

export interface Flow {
  readonly streams: number;
  readonly chunkBytes: number;
  /** Longest piece of a request that is handed to the transport at once. */
  readonly sliceBytes: number;
  /** How much of a file is read at once. */
  readonly pieceBytes: number;
  /** Most requests at once, with those that have sent all and wait for the answer. */
  readonly requests: number;
  /** Requests in flight with many small files in each. */
  readonly packs: number;
  /** A request went through: `startedMs` by performance.now. */
  handleSent(bytes: number, startedMs: number): void;
  handleFailure(error: unknown): void;
}

/** `path`: what the transport has seen so far. */
export function createFlow(options: TransferOptions, path: () => FlowPath): Flow {
  const rttMs = () => path().rttMs;
  const adaptive = new Adaptive({ maxStreams: MAX_STREAMS, fixedStreams: options.parallel, fixedChunkBytes: options.chunkBytes });
  const spread = createSpread();
  return {
    get streams() {
      const seen = path();
      if (options.parallel !== undefined) return adaptive.streams;
      if (seen.lane) return LANE_STREAMS;
      return isNextDoor(seen) ? 1 : Math.max(leastStreams(seen), adaptive.streams);
    },
    get requests() {
      if (options.parallel !== undefined) return options.parallel;
      return path().lane ? MOST_LANE_REQUESTS : Math.max(this.streams, Math.min(2 * this.streams, MAX_STREAMS));
    },
    get chunkBytes() {
      const { lane } = path();
      return options.chunkBytes === undefined && lane ? spread(laneChunkBytes(lane)) : adaptive.chunkBytes;
    },
    get sliceBytes() {
      // A lane takes memory of this size, and sends one stream after another. Over HTTPS many share a link that may be slow.
      return path().lane ? MOST_SLICE_BYTES : Math.min(MOST_SLICE_BYTES, adaptive.chunkBytes / 4);
    },
    get pieceBytes() {
      // Most of a lane's streams wait for their turn, each with what was read for it.
      return path().lane ? MOST_SLICE_BYTES : PIECE_BYTES;
    },
    packs: Math.min(MAX_PACKS, options.parallel ?? MAX_PACKS),
    handleSent(bytes, startedMs) {
      const rtt = rttMs();
      if (rtt !== null) adaptive.handleRtt(rtt);
      adaptive.handleChunkDone({ nowMs: performance.now(), startedMs, bytes });
    },
    handleFailure(error) {
      if (error instanceof HawserError) adaptive.handleFailure(performance.now(), error.facts.class);
    },
  };
}

export const MOST_SLICE_BYTES = 256 * 1024;
const MAX_STREAMS = 16;
/** One travels while the server stores another, and a third waits; each holds its memory. */
const MAX_PACKS = 3;
