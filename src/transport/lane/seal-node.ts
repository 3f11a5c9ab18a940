/** The AEAD by node:crypto: works everywhere, and makes several objects for each packet (some 5 µs). */
import { type CipherChaCha20Poly1305Types, type CipherGCMTypes, createCipheriv, createDecipheriv } from 'node:crypto';
import { HEADER_BYTES, TAG_BYTES } from '../../core/lane/contract.ts';
import { IV_BYTES, type Suite } from './keys.ts';
import type { CipherUse, PacketCipher } from './seal.ts';

export function createNodeCipher(suite: Suite, _use: CipherUse, key: Uint8Array): PacketCipher {
  const nonce = new Uint8Array(IV_BYTES);
  // Both kinds of names are taken alike; the declarations have them apart.
  const name = suite as CipherGCMTypes & CipherChaCha20Poly1305Types;
  const tagLength = { authTagLength: TAG_BYTES };
  return {
    nonce,
    seal({ bytes }, at, plainBytes) {
      const body = at + HEADER_BYTES;
      const cipher = createCipheriv(name, key, nonce, tagLength);
      cipher.setAAD(bytes.subarray(at, body), { plaintextLength: plainBytes });
      bytes.set(cipher.update(bytes.subarray(body, body + plainBytes)), body);
      cipher.final();
      bytes.set(cipher.getAuthTag(), body + plainBytes);
    },
    open({ bytes }, at, packetBytes) {
      const body = at + HEADER_BYTES;
      const end = at + packetBytes - TAG_BYTES;
      const decipher = createDecipheriv(name, key, nonce, tagLength);
      decipher.setAAD(bytes.subarray(at, body), { plaintextLength: end - body });
      decipher.setAuthTag(bytes.subarray(end, end + TAG_BYTES));
      bytes.set(decipher.update(bytes.subarray(body, end)), body);
      try {
        decipher.final();
        return true;
      } catch {
        return false;
      }
    },
    free() {},
  };
}
