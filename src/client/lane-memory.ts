/**
 * What is remembered of lanes to a server, so that the next one opens without a word over TCP: the ticket, where its UDP port is,
 * and how the last one did. A file for each server and token, in the state folder, mode 0600: the ticket's secret is in it.
 */
import { createHash } from 'node:crypto';
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isDigestHex } from '../core/hex.ts';
import type { LaneEndpoints, LaneTicket } from './api-contract.ts';
import { writePrivately } from './private-file.ts';

export interface KnownLane extends LaneTicket {
  readonly endpoints: LaneEndpoints;
  /** Least round trip that was seen; null: none yet. */
  readonly rttMs: number | null;
  /** What the last lane reached, and when; null: it never moved enough to tell. */
  readonly reached: ReachedRate | null;
  /** The same of what it received: it is for the server, which sends that. */
  readonly received: ReachedRate | null;
  /** The last one did open. */
  readonly worked: boolean;
}

/** On the wire. */
export interface ReachedRate {
  readonly bytesPerSecond: number;
  readonly rttMs: number;
  readonly atMs: number;
}

export interface LaneMemory {
  /** Null: nothing is known, or the ticket is too old. */
  readonly known: KnownLane | null;
  /** Failing to is no failure: a home that cannot be written to costs round trips. */
  learn(news: Partial<KnownLane>): void;
  forget(): void;
}

/** `identity`: whatever makes it another server or another user. */
export function openLaneMemory(folder: string, identity: readonly unknown[], nowMs: () => number = Date.now): LaneMemory {
  const name = createHash('sha256').update(JSON.stringify(identity)).digest('hex').slice(0, 32);
  const file = join(folder, 'lanes', `${name}.json`);
  let known: KnownLane | null | undefined;
  const read = (): KnownLane | null => {
    known ??= readKnown(file);
    return known && known.expiresMs > nowMs() ? known : null;
  };
  return {
    get known() {
      return read();
    },
    learn(news) {
      const merged = { ...NOTHING, ...read(), ...news };
      if (merged.ticket === '') return;
      known = merged;
      try {
        writePrivately(file, `${JSON.stringify({ version: VERSION, ...merged })}\n`, { synced: false });
      } catch {
        // As said above.
      }
    },
    forget() {
      known = null;
      try {
        rmSync(file, { force: true });
      } catch {
        // It will be found wanting again.
      }
    },
  };
}

function readKnown(file: string): KnownLane | null {
  try {
    const { version, ...value } = JSON.parse(readFileSync(file, 'utf8'));
    // What is not in a file of an earlier day is not known.
    const known = { ...NOTHING, ...value };
    return version === VERSION && isKnown(known) ? known : null;
  } catch {
    return null;
  }
}

/** It was written by us, unless a disk or a curious hand changed it. */
function isKnown(value: KnownLane): boolean {
  const { ticket, secret, expiresMs, takesReceived, endpoints, rttMs, reached, received, worked } = value;
  return (
    typeof ticket === 'string' &&
    ticket !== '' &&
    isDigestHex(secret) &&
    Number.isFinite(expiresMs) &&
    Array.isArray(endpoints) &&
    endpoints.length > 0 &&
    endpoints.every(({ host, port }) => (host === null || typeof host === 'string') && Number.isInteger(port)) &&
    isPositiveOrNull(rttMs) &&
    [reached, received].every(isRateOrNull) &&
    typeof takesReceived === 'boolean' &&
    typeof worked === 'boolean'
  );
}

const isPositive = (value: unknown): boolean => typeof value === 'number' && value > 0 && Number.isFinite(value);
const isRateOrNull = (rate: ReachedRate | null): boolean =>
  rate === null || (isPositive(rate.bytesPerSecond) && isPositive(rate.rttMs) && isPositive(rate.atMs));
const isPositiveOrNull = (value: unknown): boolean => value === null || isPositive(value);

const NOTHING = {
  ticket: '',
  secret: '',
  expiresMs: 0,
  takesReceived: false,
  endpoints: [],
  rttMs: null,
  reached: null,
  received: null,
  worked: false,
};
const VERSION = 1;
