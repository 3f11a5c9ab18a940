/** How long the blocks of a file are: the unit in which it is verified, recorded as safe, and sent again. */

export const MIN_BLOCK_BYTES = 64 * 1024;
/** A receiver holds one block of each request in memory: what a peer may make it hold is bounded by this. */
export const MAX_BLOCK_BYTES = 4 * 1024 * 1024;
/** Most content that one request carries. */
export const MAX_CHUNK_BYTES = 16 * 1024 * 1024;

/**
 * Block length for a file of `size` bytes (null: not known yet), always a power of two. Small files get small blocks, so that
 * little is sent again; large files get larger ones, so that they have at most 16384 blocks (512 KiB of digests). From
 * 64 GiB on blocks stay at 4 MiB and their number grows.
 */
export function blockBytesFor(size: number | null): number {
  if (size === null) return 1024 * 1024;
  if (size <= 16 * 1024 * 1024) return MIN_BLOCK_BYTES;
  let blockBytes = 256 * 1024;
  while (blockBytes < MAX_BLOCK_BYTES && size > blockBytes * MAX_BLOCKS_WANTED) blockBytes *= 2;
  return blockBytes;
}

const MAX_BLOCKS_WANTED = 16384;
