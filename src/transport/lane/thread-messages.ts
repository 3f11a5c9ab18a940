/** What the main thread and the lane's thread tell each other. */
import type { LanePolicy, LaneSnapshot, PathState, Us } from '../../core/lane/contract.ts';
import type { Suite } from './keys.ts';

/** What both ends of a lane know of it, from the TLS channel, and what this end wants of it. */
export interface LaneParameters {
  /** For people, traces and logs. */
  readonly laneId: string;
  readonly suite: Suite;
  /** 32 bytes, made by the server for this lane alone. */
  readonly secret: Uint8Array;
  /** 32 bytes of the client's. */
  readonly clientRandom: Uint8Array;
  /** Paths have the numbers below it; both ends must have the same. */
  readonly maxPaths: number;
  readonly policy: LanePolicy;
  /** On the wire, all paths together. Default: no cap. */
  readonly capBytesPerSecond?: number;
  /** Both ends send so that the loss of one path delays nothing, at twice the bytes. Default false. */
  readonly redundant?: boolean;
  /** Most bytes of coding blocks that may be incomplete at this end. */
  readonly receiveWindowBytes?: number;
  /** Most bytes of one stream that wait at this end for its reader. */
  readonly streamWindowBytes?: number;
  readonly maxStreams?: number;
  /** Closed when nothing authentic came for so long. Default 120 000. */
  readonly idleMs?: number;
  /** A JSON-SEQ file (RFC 7464) that the lane's decisions are written to. Default: none. */
  readonly traceFile?: string;
  /** Where a stall leaves the last 30 s of the trace (stall-trace.ts). Default: nowhere. */
  readonly stallFolder?: string;
}

/** One way from this machine to the server. Several may belong to one path: the first that answers is taken. */
export interface Route {
  readonly pathId: number;
  /** IP address of an interface here, or a wildcard. */
  readonly local: string;
  /** Name of that interface; null: the system routes. */
  readonly device: string | null;
  /** IP address and port of the server. */
  readonly host: string;
  readonly port: number;
  /** Only used while no path that is not metered works. */
  readonly metered: boolean;
  /** For people. */
  readonly label: string;
}

export type ToThread =
  | {
      readonly op: 'listen';
      readonly listener: number;
      readonly host: string;
      readonly port: number;
      readonly segmentation: boolean;
    }
  | { readonly op: 'unlisten'; readonly listener: number }
  | {
      readonly op: 'accept';
      readonly lane: number;
      readonly listener: number;
      readonly parameters: LaneParameters;
      /** Where a hello came from whose answer holds the keys: packets from there prove that it arrived. */
      readonly provenAddress: Uint32Array | null;
      readonly cachedBytesPerSecond: number | null;
      readonly cachedRttMs: number | null;
    }
  /** A datagram as it is, in answer to a hello. */
  | {
      readonly op: 'answer';
      readonly listener: number;
      /** As in the hello. */
      readonly to: Uint32Array;
      readonly bytes: Uint8Array;
      readonly arrivedUs: Us;
    }
  /** Sends a hello by every route until it is closed, or opened with an answer. */
  | {
      readonly op: 'greet';
      readonly lane: number;
      readonly hello: Uint8Array;
      readonly routes: readonly Route[];
      readonly segmentation: boolean;
      /** How long the answer took before; null: nobody knows. */
      readonly expectedRttMs: number | null;
    }
  | {
      readonly op: 'open';
      readonly lane: number;
      readonly parameters: LaneParameters;
      readonly routes: readonly Route[];
      readonly rttMs: number | null;
      readonly cachedBytesPerSecond: number | null;
      readonly cachedRttMs: number | null;
      readonly segmentation: boolean;
      /** Which welcome it was, after `greet`; null: without one. */
      readonly answer: number | null;
    }
  | { readonly op: 'close'; readonly lane: number; readonly reason: string }
  /** Asks the peer for a sign of life. */
  | { readonly op: 'ping'; readonly lane: number }
  | { readonly op: 'policy'; readonly lane: number; readonly policy: LanePolicy }
  | { readonly op: 'cap'; readonly lane: number; readonly bytesPerSecond: number }
  /** Asks for the last 30 s of a lane's trace. */
  | { readonly op: 'recent'; readonly lane: number; readonly call: number }
  | { readonly op: 'streams'; readonly items: StreamItems };

