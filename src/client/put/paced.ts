/** Bytes on their way to the transport: cut into slices, each counted, and held to the rate where one is set. */

export interface Pace {
  /** Counts content bytes that leave, and resolves when they may: at once, as undefined, where no rate is set. */
  leaving(bytes: number): Promise<void> | undefined;
  /** Longest piece handed to the transport: short enough that a slow link, or a low rate, shows movement. */
  sliceBytes(): number;
  /** How much of a file is read at once, where its blocks are no longer. */
  pieceBytes(): number;
}

/** Slices of `bytes`, of which `contentBytes` count: headers do not. */
export async function* paced(pace: Pace, bytes: Uint8Array, contentBytes: number): AsyncGenerator<Uint8Array, void, undefined> {
  const sliceBytes = pace.sliceBytes();
  let uncounted = contentBytes;
  for (let at = 0; at < bytes.length; ) {
    const isLast = bytes.length - at < sliceBytes * (1 + SHORT_REST);
    const slice = isLast ? bytes.subarray(at) : bytes.subarray(at, at + sliceBytes);
    at += slice.length;
    const counted = Math.min(uncounted, slice.length);
    uncounted -= counted;
    const wait = pace.leaving(counted);
    if (wait) await wait;
    yield slice;
  }
}

/**
 * A rest that is so small a part of a slice leaves with the last one. The frame headers make a piece a little longer than so many
 * slices, and two buffers in one write are copied together before TLS takes them.
 */
const SHORT_REST = 1 / 8;
