/**
 * What a lane decided and why, for people who look into it: the last 30 s in memory, and all of it in a file when asked for, as
 * JSON text sequences (RFC 7464) in the manner of qlog: one event a line with its time in milliseconds.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { LaneTraceEvent } from '../../core/lane/connection.ts';
import type { Us } from '../../core/lane/contract.ts';

export interface LaneTrace {
  add(nowUs: Us, event: LaneTraceEvent): void;
  /** Events of the last 30 s as JSON texts. */
  recent(nowUs: Us): string[];
  /** Writes what is not yet in the file. */
  flush(): void;
  close(): void;
}

/** A file that cannot be written is given up without a word to the lane: a trace must not stop what it traces. */
export function createTrace(options: { laneId: string; role: string; file?: string | undefined; startedUs: Us }): LaneTrace {
  const { laneId, role, file, startedUs } = options;
  let ring: { atUs: Us; event: LaneTraceEvent }[] = [];
  let unwritten: string[] = [];
  let descriptor = file === undefined ? -1 : open(file);
  if (descriptor >= 0) unwritten.push(traceHead(laneId, role));
  const textOf = ({ atUs, event }: { atUs: Us; event: LaneTraceEvent }): string =>
    JSON.stringify({ time: Math.round(atUs - startedUs) / 1000, name: event.name, data: event.data });

  function flush(): void {
    if (descriptor < 0 || unwritten.length === 0) return;
    const text = unwritten.join('');
    unwritten = [];
    try {
      writeSync(descriptor, text);
    } catch {
      close();
    }
  }

  function close(): void {
    flush();
    if (descriptor >= 0) closeSync(descriptor);
    descriptor = -1;
  }

  return {
    add(nowUs, event) {
      const entry = { atUs: nowUs, event };
      ring.push(entry);
      if (ring.length >= 2 * MOST_EVENTS || (ring.length % 256 === 0 && (ring[0]?.atUs ?? 0) < nowUs - 2 * KEPT_US))
        ring = ring.slice(-MOST_EVENTS).filter(({ atUs }) => atUs >= nowUs - KEPT_US);
      if (descriptor >= 0) unwritten.push(asRecord(textOf(entry)));
      if (unwritten.length >= MOST_UNWRITTEN) flush();
    },
    recent: (nowUs) => ring.filter(({ atUs }) => atUs >= nowUs - KEPT_US).map(textOf),
    flush,
    close,
  };
}

function open(file: string): number {
  try {
    return openSync(file, 'w', 0o600);
  } catch {
    return -1;
  }
}

/** The first record of a file. */
export function traceHead(laneId: string, role: string): string {
  const trace = { common_fields: { group_id: laneId }, vantage_point: { type: role } };
  return asRecord(JSON.stringify({ file_schema: 'hawser:lane', serialization_format: 'application/qlog+json-seq', trace }));
}

/** RFC 7464 section 2.2. */
export const asRecord = (text: string): string => `\x1e${text}\n`;

export const KEPT_US = 30e6;
const MOST_EVENTS = 20_000;
const MOST_UNWRITTEN = 512;
