/**
 * Digests in headers: Content-Digest and Repr-Digest (RFC 9530) and our own Hawser-Digest. For a PUT without content coding and
 * without ranges the first two speak of the same bytes.
 */
import { HawserError } from '../core/errors.ts';
import { fromHex, isDigestHex, toHex } from '../core/hex.ts';

export interface ExpectedDigests {
  sha256?: Uint8Array;
  /** Hex. */
  blake3?: string;
}

/** What the client says the body is. Algorithms that we do not know are passed over, as RFC 9530 section 2 says. */
export function expectedDigests(headers: Readonly<Record<string, string | string[] | undefined>>): ExpectedDigests {
  const expected: ExpectedDigests = {};
  const own = headers['hawser-digest'];
  if (own !== undefined) {
    if (!isDigestHex(own)) throw malformed('Hawser-Digest', String(own), '64 lower-case hex digits of BLAKE3');
    expected.blake3 = own;
  }
  for (const name of ['content-digest', 'repr-digest'] as const) {
    const field = headers[name];
    if (field === undefined) continue;
    for (const [algorithm, digest] of parseField(name, String(field))) {
      const text = toHex(digest);
      if (algorithm === 'sha-256') {
        if (expected.sha256 && toHex(expected.sha256) !== text) throw contradiction(text);
        expected.sha256 = digest;
      } else {
        if (expected.blake3 !== undefined && expected.blake3 !== text) throw contradiction(text);
        expected.blake3 = text;
      }
    }
  }
  return expected;
}

/** `hex`: BLAKE3. The algorithm is not registered with IANA; it is what we verify by. */
export function digestHeaders(hex: string): Record<string, string> {
  return { 'hawser-digest': hex, 'repr-digest': `blake3=:${Buffer.from(fromHex(hex)!).toString('base64')}:` };
}

function parseField(name: string, field: string): [algorithm: string, digest: Uint8Array][] {
  const found: [string, Uint8Array][] = [];
  for (const member of field.split(',')) {
    const parts = /^\s*([a-z][a-z0-9_.*-]*)\s*=\s*:([A-Za-z0-9+/]*={0,2}):\s*$/.exec(member);
    if (!parts) throw malformed(name, field, 'algorithm=:base64:, as in RFC 9530');
    const [, algorithm, base64] = parts as unknown as [string, string, string];
    if (algorithm !== 'sha-256' && algorithm !== 'blake3') continue;
    const digest = new Uint8Array(Buffer.from(base64, 'base64'));
    if (digest.length !== 32) throw malformed(name, field, 'a digest of 32 bytes in base64');
    found.push([algorithm, digest]);
  }
  return found;
}

function malformed(name: string, value: string, form: string): HawserError {
  return new HawserError('request_invalid', `The header ${name} is ${JSON.stringify(value.slice(0, 200))}: write ${form}.`, {
    value: value.slice(0, 200),
  });
}

function contradiction(text: string): HawserError {
  return new HawserError('digest_mismatch', 'The digest headers contradict each other: send one digest of the whole file.', {
    value: text,
  });
}
