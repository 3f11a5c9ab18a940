/** Progress as one line of text: pure, so that every width can be tested. */
import type { TransferEvent } from '../client/contract.ts';
import type { LaneSnapshot, PathSnapshot } from '../core/lane/contract.ts';
import { formatBytes, formatDuration, formatRate } from '../core/units.ts';
import type { NetworkPath } from '../transport/contract.ts';
import { cellsOf, printable, shorten } from './printable.ts';

export type ProgressEvent = Extract<TransferEvent, { type: 'progress' }>;

/** "42%  1.2 GiB of 2.9 GiB  11.2 MB/s  ETA 1 min 23 s  https": for logs. */
export function plainLine(event: ProgressEvent, verbose: boolean): string {
  return facts(event, verbose).join('  ');
}

/**
 * The bar, at most `columns` - 1 cells wide so that no terminal wraps it. `status` (a retry and its reason) takes the place of
 * the file's name. What does not fit is left out: the name first, then the bar, then facts from the right.
 */
export function barLine(event: ProgressEvent, status: string | null, columns: number, verbose: boolean): string {
  const room = Math.max(columns - 1, 1);
  const [percent = '', ...rest] = facts(event, verbose);
  const tail = status === null ? printable(event.current) : printable(status);
  let kept = rest;
  const width = () => cellsOf([percent, ...kept].join('  '));
  while (kept.length > 0 && width() > room) kept = kept.slice(0, -1);
  const left = room - width();
  const tailCells = Math.min(cellsOf(tail), Math.max(left - 2 - (BAR_MIN_CELLS + 2), 0));
  const shown = tailCells >= TAIL_MIN_CELLS || tailCells === cellsOf(tail) ? shorten(tail, tailCells) : '';
  const barCells = Math.min(left - 2 - (shown === '' ? 0 : cellsOf(shown) + 2), BAR_MAX_CELLS);
  const parts = [
    percent,
    ...(barCells >= BAR_MIN_CELLS ? [bar(event, barCells)] : []),
    ...kept,
    ...(shown === '' ? [] : [shown]),
  ];
  return shorten(parts.join('  '), room);
}

export function percentOf(event: ProgressEvent): number | null {
  if (!event.totalKnown) return null;
  // 100 % is said when everything is there and verified, not when it rounds up to it.
  const isDone = event.filesDone >= event.filesTotal && event.bytesDone >= event.bytesTotal;
  if (event.bytesTotal <= 0) return isDone ? 100 : 0;
  return Math.max(0, Math.min(isDone ? 100 : 99, Math.floor((movedBytes(event) / event.bytesTotal) * 100)));
}

/** What is on its way counts too: on a slow link a block takes many seconds. */
function movedBytes({ bytesDone, bytesUnderway }: ProgressEvent): number {
  return bytesDone + bytesUnderway;
}

function facts(event: ProgressEvent, verbose: boolean): string[] {
  const percent = percentOf(event);
  const total =
    event.totalKnown || event.bytesTotal > 0 ? ` of ${formatBytes(event.bytesTotal)}${event.totalKnown ? '' : '+'}` : '';
  const files = event.filesTotal > 1 ? [`${event.filesDone}/${event.filesTotal}${event.totalKnown ? '' : '+'} files`] : [];
  return [
    percent === null ? '  ?%' : `${String(percent).padStart(3)}%`,
    `${formatBytes(movedBytes(event))}${total}`,
    formatRate(event.bytesPerSecond),
    ...(event.etaMs === null ? [] : [`ETA ${formatDuration(event.etaMs)}`]),
    ...files,
    verbose ? `${event.path.transport} x${event.streams}, chunks of ${formatBytes(event.chunkBytes)}` : event.path.transport,
    ...(verbose && event.path.lane ? [laneFacts(event.path.lane)] : []),
    ...(verbose && !event.path.lane && event.path.paths ? [event.path.paths.map(networkFacts).join('; ')] : []),
  ];
}

/** "rtt 212 ms (queue 11 ms), loss 9.8%, repair 1.2%, efficiency 97% (path)": what the lane measures, over all paths. */
export function laneFacts(lane: LaneSnapshot): string {
  const live = lane.paths.filter(({ state }) => state !== 'failed');
  const shown = live.length > 0 ? live : lane.paths;
  const mean = (of: (path: PathSnapshot) => number) => shown.reduce((sum, path) => sum + of(path), 0) / Math.max(1, shown.length);
  const { source, again, repair } = lane.symbols;
  const sent = Math.max(1, source + again + repair);
  const percent = (share: number) => `${(share * 100).toFixed(1)}%`;
  return [
    `rtt ${(mean(({ rttUs }) => rttUs) / 1000).toFixed(0)} ms (queue ${(mean(({ queueUs }) => queueUs) / 1000).toFixed(0)} ms)`,
    `loss ${percent(mean(({ lossRate }) => lossRate))}`,
    `repair ${percent(repair / sent)}`,
    `efficiency ${(mean(({ efficiency }) => efficiency) * 100).toFixed(0)}% (${lane.limitedBy})`,
    ...(lane.paths.length > 1 ? [lane.paths.map(lanePathFacts).join('; ')] : []),
  ].join(', ');
}

/** "wlan0 active, rtt 212 ms, loss 9.8%, 4.1 MB/s, 118 MiB": one path of several. */
function lanePathFacts({ id, name, state, rttUs, lossRate, goodputBytesPerSecond, sentBytes }: PathSnapshot): string {
  const carries = state === 'active' || state === 'degraded';
  return [
    `${printable(name ?? `path ${id}`)} ${state}`,
    ...(carries ? [`rtt ${(rttUs / 1000).toFixed(0)} ms`, `loss ${(lossRate * 100).toFixed(1)}%`] : []),
    ...(carries ? [formatRate(goodputBytesPerSecond)] : []),
    formatBytes(sentBytes),
  ].join(', ');
}

/** The same of a network that HTTPS uses. */
export function networkFacts({ name, state, rttMs, bytesPerSecond, sentBytes, receivedBytes }: NetworkPath): string {
  return [
    `${printable(name)} ${state}`,
    ...(rttMs === null ? [] : [`rtt ${rttMs.toFixed(0)} ms`]),
    ...(bytesPerSecond === null || state === 'failed' ? [] : [formatRate(bytesPerSecond)]),
    formatBytes(sentBytes + receivedBytes),
  ].join(', ');
}

function bar(event: ProgressEvent, cells: number): string {
  const inner = cells - 2;
  const percent = percentOf(event);
  if (percent === null) return `[${' '.repeat(inner)}]`;
  const filled = Math.floor((percent / 100) * inner);
  return `[${'='.repeat(filled)}${filled < inner ? '>' : ''}${' '.repeat(Math.max(inner - filled - 1, 0))}]`;
}

const BAR_MIN_CELLS = 10;
const BAR_MAX_CELLS = 32;
const TAIL_MIN_CELLS = 8;