export type FromThread =
  | { readonly op: 'ready' }
  | {
      readonly op: 'listening';
      readonly listener: number;
      readonly port: number;
      readonly hint: string | null;
      readonly method: string;
    }
  /** Somebody who has a ticket, or says so. */
  | {
      readonly op: 'hello';
      readonly listener: number;
      readonly bytes: Uint8Array;
      /** Where it came from: words of a PeerAddress. */
      readonly from: Uint32Array;
      readonly arrivedUs: Us;
    }
  /** An answer to `greet`, which may be forged. */
  | {
      readonly op: 'welcome';
      readonly lane: number;
      readonly answer: number;
      readonly bytes: Uint8Array;
      readonly rttMs: number;
    }
  | { readonly op: 'listen-failed'; readonly listener: number; readonly code: string; readonly message: string }
  /** The first path is open: packets of full size get through, both ways. */
  | { readonly op: 'opened'; readonly lane: number }
  /** None of the ways can be used: the errors of each. */
  | { readonly op: 'open-failed'; readonly lane: number; readonly codes: readonly string[] }
  | { readonly op: 'closed'; readonly lane: number; readonly reason: string; readonly byPeer: boolean }
  | {
      readonly op: 'path';
      readonly lane: number;
      readonly pathId: number;
      readonly state: PathState;
      readonly host: string;
      readonly port: number;
    }
  | { readonly op: 'address'; readonly lane: number; readonly pathId: number; readonly host: string; readonly port: number }
  | { readonly op: 'snapshot'; readonly lane: number; readonly snapshot: LaneSnapshot; readonly figures: LaneFigures }
  /** A stall left its trace in a file. */
  | { readonly op: 'stalled'; readonly lane: number; readonly file: string }
  /** A defect, for those who mend it. */
  | { readonly op: 'fault'; readonly lane: number; readonly stack: string }
  | { readonly op: 'recent'; readonly call: number; readonly lines: readonly string[] }
  | { readonly op: 'streams'; readonly items: StreamItems };

/** What the driver counts, beside what the lane does. */
export interface LaneFigures {
  readonly receivedDatagrams: number;
  readonly sentDatagrams: number;
  /** Packets with the lane's connection id that were not authentic. */
  readonly forgedPackets: number;
  /** Control packets that came twice. */
  readonly replayedPackets: number;
  /** By the system's code: EMSGSIZE, ENETUNREACH, EPERM, ECONNREFUSED, … */
  readonly sendErrors: Readonly<Record<string, number>>;
  /** The longest that the thread was late, of the last ten seconds or a little more. */
  readonly lagUs: number;
  readonly method: string;
  /** What the system's buffers lack. */
  readonly hint: string | null;
}

/**
 * Four values for each item, one after another: an operation, a lane, a stream, and bytes or a number (0 when there is none).
 * One array a tick is cheaper to pass than an object for each.
 */
export type StreamItems = (number | Uint8Array)[];
export const ITEM_VALUES = 4;

/** To the thread. */
export const OPEN = 0;
export const WRITE = 1;
/** No more is written. */
export const END = 2;
/** Both directions are given up. */
export const RESET = 3;
/** So many bytes were taken by the reader. */
export const CONSUMED = 4;
/** All was written and ended, and nobody reads any more; what was written shall still arrive. */
export const ABANDON = 5;
/** Memory that came with DATA and is free again. */
export const RECYCLE = 11;
/** Smaller memory is not given back. */
export const RECYCLED_BYTES = 32 * 1024;

/** From the thread. */
export const STREAM = 6;
export const DATA = 7;
export const ENDED = 8;
export const WAS_RESET = 9;
/** So many bytes have left the queue. */
export const SENT = 10;
/** Memory that went with WRITE and is free again. */
export const FREE = 12;

/** Collects stream items of a tick, and the buffers to hand over with them. */
export class ItemQueue {
  private items: StreamItems = [];
  private transfer: ArrayBuffer[] = [];

  get empty(): boolean {
    return this.items.length === 0;
  }

  add(operation: number, lane: number, stream: number, value: number): void {
    this.items.push(operation, lane, stream, value);
  }

  /** The bytes' buffer is handed over: nobody here may use it again, be it shared or not. */
  addBytes(operation: number, lane: number, stream: number, bytes: Uint8Array): void {
    this.items.push(operation, lane, stream, bytes);
    if (bytes.buffer instanceof ArrayBuffer) this.transfer.push(bytes.buffer);
  }

  flush(post: (message: { op: 'streams'; items: StreamItems }, transfer: ArrayBuffer[]) => void): void {
    if (this.items.length === 0) return;
    const { items, transfer } = this;
    this.items = [];
    this.transfer = [];
    post({ op: 'streams', items }, transfer);
  }
}
