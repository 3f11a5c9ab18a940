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
/** Clear header: flags 1, connection id 8, low 32 bits of the packet number. It is the AEAD's associated data. */
export const HEADER_BYTES = 13;
export const TAG_BYTES = 16;
/** Sealed head of a data packet: block 4, symbol 1, source symbols of the block 1, bytes of the last source symbol 2. */
export const SYMBOL_HEAD_BYTES = 8;
/** IPv4 and UDP headers: what a packet costs on the wire beside its payload. Rates count it. */
export const IP_UDP_BYTES = 28;
/** Bytes of a full data packet as UDP payload. */
export const DATA_PACKET_BYTES = HEADER_BYTES + SYMBOL_HEAD_BYTES + SYMBOL_BYTES + TAG_BYTES;
/** Largest plaintext of a control packet. */
export const MAX_CONTROL_BYTES = 1200;
/** Data packets that a path keeps account of: 2^16 packets are 83 MB in flight. */
export const PACKET_LOG_SIZE = 1 << 16;
