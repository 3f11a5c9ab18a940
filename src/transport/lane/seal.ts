/**
 * Seals and opens packets in place. The nonce is the direction's iv XOR (path id u32 | kind u8 | 0 | packet number u48), which
 * no two packets of a key share: every path numbers its packets of either kind from 0 and never uses a number again. The clear
 * header is the associated data.
 *
 * OpenSSL is called directly where a self-test finds that this works, else through node:crypto.
 */
import { HEADER_BYTES, TAG_BYTES } from '../../core/lane/contract.ts';
import { IV_BYTES, KEY_BYTES, type PacketKeys, type Suite } from './keys.ts';
import { NativeMemory } from './native.ts';
import { createEvpCipher } from './seal-evp.ts';
import { createNodeCipher } from './seal-node.ts';

/** One key in one direction. Offsets are those of a packet's first byte. */
export interface PacketCipher {
  /** Seals `plainBytes` that lie behind the header, and writes the tag behind them. */
  seal(memory: NativeMemory, at: number, plainBytes: number): void;
  /** Opens a packet of `bytes` in all. False: it is not authentic, and its bytes are of no use any more. */
  open(memory: NativeMemory, at: number, bytes: number): boolean;
  /** What the next call uses: 12 bytes, to be written by the caller. */
  readonly nonce: Uint8Array;
  /** Gives the key's memory back. */
  free(): void;
}

export type CipherUse = 'seal' | 'open';
export type CipherMaker = (suite: Suite, use: CipherUse, key: Uint8Array) => PacketCipher;

export interface PacketSeal {
  seal(memory: NativeMemory, at: number, plainBytes: number, pathId: number, kind: number, packetNumber: number): void;
  free(): void;
}

export interface PacketOpen {
  open(memory: NativeMemory, at: number, bytes: number, pathId: number, kind: number, packetNumber: number): boolean;
  free(): void;
}

export function createSeal(suite: Suite, { key, iv }: PacketKeys, make: CipherMaker = chooseCipher(suite)): PacketSeal {
  const cipher = make(suite, 'seal', key);
  return {
    seal(memory, at, plainBytes, pathId, kind, packetNumber) {
      setNonce(cipher.nonce, iv, pathId, kind, packetNumber);
      cipher.seal(memory, at, plainBytes);
    },
    free: () => cipher.free(),
  };
}

export function createOpen(suite: Suite, { key, iv }: PacketKeys, make: CipherMaker = chooseCipher(suite)): PacketOpen {
  const cipher = make(suite, 'open', key);
  return {
    open(memory, at, bytes, pathId, kind, packetNumber) {
      setNonce(cipher.nonce, iv, pathId, kind, packetNumber);
      return cipher.open(memory, at, bytes);
    },
    free: () => cipher.free(),
  };
}

/** The cheapest maker that works here. */
export function chooseCipher(suite: Suite): CipherMaker {
  let chosen = choices.get(suite);
  if (chosen === undefined) {
    chosen = passesSelfTest(createEvpCipher, suite) ? createEvpCipher : createNodeCipher;
    choices.set(suite, chosen);
  }
  return chosen;
}

/** Whether a maker's output is what node:crypto makes of the same, and whether it takes that and refuses it with one bit changed. */
export function passesSelfTest(make: CipherMaker, suite: Suite): boolean {
  const ciphers: PacketCipher[] = [];
  const use = (maker: CipherMaker, how: CipherUse): PacketCipher => {
    const cipher = maker(suite, how, key);
    ciphers.push(cipher);
    return cipher;
  };
  const key = sample(KEY_BYTES[suite], 1);
  const nonce = sample(IV_BYTES, 2);
  try {
    const seal = use(make, 'seal');
    const open = use(make, 'open');
    const reference = use(createNodeCipher, 'seal');
    for (const plainBytes of [1, 15, 16, 1288]) {
      const bytes = HEADER_BYTES + plainBytes + TAG_BYTES;
      const packet = sample(bytes, plainBytes);
      // OpenSSL is called otherwise for the highest numbers of these two bytes.
      if (plainBytes === 15) packet.fill(0xff, HEADER_BYTES - 2, HEADER_BYTES);
      const sealedBy = (cipher: PacketCipher): NativeMemory => {
        const memory = new NativeMemory(2048);
        memory.bytes.set(packet, AT);
        cipher.nonce.set(nonce);
        cipher.seal(memory, AT, plainBytes);
        return memory;
      };
      const memory = sealedBy(seal);
      if (!equal(memory.bytes, sealedBy(reference).bytes)) return false;
      open.nonce.set(nonce);
      if (!open.open(memory, AT, bytes)) return false;
      if (!equal(memory.bytes.subarray(AT, AT + HEADER_BYTES + plainBytes), packet.subarray(0, HEADER_BYTES + plainBytes)))
        return false;
      for (const changed of [0, HEADER_BYTES, bytes - 1]) {
        const tampered = sealedBy(seal);
        tampered.bytes[AT + changed] = (tampered.bytes[AT + changed] as number) ^ 0x40;
        open.nonce.set(nonce);
        if (open.open(tampered, AT, bytes)) return false;
      }
    }
    return true;
  } catch {
    return false;
  } finally {
    for (const cipher of ciphers) cipher.free();
  }
}

function setNonce(nonce: Uint8Array, iv: Uint8Array, pathId: number, kind: number, packetNumber: number): void {
  const high = (packetNumber / TWO_32) | 0;
  const low = packetNumber | 0;
  nonce[0] = (iv[0] as number) ^ (pathId >>> 24);
  nonce[1] = (iv[1] as number) ^ (pathId >>> 16);
  nonce[2] = (iv[2] as number) ^ (pathId >>> 8);
  nonce[3] = (iv[3] as number) ^ pathId;
  nonce[4] = (iv[4] as number) ^ kind;
  nonce[5] = iv[5] as number;
  nonce[6] = (iv[6] as number) ^ (high >>> 8);
  nonce[7] = (iv[7] as number) ^ high;
  nonce[8] = (iv[8] as number) ^ (low >>> 24);
  nonce[9] = (iv[9] as number) ^ (low >>> 16);
  nonce[10] = (iv[10] as number) ^ (low >>> 8);
  nonce[11] = (iv[11] as number) ^ low;
}

/** Bytes that differ from each other; their values do not matter. */
function sample(bytes: number, first: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => first * 31 + i * 7);
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** The kind as it is in the nonce. */
export const KIND_DATA = 0;
export const KIND_CONTROL = 1;
const choices = new Map<Suite, CipherMaker>();
const TWO_32 = 2 ** 32;
const AT = 37;
