/**
 * Writes the plaintext of a control packet, frame by frame (docs/protocol/lane.md). Every frame goes in whole or not at all:
 * its method then returns false, and the frame belongs into the next packet.
 */
import { type AckSource, writeAck } from './ack-frame.ts';
import type { PathState, Us } from './contract.ts';
import { FRAME, FRAME_BYTES, MAX_ACKS_PER_PACKET, MAX_REASON_BYTES, PATH_STATES, STATE_HEAD_BYTES } from './frames.ts';
import { writeU16, writeU32, writeU48 } from './integers.ts';

export class FrameWriter {
  private out: Uint8Array = new Uint8Array(0);
  private limit = 0;
  private at = 0;
  private acks = 0;

  /** Begins a packet at the start of `out`, of `limit` bytes at most. */
  reset(out: Uint8Array, limit: number): void {
    this.out = out;
    this.limit = Math.min(limit, out.length);
    this.at = 0;
    this.acks = 0;
  }

  /** Bytes written so far. */
  get length(): number {
    return this.at;
  }

  get remaining(): number {
    return this.limit - this.at;
  }

  /** `nowUs`: the clock that the source's samples are of. A window that does not fit whole is cut from its old end. */
  ack(pathId: number, sequence: number, nowUs: Us, lagMs: number, source: AckSource): boolean {
    if (this.acks >= MAX_ACKS_PER_PACKET) return false;
    const end = writeAck(this.out, this.at, this.limit, pathId, sequence, nowUs, lagMs, source);
    if (end < 0) return false;
    this.at = end;
    this.acks++;
    return true;
  }

  /**
   * Says that every block below `completeBelow` is complete, and what is held of the blocks `start` to `start + count - 1`:
   * `count` bytes of `ranks` at `from`, each the symbols held (at most 103) or RANK_COMPLETE. `start` is not below
   * `completeBelow`; `remaining - STATE_HEAD_BYTES` ranks fit.
   */
  state(completeBelow: number, start: number, ranks: Uint8Array, from: number, count: number): boolean {
    const at = this.begin(FRAME.state, STATE_HEAD_BYTES + count);
    if (at < 0) return false;
    writeU32(this.out, at, completeBelow);
    writeU32(this.out, at + 4, start);
    writeU16(this.out, at + 8, count);
    for (let i = 0; i < count; i++) this.out[at + 10 + i] = ranks[from + i] as number;
    return true;
  }

  /** The peer may send blocks below `blockLimit`. */
  credit(blockLimit: number): boolean {
    const at = this.begin(FRAME.credit, FRAME_BYTES.credit);
    if (at < 0) return false;
    writeU32(this.out, at, blockLimit);
    return true;
  }

  /** The peer may send the stream's bytes below `offsetLimit`. */
  streamCredit(streamId: number, offsetLimit: number): boolean {
    const at = this.begin(FRAME.streamCredit, FRAME_BYTES.streamCredit);
    if (at < 0) return false;
    writeU32(this.out, at, streamId);
    writeU48(this.out, at + 4, offsetLimit);
    return true;
  }

  pathChallenge(high: number, low: number): boolean {
    return this.twoWords(FRAME.pathChallenge, high, low);
  }

  pathResponse(high: number, low: number): boolean {
    return this.twoWords(FRAME.pathResponse, high, low);
  }

  /** Asks for ACKs of the path that the packet goes on; 0: as the peer thinks best. */
  ackFrequency(intervalUs: Us): boolean {
    const at = this.begin(FRAME.ackFrequency, FRAME_BYTES.ackFrequency);
    if (at < 0) return false;
    writeU32(this.out, at, Math.min(Math.round(intervalUs), 0xffff_ffff));
    return true;
  }

  /** The pong brings `sentUs` back in whole microseconds. */
  ping(id: number, sentUs: Us): boolean {
    const at = this.begin(FRAME.ping, FRAME_BYTES.ping);
    if (at < 0) return false;
    writeU32(this.out, at, id);
    writeU48(this.out, at + 4, Math.floor(sentUs));
    return true;
  }

  /** `pingSentUs` as the ping said; `delayUs`: from its arrival to now. */
  pong(id: number, pingSentUs: Us, delayUs: Us): boolean {
    const at = this.begin(FRAME.pong, FRAME_BYTES.pong);
    if (at < 0) return false;
    writeU32(this.out, at, id);
    writeU48(this.out, at + 4, pingSentUs);
    writeU32(this.out, at + 10, Math.max(0, Math.min(Math.round(delayUs), 0xffff_ffff)));
    return true;
  }

  resetStream(streamId: number, code: number): boolean {
    const at = this.begin(FRAME.resetStream, FRAME_BYTES.resetStream);
    if (at < 0) return false;
    writeU32(this.out, at, streamId);
    writeU16(this.out, at + 4, code);
    return true;
  }

  pathStatus(pathId: number, state: PathState): boolean {
    const at = this.begin(FRAME.pathStatus, FRAME_BYTES.pathStatus);
    if (at < 0) return false;
    writeU32(this.out, at, pathId);
    this.out[at + 4] = PATH_STATES.indexOf(state);
    return true;
  }

  /** The reason's first 120 characters; what is not printable ASCII becomes a question mark. */
  close(reason: string): boolean {
    const length = Math.min(reason.length, MAX_REASON_BYTES);
    const at = this.begin(FRAME.close, 2 + length);
    if (at < 0) return false;
    this.out[at] = length;
    for (let i = 0; i < length; i++) {
      const code = reason.charCodeAt(i);
      this.out[at + 1 + i] = code >= 0x20 && code <= 0x7e ? code : QUESTION_MARK;
    }
    return true;
  }

  /** Fills the packet up to `length` bytes in all. It stays as it is when it has as many already. */
  padding(length: number): boolean {
    if (length > this.limit) return false;
    if (length > this.at) {
      this.out.fill(FRAME.padding, this.at, length);
      this.at = length;
    }
    return true;
  }

  private twoWords(code: number, high: number, low: number): boolean {
    const at = this.begin(code, FRAME_BYTES.pathChallenge);
    if (at < 0) return false;
    writeU32(this.out, at, high);
    writeU32(this.out, at + 4, low);
    return true;
  }

  /** Writes the frame's code and takes its bytes. Returns where what follows the code begins; -1 when it does not fit. */
  private begin(code: number, bytes: number): number {
    if (bytes > this.limit - this.at) return -1;
    const at = this.at;
    this.out[at] = code;
    this.at = at + bytes;
    return at + 1;
  }
}

const QUESTION_MARK = 0x3f;
