/** One file or folder as text, for ls and stat. */

import { formatBytes } from '../core/units.ts';
import type { FileInfo } from '../engine/contract.ts';
import { printable } from './printable.ts';

/** "name", "folder/", as ls -p prints them; safe to print. */
export function nameOf(entry: FileInfo, name: string): string {
  return printable(name) + (entry.kind === 'folder' ? '/' : '');
}

/** "-rw-r--r--      12345  2026-11-20 12:00:00  name": times in UTC, so that they sort and compare across machines. */
export function longLine(entry: FileInfo, name: string, human: boolean): string {
  const size = entry.kind === 'folder' ? '-' : human ? formatBytes(entry.size) : String(entry.size);
  const target = entry.kind === 'link' && entry.target !== undefined ? ` -> ${printable(entry.target)}` : '';
  return `${modeText(entry)}  ${size.padStart(human ? 10 : 13)}  ${timeText(entry.mtimeNs)}  ${nameOf(entry, name)}${target}`;
}

/** "drwxr-xr-x". */
export function modeText(entry: Pick<FileInfo, 'kind' | 'mode'>): string {
  const first = { file: '-', folder: 'd', link: 'l' }[entry.kind];
  let text = first;
  for (let bit = 8; bit >= 0; bit--) text += (entry.mode >> bit) & 1 ? 'xwr'[bit % 3] : '-';
  return text;
}

/** "2026-11-20 12:00:00" in UTC. */
export function timeText(mtimeNs: bigint): string {
  return isoTime(mtimeNs).slice(0, 19).replace('T', ' ');
}

/** RFC 3339 with nanoseconds. A time that no calendar holds stays a number. */
export function isoTime(ns: bigint): string {
  const fraction = ((ns % BILLION) + BILLION) % BILLION;
  const date = new Date(Number((ns - fraction) / 1_000_000n));
  if (Number.isNaN(date.getTime())) return `${ns} ns`;
  return `${date.toISOString().slice(0, 19)}.${String(fraction).padStart(9, '0')}Z`;
}

const BILLION = 1_000_000_000n;
