/** How many requests carry bytes at once, and how long each is: measured, unless the user said. */
import { HawserError } from '../../core/errors.ts';
import { Adaptive } from '../../core/transfer/adaptive.ts';
import type { TransferOptions } from '../contract.ts';

export interface Flow {
  readonly streams: number;
  readonly chunkBytes: number;
  /** Requests in flight with many small files in each. */
  readonly packs: number;
  /** A request went through: `startedMs` by performance.now. */
  handleSent(bytes: number, startedMs: number): void;
  handleFailure(error: unknown): void;
}

/** `rttMs`: what the transport has seen so far. */
export function createFlow(options: TransferOptions, rttMs: () => number | null): Flow {
  const adaptive = new Adaptive({ maxStreams: MAX_STREAMS, fixedStreams: options.parallel, fixedChunkBytes: options.chunkBytes });
  return {
    get streams() {
      return adaptive.streams;
    },
    get chunkBytes() {
      return adaptive.chunkBytes;
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

const MAX_STREAMS = 16;
/** One travels while the server stores another, and a third waits; each holds its memory. */
const MAX_PACKS = 3;
