/**
 * Digest records, `application/vnd.hawser.digests` (docs/protocol/http.md, "Uploads"): u32 first block, u32 count, count
 * digests of 32 bytes; blocks ascend.
 */
import { HawserError } from '../errors.ts';
import { DIGEST_BYTES } from '../hex.ts';

/** Consecutive blocks from `first` on, with the digest of each, one after the other. */
export interface DigestRun {
  readonly first: number;
  readonly digests: Uint8Array;
}

/** Runs must ascend without overlap; empty ones are left out. */
export function encodeDigestRecords(runs: readonly DigestRun[]): Uint8Array {
  const filled = runs.filter((run) => run.digests.length > 0);
  let length = 0;
  let next = 0;
  for (const { first, digests } of filled) {
    const count = digests.length / DIGEST_BYTES;
    if (!Number.isInteger(first) || first < next || !Number.isInteger(count) || first + count > MAX_BLOCKS) {
      throw new HawserError(
        'internal',
        `Digest records cannot hold a run at block ${first} with ${digests.length} bytes of digests.`,
      );
    }
    next = first + count;
    length += RECORD_HEADER_BYTES + digests.length;
  }
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const { first, digests } of filled) {
    view.setUint32(at, first);
    view.setUint32(at + 4, digests.length / DIGEST_BYTES);
    bytes.set(digests, at + RECORD_HEADER_BYTES);
    at += RECORD_HEADER_BYTES + digests.length;
  }
  return bytes;
}

/** The digests are views of `bytes`. `protocol_error` for anything but whole, ascending, non-empty records. */
export function decodeDigestRecords(bytes: Uint8Array): DigestRun[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const runs: DigestRun[] = [];
  let next = 0;
  for (let at = 0; at < bytes.length; ) {
    if (bytes.length - at < RECORD_HEADER_BYTES) throw malformed('end inside a header', at);
    const first = view.getUint32(at);
    const count = view.getUint32(at + 4);
    if (count === 0) throw malformed('have a record of no blocks', at);
    if (first < next) throw malformed(`go back to block ${first}`, at);
    if (first + count > MAX_BLOCKS) throw malformed(`run past block ${MAX_BLOCKS - 1}`, at);
    const start = at + RECORD_HEADER_BYTES;
    const end = start + count * DIGEST_BYTES;
    if (end > bytes.length) throw malformed(`end before the ${count} digests from block ${first} on`, at);
    runs.push({ first, digests: bytes.subarray(start, end) });
    next = first + count;
    at = end;
  }
  return runs;
}

function malformed(what: string, at: number): HawserError {
  return new HawserError('protocol_error', `The digest records ${what} (at byte ${at}): ask for them again.`, { value: at });
}

const RECORD_HEADER_BYTES = 8;
const MAX_BLOCKS = 0x1_0000_0000;
