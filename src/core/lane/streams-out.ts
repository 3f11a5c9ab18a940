/**
 * What is waiting to be sent: a queue of bytes for each stream, cut into records for the next coding block. Streams with little go
 * first, so that one with gigabytes does not delay a request of a few bytes. Those with much go one after another, as they came:
 * were they to share the rate, each would end as late as the last, and nothing would be whole for long after a path has died.
 *
 * A record is { stream 4, flags 1, offset 6, length 3 } and `length` bytes; blocks are records one after another.
 */

import type { LaneEvent } from './contract.ts';
import { writeU24, writeU32, writeU48 } from './integers.ts';

/** Copies bytes `from` to `end` of one array to a place in another. */
export type CopyBytes = (to: Uint8Array, at: number, bytes: Uint8Array, from: number, end: number) => void;

interface OutgoingStream {
  readonly id: number;
  pieces: Uint8Array[];
  /** Bytes of the first piece that are already in blocks. */
  taken: number;
  queuedBytes: number;
  offset: number;
  /** The peer takes bytes below this offset. */
  creditOffset: number;
  end: 'no' | 'wanted' | 'sent';
  reset: boolean;
  /** Its place among those with much: the lowest goes first. */
  turnAt: number;
  /** Bytes sent since it has that place. */
  turnBytes: number;
}

export class StreamsOut {
  /** Bytes that may be put into blocks now: queued and within their streams' credit. */
  sendableBytes = 0;
  queuedBytes = 0;
  private readonly streams = new Map<number, OutgoingStream>();
  /** Streams with something to send, in turn. */
  private readonly turn: OutgoingStream[] = [];
  private turns = 0;
  private readonly initialCreditBytes: number;
  private readonly emit: (event: LaneEvent) => void;
  private readonly copy: CopyBytes;

  constructor(initialCreditBytes: number, emit: (event: LaneEvent) => void, copy: CopyBytes = copyBytes) {
    this.initialCreditBytes = initialCreditBytes;
    this.emit = emit;
    this.copy = copy;
  }

  get hasWork(): boolean {
    return this.turn.length > 0;
  }

  /** A stream has bytes queued, and the peer takes none of them. */
  get blocked(): boolean {
    if (this.queuedBytes === this.sendableBytes) return false;
    for (const stream of this.streams.values()) if (stream.queuedBytes > 0 && sendable(stream) === 0) return true;
    return false;
  }

  open(id: number): void {
    if (this.streams.has(id)) return;
    this.streams.set(id, {
      id,
      pieces: [],
      taken: 0,
      queuedBytes: 0,
      offset: 0,
      creditOffset: this.initialCreditBytes,
      end: 'no',
      reset: false,
      turnAt: 0,
      turnBytes: 0,
    });
  }

  isOpen(id: number): boolean {
    return this.streams.has(id);
  }

  write(id: number, bytes: Uint8Array): void {
    const stream = this.streams.get(id);
    if (stream?.end !== 'no' || bytes.length === 0) return;
    const before = sendable(stream);
    if (stream.queuedBytes === 0) this.queueUp(stream);
    stream.pieces.push(bytes);
    stream.queuedBytes += bytes.length;
    this.queuedBytes += bytes.length;
    this.update(stream, before);
  }

  end(id: number): void {
    const stream = this.streams.get(id);
    if (stream?.end !== 'no') return;
    stream.end = 'wanted';
    this.update(stream, sendable(stream));
  }

  /** Drops what is queued; the peer is told in the next block, even when the stream had ended here. */
  reset(id: number): void {
    this.open(id);
    const stream = this.streams.get(id) as OutgoingStream;
    this.empty(stream);
    stream.end = 'sent';
    stream.reset = true;
    this.update(stream, 0);
  }

  /** The peer has given the stream up: nothing more is said on it. */
  forget(id: number): void {
    const stream = this.streams.get(id);
    if (!stream) return;
    this.empty(stream);
    this.streams.delete(id);
    const at = this.turn.indexOf(stream);
    if (at >= 0) this.turn.splice(at, 1);
  }

  /** The peer takes bytes below `maxOffset`; credit is never taken back. */
  handleCredit(id: number, maxOffset: number): void {
    const stream = this.streams.get(id);
    if (!stream || maxOffset <= stream.creditOffset) return;
    const before = sendable(stream);
    stream.creditOffset = maxOffset;
    this.update(stream, before);
  }

