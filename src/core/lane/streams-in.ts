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
  /** How often the credit was told, and before which packet not again. */
  tellings: number;
  tellAt: number;
}

export interface StreamsInOptions {
  /** Lowest bit of ids that the peer opens: 0 a client's, 1 a server's. */
  readonly peerParity: 0 | 1;
  readonly initialCreditBytes: number;
  /** Most bytes given and not yet taken, of one stream. */
  readonly windowBytes: number;
  /** Most bytes of credit over all streams, apart from what every stream has at its beginning. */
  readonly totalBytes: number;
  readonly maxStreams: number;
  /** Bytes can still be sent on the stream from here: its reader wants to know when the peer gives it up. */
  readonly isOpenOut: (id: number) => boolean;
  readonly emit: (event: LaneEvent) => void;
}

export class StreamsIn {
  deliveredBytes = 0;
  private readonly streams = new Map<number, IncomingStream>();
  /** Streams whose credit is to be told in a packet of its own, and those where it is repeated in whatever goes out next. */
  private readonly untold = new Set<IncomingStream>();
  private readonly retold = new Set<IncomingStream>();
  /** Packets that credit could be told in. */
  private packets = 0;
  /** Ids of the peer's below `nextPeerId` that nothing has come of yet: blocks, and with them streams, arrive in any order. */
  private readonly unseen = new Set<number>();
  private nextPeerId: number;
  private peerStreams = 0;
  private pieces = 0;
  private readonly toldNow: IncomingStream[] = [];
  /** Bytes of credit given beyond what was consumed, over all streams. */
  private lentBytes = 0;
  private readonly options: StreamsInOptions;

  constructor(options: StreamsInOptions) {
    this.options = options;
    this.nextPeerId = options.peerParity;
  }

  get size(): number {
    return this.streams.size;
  }

  get hasCreditToTell(): boolean {
    return this.untold.size > 0;
  }

  has(id: number): boolean {
    return this.streams.has(id);
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
    // The largest record may take the block's memory with it when nobody else refers to it: the others are copied.
    const largest = largestRecord(block);
    const isShared = 2 * largest < block.length;
    let [at, taken] = [0, false];
    while (at < block.length) {
      if (at + RECORD_HEAD_BYTES > block.length) return 'a record is cut off';
      const id = readU32(block, at);
      const flags = block[at + 4] as number;
      const offset = readU48(block, at + 5);
      const length = readU24(block, at + 11);
      at += RECORD_HEAD_BYTES;
      if (at + length > block.length) return 'a record is longer than its block';
      const bytes = block.subarray(at, at + length);
      const takes = !isShared && !taken && length === largest;
      const segment = isShared || takes ? { offset, bytes, exclusive: takes } : { offset, bytes: bytes.slice(), exclusive: true };
      taken ||= takes;
      const wrong = this.handleRecord(id, flags, segment);
      if (wrong !== null) return wrong;
      at += length;
    }
    return null;
  }

  consumed(id: number, bytes: number): void {
    const stream = this.streams.get(id);
    if (!stream) return;
    const taken = Math.min(bytes, stream.delivered - stream.consumed);
    stream.consumed += taken;
    this.lentBytes -= taken;
    this.raiseCredit(stream);
  }

  /** Has the highest offsets told that the peer may send to, as far as there is room for them. */
  tellCredits(tell: (id: number, offset: number) => boolean): void {
    this.packets++;
    for (const stream of this.untold) {
      if (!tell(stream.id, stream.creditOffset)) return;
      this.untold.delete(stream);
      stream.tellings = 1;
      this.toldNow.push(stream);
    }
    for (const stream of this.retold) {
      if (this.packets < stream.tellAt) continue;
      if (!tell(stream.id, stream.creditOffset)) return;
      if (++stream.tellings === CREDIT_TELLINGS) this.retold.delete(stream);
      else stream.tellAt = this.packets + (stream.tellings < TELLINGS_AT_ONCE ? 1 : 2 ** (stream.tellings - 3));
    }
    // Not into the same packet again.
    for (let stream = this.toldNow.pop(); stream; stream = this.toldNow.pop()) {
      stream.tellAt = this.packets + 1;
      this.retold.add(stream);
    }
  }

  /** After a silence: every stream's credit is told again, for what was told may be lost. */
  repeatCredits(): void {
    for (const stream of this.streams.values()) if (stream.creditOffset > this.options.initialCreditBytes) this.announce(stream);
  }

