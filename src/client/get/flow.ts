/** How many streams fetch blocks at once, and how much each asks for: measured, unless the user said. */
import { HawserError } from '../../core/errors.ts';
import { Adaptive } from '../../core/transfer/adaptive.ts';
import type { TransferOptions } from '../contract.ts';
import { createSpread, type FlowPath, LANE_RUN_BYTES, LANE_STREAMS, leastStreams } from '../lane-flow.ts';
import { isNextDoor } from '../next-door.ts';
import { createSlots, type Slots } from '../slots.ts';

export interface Flow {
  readonly streams: number;
  readonly chunkBytes: number;
  /** When so much of a run is missing the next is asked for, so that the server has it ready. */
  readonly overlapBytes: number;
  /** There will never be more streams than this. */
  readonly maxStreams: number;
  /** Requests in flight with many small files in each. */
  readonly packs: number;
  /** One for each stream, shared by all files that are being fetched. */
  readonly slots: Slots;
  /** A request went through: `startedMs` by performance.now. */
  handleRun(bytes: number, startedMs: number): void;
  handleFailure(error: unknown): void;
}

/** `path`: what the transport has seen so far. */
export function createFlow(options: TransferOptions, path: () => FlowPath): Flow {
  const adaptive = new Adaptive({
    maxStreams: MAX_STREAMS,
    fixedStreams: options.parallel,
    fixedChunkBytes: options.chunkBytes,
  });
  const handleRtt = () => {
    const ms = path().rttMs;
    if (ms !== null) adaptive.handleRtt(ms);
  };
  handleRtt();
  const nextDoor = () => options.parallel === undefined && isNextDoor(path());
  const streams = () => {
    const seen = path();
    if (options.parallel !== undefined) return adaptive.streams;
    if (seen.lane) return LANE_STREAMS;
    return isNextDoor(seen) ? 1 : Math.max(leastStreams(seen), adaptive.streams);
  };
  const spread = createSpread();
  const slots = createSlots(streams);
  return {
    get streams() {
      return streams();
    },
    get chunkBytes() {
      return options.chunkBytes === undefined && path().lane ? spread(LANE_RUN_BYTES) : adaptive.chunkBytes;
    },
    get overlapBytes() {
      // What is asked for comes as far as the kernel takes it, whatever the rate.
      return nextDoor() && options.limitRateBytesPerSecond === undefined ? OVERLAP_BYTES : 0;
    },
    maxStreams: options.parallel ?? MAX_STREAMS,
    packs: Math.min(MAX_PACKS, options.parallel ?? MAX_PACKS),
    slots,
    handleRun: (bytes, startedMs) => {
      handleRtt();
      adaptive.handleChunkDone({ nowMs: performance.now(), startedMs, bytes });
      slots.handleLimit();
    },
    handleFailure: (error) => {
      if (!(error instanceof HawserError)) return;
      adaptive.handleFailure(performance.now(), error.facts.class);
      slots.handleLimit();
    },
  };
}

const MAX_STREAMS = 16;
const MAX_PACKS = 3;
/** About a millisecond of next door. */
const OVERLAP_BYTES = 1024 * 1024;
