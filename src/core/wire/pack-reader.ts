/**
 * A pack (pack.ts) whose bytes are read straight into the memory where they stay: the reader says where the next bytes are to go,
 * and is told how many came. Only an entry that begins in one memory and does not fit into it is copied.
 */
import { HawserError } from '../errors.ts';
import { MAX_PATH_BYTES } from '../path.ts';
import { measurePackEntry, type OnPackEntry, PACK_HEADER_BYTES, readPackEntry } from './pack.ts';

export interface PackReaderOptions {
  /** Longest content that an entry may have. */
  readonly maxContentBytes: number;
  /** Memory for entries: `longestPackEntry(maxContentBytes)` at least. */
  readonly take: () => Uint8Array;
}

/** Bytes of an entry with the longest path, target and content. */
export function longestPackEntry(maxContentBytes: number): number {
  return PACK_HEADER_BYTES + 2 * MAX_PATH_BYTES + maxContentBytes;
}

/** After an error it is spent: the place in the stream is lost. */
export class PackReader {
  readonly #maxContentBytes: number;
  readonly #take: () => Uint8Array;
  #memory: Uint8Array | null = null;
  /** Of the entry that has begun. */
  #start = 0;
  #end = 0;
  /** Of the whole entry; 0 until its header is there. */
  #entryBytes = 0;

  constructor({ maxContentBytes, take }: PackReaderOptions) {
    this.#maxContentBytes = maxContentBytes;
    this.#take = take;
  }

  /** Bytes of the entry that has begun: 0 between entries, which is where a pack may end. */
  get pendingBytes(): number {
    return this.#end - this.#start;
  }

  /** Where the next bytes are to go: never empty. */
  room(): Uint8Array {
    this.#memory ??= this.#begin();
    return this.#memory.subarray(this.#end, this.#end + LONGEST_READ_BYTES);
  }

  /**
   * So many bytes were put to the start of `room()`. Calls `onEntry` for each entry that they complete: its content stays where it
   * is. `frame_invalid`, `path_invalid`, `path_reserved`.
   */
  push(bytes: number, onEntry: OnPackEntry): void {
    const memory = this.#memory!;
    this.#end += bytes;
    for (;;) {
      if (this.#entryBytes === 0) {
        if (this.pendingBytes < PACK_HEADER_BYTES) break;
        this.#entryBytes = measurePackEntry(memory, this.#start, this.#maxContentBytes);
      }
      if (this.pendingBytes < this.#entryBytes) break;
      const entry = memory.subarray(this.#start, this.#start + this.#entryBytes);
      this.#start += this.#entryBytes;
      this.#entryBytes = 0;
      readPackEntry(entry, onEntry);
    }
    if (memory.length - this.#start < (this.#entryBytes || PACK_HEADER_BYTES)) this.leave();
  }

  /** What comes from now on goes to other memory, with what has come of the entry that has begun. */
  leave(): void {
    const begun = this.#memory?.subarray(this.#start, this.#end);
    this.#memory = null;
    this.#start = 0;
    this.#end = 0;
    if (!begun || begun.length === 0) return;
    this.#memory = this.#begin();
    this.#memory.set(begun);
    this.#end = begun.length;
  }

  #begin(): Uint8Array {
    const memory = this.#take();
    if (memory.length < longestPackEntry(this.#maxContentBytes)) {
      throw new HawserError('internal', `The memory taken for a pack has ${memory.length} bytes, which is too little.`);
    }
    return memory;
  }
}

/** A socket that has more must not keep the others waiting for as long as all of it takes. */
const LONGEST_READ_BYTES = 256 * 1024;
