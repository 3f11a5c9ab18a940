/**
 * Tokens: `hws_<id>_<secret>`, lower-case base32. The id (60 bits) finds the record, the secret (256 bits) proves it. Only the
 * SHA-256 of the secret is stored: against 256 random bits a slow hash would protect nothing.
 *
 * Nothing is cached, so that a revoked token stops working with the next request (a look-up costs some 50 µs).
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import { HawserError } from '../core/errors.ts';
import type { Principal } from '../engine/contract.ts';
import type { MetaStore, Role, TokenRecord } from '../store/meta/contract.ts';

export interface Auth {
  /** `header`: the Authorization header. Errors: token_missing, token_invalid, token_expired. */
  authenticate(header: string | undefined): Promise<Principal>;
  /** Whose token has that id; null: there is none, or it has expired. For what the token's holder was given on an earlier day. */
  principalOf(id: string): Promise<Principal | null>;
  /** `expiresMs`: milliseconds since 1970, or null for never. The token is not shown again. */
  createToken(request: { name: string; role: Role; expiresMs: number | null }): Promise<{ token: string; record: TokenRecord }>;
  listTokens(): Promise<TokenRecord[]>;
  /** `token_not_found` when there is none. */
  removeToken(id: string): Promise<void>;
}

export function createAuth(context: {
  meta: Pick<MetaStore, 'addToken' | 'getToken' | 'listTokens' | 'removeToken'>;
  random: (bytes: number) => Uint8Array;
  now: () => number;
}): Auth {
  const { meta, random, now } = context;
  return {
    async authenticate(header) {
      if (header === undefined || header === '') {
        throw new HawserError('token_missing', 'This needs a token: send it as "Authorization: Bearer hws_…".');
      }
      const parts = /^bearer +(\S+) *$/i.exec(header.slice(0, MAX_HEADER_CHARS + 1));
      const token = parts ? parseToken(parts[1]!) : null;
      if (!token) throw invalidToken();
      const record = await meta.getToken(token.id);
      // The comparison runs also when there is no such id, so that time does not tell which ids exist.
      const same = timingSafeEqual(hashSecret(token.secret), record?.secretHash ?? NOBODY);
      if (!record || !same) throw invalidToken();
      if (record.expiresMs !== null && record.expiresMs <= now()) {
        const when = new Date(record.expiresMs).toISOString();
        throw new HawserError('token_expired', `The token "${record.name}" expired at ${when}: ask for a new one.`);
      }
      return { id: record.id, name: record.name, role: record.role };
    },

    async principalOf(id) {
      const record = await meta.getToken(id);
      if (!record || (record.expiresMs !== null && record.expiresMs <= now())) return null;
      return { id: record.id, name: record.name, role: record.role };
    },

    async createToken({ name, role, expiresMs }) {
      const { token, id, secretHash } = makeToken(random);
      const record: TokenRecord = { id, name, role, secretHash, createdMs: now(), expiresMs };
      await meta.addToken(record);
      return { token, record };
    },

    listTokens: () => meta.listTokens(),

    async removeToken(id) {
      if (await meta.removeToken(id)) return;
      throw new HawserError(
        'token_not_found',
        `There is no token ${JSON.stringify(id)}: list the tokens to see which there are.`,
        {
          value: id,
        },
      );
    },
  };
}

/** A new token and what is stored of it. */
export function makeToken(random: (bytes: number) => Uint8Array): { token: string; id: string; secretHash: Uint8Array } {
  const id = base32(random(8)).slice(0, ID_CHARS);
  const secret = base32(random(32));
  return { token: `hws_${id}_${secret}`, id, secretHash: hashSecret(secret) };
}

/** Null for anything that is not a whole token. */
export function parseToken(text: string): { id: string; secret: string } | null {
  const parts = /^hws_([a-z2-7]{12})_([a-z2-7]{52})$/.exec(text);
  return parts ? { id: parts[1]!, secret: parts[2]! } : null;
}

/** True when the role includes what `needed` may do. */
export function roleIncludes(role: Role, needed: Role): boolean {
  return ROLES.indexOf(role) >= ROLES.indexOf(needed);
}

/** Of the text, not of the bytes behind it: the last character carries one bit, so several texts spell the same bytes. */
function hashSecret(secret: string): Uint8Array {
  return createHash('sha256').update(secret).digest();
}

function invalidToken(): HawserError {
  return new HawserError(
    'token_invalid',
    'The token is not one that this server knows: check that it was copied whole and not revoked.',
  );
}

function base32(bytes: Uint8Array): string {
  let text = '';
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff;
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET[(held >> (bits - 5)) & 31];
  }
  return bits === 0 ? text : text + ALPHABET[(held << (5 - bits)) & 31];
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const ID_CHARS = 12;
const MAX_HEADER_CHARS = 256;
const ROLES: readonly Role[] = ['read', 'write', 'admin'];
const NOBODY = new Uint8Array(32);
