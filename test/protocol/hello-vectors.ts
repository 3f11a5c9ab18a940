/** The hello and the welcome of docs/protocol/lane.md, made from the document alone. */
import { createCipheriv, createHmac, createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from 'node:crypto';

export const TICKET = Uint8Array.from({ length: 40 }, (_, i) => 0xa0 + i);
export const TICKET_SECRET = Uint8Array.from({ length: 32 }, (_, i) => 64 + i);
export const HELLO_REQUEST = { policy: 'fair', paths: 1 };
export const WELCOME_ANSWER = { id: 'f0e1', suite: 'aes-128-gcm', policy: 'fair', paths: 1 };
const HELLO_ATTEMPT = 3;

export const CLIENT = pair('77076d0a7318a57d3c16c17251b26645db4e2bb4e6c9cd2a1a0e6e9f1d9c2a2a');
export const SERVER = pair('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb');

const HELLO_PRK = hmac(CLIENT.raw, TICKET_SECRET);
const SHARED = diffieHellman({ privateKey: CLIENT.privateKey, publicKey: SERVER.publicKey });
const WELCOME_PRK = hmac(Buffer.concat([CLIENT.raw, SERVER.raw]), Buffer.concat([TICKET_SECRET, SHARED]));
export const LANE_SECRET = expand(WELCOME_PRK, 'lane secret', 32);

export const HELLO = sealed(
  Buffer.concat([Uint8Array.of(0x81, HELLO_ATTEMPT), CLIENT.raw, Uint8Array.of(0, TICKET.length), TICKET]),
  HELLO_PRK,
  'hello',
  HELLO_REQUEST,
);
export const WELCOME = sealed(
  Buffer.concat([Uint8Array.of(0x82, HELLO_ATTEMPT, 0, 100), CLIENT.raw.subarray(0, 8), SERVER.raw]),
  WELCOME_PRK,
  'welcome',
  WELCOME_ANSWER,
  4,
);

/** Lines for the document. */
export function helloVectors(): string[] {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
  return [
    `ticket              ${hex(TICKET)}`,
    `ticket's secret     ${hex(TICKET_SECRET)}`,
    `client private key  ${hex(CLIENT.secret)}`,
    `client public key   ${hex(CLIENT.raw)}`,
    `server private key  ${hex(SERVER.secret)}`,
    `server public key   ${hex(SERVER.raw)}`,
    `X25519 of both      ${hex(SHARED)}`,
    `PRK of the hello    ${hex(HELLO_PRK)}`,
    `hello key           ${hex(expand(HELLO_PRK, 'hello key', 32))}`,
    `hello iv            ${hex(expand(HELLO_PRK, 'hello iv', 12))}`,
    `PRK of the welcome  ${hex(WELCOME_PRK)}`,
    `welcome key         ${hex(expand(WELCOME_PRK, 'welcome key', 32))}`,
    `welcome iv          ${hex(expand(WELCOME_PRK, 'welcome iv', 12))}`,
    `the lane's secret   ${hex(LANE_SECRET)}`,
    `hello               ${hex(HELLO.subarray(0, 160))}… (${HELLO.length} bytes)`,
    `its last 32         ${hex(HELLO.subarray(-32))}`,
    `welcome             ${hex(WELCOME.subarray(0, 160))}… (${WELCOME.length} bytes)`,
    `its last 32         ${hex(WELCOME.subarray(-32))}`,
  ];
}

function sealed(clear: Uint8Array, prk: Buffer, label: string, value: unknown, authenticFrom = 2): Buffer {
  const plain = Buffer.from(JSON.stringify(value).padEnd(1317 - 16 - clear.length, ' '));
  const cipher = createCipheriv('aes-256-gcm', expand(prk, `${label} key`, 32), expand(prk, `${label} iv`, 12));
  cipher.setAAD(clear.subarray(authenticFrom));
  return Buffer.concat([clear, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

function pair(secretHex: string): { secret: Buffer; raw: Buffer; privateKey: KeyObject; publicKey: KeyObject } {
  const secret = Buffer.from(secretHex, 'hex');
  // RFC 8410: the private key inside PKCS #8.
  const der = Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), secret]);
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey);
  return { secret, privateKey, publicKey, raw: Buffer.from(publicKey.export({ format: 'jwk' }).x as string, 'base64url') };
}

function hmac(key: Uint8Array, message: Uint8Array): Buffer {
  return createHmac('sha256', key).update(message).digest();
}

function expand(secret: Uint8Array, label: string, bytes: number): Buffer {
  return hmac(secret, Buffer.concat([Buffer.from(`hawser lane v1 ${label}`), Uint8Array.of(1)])).subarray(0, bytes);
}
