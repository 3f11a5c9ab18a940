/**
 * Block frames (block-frames.ts) whose bytes are read straight into the memory where they stay: the reader says where the next
 * bytes are to go, and is told how many came. Nothing is copied, but for what comes after a short block in the same piece.
 */
import { HawserError } from '../errors.ts';
import { BLOCK_HEADER_BYTES, decodeBlockHeader } from './block-frames.ts';

export interface BlockReaderOptions {
  /** Longest data that a frame may have. */
  readonly maxBlockBytes: number;
  /** Memory for one frame: `BLOCK_HEADER_BYTES + maxBlockBytes` at least. `data` is in it, after the header. */
  readonly take: () => Uint8Array;
  /** Frames may have running digests. Default false. */
  readonly takesRunning?: boolean;
}

/** `data` is memory that `take` gave, cut to the block's length. `digest` is a fresh copy, and `running` says what it is the digest of. */
export type OnFrame = (offset: number, digest: Uint8Array, data: Uint8Array, running: boolean) => void;

/** After an error it is spent: the place in the stream is lost. */
export class BlockReader {
  readonly #maxBlockBytes: number;
  readonly #take: () => Uint8Array;
  #memory: Uint8Array | null = null;
  #bytes = 0;
  #offset = 0;
  #running = false;
  readonly #takesRunning: boolean;
  /** Of the whole frame; 0 until its header is there. */
  #frameBytes = 0;

  constructor({ maxBlockBytes, take, takesRunning = false }: BlockReaderOptions) {
    this.#maxBlockBytes = maxBlockBytes;
    this.#take = take;
    this.#takesRunning = takesRunning;
  }

  /** Bytes of the frame that has begun: 0 between frames, which is where a body may end. */
  get pendingBytes(): number {
    return this.#bytes;
  }

  /** Where the next bytes are to go: never empty. */
  room(): Uint8Array {
    this.#memory ??= this.#begin();
    return this.#memory.subarray(this.#bytes, this.#frameBytes || BLOCK_HEADER_BYTES + this.#maxBlockBytes);
  }

  /** So many bytes were put to the start of `room()`. `frame_invalid` when a header cannot be right. */
  push(bytes: number, onFrame: OnFrame): void {
    this.#bytes += bytes;
    for (;;) {
      const memory = this.#memory;
      if (memory === null || this.#bytes < BLOCK_HEADER_BYTES) return;
      if (this.#frameBytes === 0) {
        const { offset, length, running } = decodeBlockHeader(memory, this.#maxBlockBytes, this.#takesRunning);
        this.#offset = offset;
        this.#running = running;
        this.#frameBytes = BLOCK_HEADER_BYTES + length;
      }
      if (this.#bytes < this.#frameBytes) return;
      const frameBytes = this.#frameBytes;
      const beyond = memory.subarray(frameBytes, this.#bytes);
      this.#memory = null;
      this.#bytes = beyond.length;
      this.#frameBytes = 0;
      if (beyond.length > 0) {
        this.#memory = this.#begin();
        this.#memory.set(beyond);
      }
      // A copy: the memory is soon another frame's. (Not `slice`, which gives a view when the memory is a Buffer.)
      const digest = new Uint8Array(memory.subarray(DIGEST_AT, BLOCK_HEADER_BYTES));
      onFrame(this.#offset, digest, memory.subarray(BLOCK_HEADER_BYTES, frameBytes), this.#running);
    }
  }

  #begin(): Uint8Array {
    const memory = this.#take();
    if (memory.length < BLOCK_HEADER_BYTES + this.#maxBlockBytes) {
      throw new HawserError('internal', `The memory taken for a block frame has ${memory.length} bytes, which is too little.`);
    }
    return memory;
  }
}

const DIGEST_AT = 12;
