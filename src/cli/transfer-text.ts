/** One transfer as a row of cells, for status and history. */
import type { TransferInfo } from '../client/contract.ts';
import { formatBytes, formatDuration } from '../core/units.ts';
import { printable } from './printable.ts';

/** Id, kind, state, done, from, to. `nowMs`: an active one says for how long nothing of it has moved. */
export function transferRow(transfer: TransferInfo, nowMs: number | null = null): string[] {
  const { id, kind, bytesDone, bytesTotal, source, destination } = transfer;
  const percent =
    bytesTotal === null || bytesTotal === 0 ? '' : ` (${Math.min(100, Math.floor((bytesDone / bytesTotal) * 100))}%)`;
  const stillMs = nowMs === null || transfer.state !== 'active' ? 0 : nowMs - Date.parse(transfer.updated);
  const state = stillMs < STILL_MS ? transfer.state : `${transfer.state}, still ${formatDuration(stillMs)}`;
  return [printable(id), kind, state, formatBytes(bytesDone) + percent, printable(source), printable(destination)];
}

/** Links that drop for so long are nothing to worry about. Clocks differ too. */
const STILL_MS = 60_000;
