/**
 * Reads the frames of a control packet's plaintext. Total: any bytes in, and nothing is done before the whole packet was found
 * well-formed, so a malformed one changes nothing.
 */
import { AckView } from './ack-frame.ts';
import { MAX_SOURCE_SYMBOLS } from './contract.ts';
import {
  FRAME,
  FRAME_BYTES,
  type FrameHandler,
  MAX_ACKS_PER_PACKET,
  MAX_REASON_BYTES,
  PATH_STATES,
  RANK_COMPLETE,
  STATE_HEAD_BYTES,
  type StateView,
} from './frames.ts';
import { readU16, readU32, readU48 } from './integers.ts';

/** Tells the handler of each frame in order. False: the packet is malformed or empty, and the handler was told of nothing. */
export function readFrames(plain: Uint8Array, handler: FrameHandler): boolean {
  if (plain.length === 0 || !isWellFormed(plain)) return false;
  for (let at = 0; at < plain.length; ) at = tellFrame(plain, at, handler);
  return true;
}

function isWellFormed(plain: Uint8Array): boolean {
  let acks = 0;
  for (let at = 0; at < plain.length; ) {
    if (plain[at] === FRAME.ack && ++acks > MAX_ACKS_PER_PACKET) return false;
    at = frameEnd(plain, at);
    if (at < 0) return false;
  }
  return true;
}

/** Where the frame at `at` ends; -1 when it is malformed or of no known kind. */
function frameEnd(plain: Uint8Array, at: number): number {
  const left = plain.length - at;
  switch (plain[at]) {
    case FRAME.padding:
      return at + 1;
    case FRAME.ack:
      return ackView.read(plain, at + 1);
    case FRAME.state:
      return stateView.read(plain, at);
    case FRAME.credit:
      return left >= FRAME_BYTES.credit ? at + FRAME_BYTES.credit : -1;
    case FRAME.streamCredit:
      return left >= FRAME_BYTES.streamCredit ? at + FRAME_BYTES.streamCredit : -1;
    case FRAME.pathChallenge:
    case FRAME.pathResponse:
      return left >= FRAME_BYTES.pathChallenge ? at + FRAME_BYTES.pathChallenge : -1;
    case FRAME.ackFrequency:
      return left >= FRAME_BYTES.ackFrequency ? at + FRAME_BYTES.ackFrequency : -1;
    case FRAME.ping:
      return left >= FRAME_BYTES.ping ? at + FRAME_BYTES.ping : -1;
    case FRAME.pong:
      return left >= FRAME_BYTES.pong ? at + FRAME_BYTES.pong : -1;
    case FRAME.resetStream:
      return left >= FRAME_BYTES.resetStream ? at + FRAME_BYTES.resetStream : -1;
    case FRAME.pathStatus: {
      const end = at + FRAME_BYTES.pathStatus;
      return end <= plain.length && (plain[end - 1] as number) < PATH_STATES.length ? end : -1;
    }
    case FRAME.close:
      return closeEnd(plain, at);
    default:
      return -1;
  }
}

/** Tells of one frame of a packet that is known to be well-formed, and returns where it ends. */
function tellFrame(plain: Uint8Array, at: number, handler: FrameHandler): number {
  const body = at + 1;
  const end = frameEnd(plain, at);
  switch (plain[at]) {
    case FRAME.ack:
      handler.onAck(ackView);
      break;
    case FRAME.state:
      handler.onState(stateView);
      break;
    case FRAME.credit:
      handler.onCredit(readU32(plain, body));
      break;
    case FRAME.streamCredit:
      handler.onStreamCredit(readU32(plain, body), readU48(plain, body + 4));
      break;
    case FRAME.pathChallenge:
      handler.onPathChallenge(readU32(plain, body), readU32(plain, body + 4));
      break;
    case FRAME.pathResponse:
      handler.onPathResponse(readU32(plain, body), readU32(plain, body + 4));
      break;
    case FRAME.ackFrequency:
      handler.onAckFrequency(readU32(plain, body));
      break;
    case FRAME.ping:
      handler.onPing(readU32(plain, body), readU48(plain, body + 4));
      break;
    case FRAME.pong:
      handler.onPong(readU32(plain, body), readU48(plain, body + 4), readU32(plain, body + 10));
      break;
    case FRAME.resetStream:
      handler.onResetStream(readU32(plain, body), readU16(plain, body + 4));
      break;
    case FRAME.pathStatus:
      handler.onPathStatus(readU32(plain, body), PATH_STATES[plain[body + 4] as number] ?? 'failed');
      break;
    case FRAME.close:
      handler.onClose(reasonAt(plain, body + 1, end));
      break;
  }
  return end;
}

function closeEnd(plain: Uint8Array, at: number): number {
  if (plain.length - at < 2) return -1;
  const length = plain[at + 1] as number;
  const end = at + 2 + length;
  if (length > MAX_REASON_BYTES || end > plain.length) return -1;
  for (let i = at + 2; i < end; i++) {
    if ((plain[i] as number) < 0x20 || (plain[i] as number) > 0x7e) return -1;
  }
  return end;
}

function reasonAt(plain: Uint8Array, from: number, end: number): string {
  let reason = '';
  for (let i = from; i < end; i++) reason += String.fromCharCode(plain[i] as number);
  return reason;
}

class ReceivedState implements StateView {
  completeBelow = 0;
  start = 0;
  count = 0;
  private plain: Uint8Array = new Uint8Array(0);
  private ranksAt = 0;

  rank(index: number): number {
    return this.plain[this.ranksAt + index] as number;
  }

  /** Returns where the frame at `at` ends, -1 when it is malformed. */
  read(plain: Uint8Array, at: number): number {
    if (plain.length - at < STATE_HEAD_BYTES) return -1;
    this.plain = plain;
    this.completeBelow = readU32(plain, at + 1);
    this.start = readU32(plain, at + 5);
    this.count = readU16(plain, at + 9);
    this.ranksAt = at + STATE_HEAD_BYTES;
    const end = this.ranksAt + this.count;
    if (end > plain.length || this.start < this.completeBelow || this.start + this.count > BLOCK_LIMIT) return -1;
    for (let i = this.ranksAt; i < end; i++) {
      const rank = plain[i] as number;
      if (rank > MAX_SOURCE_SYMBOLS && rank !== RANK_COMPLETE) return -1;
    }
    return end;
  }
}

/** Block ids are below this. */
const BLOCK_LIMIT = 2 ** 32;
/** One of each for all packets: nothing is read while a handler is told. */
const ackView = new AckView();
const stateView = new ReceivedState();
