/** A bounded set of reusable buffers: what is read ahead of the network can never take more memory than these. */

export interface BufferPool {
  /** At once when one is free, else when one is given back. */
  take(): Buffer | Promise<Buffer>;
  give(buffer: Buffer): void;
}

/** Buffers of `bufferBytes`, made when they are first needed, `most` at most. */
export function createBufferPool(bufferBytes: number, most: number): BufferPool {
  const free: Buffer[] = [];
  const waiting: ((buffer: Buffer) => void)[] = [];
  let made = 0;
  return {
    take() {
      const buffer = free.pop();
      if (buffer) return buffer;
      if (made < most) {
        made++;
        return Buffer.allocUnsafeSlow(bufferBytes);
      }
      return new Promise((resolve) => waiting.push(resolve));
    },
    give(buffer) {
      const next = waiting.shift();
      if (next) next(buffer);
      else free.push(buffer);
    },
  };
}
