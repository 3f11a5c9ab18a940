/**
 * Block frames, `application/vnd.hawser.blocks` (docs/protocol/http.md, "Blocks and frames"): u64 offset, u32 length, 32 bytes
 * of BLAKE3, the data. Written header by header; read by an assembler that takes pieces of any size.
 *
 * The digest is that of the block; or, when the first bit is set, a running digest: that of the file from its start to the
 * end of the block. Who sends in order computes that anyway, so that nothing is hashed twice.
 */
import { HawserError } from '../errors.ts';
import { DIGEST_BYTES } from '../hex.ts';

export const BLOCK_HEADER_BYTES = 44;

/**
 * The header of one frame; the data follows it. Written into `into` at `at` (default 0) when given, else into new memory.
 * Returns exactly the header's 44 bytes.
 */
export function encodeBlockHeader(offset: number, length: number, digest: Uint8Array, into?: Uint8Array, at = 0): Uint8Array {
  if (!Number.isSafeInteger(offset) || offset < 0 || !(length >= 1 && length <= 0xffff_ffff) || digest.length !== DIGEST_BYTES) {
    throw new HawserError(
      'internal',
      `No block frame has offset ${offset}, length ${length} and a digest of ${digest.length} bytes.`,
    );
  }
  const target = into ?? new Uint8Array(BLOCK_HEADER_BYTES);
  const view = new DataView(target.buffer, target.byteOffset + at, BLOCK_HEADER_BYTES);
  view.setUint32(0, Math.floor(offset / TWO_32));
  view.setUint32(4, offset % TWO_32);
  view.setUint32(8, length);
  target.set(digest, at + 12);
  return into === undefined ? target : target.subarray(at, at + BLOCK_HEADER_BYTES);
}

/** The digest of the header at `at` is a running one. */
export function markRunning(bytes: Uint8Array, at = 0): void {
  bytes[at]! |= RUNNING;
}

export interface BlockHeader {
  readonly offset: number;
  readonly length: number;
  readonly running: boolean;
}

/**
 * What the 44 bytes at the start of `bytes` say, their digest aside. `frame_invalid` when it cannot be right, which a running digest
 * is only where `takesRunning`.
 */
export function decodeBlockHeader(bytes: Uint8Array, maxBlockBytes: number, takesRunning = false): BlockHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, BLOCK_HEADER_BYTES);
  const running = takesRunning && (bytes[0]! & RUNNING) !== 0;
  const offset = (running ? view.getUint32(0) - TWO_31 : view.getUint32(0)) * TWO_32 + view.getUint32(4);
  const length = view.getUint32(8);
  if (length < 1 || length > maxBlockBytes) {
    throw new HawserError(
      'frame_invalid',
      `A block frame says that it holds ${length} bytes: it must hold 1 to ${maxBlockBytes}.`,
      { value: length },
    );
  }
  if (!Number.isSafeInteger(offset + length)) {
    throw new HawserError('frame_invalid', `A block frame is for offset ${offset}, which is further than any file goes.`, {
      value: offset,
    });
  }
  return { offset, length, running };
}

export interface BlockAssemblerOptions {
  /** Longest data that a frame may have. */
  readonly maxBlockBytes: number;
  /** Memory for one block's data: at least `length` bytes. Asked once for each frame, after its header was checked. */
  readonly take: (length: number) => Uint8Array;
}

/** `data` is the memory that `take` gave, cut to the block's length: it belongs to whoever gave it. `digest` is a fresh copy. */
export type OnBlock = (offset: number, digest: Uint8Array, data: Uint8Array) => void;

/**
 * Puts frames together from a stream's pieces. The data is copied once, from the piece to the taken buffer.
 * After an error it is spent: the place in the stream is lost.
 */
export class BlockAssembler {
  readonly #maxBlockBytes: number;
  readonly #take: (length: number) => Uint8Array;
  readonly #header = new Uint8Array(BLOCK_HEADER_BYTES);
  #headerBytes = 0;
  #data: Uint8Array | null = null;
  #dataBytes = 0;
  #offset = 0;

  constructor(options: BlockAssemblerOptions) {
    this.#maxBlockBytes = options.maxBlockBytes;
    this.#take = options.take;
  }

  /** Bytes of the frame that has begun: 0 between frames, which is where a body may end. */
  get pendingBytes(): number {
    return this.#headerBytes + this.#dataBytes;
  }

  /** Calls `onBlock` for each frame that this piece completes. `frame_invalid` when a header cannot be right. */
  push(piece: Uint8Array, onBlock: OnBlock): void {
    let at = 0;
    while (at < piece.length) {
      if (this.#data === null) {
        const part = Math.min(BLOCK_HEADER_BYTES - this.#headerBytes, piece.length - at);
        this.#header.set(piece.subarray(at, at + part), this.#headerBytes);
        this.#headerBytes += part;
        at += part;
        if (this.#headerBytes < BLOCK_HEADER_BYTES) return;
        this.#data = this.#begin();
        continue;
      }
      const data = this.#data;
      const part = Math.min(data.length - this.#dataBytes, piece.length - at);
      data.set(piece.subarray(at, at + part), this.#dataBytes);
      this.#dataBytes += part;
      at += part;
      if (this.#dataBytes < data.length) return;
      this.#data = null;
      this.#headerBytes = 0;
      this.#dataBytes = 0;
      onBlock(this.#offset, this.#header.slice(12), data);
    }
  }

  #begin(): Uint8Array {
    const { offset, length } = decodeBlockHeader(this.#header, this.#maxBlockBytes);
    this.#offset = offset;
    const buffer = this.#take(length);
    if (buffer.length < length) {
      throw new HawserError('internal', `The buffer taken for a block has ${buffer.length} bytes where ${length} are needed.`);
    }
    return buffer.length === length ? buffer : buffer.subarray(0, length);
  }
}

const RUNNING = 0x80;
const TWO_31 = 0x8000_0000;
const TWO_32 = 0x1_0000_0000;
