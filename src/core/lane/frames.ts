/**
 * The frames of control packets: their codes, their lengths, and what a receiver is told of them. docs/protocol/lane.md has
 * the layouts. No frame is acknowledged: what one says is said again while it matters.
 */
import type { AckView } from './ack-frame.ts';
import { HEADER_BYTES, IP_UDP_BYTES, type PathState, TAG_BYTES } from './contract.ts';

/** First byte of each frame. */
export const FRAME = {
  padding: 0,
  ack: 1,
  state: 2,
  credit: 3,
  streamCredit: 4,
  pathChallenge: 5,
  pathResponse: 6,
  ackFrequency: 7,
  ping: 8,
  pong: 9,
  resetStream: 10,
  pathStatus: 11,
  close: 12,
} as const;

/** Bytes of the frames that always have the same length, with their code. */
export const FRAME_BYTES = {
  credit: 5,
  streamCredit: 11,
  pathChallenge: 9,
  pathResponse: 9,
  ackFrequency: 5,
  ping: 11,
  pong: 15,
  resetStream: 7,
  pathStatus: 6,
} as const;

/** A STATE frame's bytes before its ranks. */
export const STATE_HEAD_BYTES = 11;
/** The rank of a block that was decoded: nothing more is needed of it. */
export const RANK_COMPLETE = 255;
/** Longest reason of a CLOSE frame, in printable ASCII. */
export const MAX_REASON_BYTES = 120;
/** An ACK of few bytes can stand for thousands of packets, so that what one packet may make its receiver do has to be bounded. */
export const MAX_ACKS_PER_PACKET = 8;
/** What every control packet costs on an IPv4 network beside its frames. */
export const CONTROL_OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES + IP_UDP_BYTES;
/** A PATH_STATUS frame says the index. */
export const PATH_STATES: readonly PathState[] = ['opening', 'active', 'standby', 'degraded', 'failed'];

/** What the receiver holds of the peer's blocks. One object is used again: valid during the call only. */
export interface StateView {
  /** Every block below it is complete. */
  readonly completeBelow: number;
  /** The ranks are those of blocks `start` to `start + count - 1`. Of any other the frame says nothing. */
  readonly start: number;
  readonly count: number;
  /** Symbols held of block `start + index`: 0 none, RANK_COMPLETE all that are needed. `index` is below `count`. */
  rank(index: number): number;
}

/**
 * Told of each frame of a packet, in the packet's order, after the whole packet was found well-formed. Well-formed is not
 * true: the numbers may be any that fit their fields.
 */
export interface FrameHandler {
  onAck(ack: AckView): void;
  onState(state: StateView): void;
  /** Blocks below `blockLimit` may be sent. */
  onCredit(blockLimit: number): void;
  /** Bytes of the stream below `offsetLimit` may be sent. */
  onStreamCredit(streamId: number, offsetLimit: number): void;
  onPathChallenge(high: number, low: number): void;
  onPathResponse(high: number, low: number): void;
  /** How often the peer wants ACKs of the path that the packet came on; 0: as the receiver thinks best. */
  onAckFrequency(intervalUs: number): void;
  /** `sentUs`: the peer's clock, to be echoed. */
  onPing(id: number, sentUs: number): void;
  /** `pingSentUs`: what the ping said, in whole microseconds; `delayUs`: how long the peer held it. */
  onPong(id: number, pingSentUs: number, delayUs: number): void;
  onResetStream(streamId: number, code: number): void;
  onPathStatus(pathId: number, state: PathState): void;
  onClose(reason: string): void;
}
