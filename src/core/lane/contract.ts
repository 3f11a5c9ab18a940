/**
 * The lane: Hawser's UDP transport, as machines without input or output. They read no clock, make no random numbers and start
 * nothing: a driver hands them packets and the time, and asks what to send next and when to ask again. The same code runs under
 * the simulator (test/sim/lane) and on real sockets (src/transport/lane).
 *
 * A lane joins two ends, over one **path** or several. It carries **streams** of bytes both ways, like TCP connections that share
 * one rate control per path. Bytes of streams are cut into **coding blocks** of 1 to 103 **source symbols**; lost symbols are
 * made good by sending them again or by **repair symbols**, whichever is due first.
 */

/** Microseconds since some instant of this process; it never goes back. */
export type Us = number;

/** Which of the two number spaces of a path a packet is in. Data packets are rate-controlled and acknowledged; control packets are neither. */
export type PacketKind = 'data' | 'control';

/** How hard a lane pushes. `fixed` and `high` can be forbidden by the server. */
export type LanePolicy =
  | { readonly kind: 'fair' }
  | { readonly kind: 'background' }
  | { readonly kind: 'high' }
  | { readonly kind: 'fixed'; readonly bytesPerSecond: number };

/** Bytes of a symbol that is not the last of its block. A multiple of 64 for the code's kernel; 1345 bytes as an IPv4 packet. */
export const SYMBOL_BYTES = 1280;
/** Most source symbols of a coding block: two blocks carry 256 KiB, and 152 repair symbols are left of the code's 255. */
export const MAX_SOURCE_SYMBOLS = 103;
/** Symbols that a block's code has, source and repair together. */
export const MAX_SYMBOLS = 255;
/** Most paths of a lane; their numbers are below it. */
export const MAX_PATHS = 8;
/** Clear header: flags 1, connection id 8, low 32 bits of the packet number. It is the AEAD's associated data. */
export const HEADER_BYTES = 13;
export const TAG_BYTES = 16;
/** Sealed head of a data packet: block 4, symbol 1, source symbols of the block 1, bytes of the last source symbol 2. */
export const SYMBOL_HEAD_BYTES = 8;
/** IPv4 and UDP headers: what a packet costs on the wire beside its payload. Rates count it. */
export const IP_UDP_BYTES = 28;
/** Bytes of a full data packet as UDP payload. */
export const DATA_PACKET_BYTES = HEADER_BYTES + SYMBOL_HEAD_BYTES + SYMBOL_BYTES + TAG_BYTES;
/** Largest plaintext of a control packet that is not padded to the size of a full data packet. */
export const MAX_CONTROL_BYTES = 1200;
/** Plaintext of a full data packet. */
export const FULL_PLAIN_BYTES = SYMBOL_HEAD_BYTES + SYMBOL_BYTES;
/** Data packets that a path keeps account of: 2^16 packets are 83 MB in flight. */
export const PACKET_LOG_SIZE = 1 << 16;

/** What a driver does with one end of a lane. Made by `createLane` (connection.ts). */
export interface Lane {
  /**
   * A packet that was authenticated. `plain` is read during the call only. Its bytes are hostile all the same: the peer holds
   * the keys, no more.
   */
  handlePacket(nowUs: Us, packet: ReceivedPacket): void;
  handleTimer(nowUs: Us): void;
  /** The earliest instant at which handleTimer or pollTransmit has something to do; Infinity: nothing until a packet or a command. */
  nextWakeUs(nowUs: Us): Us;
  /** For so long packets that may leave may wait for others: what leaves together makes a queue of as much. Infinity: no bound. */
  mostGatherUs(nowUs: Us): Us;
  /** Writes the next packet's plaintext into `out` (1400 bytes) and fills `transmit`; false when nothing is to be sent now. */
  pollTransmit(nowUs: Us, out: Uint8Array): boolean;
  readonly transmit: Transmit;
  /** Of some block only a part has come: the rest is on its way. */
  readonly expectsMore: boolean;
  /** Written bytes that the peer would take now. */
  readonly sendableBytes: number;
  pollEvent(): LaneEvent | null;

  addPath(nowUs: Us, pathId: number, options: PathOptions): void;
  removePath(nowUs: Us, pathId: number): void;

  /** Client: even numbers, server: odd. */
  openStream(): number;
  /** Queues bytes and takes them over: they are not copied, and must not change. */
  write(streamId: number, bytes: Uint8Array): void;
  /** No more bytes will be written. */
  end(streamId: number): void;
  /** Gives up both directions. */
  reset(streamId: number): void;
  /** So many bytes of `data` events were taken by whoever reads the stream: the peer may send as many more. */
  consumed(streamId: number, bytes: number): void;
  /** The memory of an `exclusive` data event that nobody uses any more, for a block that is still to come. Need not be called. */
  recycle(memory: Uint8Array): void;
  close(nowUs: Us, reason: string): void;
  /** Asks the peer for a sign of life on every path: several that are not answered make a path `failed`. */
  ping(nowUs: Us): void;
  /**
   * The driver's event loop was late by so much: what was measured meanwhile says nothing about the network. `isStampedLate`: times
   * of arrival are its own; false when the system gives them. Default true.
   */
  handleLag(nowUs: Us, lagUs: Us, isStampedLate?: boolean): void;
  setPolicy(policy: LanePolicy): void;
  /** Most bytes a second on the wire, over all paths; Infinity: no cap. */
  setCap(bytesPerSecond: number): void;
  snapshot(nowUs: Us): LaneSnapshot;
}

