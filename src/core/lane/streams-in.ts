/**
 * What has arrived, put back in order: blocks become whole in any order, streams are read from their beginning. Everything here
 * is the peer's word: what cannot be so ends the lane, and what is held is bounded by the credit given.
 */
import type { LaneEvent } from './contract.ts';
import { readU24, readU32, readU48 } from './integers.ts';
import { FLAG_END, FLAG_RESET, RECORD_HEAD_BYTES } from './streams-out.ts';

interface Segment {
  readonly offset: number;
  readonly bytes: Uint8Array;
  readonly exclusive: boolean;
}

interface IncomingStream {
  readonly id: number;
  /** Bytes below it were given to the reader. */
  delivered: number;
  /** Of these, the reader has taken so many. */
  consumed: number;
  /** Beyond a gap, by offset. */
  readonly waiting: Segment[];
  /** Where the stream ends, once known. */
  endOffset: number;
  creditOffset: number;
  creditDue: boolean;
}

export interface StreamsInOptions {
  /** Lowest bit of ids that the peer opens: 0 a client's, 1 a server's. */
  readonly peerParity: 0 | 1;
  readonly initialCreditBytes: number;
  /** Most bytes given and not yet taken, of one stream. */
  readonly windowBytes: number;
  readonly maxStreams: number;
  readonly emit: (event: LaneEvent) => void;
}

export class StreamsIn {
  /** Streams whose credit the peer should hear of. */
  readonly creditDue: number[] = [];
  deliveredBytes = 0;
  private readonly streams = new Map<number, IncomingStream>();
  private readonly closed = new Set<number>();
  /** Every id of the peer's below this is closed. */
  private closedBelow: number;
  private readonly options: StreamsInOptions;

  constructor(options: StreamsInOptions) {
    this.options = options;
    this.closedBelow = options.peerParity;
  }

  get size(): number {
    return this.streams.size;
  }

  /** One that is opened here: the peer's bytes for it are expected. */
  open(id: number): void {
    this.streams.set(id, this.make(id));
  }

  /** The reader wants no more; what still comes is dropped. */
  forget(id: number): void {
    const stream = this.streams.get(id);
    if (stream) this.drop(stream);
  }

  /** Reads a whole block. Null: well-formed; otherwise what is wrong with it. */
  handleBlock(block: Uint8Array): string | null {
    const exclusive = recordsOf(block) === 1;
    let at = 0;
    while (at < block.length) {
      if (at + RECORD_HEAD_BYTES > block.length) return 'a record is cut off';
      const id = readU32(block, at);
      const flags = block[at + 4] as number;
      const offset = readU48(block, at + 5);
      const length = readU24(block, at + 11);
      at += RECORD_HEAD_BYTES;
      if (at + length > block.length) return 'a record is longer than its block';
      const wrong = this.handleRecord(id, flags, { offset, bytes: block.subarray(at, at + length), exclusive });
      if (wrong !== null) return wrong;
      at += length;
    }
    return null;
  }

  consumed(id: number, bytes: number): void {
    const stream = this.streams.get(id);
    if (!stream) return;
    stream.consumed = Math.min(stream.delivered, stream.consumed + bytes);
    this.raiseCredit(stream);
  }

  /** The highest offset that the peer may send to, told now. */
  takeCredit(id: number): number | null {
    const stream = this.streams.get(id);
    if (!stream) return null;
    stream.creditDue = false;
    return stream.creditOffset;
  }

  /** After a silence: every stream's credit is told again, for what was told may be lost. */
  repeatCredits(): void {
    for (const stream of this.streams.values()) if (stream.creditOffset > this.options.initialCreditBytes) this.announce(stream);
  }

