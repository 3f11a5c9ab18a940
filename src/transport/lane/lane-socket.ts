/**
 * A stream of a lane as a socket: Node's http client and http.Server work on it as on one of TCP. Bytes cross to the lane's
 * thread in buffers that change hands; what is written is copied once, because its owner may use it again when told so.
 */
import { Duplex } from 'node:stream';
import type { LanePolicy } from '../../core/lane/contract.ts';
import type { DivertibleSocket } from '../direct-body.ts';

/** What a socket needs of the lane that it belongs to. */
export interface SocketLane {
  write(socket: LaneSocket, bytes: Uint8Array): void;
  end(stream: number): void;
  reset(stream: number): void;
  abandon(stream: number): void;
  consumed(stream: number, bytes: number): void;
  /** At most so many bytes, to be filled and given to `write`. */
  memory(bytes: number): Uint8Array;
  /** How many more bytes of the socket may wait in the thread. */
  room(socket: LaneSocket): number;
  /** Nobody uses this memory any more; another block may. */
  recycle(bytes: Uint8Array<ArrayBuffer>): void;
  /** The socket is gone. */
  forget(socket: LaneSocket): void;
  /** The process should stay for this socket, or not any more. */
  hold(): void;
  release(): void;
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly policy?: LanePolicy;
}

export class LaneSocket extends Duplex implements DivertibleSocket {
  readonly connecting = false;
  readonly pending = false;
  /** Number of the stream in its lane. */
  readonly streamId: number;
  bytesRead = 0;
  timeout = 0;
  private readonly lane: SocketLane;
  /** Came from the lane and was not yet taken by the reader. */
  private readonly incoming: Uint8Array[] = [];
  private wantsMore = false;
  private diverted: ((bytes: Uint8Array) => number) | null = null;
  private peerEnded = false;
  /** Given to the thread and still in its queue. */
  queuedBytes = 0;
  private sentBytes = 0;
  /** Written, and not yet given to the thread: the first `gaveBytes` of the first chunk are. */
  private chunks: Buffer[] = [];
  private gaveBytes = 0;
  private waitingBytes = 0;
  private held: ((error?: Error | null) => void) | null = null;
  private consumedBytes = 0;
  private idle: NodeJS.Timeout | null = null;
  private holds = false;
  private gone = false;

  constructor(lane: SocketLane, streamId: number, options: { allowHalfOpen: boolean }) {
    super({ ...options, highWaterMark: HIGH_WATER_BYTES });
    this.lane = lane;
    this.streamId = streamId;
    this.ref();
  }

  /** Bytes that have left for the network, and those that wait in this stream. */
  get bytesWritten(): number {
    return this.sentBytes + this.writableLength;
  }

  get remoteAddress(): string | undefined {
    return this.lane.remoteAddress;
  }

  get remotePort(): number | undefined {
    return this.lane.remotePort;
  }

  get remoteFamily(): string | undefined {
    const { remoteAddress } = this;
    return remoteAddress === undefined ? undefined : remoteAddress.includes(':') ? 'IPv6' : 'IPv4';
  }

