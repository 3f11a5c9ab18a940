/**
 * How a client that has a ticket asks for a lane straight over UDP, and how the server answers: one round trip, and no TCP.
 *
 * A ticket comes over the authenticated TLS channel: bytes that only the server can read, and a secret of 32 bytes that it can
 * find in them. Whoever does not have one gets no answer. Both sides add an X25519 key of the moment (RFC 7748), so that a stolen
 * ticket opens nothing that was sent before, and so that a hello that is sent again by a third opens a lane nobody can use.
 *
 *     hello    0x81 | attempt | client's public key, 32 | bytes of the ticket, 2 | ticket | sealed JSON, padded | tag, 16
 *     welcome  0x82 | attempt | held, 2 | first 8 bytes of the client's key | server's public key, 32 | sealed JSON, padded | tag, 16
 *
 * Each is as long as a full data packet, so that the answer shows that such packets get through, and so that nobody gets more
 * than he sent. For the round trip alone, and so not sealed, are the attempt (which of several hellos was answered) and how long
 * the server held it, in units of 16 microseconds. Keys (HKDF with SHA-256, RFC 5869; AES-256-GCM, with all after these as
 * associated data):
 *
 *     hello     PRK = Extract(salt = client's public key, ikm = ticket's secret)
 *     welcome   PRK = Extract(salt = both public keys, ikm = ticket's secret | X25519 of both)
 *     key, iv   Expand(PRK, "hawser lane v1 hello key", 32), (…"hello iv", 12), likewise "welcome"
 *     the lane's secret   Expand(PRK of the welcome, "hawser lane v1 lane secret", 32); its client random is the client's public key
 */
import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import { DATA_PACKET_BYTES } from '../../core/lane/contract.ts';
import { expand, hmac } from './keys.ts';

/** Of a hello and of a welcome. */
export const HELLO_BYTES = DATA_PACKET_BYTES;
export const MAX_TICKET_BYTES = 512;

/** A client's hello, and what it takes to read the answer. */
export interface Hello {
  readonly datagram: Uint8Array;
  /** Throws RangeError: not the answer to this hello, or forged. */
  read(welcome: Uint8Array): Welcome;
}

export interface Welcome {
  /** What the server said. */
  readonly answer: unknown;
  readonly laneSecret: Uint8Array;
  readonly clientRandom: Uint8Array;
}

/** A server's view of a hello whose ticket it has yet to read. */
export interface HelloFrame {
  readonly clientKey: Uint8Array;
  readonly ticket: Uint8Array;
}

/** An X25519 key of the moment. */
export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

/** Throws RangeError when ticket and request do not fit into one datagram. */
export function createHello(ticket: Uint8Array, secret: Uint8Array, request: unknown, keys: KeyPair = newKeys()): Hello {
  const { privateKey, publicKey } = keys;
  const clientKey = rawKey(publicKey);
  if (ticket.length > MAX_TICKET_BYTES) throw new RangeError(`A ticket of ${ticket.length} bytes is too long.`);
  const datagram = new Uint8Array(HELLO_BYTES);
  datagram[0] = HELLO;
  datagram.set(clientKey, KEY_AT);
  datagram[TICKET_AT - 2] = ticket.length >>> 8;
  datagram[TICKET_AT - 1] = ticket.length & 0xff;
  datagram.set(ticket, TICKET_AT);
  sealInto(datagram, KEY_AT, TICKET_AT + ticket.length, hmac(clientKey, secret), 'hello', request);
  return {
    datagram,
    read(welcome) {
      if (!isWelcome(welcome) || !isFor(welcome, datagram)) throw new RangeError('This is no answer to that hello.');
      const serverKey = welcome.subarray(SERVER_KEY_AT, WELCOME_SEALED_AT);
      const prk = welcomePrk(clientKey, serverKey, secret, privateKey, serverKey);
      return { ...laneKeys(prk, clientKey), answer: openFrom(welcome, FOR_AT, WELCOME_SEALED_AT, prk, 'welcome') };
    },
  };
}

/** Null for anything that is no hello. */
export function readHelloFrame(datagram: Uint8Array): HelloFrame | null {
  if (!isHello(datagram)) return null;
  const ticketBytes = ((datagram[TICKET_AT - 2] as number) << 8) | (datagram[TICKET_AT - 1] as number);
  if (ticketBytes > MAX_TICKET_BYTES) return null;
  return {
    clientKey: datagram.subarray(KEY_AT, TICKET_AT - 2),
    ticket: datagram.subarray(TICKET_AT, TICKET_AT + ticketBytes),
  };
}

/** What the client asks for. Throws when it does not have the ticket's secret. */
export function readHello(datagram: Uint8Array, { clientKey, ticket }: HelloFrame, secret: Uint8Array): unknown {
  return openFrom(datagram, KEY_AT, TICKET_AT + ticket.length, hmac(clientKey, secret), 'hello');
}