  /**
   * Fills `out` with records of at most `limit` bytes in all; returns the bytes used, 0 when there is nothing. What is short goes
   * first; the rest is one stream's, as far as it has so much, for every piece of a stream costs its reader about the same.
   */
  fill(out: Uint8Array, limit: number): number {
    let at = 0;
    for (let i = 0; i < this.turn.length && at < limit / 2; ) {
      const stream = this.turn[i] as OutgoingStream;
      if (isShort(stream) && sendable(stream) + RECORD_HEAD_BYTES <= limit - at) {
        this.turn.splice(i, 1);
        at = this.put(stream, out, at, limit);
      } else i++;
    }
    while (this.turn.length > 0 && limit - at > RECORD_HEAD_BYTES) {
      const [stream] = this.turn.splice(this.longInTurn(), 1);
      at = this.put(stream as OutgoingStream, out, at, limit);
    }
    return at;
  }

  /** One record of a stream that was taken out of the turn; returns where it ends. */
  private put(stream: OutgoingStream, out: Uint8Array, at: number, limit: number): number {
    if (stream.reset) {
      writeRecordHead(out, at, stream.id, FLAG_RESET, stream.offset, 0);
      this.streams.delete(stream.id);
      return at + RECORD_HEAD_BYTES;
    }
    const length = Math.min(sendable(stream), limit - at - RECORD_HEAD_BYTES);
    const last = stream.end === 'wanted' && length === stream.queuedBytes;
    writeRecordHead(out, at, stream.id, last ? FLAG_END : 0, stream.offset, length);
    this.take(stream, out, at + RECORD_HEAD_BYTES, length);
    stream.turnBytes += length;
    if (stream.turnBytes > MOST_TURN_BYTES) this.queueUp(stream);
    this.queuedBytes -= length;
    this.sendableBytes -= length;
    if (length > 0) this.emit({ type: 'sent', id: stream.id, bytes: length });
    if (last) {
      stream.end = 'sent';
      this.streams.delete(stream.id);
    } else if (isReady(stream)) this.turn.push(stream);
    return at + RECORD_HEAD_BYTES + length;
  }

  /** Where in `turn` the stream with much is that has waited longest; the first one when all have little. */
  private longInTurn(): number {
    let chosen = -1;
    for (const [i, stream] of this.turn.entries()) {
      if (isShort(stream)) continue;
      if (chosen < 0 || stream.turnAt < (this.turn[chosen] as OutgoingStream).turnAt) chosen = i;
    }
    return Math.max(0, chosen);
  }

  private queueUp(stream: OutgoingStream): void {
    stream.turnAt = this.turns++;
    stream.turnBytes = 0;
  }

  private take(stream: OutgoingStream, out: Uint8Array, at: number, length: number): void {
    let left = length;
    while (left > 0) {
      const piece = stream.pieces[0] as Uint8Array;
      const part = Math.min(left, piece.length - stream.taken);
      this.copy(out, at, piece, stream.taken, stream.taken + part);
      at += part;
      left -= part;
      stream.taken += part;
      if (stream.taken === piece.length) {
        stream.pieces.shift();
        stream.taken = 0;
        this.emit({ type: 'free', id: stream.id, memory: piece });
      }
    }
    stream.offset += length;
    stream.queuedBytes -= length;
  }

  private empty(stream: OutgoingStream): void {
    this.sendableBytes -= sendable(stream);
    this.queuedBytes -= stream.queuedBytes;
    stream.pieces = [];
    stream.taken = 0;
    stream.queuedBytes = 0;
  }

  private update(stream: OutgoingStream, sendableBefore: number): void {
    this.sendableBytes += sendable(stream) - sendableBefore;
    if (isReady(stream) && !this.turn.includes(stream)) this.turn.push(stream);
  }
}

function copyBytes(to: Uint8Array, at: number, bytes: Uint8Array, from: number, end: number): void {
  to.set(bytes.subarray(from, end), at);
}

function isReady(stream: OutgoingStream): boolean {
  return stream.reset || sendable(stream) > 0 || (stream.end === 'wanted' && stream.queuedBytes === 0);
}

function isShort(stream: OutgoingStream): boolean {
  return stream.reset || sendable(stream) <= SHORT_BYTES;
}

function sendable(stream: OutgoingStream): number {
  return Math.min(stream.queuedBytes, stream.creditOffset - stream.offset);
}

function writeRecordHead(out: Uint8Array, at: number, id: number, flags: number, offset: number, length: number): void {
  writeU32(out, at, id);
  out[at + 4] = flags;
  writeU48(out, at + 5, offset);
  writeU24(out, at + 11, length);
}

export const RECORD_HEAD_BYTES = 14;
export const FLAG_END = 1;
export const FLAG_RESET = 2;
/** A request or an answer without content. */
const SHORT_BYTES = 4096;
/** More than any request that knows its end is long. */
const MOST_TURN_BYTES = 16 << 20;
