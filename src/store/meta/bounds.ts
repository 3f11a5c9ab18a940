/**
 * What may be stored. Every implementation checks with these, so that a caller's mistake shows on all of them alike and not
 * only where a database happens to be strict.
 */
import { HawserError } from '../../core/errors.ts';
import { DIGEST_BYTES } from '../../core/hex.ts';
import { isWithin } from '../../core/path.ts';
import type { BlockRun } from './contract.ts';

/** Numbers are whole, bigints fit 64 signed bits. Returns the record. */
export function storable<T extends object>(record: T): T {
  for (const field in record) {
    const value: unknown = record[field];
    if (typeof value === 'number' && !Number.isSafeInteger(value)) {
      throw new HawserError('internal', `The field ${field} is ${value}: it must be a whole number.`, { value });
    }
    if (typeof value === 'bigint' && BigInt.asIntN(64, value) !== value) {
      throw new HawserError(
        'request_invalid',
        `The field ${field} is ${value}: it must fit 64 bits, about the years 1678 to 2262.`,
        {
          value: String(value),
        },
      );
    }
  }
  return record;
}

/** Text for people, as UTF-8 can carry it: a lone surrogate becomes U+FFFD. */
export function storedText(text: string): string {
  return text.toWellFormed();
}

export function checkRuns(runs: readonly BlockRun[]): void {
  for (const { first, digests } of runs) {
    if (!Number.isSafeInteger(first) || first < 0) {
      throw new HawserError('internal', `A run cannot begin at block ${first}: blocks count from 0.`, { value: first });
    }
    if (digests.length === 0 || digests.length % DIGEST_BYTES !== 0) {
      throw new HawserError(
        'internal',
        `A run has ${digests.length} bytes of digests: it must be ${DIGEST_BYTES} for each block.`,
        {
          value: digests.length,
        },
      );
    }
  }
}

/** A rename can neither put a folder into itself nor replace a folder above: no store does it, so no record follows it. */
export function checkMove(from: string, to: string): void {
  if (isWithin(from, to) || isWithin(to, from)) {
    throw new HawserError('path_invalid', `"${from}" cannot be moved to "${to}": one is inside the other.`, { value: to });
  }
}

/** A limit as the queries take it: whole, and not negative (which SQLite would read as no limit). */
export function wholeLimit(limit: number): number {
  return Math.max(0, Math.trunc(limit));
}