export interface ReceivedPacket {
  pathId: number;
  kind: PacketKind;
  packetNumber: number;
  plain: Uint8Array;
  /** UDP payload. */
  datagramBytes: number;
  ackNow: boolean;
  /** It has the highest number of its path and came from an address that is neither the path's nor its candidate: the new candidate. */
  moved: boolean;
  /** It came from the candidate address, of which `moved` told earlier. */
  fromCandidate: boolean;
}

export interface Transmit {
  pathId: number;
  kind: PacketKind;
  packetNumber: number;
  /** Bytes of plaintext in `out`. */
  bytes: number;
  ackNow: boolean;
  probe: boolean;
  /** To the address that the newest `moved` packet came from, which is not yet the path's. */
  toCandidate: boolean;
}

export interface PathOptions {
  /** What the TLS connection saw, if anything. */
  readonly rttUs?: Us;
  /** What an earlier lane to the same place reached; tried by half, and only when the round trip is still what it was. */
  readonly cachedBytesPerSecond?: number;
  /** Packets of full size are known to get through, both ways: there is nothing to greet. Default false. */
  readonly opened?: boolean;
  /** The round trip that the earlier lane saw. Default: `rttUs`. */
  readonly cachedRttUs?: Us;
  /** The peer's address is proven: nothing limits what may be sent to it. The server's paths begin unproven. */
  readonly validated: boolean;
  /** Only kept alive until every other path is dead. */
  readonly standby?: boolean;
}

export type LaneEvent =
  | { readonly type: 'stream'; readonly id: number }
  /** In order. `exclusive`: nothing else refers to the buffer, so it may be transferred. */
  | { readonly type: 'data'; readonly id: number; readonly bytes: Uint8Array; readonly exclusive: boolean }
  | { readonly type: 'end'; readonly id: number }
  | { readonly type: 'reset'; readonly id: number }
  /** So many bytes of what was written have left the queue: room for more. */
  | { readonly type: 'sent'; readonly id: number; readonly bytes: number }
  /** A piece that was written is of no use any more, for all of it was copied into blocks. */
  | { readonly type: 'free'; readonly id: number; readonly memory: Uint8Array }
  /** The path's candidate address answered a challenge: use it from now on. */
  | { readonly type: 'moved'; readonly pathId: number }
  | { readonly type: 'path'; readonly pathId: number; readonly state: PathState }
  /** Once, the last: nothing more will be sent or delivered. */
  | { readonly type: 'closed'; readonly reason: string; readonly byPeer: boolean };

export type PathState = 'opening' | 'active' | 'standby' | 'degraded' | 'failed';

export interface LaneSnapshot {
  readonly paths: readonly PathSnapshot[];
  readonly streams: number;
  /** Written and not yet acknowledged by the peer. */
  readonly unacknowledgedBytes: number;
  readonly receivedBytes: number;
  readonly deliveredBytes: number;
  readonly blocks: { readonly sent: number; readonly received: number; readonly decodedWithRepair: number };
  readonly symbols: { readonly source: number; readonly again: number; readonly repair: number; readonly useless: number };
  /** What keeps it from being faster. */
  readonly limitedBy: 'path' | 'application' | 'receiver' | 'cap' | 'competitor';
}

export interface PathSnapshot {
  readonly id: number;
  /** What tells it from the others, for people: the client's side knows. */
  readonly name?: string;
  readonly state: PathState;
  readonly rateBytesPerSecond: number;
  readonly goodputBytesPerSecond: number;
  /** Of what was sent lately. */
  readonly lossRate: number;
  /** What is held to be the path's own, not congestion. */
  readonly randomLossRate: number;
  readonly lossBurst: number;
  readonly rttUs: Us;
  readonly minRttUs: Us;
  readonly queueUs: Us;
  readonly jitterUs: Us;
  readonly sentPackets: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly receivedBytes: number;
  /** Data packets that come in, on the wire: over the last second, and the most that came in a tenth of one. */
  readonly arrivalBytesPerSecond: number;
  readonly arrivalPeakBytesPerSecond: number;
  /** Of what the peer sent, since the path began. */
  readonly arrivalLossRate: number;
  readonly lostPackets: number;
  readonly mode: string;
  /** Goodput over what the path can carry, 0 to 1. */
  readonly efficiency: number;
}
