/**
 * The AEAD by the OpenSSL inside Node, called directly with one context for each key: 0.7 µs for a full packet of AES-GCM.
 * Calls are chosen for how few there are, and for how few arguments they have (native.ts). Throws where it cannot work.
 */
import { HEADER_BYTES, TAG_BYTES } from '../../core/lane/contract.ts';
import { IV_BYTES, type Suite } from './keys.ts';
import { type Native, NativeMemory, native } from './native.ts';
import type { CipherUse, PacketCipher } from './seal.ts';

export function createEvpCipher(suite: Suite, use: CipherUse, key: Uint8Array): PacketCipher {
  const evp = functions();
  const memory = new NativeMemory(SCRATCH_BYTES);
  memory.bytes.set(key, KEY);
  const algorithm = evp.fetch(0n, NAMES[suite], 0n);
  const context = evp.newContext();
  const free = (): void => evp.freeContext(context);
  const started =
    algorithm !== 0n &&
    context !== 0n &&
    evp.init(context, algorithm, 0n, memory.pointer(KEY), memory.pointer(NONCE), use === 'seal' ? 1 : 0) === 1;
  memory.bytes.fill(0, KEY, KEY + key.length);
  // The context holds what it needs of the algorithm.
  if (algorithm !== 0n) evp.freeAlgorithm(algorithm);
  if (!started) {
    free();
    throw new Error(`OpenSSL cannot use ${suite}.`);
  }

  // For GCM, a nonce can be set as a parameter, which is a quarter of what initialising costs. ChaCha20-Poly1305 takes that
  // for the nonce of TLS and adds a sequence number.
  const nonceIsParameter = suite !== 'chacha20-poly1305';
  const text = new TextEncoder();
  memory.bytes.set(text.encode('tag\0'), NAME_TAG);
  memory.bytes.set(text.encode('tlsivfixed\0'), NAME_NONCE);
  setParameter(memory, PARAMETERS_NONCE, NAME_NONCE, NONCE, WHOLE_NONCE);
  // Behind it, so that opening sets both in one call; sealing has only the nonce.
  if (use === 'open') setParameter(memory, PARAMETERS_NONCE + PARAMETER_BYTES, NAME_TAG, 0, TAG_BYTES);
  setParameter(memory, PARAMETERS_TAG, NAME_TAG, 0, TAG_BYTES);
  memory.bytes.set(text.encode('tlsaad\0'), NAME_RECORD);
  setParameter(memory, PARAMETERS_RECORD, NAME_NONCE, NONCE, WHOLE_NONCE);
  setParameter(memory, PARAMETERS_RECORD + PARAMETER_BYTES, NAME_RECORD, RECORD, HEADER_BYTES);
  const recordParameters = memory.pointer(PARAMETERS_RECORD);
  const nonceParameters = memory.pointer(PARAMETERS_NONCE);
  const tagParameters = memory.pointer(PARAMETERS_TAG);
  const noncePointer = memory.pointer(NONCE);
  const lengthPointer = memory.pointer(LENGTH);
  const unusedPointer = memory.pointer(UNUSED);

  /**
   * Does all in one go, as for a record of TLS 1.2 ("tlsaad" in EVP_EncryptInit(3)): associated data of 13 bytes, as our header is,
   * then 8 bytes of nonce, content and tag. For a moment that nonce lies over the header's end. OpenSSL takes the last two bytes
   * of the associated data for a length, and `less` off it; null when they cannot be so much more. Negative: it failed.
   */
  function asRecord(packet: NativeMemory, at: number, plainBytes: number, less: number): number | null {
    const [own, header] = [memory.bytes, packet.bytes];
    const last = ((header[at + 11] as number) << 8) | (header[at + 12] as number);
    if (!nonceIsParameter || last + less > 0xffff) return null;
    for (let i = 0; i < 11; i++) own[RECORD + i] = header[at + i] as number;
    own[RECORD + 11] = (last + less) >> 8;
    own[RECORD + 12] = last + less;
    for (let i = 0; i < RECORD_NONCE_BYTES; i++) header[at + 5 + i] = own[NONCE + 4 + i] as number;
    const record = BigInt(packet.base + at + 5);
    const done =
      evp.setParameters(context, recordParameters) === 1
        ? evp.cipher(context, record, record, RECORD_NONCE_BYTES + plainBytes + TAG_BYTES)
        : -1;
    for (let i = 5; i < 11; i++) header[at + i] = own[RECORD + i] as number;
    header[at + 11] = last >> 8;
    header[at + 12] = last;
    return done;
  }

  return {
    nonce: memory.bytes.subarray(NONCE, NONCE + IV_BYTES),
    seal(packet, at, plainBytes) {
      const done = asRecord(packet, at, plainBytes, RECORD_NONCE_BYTES);
      if (done !== null) {
        if (done < 0) throw new Error('OpenSSL does not seal.');
        return;
      }
      const start = packet.base + at;
      const body = BigInt(start + HEADER_BYTES);
      const ready = nonceIsParameter
        ? evp.setParameters(context, nonceParameters)
        : evp.init(context, 0n, 0n, 0n, noncePointer, KEEP_USE);
      if (ready !== 1) throw new Error('OpenSSL does not take the nonce.');
      evp.cipher(context, 0n, BigInt(start), HEADER_BYTES);
      const sealed = evp.cipher(context, body, body, plainBytes);
      memory.setWord(PARAMETERS_TAG + DATA, start + HEADER_BYTES + plainBytes);
      const finished = evp.final(context, unusedPointer, lengthPointer) === 1;
      if (sealed !== plainBytes || !finished || evp.getParameters(context, tagParameters) !== 1)
        throw new Error('OpenSSL does not seal.');
    },
    open(packet, at, bytes) {
      const plainBytes = bytes - HEADER_BYTES - TAG_BYTES;
      const done = asRecord(packet, at, plainBytes, RECORD_NONCE_BYTES + TAG_BYTES);
      if (done !== null) return done >= 0;
      const start = packet.base + at;
      const body = BigInt(start + HEADER_BYTES);
      const tagAt = start + bytes - TAG_BYTES;
      if (nonceIsParameter) {
        memory.setWord(PARAMETERS_NONCE + PARAMETER_BYTES + DATA, tagAt);
        if (evp.setParameters(context, nonceParameters) !== 1) return false;
      } else {
        memory.setWord(PARAMETERS_TAG + DATA, tagAt);
        if (evp.init(context, 0n, 0n, 0n, noncePointer, KEEP_USE) !== 1) return false;
        if (evp.setParameters(context, tagParameters) !== 1) return false;
      }
      if (evp.cipher(context, 0n, BigInt(start), HEADER_BYTES) < 0) return false;
      if (evp.cipher(context, body, body, plainBytes) !== plainBytes) return false;
      return evp.final(context, unusedPointer, lengthPointer) === 1;
    },
    free,
  };
}

