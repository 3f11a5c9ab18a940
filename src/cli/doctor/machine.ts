/** What this machine can do without any network, and what its TCP counts. */
import { randomFillSync } from 'node:crypto';
import { open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createBlake3 } from '../../engine/blake3.ts';

/** Bytes per second through BLAKE3 on one core. */
export function measureHash(): number {
  const piece = randomFillSync(new Uint8Array(MIB));
  const hash = createBlake3();
  const startedMs = performance.now();
  let bytes = 0;
  while (performance.now() - startedMs < HASH_MS) {
    hash.update(piece);
    bytes += piece.length;
  }
  const elapsedMs = performance.now() - startedMs;
  hash.digest();
  return (bytes / elapsedMs) * 1000;
}

/** Bytes per second written and synced in `folder`; null when it cannot be written. Bounded in bytes and, roughly, in time. */
export async function measureDisk(folder: string): Promise<number | null> {
  const file = join(folder, `.hawser-doctor-${process.pid}.tmp`);
  // Not zeros: some file systems do not store those.
  const piece = randomFillSync(new Uint8Array(4 * MIB));
  try {
    const handle = await open(file, 'wx', 0o600);
    try {
      const startedMs = performance.now();
      let bytes = 0;
      while (bytes < DISK_BYTES && performance.now() - startedMs < DISK_MS) bytes += (await handle.write(piece)).bytesWritten;
      await handle.sync();
      return (bytes / (performance.now() - startedMs)) * 1000;
    } finally {
      await handle.close();
    }
  } catch {
    return null;
  } finally {
    await rm(file, { force: true });
  }
}

export interface TcpCounters {
  readonly sent: number;
  readonly retransmitted: number;
}

/** Counters of the whole machine since it started; null where there are none (not Linux). */
export async function tcpCounters(): Promise<TcpCounters | null> {
  return parseTcpCounters(await readFile('/proc/net/snmp', 'latin1').catch(() => ''));
}

/** /proc/net/snmp holds a line of names and a line of numbers for each protocol (RFC 4022 names them). */
export function parseTcpCounters(text: string): TcpCounters | null {
  const [names = [], numbers = []] = text
    .split('\n')
    .filter((line) => line.startsWith('Tcp: '))
    .map((line) => line.trim().split(/\s+/));
  const counterOf = (name: string) => Number(numbers[names.indexOf(name)] ?? Number.NaN);
  const counters = { sent: counterOf('OutSegs'), retransmitted: counterOf('RetransSegs') };
  return Number.isSafeInteger(counters.sent) && Number.isSafeInteger(counters.retransmitted) ? counters : null;
}

/** 0 to 1, or null when it cannot be told. */
export function retransmitShare(before: TcpCounters | null, after: TcpCounters | null): number | null {
  if (before === null || after === null) return null;
  const sent = after.sent - before.sent;
  const retransmitted = after.retransmitted - before.retransmitted;
  // Too few to be more than chance; counters go back to 0 when a network namespace is made anew.
  if (sent < 100 || retransmitted < 0) return null;
  return Math.min(1, retransmitted / (sent + retransmitted));
}

const MIB = 1024 * 1024;
const HASH_MS = 200;
const DISK_BYTES = 64 * MIB;
const DISK_MS = 3000;
