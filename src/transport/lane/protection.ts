/**
 * What seals and opens one lane's packets over time: keys of the current phase, and their change. The sender of a direction
 * begins a new phase after 2^24 packets or an hour, which flips a bit in its headers; the receiver follows when the first such
 * packet proves authentic, and takes packets of the former phase a little longer, for those that were under way.
 */
import type { Us } from '../../core/lane/contract.ts';
import { createKeySchedule, type Direction, type Suite } from './keys.ts';
import type { NativeMemory } from './native.ts';
import { createOpen, createSeal, type PacketOpen, type PacketSeal } from './seal.ts';

export interface ProtectionOptions {
  readonly role: 'client' | 'server';
  readonly suite: Suite;
  readonly secret: Uint8Array;
  readonly clientRandom: Uint8Array;
  /** Default 2^24. */
  readonly packetsPerPhase?: number;
}

export interface Protection {
  /** The bit for the header of the next packet to be sealed; asking may begin a new phase. */
  sendPhase(nowUs: Us): boolean;
  seal(memory: NativeMemory, at: number, plainBytes: number, pathId: number, kind: number, packetNumber: number): void;
  /** False: not authentic; the bytes are spoilt. */
  open(packet: SealedPacket, nowUs: Us): boolean;
  /** Packets that were not authentic. */
  readonly failures: number;
  /** So many failures that the keys must not be used any more. */
  readonly exhausted: boolean;
  /** Ids to put into packets, and to find in packets. */
  sendId(pathId: number): { readonly high: number; readonly low: number };
  receiveId(pathId: number): { readonly high: number; readonly low: number };
  free(): void;
}

export interface SealedPacket {
  memory: NativeMemory;
  at: number;
  bytes: number;
  keyPhase: boolean;
  pathId: number;
  /** As in the nonce (seal.ts). */
  kind: number;
  packetNumber: number;
}

export function createProtection(options: ProtectionOptions): Protection {
  const { role, suite, packetsPerPhase = PACKETS_PER_PHASE } = options;
  const schedule = createKeySchedule(options);
  const [outward, inward]: [Direction, Direction] = role === 'client' ? ['c2s', 's2c'] : ['s2c', 'c2s'];
  const sealOf = (phase: number): PacketSeal => createSeal(suite, schedule.keys(outward, phase));
  const openOf = (phase: number): PacketOpen => createOpen(suite, schedule.keys(inward, phase));

  let sendPhase = 0;
  let seal = sealOf(0);
  let sealed = 0;
  let phaseBeganUs = -1;
  /** The peer has been heard in this phase: it is there to follow the next change. */
  let heard = false;

  let receivePhase = 0;
  let open = openOf(0);
  /** For packets with the other bit: the former phase's until `formerUntilUs`, then the next one's. */
  let other: PacketOpen | null = null;
  let otherIsFormer = false;
  let formerUntilUs = 0;
  let failures = 0;

  function opensOther(packet: SealedPacket, nowUs: Us): boolean {
    if (otherIsFormer && nowUs > formerUntilUs) {
      other?.free();
      other = null;
      otherIsFormer = false;
    }
    other ??= openOf(receivePhase + 1);
    if (!openWith(other, packet)) return false;
    if (otherIsFormer) return true;
    receivePhase++;
    [open, other] = [other, open];
    otherIsFormer = true;
    formerUntilUs = nowUs + FORMER_KEY_US;
    return true;
  }

  return {
    sendPhase(nowUs) {
      if (phaseBeganUs < 0) phaseBeganUs = nowUs;
      const ageUs = nowUs - phaseBeganUs;
      const due = ageUs >= PHASE_US || (sealed >= packetsPerPhase && ageUs >= SHORTEST_PHASE_US);
      if (heard && due) {
        seal.free();
        seal = sealOf(++sendPhase);
        sealed = 0;
        phaseBeganUs = nowUs;
        heard = false;
      }
      return (sendPhase & 1) === 1;
    },
    seal(memory, at, plainBytes, pathId, kind, packetNumber) {
      sealed++;
      seal.seal(memory, at, plainBytes, pathId, kind, packetNumber);
    },
    open(packet, nowUs) {
      const authentic = packet.keyPhase === ((receivePhase & 1) === 1) ? openWith(open, packet) : opensOther(packet, nowUs);
      if (authentic) heard = true;
      else failures++;
      return authentic;
    },
    get failures() {
      return failures;
    },
    get exhausted() {
      // RFC 9001 section 6.6 sets 2^52 for AES-GCM and 2^36 for ChaCha20-Poly1305; the number sealed is bounded by the phases,
      // unless the peer is silent for as long as the whole limit (2^28 packets of up to 2^11 bytes, RFC 9001 B.1.1).
      return failures >= MOST_FAILURES || sealed >= MOST_SEALED;
    },
    sendId: (pathId) => schedule.connectionId(outward, pathId),
    receiveId: (pathId) => schedule.connectionId(inward, pathId),
    free() {
      seal.free();
      open.free();
      other?.free();
      schedule.forget();
    },
  };
}

function openWith(opener: PacketOpen, { memory, at, bytes, pathId, kind, packetNumber }: SealedPacket): boolean {
  return opener.open(memory, at, bytes, pathId, kind, packetNumber);
}

const PACKETS_PER_PHASE = 2 ** 24;
const PHASE_US = 3600e6;
/** More than three probe timeouts of a path by satellite. */
const FORMER_KEY_US = 4e6;
/** The receiver must be done with the former phase's key before it meets the next one's: both have the same bit. */
const SHORTEST_PHASE_US = 2 * FORMER_KEY_US;
const MOST_FAILURES = 2 ** 36;
const MOST_SEALED = 2 ** 28;
