/** Which bytes to send next. */
import type { RangeSet } from '../ranges.ts';

export interface NextChunkOptions {
  /** Bytes safe at the receiver. */
  readonly safe: RangeSet;
  /** Bytes that some request carries now. */
  readonly inFlight: RangeSet;
  /** Where to begin looking; nothing before it is returned. */
  readonly start: number;
  /** Bytes in the file. */
  readonly size: number;
  readonly blockBytes: number;
  /** Most bytes of the chunk; rounded down to whole blocks, and never less than one. */
  readonly chunkBytes: number;
}

/**
 * The first run of bytes [start, end) from `start` on that is neither safe nor in flight: whole blocks, except that the
 * file's last may be shorter. Null when there is none.
 */
export function nextChunk(options: NextChunkOptions): [number, number] | null {
  const { safe, inFlight, size, blockBytes, chunkBytes } = options;
  let at = Math.max(0, options.start);
  for (;;) {
    const after = inFlight.runEnd(safe.runEnd(at));
    if (after === at) break;
    at = after;
  }
  if (at >= size) return null;
  // A peer that calls part of a block safe gets the whole block again.
  const first = at - (at % blockBytes);
  const wanted = Math.max(blockBytes, chunkBytes - (chunkBytes % blockBytes));
  const free = Math.min(safe.nextStart(at), inFlight.nextStart(at));
  const end = Math.min(first + wanted, Math.ceil(free / blockBytes) * blockBytes, size);
  return [first, end];
}
