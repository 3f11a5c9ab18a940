/**
 * What a packet looks like on the wire: the clear header that every packet has, and the sealed head of a data packet's symbol
 * (docs/protocol/lane.md). Readers are total: any bytes in, false out when they are not one of ours. Big-endian throughout.
 */
import {
  DATA_PACKET_BYTES,
  HEADER_BYTES,
  IP_UDP_BYTES,
  MAX_SOURCE_SYMBOLS,
  MAX_SYMBOLS,
  type PacketKind,
  SYMBOL_BYTES,
  SYMBOL_HEAD_BYTES,
  TAG_BYTES,
} from './contract.ts';
import { readU16, readU32, writeU16, writeU32 } from './integers.ts';

/** The clear header, which is also the AEAD's associated data. One object is used again for every packet. */
export interface Header {
  kind: PacketKind;
  /** The sender asks for an ACK at once. */
  ackNow: boolean;
  /** Part of a packet train or of another measurement. */
  probe: boolean;
  /** Which of the two newest generations of keys sealed the packet. */
  keyPhase: boolean;
  /** The upper and lower half of the 64-bit connection id. */
  idHigh: number;
  idLow: number;
  /** The low 32 bits of the packet number. `writeHeader` takes the whole number as well and cuts it. */
  packetNumberLow: number;
}

/** What a data packet's plaintext says before its symbol. */
export interface SymbolHead {
  block: number;
  /** 0 to sourceSymbols - 1: a source symbol; above: a repair symbol. */
  symbol: number;
  /** The block's number of source symbols, 1 to 103. */
  sourceSymbols: number;
  /** Bytes of the block's last source symbol, 1 to 1280. */
  lastBytes: number;
}

/** Packet numbers are below this. */
export const PACKET_NUMBER_LIMIT = 2 ** 48;

export function newHeader(): Header {
  return { kind: 'data', ackNow: false, probe: false, keyPhase: false, idHigh: 0, idLow: 0, packetNumberLow: 0 };
}

export function newSymbolHead(): SymbolHead {
  return { block: 0, symbol: 0, sourceSymbols: 1, lastBytes: 1 };
}

/** Writes the 13 bytes of the header at the start of `out`. */
export function writeHeader(out: Uint8Array, header: Readonly<Header>): void {
  out[0] =
    VERSION |
    (header.keyPhase ? KEY_PHASE : 0) |
    (header.kind === 'control' ? CONTROL : 0) |
    (header.ackNow ? ACK_NOW : 0) |
    (header.probe ? PROBE : 0);
  writeU32(out, 1, header.idHigh);
  writeU32(out, 5, header.idLow);
  writeU32(out, 9, header.packetNumberLow);
}

/** Reads a datagram's header. False: not a packet of this version (too short, other version, reserved bits); `into` is then as it was. */
export function readHeader(datagram: Uint8Array, into: Header): boolean {
  if (datagram.length < SHORTEST_PACKET_BYTES) return false;
  const flags = datagram[0] as number;
  if ((flags & (VERSION_MASK | RESERVED)) !== VERSION) return false;
  into.kind = (flags & CONTROL) !== 0 ? 'control' : 'data';
  into.ackNow = (flags & ACK_NOW) !== 0;
  into.probe = (flags & PROBE) !== 0;
  into.keyPhase = (flags & KEY_PHASE) !== 0;
  into.idHigh = readU32(datagram, 1);
  into.idLow = readU32(datagram, 5);
  into.packetNumberLow = readU32(datagram, 9);
  return true;
}

/**
 * The 48-bit packet number nearest to the one after `largest` that has these low 32 bits (RFC 9000 A.3). `largest` is the
 * highest number authenticated so far on the path and in the kind's number space, -1 when there is none.
 */
export function expandPacketNumber(largest: number, low32: number): number {
  const expected = largest + 1;
  const candidate = expected - (expected % TWO_32) + (low32 >>> 0);
  if (candidate <= expected - HALF_32 && candidate < PACKET_NUMBER_LIMIT - TWO_32) return candidate + TWO_32;
  if (candidate >= TWO_32 && (candidate > expected + HALF_32 || candidate >= PACKET_NUMBER_LIMIT)) return candidate - TWO_32;
  return candidate;
}

export function writeSymbolHead(
  out: Uint8Array,
  offset: number,
  block: number,
  symbol: number,
  sourceSymbols: number,
  lastBytes: number,
): void {
  writeU32(out, offset, block);
  out[offset + 4] = symbol;
  out[offset + 5] = sourceSymbols;
  writeU16(out, offset + 6, lastBytes);
}

/**
 * Reads the head of a data packet's plaintext. False, and `into` as it was: a value out of its bounds, or not exactly as many
 * bytes behind the head as this symbol has.
 */
export function readSymbolHead(plain: Uint8Array, into: SymbolHead): boolean {
  if (plain.length <= SYMBOL_HEAD_BYTES) return false;
  const symbol = plain[4] as number;
  const sourceSymbols = plain[5] as number;
  const lastBytes = readU16(plain, 6);
  if (symbol >= MAX_SYMBOLS || sourceSymbols < 1 || sourceSymbols > MAX_SOURCE_SYMBOLS) return false;
  if (lastBytes < 1 || lastBytes > SYMBOL_BYTES) return false;
  if (plain.length - SYMBOL_HEAD_BYTES !== symbolBytes(symbol, sourceSymbols, lastBytes)) return false;
  into.block = readU32(plain, 0);
  into.symbol = symbol;
  into.sourceSymbols = sourceSymbols;
  into.lastBytes = lastBytes;
  return true;
}

/**
 * Bytes of a symbol on the wire. The last source symbol is sent without the zeros that it is filled up with for the code; a
 * block of one source symbol is coded over just its bytes.
 */
export function symbolBytes(symbol: number, sourceSymbols: number, lastBytes: number): number {
  return sourceSymbols === 1 || symbol === sourceSymbols - 1 ? lastBytes : SYMBOL_BYTES;
}

/** What a full data packet costs on an IPv4 network. */
export const DATA_PACKET_WIRE_BYTES = DATA_PACKET_BYTES + IP_UDP_BYTES;

const VERSION_MASK = 0xc0;
const VERSION = 0x40;
const KEY_PHASE = 0x20;
const CONTROL = 0x10;
const ACK_NOW = 0x08;
const PROBE = 0x04;
const RESERVED = 0x03;
/** A header, one sealed byte and the tag. */
const SHORTEST_PACKET_BYTES = HEADER_BYTES + 1 + TAG_BYTES;
const TWO_32 = 2 ** 32;
const HALF_32 = 2 ** 31;