/** The server's part of a lane's keys, made before it is known what the answer will be. Throws for a key that is none. */
export function createWelcome({ clientKey }: HelloFrame, secret: Uint8Array, keys: KeyPair = newKeys()) {
  const { privateKey, publicKey } = keys;
  const serverKey = rawKey(publicKey);
  const prk = welcomePrk(clientKey, serverKey, secret, privateKey, clientKey);
  return {
    ...laneKeys(prk, clientKey),
    /** The datagram. Once for each welcome: another answer would be sealed with the same nonce. */
    seal(answer: unknown): Uint8Array {
      const datagram = new Uint8Array(HELLO_BYTES);
      datagram[0] = WELCOME;
      datagram.set(clientKey.subarray(0, FOR_BYTES), FOR_AT);
      datagram.set(serverKey, SERVER_KEY_AT);
      sealInto(datagram, FOR_AT, WELCOME_SEALED_AT, prk, 'welcome', answer);
      return datagram;
    },
  };
}

export const isHello = (datagram: Uint8Array): boolean => datagram.length === HELLO_BYTES && datagram[0] === HELLO;
export const isWelcome = (datagram: Uint8Array): boolean => datagram.length === HELLO_BYTES && datagram[0] === WELCOME;

/** The welcome answers that hello, as far as can be told without its keys. */
export function isFor(welcome: Uint8Array, hello: Uint8Array): boolean {
  for (let i = 0; i < FOR_BYTES; i++) if (welcome[FOR_AT + i] !== hello[KEY_AT + i]) return false;
  return true;
}

/** Which hello of several, or which one a welcome answers. */
export const attemptOf = (datagram: Uint8Array): number => datagram[ATTEMPT_AT] as number;
export function setAttempt(datagram: Uint8Array, attempt: number): void {
  datagram[ATTEMPT_AT] = attempt & 0xff;
}

/** How long the server had the hello before it sent this welcome, in microseconds; at most a second. */
export const heldUs = (welcome: Uint8Array): number =>
  (((welcome[HELD_AT] as number) << 8) | (welcome[HELD_AT + 1] as number)) * HELD_UNIT_US;
export function setHeldUs(welcome: Uint8Array, us: number): void {
  const units = Math.min(0xffff, Math.max(0, Math.round(us / HELD_UNIT_US)));
  welcome[HELD_AT] = units >>> 8;
  welcome[HELD_AT + 1] = units & 0xff;
}

const newKeys = (): KeyPair => generateKeyPairSync('x25519');

function laneKeys(prk: Uint8Array, clientKey: Uint8Array): { laneSecret: Uint8Array; clientRandom: Uint8Array } {
  return { laneSecret: expand(prk, 'lane secret', 32), clientRandom: new Uint8Array(clientKey) };
}

function welcomePrk(
  clientKey: Uint8Array,
  serverKey: Uint8Array,
  secret: Uint8Array,
  own: KeyObject,
  peer: Uint8Array,
): Uint8Array {
  const x = Buffer.from(peer).toString('base64url');
  const publicKey = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'X25519', x } });
  // A point of low order, which would make the result known to all, is an error here (RFC 7748 section 6.1).
  const shared = diffieHellman({ privateKey: own, publicKey });
  return hmac(Buffer.concat([clientKey, serverKey]), Buffer.concat([secret, shared]));
}

function rawKey(key: KeyObject): Uint8Array {
  return Buffer.from(key.export({ format: 'jwk' }).x as string, 'base64url');
}

/** The clear part that is authenticated begins at `clear`, the sealed one at `from`. */
function sealInto(datagram: Uint8Array, clear: number, from: number, prk: Uint8Array, label: string, value: unknown): void {
  const room = HELLO_BYTES - TAG_BYTES - from;
  const plain = Buffer.alloc(Math.max(0, room), ' ');
  const text = Buffer.from(JSON.stringify(value));
  if (text.length > room) throw new RangeError(`${text.length} bytes do not fit into a ${label} that has room for ${room}.`);
  text.copy(plain);
  const cipher = createCipheriv('aes-256-gcm', expand(prk, `${label} key`, 32), expand(prk, `${label} iv`, 12));
  cipher.setAAD(datagram.subarray(clear, from));
  datagram.set(cipher.update(plain), from);
  cipher.final();
  datagram.set(cipher.getAuthTag(), from + room);
}

function openFrom(datagram: Uint8Array, clear: number, from: number, prk: Uint8Array, label: string): unknown {
  const end = HELLO_BYTES - TAG_BYTES;
  const cipher = createDecipheriv('aes-256-gcm', expand(prk, `${label} key`, 32), expand(prk, `${label} iv`, 12), {
    authTagLength: TAG_BYTES,
  });
  cipher.setAAD(datagram.subarray(clear, from));
  cipher.setAuthTag(datagram.subarray(end));
  const plain = cipher.update(datagram.subarray(from, end));
  try {
    cipher.final();
  } catch (cause) {
    throw new RangeError(`The ${label} is not authentic.`, { cause });
  }
  return JSON.parse(plain.toString());
}

const HELLO = 0x81;
const WELCOME = 0x82;
const ATTEMPT_AT = 1;
const KEY_AT = 2;
const TICKET_AT = KEY_AT + 32 + 2;
const HELD_AT = 2;
const HELD_UNIT_US = 16;
const FOR_AT = 4;
const FOR_BYTES = 8;
const SERVER_KEY_AT = FOR_AT + FOR_BYTES;
const WELCOME_SEALED_AT = SERVER_KEY_AT + 32;
const TAG_BYTES = 16;