  private handleRecord(id: number, flags: number, segment: Segment): string | null {
    const stream = this.streams.get(id) ?? this.accept(id);
    if (stream === 'closed') return null;
    if (stream === 'refused') return `stream ${id} may not be opened`;
    if (flags & FLAG_RESET) {
      this.options.emit({ type: 'reset', id });
      this.drop(stream);
      return null;
    }
    const end = segment.offset + segment.bytes.length;
    if (end > stream.creditOffset) return `stream ${id} goes beyond its credit`;
    if (segment.offset < stream.delivered || (end > stream.endOffset && segment.bytes.length > 0))
      return `stream ${id} repeats or exceeds itself`;
    if (flags & FLAG_END) {
      if (stream.endOffset !== Infinity) return `stream ${id} ends twice`;
      stream.endOffset = end;
    }
    if (segment.bytes.length > 0) {
      if (stream.waiting.length >= MAX_WAITING) return `stream ${id} is in too many pieces`;
      insert(stream.waiting, segment.offset === stream.delivered ? segment : compact(segment));
    }
    return this.deliver(stream);
  }

  private accept(id: number): IncomingStream | 'closed' | 'refused' {
    if (id % 2 !== this.options.peerParity) return 'closed';
    if (id < this.closedBelow || this.closed.has(id)) return 'closed';
    if (this.streams.size >= this.options.maxStreams || id >= this.closedBelow + ID_WINDOW) return 'refused';
    const stream = this.make(id);
    this.streams.set(id, stream);
    this.options.emit({ type: 'stream', id });
    return stream;
  }

  private deliver(stream: IncomingStream): string | null {
    let next = stream.waiting[0];
    while (next && next.offset <= stream.delivered) {
      if (next.offset < stream.delivered) return `stream ${stream.id} overlaps itself`;
      stream.waiting.shift();
      stream.delivered += next.bytes.length;
      this.deliveredBytes += next.bytes.length;
      this.options.emit({ type: 'data', id: stream.id, bytes: next.bytes, exclusive: next.exclusive });
      next = stream.waiting[0];
    }
    if (stream.delivered === stream.endOffset) {
      this.options.emit({ type: 'end', id: stream.id });
      this.drop(stream);
    }
    return null;
  }

  private drop(stream: IncomingStream): void {
    this.streams.delete(stream.id);
    if (stream.id % 2 !== this.options.peerParity) return;
    this.closed.add(stream.id);
    while (this.closed.delete(this.closedBelow)) this.closedBelow += 2;
  }

  private make(id: number): IncomingStream {
    return {
      id,
      delivered: 0,
      consumed: 0,
      waiting: [],
      endOffset: Infinity,
      creditOffset: this.options.initialCreditBytes,
      creditDue: false,
    };
  }

  private raiseCredit(stream: IncomingStream): void {
    const wanted = stream.consumed + this.options.windowBytes;
    // An eighth of the window at a time: a word about every few packets would cost more than it brings.
    if (wanted - stream.creditOffset < this.options.windowBytes / 8) return;
    stream.creditOffset = wanted;
    this.announce(stream);
  }

  private announce(stream: IncomingStream): void {
    if (stream.creditDue) return;
    stream.creditDue = true;
    this.creditDue.push(stream.id);
  }
}

/** By offset; the newest is nearly always the last. */
function insert(waiting: Segment[], segment: Segment): void {
  let at = waiting.length;
  while (at > 0 && (waiting[at - 1] as Segment).offset > segment.offset) at--;
  waiting.splice(at, 0, segment);
}

/** What waits must not hold a block's memory for the sake of a few bytes. */
function compact(segment: Segment): Segment {
  if (segment.bytes.length * 2 >= segment.bytes.buffer.byteLength) return segment;
  return { offset: segment.offset, bytes: new Uint8Array(segment.bytes), exclusive: true };
}

/** Records of a block, as far as they can be counted. */
function recordsOf(block: Uint8Array): number {
  let records = 0;
  let at = 0;
  while (at + RECORD_HEAD_BYTES <= block.length) {
    at += RECORD_HEAD_BYTES + readU24(block, at + 11);
    records++;
  }
  return records;
}

/** How far ahead of the lowest open id the peer may open streams: blocks, and with them streams, arrive in any order. */
const ID_WINDOW = 8192;
const MAX_WAITING = 4096;
