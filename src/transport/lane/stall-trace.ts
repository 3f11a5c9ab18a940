/**
 * A lane that stalls leaves the last 30 s of its trace behind without being asked, because when somebody looks into it they are
 * gone. Bounded: a file of 1 MiB at most for each stall, not twice in 30 s for one lane, and the newest 16 files of a folder.
 */
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { LaneSnapshot, Us } from '../../core/lane/contract.ts';
import { asRecord, KEPT_US, traceHead } from './trace.ts';

/** Notices when nothing that was sent is answered any more, on any path. */
export class StallWatch {
  private sinceUs: Us = Infinity;
  private told = false;
  private toldUs: Us = Number.NEGATIVE_INFINITY;

  /** True once in a stall of two seconds or more, and not again within 30 s. To be called several times a second. */
  handle(nowUs: Us, { paths }: Pick<LaneSnapshot, 'paths'>): boolean {
    const isSilent = paths.length > 0 && paths.every(({ mode, state }) => mode === 'stalled' || state === 'failed');
    if (!isSilent) {
      this.sinceUs = Infinity;
      this.told = false;
      return false;
    }
    this.sinceUs = Math.min(this.sinceUs, nowUs);
    if (this.told || nowUs - this.sinceUs < STALL_US) return false;
    this.told = true;
    if (nowUs - this.toldUs < KEPT_US) return false;
    this.toldUs = nowUs;
    return true;
  }
}

export interface StallTrace {
  readonly folder: string;
  readonly laneId: string;
  readonly role: string;
  /** UTC, for the file's name. */
  readonly nowMs: number;
  /** JSON texts, oldest first. */
  readonly events: readonly string[];
}

/** The file that was written; null when that cannot be done: a trace must not stop what it traces. */
export function keepStallTrace({ folder, laneId, role, nowMs, events }: StallTrace): string | null {
  // The server chose the id, and it is to be a name in this folder.
  const name = laneId.replaceAll(/[^0-9a-z]/gi, '').slice(0, 12);
  const file = join(folder, `${new Date(nowMs).toISOString().replaceAll(':', '-')}-${role}-${name}${EXTENSION}`);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const descriptor = openSync(file, 'wx', 0o600);
    try {
      writeSync(descriptor, traceHead(laneId, role) + newest(events));
    } finally {
      closeSync(descriptor);
    }
    const kept = readdirSync(folder).filter((each) => each.endsWith(EXTENSION));
    // Names begin with the time.
    for (const old of kept.sort().slice(0, -MOST_FILES)) rmSync(join(folder, old), { force: true });
    return file;
  } catch {
    return null;
  }
}

/** As many of the last events as there is room for. */
function newest(events: readonly string[]): string {
  let from = events.length;
  for (let room = MOST_BYTES; from > 0; from--) {
    room -= (events[from - 1] as string).length + 2;
    if (room < 0) break;
  }
  return events.slice(from).map(asRecord).join('');
}

const STALL_US = 2e6;
const EXTENSION = '.sqlog';
const MOST_FILES = 16;
const MOST_BYTES = 1 << 20;
