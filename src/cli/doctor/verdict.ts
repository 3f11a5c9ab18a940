/** From measurements to advice: what limits a transfer, and what to do about it. Pure. */
import { formatRate } from '../../core/units.ts';

export interface Measurements {
  readonly rttMinMs: number;
  readonly rttMedianMs: number;
  /** Of one connection. */
  readonly sendBytesPerSecond: number;
  readonly receiveBytesPerSecond: number;
  /** Share of TCP segments that this machine sent twice meanwhile, 0 to 1; null where the system does not count them. */
  readonly retransmitShare: number | null;
  readonly hashBytesPerSecond: number;
  /** Writing and syncing; null when the folder cannot be written. */
  readonly diskBytesPerSecond: number | null;
  /** The lane opens: put and get go over it, and not over TCP. */
  readonly hasLane: boolean;
}

/** The first sentence is what limits; the ones after it are what else stands out. */
export function verdict(m: Measurements): string[] {
  const network = Math.max(m.sendBytesPerSecond, m.receiveBytesPerSecond);
  const speeds = `${formatRate(m.sendBytesPerSecond)} up and ${formatRate(m.receiveBytesPerSecond)} down`;
  const lossy = m.retransmitShare !== null && m.retransmitShare >= LOSSY_SHARE && m.rttMinMs >= LONG_RTT_MS / 4;
  const notes: string[] = [];
  if (m.diskBytesPerSecond !== null && m.diskBytesPerSecond < m.receiveBytesPerSecond) {
    notes.push(
      `The disk of this folder limits downloads: it takes ${formatRate(m.diskBytesPerSecond)} safely, the network brings ` +
        `${formatRate(m.receiveBytesPerSecond)}. Use a faster disk.`,
    );
  }
  if (m.hashBytesPerSecond < network) {
    notes.push(`The processor limits: it verifies ${formatRate(m.hashBytesPerSecond)}. End what else runs on it.`);
  }
  if (lossy) {
    notes.push(
      `The link loses packets (an estimated ${percent(m.retransmitShare ?? 0)}), and each loss slows a connection down: ` +
        (m.hasLane ? 'put and get use the lane, which it hardly slows.' : NO_LANE),
    );
  }
  if (m.rttMinMs >= LONG_RTT_MS) {
    notes.push(
      `The way is long (${Math.round(m.rttMinMs)} ms), so one connection alone is slow: ` +
        `${m.hasLane ? 'the lane, and several connections' : 'several'} at once, go faster than what was measured here.`,
    );
  }
  if (m.rttMedianMs > 2 * m.rttMinMs && m.rttMedianMs - m.rttMinMs > 50) {
    notes.push(
      `The round trip swings between ${Math.round(m.rttMinMs)} and ${Math.round(m.rttMedianMs)} ms: something fills the link's ` +
        'queue. A --limit-rate a little below its speed keeps it usable for others.',
    );
  }
  if (notes.length === 0) notes.push(`Nothing stands out: the network is the limit, with ${speeds} on one connection.`);
  return notes;
}

/** "0.3 %". */
export function percent(share: number): string {
  return `${(share * 100).toFixed(share >= 0.1 ? 0 : 1)} %`;
}

const NO_LANE = 'open the UDP port at the server, so that put and get can use the lane, or try --parallel 16.';
const LOSSY_SHARE = 0.003;
const LONG_RTT_MS = 80;
