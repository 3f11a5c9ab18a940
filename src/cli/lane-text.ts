/** The paths of lanes as a table, for status: pure, so that every width can be tested. */
import type { LaneInfo, LanePathInfo } from '../client/contract.ts';
import { formatBytes, formatRate } from '../core/units.ts';
import { cellsOf, printable, shorten } from './printable.ts';
import { tableLines } from './table.ts';

/**
 * A line for each path of each lane that anything came over, under a head. Of the two directions it shows the one in which the
 * lane has carried more. What does not fit into `columns` goes, the least telling first.
 */
export function laneLines(lanes: readonly LaneInfo[], columns: number): string[] {
  const used = lanes.filter(({ paths }) => paths.length > 0);
  if (used.length === 0) return [];
  const several = new Set(used.map(({ owner }) => owner)).size > 1;
  const rows = used.flatMap((lane) => {
    const isUp = lane.paths.reduce((sum, path) => sum + path.receivedBytes - path.sentBytes, 0) > 0;
    return lane.paths.map((path) => cellsOfPath(lane, path, isUp));
  });
  let shown = COLUMNS.filter(({ name }) => name !== 'TOKEN' || several);
  for (const name of DISPENSABLE) {
    if (widthOf(table(shown, rows)) <= columns) break;
    shown = shown.filter((column) => column.name !== name);
  }
  return table(shown, rows).map((line) => shorten(line, columns));
}

type ColumnName = 'LANE' | 'TOKEN' | 'CLIENT' | 'STATE' | 'WAY' | 'RTT' | 'LOSS' | 'RATE' | 'BYTES';

function table(columns: typeof COLUMNS, rows: readonly Record<ColumnName, string>[]): string[] {
  const right = columns.flatMap(({ isNumber }, index) => (isNumber ? [index] : []));
  return tableLines([columns.map(({ name }) => name), ...rows.map((row) => columns.map(({ name }) => row[name]))], right);
}

const widthOf = (lines: readonly string[]): number => Math.max(...lines.map(cellsOf));

function cellsOfPath({ id, owner }: LaneInfo, path: LanePathInfo, isUp: boolean): Record<ColumnName, string> {
  const loss = isUp ? path.receivedLossRate : path.sentLossRate;
  return {
    LANE: printable(id.slice(0, SHORT_ID)),
    TOKEN: printable(owner),
    CLIENT: printable(path.address ?? `path ${path.id}`),
    STATE: printable(path.state),
    WAY: isUp ? 'up' : 'down',
    RTT: `${path.rttMs.toFixed(0)} ms`,
    LOSS: `${(loss * 100).toFixed(1)}%`,
    RATE: formatRate(isUp ? path.receivedBytesPerSecond : path.sentBytesPerSecond),
    BYTES: formatBytes(isUp ? path.receivedBytes : path.sentBytes),
  };
}

const COLUMNS: readonly { readonly name: ColumnName; readonly isNumber?: true }[] = [
  { name: 'LANE' },
  { name: 'TOKEN' },
  { name: 'CLIENT' },
  { name: 'STATE' },
  { name: 'WAY' },
  { name: 'RTT', isNumber: true },
  { name: 'LOSS', isNumber: true },
  { name: 'RATE', isNumber: true },
  { name: 'BYTES', isNumber: true },
];
const DISPENSABLE: readonly ColumnName[] = ['TOKEN', 'LANE', 'WAY', 'BYTES', 'LOSS'];
const SHORT_ID = 8;
