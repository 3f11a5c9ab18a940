/**
 * Sizes, rates and durations as people write and read them.
 *
 * Read: sizes "4096", "64K", "64KiB" (1024 based, a bare letter too, like rsync and dd), "64kB" (1000 based); rates a size
 * with or without "/s", or bits "10mbit", "10Mbit/s", "10Mbps" (1000 based, 8 to the byte). Written: sizes with binary units
 * ("1.4 GiB", as disks and `ls -h` count) and rates with decimal ones ("12.3 MB/s", as networks count).
 */
import { HawserError } from './errors.ts';

/**
 * Whole bytes. `usage` for anything else.
 *
 * @example parseSize('16MiB') // 16777216
 */
export function parseSize(text: string): number {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(?:([kKMGTmgt])?(i?[bB])?)\s*$/.exec(text);
  if (match !== null) {
    const bytes = Math.round(Number(match[1]) * multiplier(match[2], match[3]));
    if (Number.isSafeInteger(bytes)) return bytes;
  }
  throw new HawserError('usage', `"${text}" is not a size: write bytes, or a number with K, M, G or T, like "64K" or "16MiB".`, {
    value: text,
  });
}

/**
 * Bytes per second, above 0. `usage` for anything else.
 *
 * @example parseRate('10mbit') // 1250000
 * @example parseRate('5MB/s') // 5000000
 */
export function parseRate(text: string): number {
  const bits = /^\s*(\d+(?:\.\d+)?)\s*([kKmMgGtT])?(?:[bB]its?(?:\/s|ps)?|bps)\s*$/.exec(text);
  const bytes = bits !== null ? (Number(bits[1]) * decimal(bits[2])) / 8 : sizePerSecond(text);
  if (bytes !== null && bytes > 0 && bytes <= Number.MAX_SAFE_INTEGER) return bytes;
  throw new HawserError('usage', `"${text}" is not a rate: write bytes a second like "5MB/s", or bits like "10mbit".`, {
    value: text,
  });
}

/**
 * Seconds, above 0: a number with s, m, h, d or w, or several ("1h30m"); a bare number is seconds. `usage` for anything else.
 *
 * @example parseDurationSeconds('7d') // 604800
 */
export function parseDurationSeconds(text: string): number {
  const trimmed = text.trim();
  let seconds = 0;
  if (/^\d+$/.test(trimmed)) {
    seconds = Number(trimmed);
  } else if (/^(\d+(\.\d+)?[smhdw])+$/.test(trimmed)) {
    for (const [, amount, unit] of trimmed.matchAll(/(\d+(?:\.\d+)?)([smhdw])/g)) seconds += Number(amount) * SECONDS[unit!]!;
  }
  if (seconds > 0 && seconds <= Number.MAX_SAFE_INTEGER) return seconds;
  throw new HawserError('usage', `"${text}" is not a duration: write a number with s, m, h, d or w, like "90s" or "7d".`, {
    value: text,
  });
}

/** "0 B", "999 B", "1.4 GiB". */
export function formatBytes(bytes: number): string {
  return scaled(bytes, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']);
}

/** "12.3 MB/s". */
export function formatRate(bytesPerSecond: number): string {
  return scaled(bytesPerSecond, 1000, ['B/s', 'kB/s', 'MB/s', 'GB/s', 'TB/s']);
}

/** "0.4 s", "12 s", "3 min 05 s", "2 h 03 min", "4 d 07 h". */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) return '?';
  // Rounded before it is compared: 9.96 s is "10 s", not "10.0 s".
  const tenths = Math.round(ms / 100);
  if (tenths < 100) return `${(tenths / 10).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
}

function sizePerSecond(text: string): number | null {
  try {
    return parseSize(text.replace(/\s*(\/s|ps)\s*$/, ''));
  } catch {
    return null;
  }
}

function multiplier(letter: string | undefined, suffix: string | undefined): number {
  if (letter === undefined) return suffix === undefined || suffix.length === 1 ? 1 : Number.NaN;
  const exponent = 'KMGT'.indexOf(letter.toUpperCase()) + 1;
  return (suffix?.length === 1 ? 1000 : 1024) ** exponent;
}

function decimal(letter: string | undefined): number {
  return letter === undefined ? 1 : 1000 ** ('KMGT'.indexOf(letter.toUpperCase()) + 1);
}

function scaled(value: number, base: number, units: readonly string[]): string {
  if (!Number.isFinite(value)) return '?';
  let amount = value;
  let unit = 0;
  // Compared as it will be printed, so that 1023.96 KiB becomes 1.0 MiB.
  while (unit < units.length - 1 && Math.round(amount * 10) >= base * 10) {
    amount /= base;
    unit++;
  }
  return `${unit === 0 ? Math.round(amount) : amount.toFixed(1)} ${units[unit]}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