  private handleRecord(id: number, flags: number, segment: Segment): string | null {
    const stream = this.streams.get(id) ?? this.accept(id);
    if (stream === 'refused') return `stream ${id} may not be opened`;
    if (flags & FLAG_RESET) {
      if (stream !== 'closed') this.drop(stream);
      if (stream !== 'closed' || this.options.isOpenOut(id)) this.options.emit({ type: 'reset', id });
      return null;
    }
    if (stream === 'closed') return null;
    const end = segment.offset + segment.bytes.length;
    if (end > stream.creditOffset) return `stream ${id} goes beyond its credit`;
    if (segment.offset < stream.delivered || (end > stream.endOffset && segment.bytes.length > 0))
      return `stream ${id} repeats or exceeds itself`;
    if (flags & FLAG_END) {
      if (stream.endOffset !== Infinity) return `stream ${id} ends twice`;
      stream.endOffset = end;
      const last = stream.waiting[stream.waiting.length - 1];
      if (last && last.offset + last.bytes.length > end) return `stream ${id} exceeds itself`;
    }
    if (segment.bytes.length > 0) {
      if (this.pieces >= MAX_WAITING) return 'streams are in too many pieces';
      this.pieces++;
      insert(stream.waiting, compact(segment, segment.offset === stream.delivered));
    }
    return this.deliver(stream);
  }

  private accept(id: number): IncomingStream | 'closed' | 'refused' {
    if (id % 2 !== this.options.peerParity) return 'closed';
    if (id < this.nextPeerId && !this.unseen.has(id)) return 'closed';
    // One more may have been opened while the end of another is still on its way.
    if (this.peerStreams >= 2 * this.options.maxStreams || id >= this.nextPeerId + 2 * MAX_UNSEEN) return 'refused';
    for (; this.nextPeerId <= id; this.nextPeerId += 2) this.unseen.add(this.nextPeerId);
    this.unseen.delete(id);
    if (this.unseen.size > MAX_UNSEEN) return 'refused';
    const stream = this.make(id);
    this.streams.set(id, stream);
    this.peerStreams++;
    this.options.emit({ type: 'stream', id });
    return stream;
  }

  private deliver(stream: IncomingStream): string | null {
    let next = stream.waiting[0];
    while (next && next.offset <= stream.delivered) {
      if (next.offset < stream.delivered) return `stream ${stream.id} overlaps itself`;
      stream.waiting.shift();
      this.pieces--;
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
    this.untold.delete(stream);
    this.retold.delete(stream);
    this.pieces -= stream.waiting.length;
    this.lentBytes -= stream.creditOffset - stream.consumed;
    if (stream.id % 2 === this.options.peerParity) this.peerStreams--;
  }

  private make(id: number): IncomingStream {
    this.lentBytes += this.options.initialCreditBytes;
    return {
      id,
      delivered: 0,
      consumed: 0,
      waiting: [],
      endOffset: Infinity,
      creditOffset: this.options.initialCreditBytes,
      tellings: 0,
      tellAt: 0,
    };
  }

  private raiseCredit(stream: IncomingStream): void {
    const { windowBytes, totalBytes, initialCreditBytes } = this.options;
    const lentToOthers = this.lentBytes - (stream.creditOffset - stream.consumed);
    // A quarter of what is left: whoever comes later finds something too.
    const window = Math.min(windowBytes, Math.max(initialCreditBytes, (totalBytes - lentToOthers) / 4));
    const wanted = Math.floor(stream.consumed + window);
    // An eighth of the window at a time: a word about every few packets would cost more than it brings.
    if (wanted - stream.creditOffset < window / 8) return;
    this.lentBytes += wanted - stream.creditOffset;
    stream.creditOffset = wanted;
    this.announce(stream);
  }

  private announce(stream: IncomingStream): void {
    this.retold.delete(stream);
    this.untold.add(stream);
  }
}

/** By offset; the newest is nearly always the last. */
function insert(waiting: Segment[], segment: Segment): void {
  let at = waiting.length;
  while (at > 0 && (waiting[at - 1] as Segment).offset > segment.offset) at--;
  waiting.splice(at, 0, segment);
}

/** What waits, for bytes before it or for its reader, must not hold a block's memory for the sake of a few bytes. */
function compact(segment: Segment, isNext: boolean): Segment {
  if (segment.bytes.length * (isNext ? 8 : 2) >= segment.bytes.buffer.byteLength) return segment;
  return { offset: segment.offset, bytes: new Uint8Array(segment.bytes), exclusive: true };
}

/** Bytes of the largest record of a block, as far as it can be read. */
function largestRecord(block: Uint8Array): number {
  let largest = 0;
  for (let at = 0; at + RECORD_HEAD_BYTES <= block.length; ) {
    const length = readU24(block, at + 11);
    largest = Math.max(largest, length);
    at += RECORD_HEAD_BYTES + length;
  }
  return largest;
}

/** Ids that the peer may skip for a while. */
const MAX_UNSEEN = 1024;
/** Pieces of all streams that wait for what comes before them. */
const MAX_WAITING = 32_768;
/**
 * Control packets are lost like others, and without credit a stream stands still. With 30 % lost, all of the first six are in one of 1400
 * cases; the others follow at a distance, for losses come in bursts too.
 */
const CREDIT_TELLINGS = 8;
const TELLINGS_AT_ONCE = 6;