  get readyState(): 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.destroyed) return 'closed';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  /** The lane sends at once what there is. */
  setNoDelay(): this {
    return this;
  }

  /** The lane keeps itself alive. */
  setKeepAlive(): this {
    return this;
  }

  /** As of net.Socket: 'timeout' after so long without a byte either way; 0: never. */
  setTimeout(timeoutMs: number, listener?: () => void): this {
    this.timeout = timeoutMs;
    if (this.idle) clearTimeout(this.idle);
    this.idle = null;
    if (listener) {
      if (timeoutMs === 0) this.off('timeout', listener);
      else this.once('timeout', listener);
    }
    if (timeoutMs > 0 && !this.destroyed) this.idle = setTimeout(() => this.emit('timeout'), timeoutMs).unref();
    return this;
  }

  ref(): this {
    if (!this.holds && !this.gone) {
      this.holds = true;
      this.lane.hold();
    }
    return this;
  }

  unref(): this {
    if (this.holds) {
      this.holds = false;
      this.lane.release();
    }
    return this;
  }

  /** Ends what is written, and is destroyed when that has gone. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  divert(take: (bytes: Uint8Array) => number): void {
    this.diverted = take;
  }

  override resume(): this {
    super.resume();
    if (this.diverted && this.wantsMore && this.incoming.length > 0) queueMicrotask(() => this.wantsMore && this._read());
    return this;
  }

  /** The lane's: bytes came. */
  handleData(bytes: Uint8Array): void {
    this.idle?.refresh();
    this.bytesRead += bytes.length;
    this.incoming.push(bytes);
    if (this.wantsMore) this._read();
  }

  /** The lane's: the peer writes no more. */
  handleEnd(): void {
    this.peerEnded = true;
    if (this.wantsMore) this._read();
  }

  /** The lane's: the peer gave the stream up, or the lane is no more. */
  handleReset(message = 'The peer gave the stream up.'): void {
    this.peerEnded = true;
    this.gone = true;
    this.destroy(Object.assign(new Error(message), { code: 'ECONNRESET', syscall: 'read' }));
  }

  /** The lane's: so many bytes have left its queue. */
  handleSent(bytes: number): void {
    this.idle?.refresh();
    this.queuedBytes -= bytes;
    this.sentBytes += bytes;
  }

  /** The lane's: there may be room for more of what was written. */
  handleRoom(): void {
    if (this.waitingBytes > 0) this.give(this.lane.room(this));
  }

  override _read(): void {
    this.wantsMore = true;
    while (this.wantsMore && this.incoming.length > 0) {
      // What is in the stream already goes first.
      const isDiverted = this.diverted !== null && this.readableLength === 0;
      if (isDiverted && this.isPaused()) break;
      const bytes = this.incoming.shift() as Uint8Array<ArrayBuffer>;
      const taken = isDiverted ? (this.diverted?.(bytes) ?? 0) : 0;
      this.consumedBytes += bytes.length;
      if (taken === bytes.length) this.lane.recycle(bytes);
      else this.wantsMore = this.push(Buffer.from(bytes.buffer, bytes.byteOffset + taken, bytes.length - taken));
    }
    if (this.consumedBytes >= CONSUMED_STEP_BYTES || (this.consumedBytes > 0 && this.incoming.length === 0)) {
      this.lane.consumed(this.streamId, this.consumedBytes);
      this.consumedBytes = 0;
    }
    if (this.peerEnded && this.wantsMore && this.incoming.length === 0) {
      this.wantsMore = false;
      this.push(null);
    }
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.queue([chunk], done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.queue(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    this.lane.end(this.streamId);
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.idle) clearTimeout(this.idle);
    this.unref();
    if (!this.gone) {
      this.gone = true;
      if (!this.writableFinished || error) this.lane.reset(this.streamId);
      else if (!this.peerEnded) this.lane.abandon(this.streamId);
    }
    this.lane.forget(this);
    this.incoming.length = 0;
    this.chunks = [];
    this.waitingBytes = 0;
    const { held } = this;
    this.held = null;
    done(error);
    // Whoever waits for room would wait for ever.
    held?.(error ?? Object.assign(new Error('The socket was destroyed.'), { code: 'ERR_STREAM_DESTROYED' }));
  }

  /** `done` is called when the thread has all of it. */
  private queue(chunks: readonly Buffer[], done: (error?: Error | null) => void): void {
    this.idle?.refresh();
    this.chunks.push(...chunks);
    for (const chunk of chunks) this.waitingBytes += chunk.length;
    this.held = done;
    this.give(this.lane.room(this));
  }

  /** Copies at most so many bytes into memory that the thread takes. */
  private give(room: number): void {
    // Whole pieces of memory: there are few.
    let left = room < this.waitingBytes ? room - (room % STEP_BYTES) : this.waitingBytes;
    let copy = NOTHING;
    let filled = 0;
    while (left > 0) {
      const chunk = this.chunks[0] as Buffer;
      if (filled === copy.length) [copy, filled] = [this.lane.memory(left), 0];
      const copied = chunk.copy(copy, filled, this.gaveBytes);
      this.gaveBytes += copied;
      if (this.gaveBytes === chunk.length) {
        this.chunks.shift();
        this.gaveBytes = 0;
      }
      filled += copied;
      left -= copied;
      this.waitingBytes -= copied;
      this.queuedBytes += copied;
      if (filled === copy.length) this.lane.write(this, copy);
    }
    if (this.waitingBytes > 0) return;
    const done = this.held;
    this.held = null;
    done?.();
  }
}

const NOTHING: Uint8Array = new Uint8Array(0);
const HIGH_WATER_BYTES = 256 * 1024;
/** A piece of a lane's memory (lane-link.ts). */
const STEP_BYTES = 256 * 1024;
const CONSUMED_STEP_BYTES = 256 * 1024;
