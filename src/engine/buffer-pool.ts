/**
 * Buffers of one size that are used again and again: allocating 256 KiB per block costs more in page faults than hashing it.
 */
export interface BufferPool {
  readonly bytes: number;
  take(): Uint8Array;
  give(buffer: Uint8Array): void;
}

/** `keep` (default 64 MiB worth) bounds what stays allocated while idle. */
export function createBufferPool(bytes: number, keep = Math.max(4, Math.floor((64 << 20) / bytes))): BufferPool {
  const idle: Uint8Array[] = [];
  return {
    bytes,
    take: () => idle.pop() ?? Buffer.allocUnsafeSlow(bytes),
    give: (buffer) => {
      if (idle.length < keep) idle.push(Buffer.from(buffer.buffer, 0, bytes));
    },
  };
}

/** One pool for each block size in use. */
export function createBufferPools(): (bytes: number) => BufferPool {
  const pools = new Map<number, BufferPool>();
  return (bytes) => {
    let pool = pools.get(bytes);
    if (!pool) {
      pool = createBufferPool(bytes);
      pools.set(bytes, pool);
    }
    return pool;
  };
}