interface Evp {
  fetch(library: bigint, name: string, properties: bigint): bigint;
  newContext(): bigint;
  freeContext(context: bigint): void;
  freeAlgorithm(algorithm: bigint): void;
  init(context: bigint, algorithm: bigint, engine: bigint, key: bigint, nonce: bigint, use: number): number;
  /** EVP_Cipher: without an output, the input is associated data. Bytes done; negative when it failed. */
  cipher(context: bigint, output: bigint, input: bigint, bytes: number): number;
  final(context: bigint, output: bigint, length: bigint): number;
  setParameters(context: bigint, parameters: bigint): number;
  getParameters(context: bigint, parameters: bigint): number;
}

let bound: Evp | null = null;

function functions(): Evp {
  const ffi = native();
  if (ffi === null) throw new Error('There is no node:ffi.');
  bound ??= bind(ffi);
  return bound;
}

function bind(ffi: Native): Evp {
  const six = ['pointer', 'pointer', 'pointer', 'pointer', 'pointer', 'i32'] as const;
  return {
    fetch: ffi.callForPointer('EVP_CIPHER_fetch', ['pointer', 'string', 'pointer']),
    newContext: ffi.callForPointer('EVP_CIPHER_CTX_new', []),
    freeContext: ffi.call('EVP_CIPHER_CTX_free', ['pointer']),
    freeAlgorithm: ffi.call('EVP_CIPHER_free', ['pointer']),
    init: ffi.call('EVP_CipherInit_ex', six),
    cipher: ffi.call('EVP_Cipher', ['pointer', 'pointer', 'pointer', 'u32']),
    final: ffi.call('EVP_CipherFinal_ex', ['pointer', 'pointer', 'pointer']),
    setParameters: ffi.call('EVP_CIPHER_CTX_set_params', ['pointer', 'pointer']),
    getParameters: ffi.call('EVP_CIPHER_CTX_get_params', ['pointer', 'pointer']),
  };
}

/** Writes an OSSL_PARAM: name, type, address of the data, its size, and the size that was returned. */
function setParameter(memory: NativeMemory, at: number, name: number, data: number, size: number): void {
  memory.setPointer(at, name);
  memory.u32[(at + 8) >> 2] = OCTET_STRING;
  memory.setPointer(at + DATA, data);
  memory.i32[(at + 24) >> 2] = size;
  memory.i32[(at + 28) >> 2] = size < 0 ? -1 : 0;
  memory.i32[(at + 32) >> 2] = memory.i32[(at + 36) >> 2] = -1;
}

const NAMES: Readonly<Record<Suite, string>> = {
  'aes-128-gcm': 'AES-128-GCM',
  'aes-256-gcm': 'AES-256-GCM',
  'chacha20-poly1305': 'ChaCha20-Poly1305',
};
/** Of OSSL_PARAM_OCTET_STRING. */
const OCTET_STRING = 5;
/** The size that makes "tlsivfixed" the whole nonce (EVP_CTRL_GCM_SET_IV_FIXED in EVP_EncryptInit(3)). */
const WHOLE_NONCE = -1;
const KEEP_USE = -1;
/** Layout of a cipher's own memory. A list of parameters ends with one whose name is null. */
const NONCE = 0;
const LENGTH = 16;
const KEY = 32;
const NAME_TAG = 64;
const NAME_NONCE = 72;
const UNUSED = 96;
const NAME_RECORD = 112;
const PARAMETER_BYTES = 40;
const DATA = 16;
const PARAMETERS_NONCE = 128;
const PARAMETERS_TAG = PARAMETERS_NONCE + 3 * PARAMETER_BYTES;
const PARAMETERS_RECORD = PARAMETERS_TAG + 2 * PARAMETER_BYTES;
const RECORD = PARAMETERS_RECORD + 3 * PARAMETER_BYTES;
const RECORD_NONCE_BYTES = 8;
const SCRATCH_BYTES = 512;
