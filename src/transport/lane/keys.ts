/**
 * A lane's keys and connection ids. Both ends derive them from a secret of 32 bytes that the server makes for one lane and
 * sends inside the TLS channel, and from 32 bytes of the client's (HKDF with SHA-256, RFC 5869):
 *
 *     phase 0:     PRK = Extract(salt = client random, ikm = secret)
 *     phase n + 1: PRK = Expand(PRK of phase n, "hawser lane v1 next", 32)
 *     key          Expand(PRK, "hawser lane v1 c2s key", 16 or 32), s2c likewise
 *     iv           Expand(PRK, "hawser lane v1 c2s iv", 12)
 *     id           Expand(PRK of phase 0, "hawser lane v1 cid c2s <path id in decimal>", 8)
 *
 * c2s: what the client seals, and the connection id in what it sends.
 */
import { createHmac } from 'node:crypto';

/** The AEAD that seals a lane's packets; the server chooses, inside the TLS channel. */
export type Suite = 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305';
export type Direction = 'c2s' | 's2c';

export interface PacketKeys {
  readonly key: Uint8Array;
  /** 12 bytes; a packet's nonce is made of it and of the packet's number. */
  readonly iv: Uint8Array;
}

export interface KeySchedule {
  keys(direction: Direction, phase: number): PacketKeys;
  /** The id in packets of a path: two halves of 32 bits. */
  connectionId(direction: Direction, pathId: number): { readonly high: number; readonly low: number };
  /** Overwrites what was derived. */
  forget(): void;
}

/** Throws RangeError unless `secret` and `clientRandom` have 32 bytes each. */
export function createKeySchedule(options: {
  readonly suite: Suite;
  readonly secret: Uint8Array;
  readonly clientRandom: Uint8Array;
}): KeySchedule {
  const { suite, secret, clientRandom } = options;
  if (secret.length !== SECRET_BYTES || clientRandom.length !== SECRET_BYTES)
    throw new RangeError('The secret and the client random of a lane have 32 bytes each.');
  const phases = [hmac(clientRandom, secret)];
  const phaseSecret = (phase: number): Uint8Array => {
    while (phases.length <= phase) phases.push(expand(phases.at(-1) as Uint8Array, 'next', SECRET_BYTES));
    return phases[phase] as Uint8Array;
  };
  return {
    keys: (direction, phase) => ({
      key: expand(phaseSecret(phase), `${direction} key`, KEY_BYTES[suite]),
      iv: expand(phaseSecret(phase), `${direction} iv`, IV_BYTES),
    }),
    connectionId(direction, pathId) {
      const id = expand(phaseSecret(0), `cid ${direction} ${pathId}`, 8);
      const view = new DataView(id.buffer, id.byteOffset);
      return { high: view.getUint32(0), low: view.getUint32(4) };
    },
    forget() {
      for (const secret of phases) secret.fill(0);
    },
  };
}

/** HKDF-Expand for at most 32 bytes, which is one block (RFC 5869 section 2.3), with a label of this protocol. */
export function expand(secret: Uint8Array, label: string, bytes: number): Uint8Array {
  return hmac(secret, Buffer.from(`${LABEL}${label}\x01`)).subarray(0, bytes);
}

/** HMAC with SHA-256, which is also HKDF-Extract (RFC 5869 section 2.2). */
export function hmac(key: Uint8Array, message: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(message).digest();
}

export const KEY_BYTES: Readonly<Record<Suite, number>> = {
  'aes-128-gcm': 16,
  'aes-256-gcm': 32,
  'chacha20-poly1305': 32,
};
export const IV_BYTES = 12;
export const SECRET_BYTES = 32;
const LABEL = 'hawser lane v1 ';
