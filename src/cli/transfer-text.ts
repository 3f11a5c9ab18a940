/** One transfer as a row of cells, for status and history. */
import type { TransferInfo } from '../client/contract.ts';
import { formatBytes } from '../core/units.ts';
import { printable } from './printable.ts';

/** Id, kind, state, done, from, to. */
export function transferRow(transfer: TransferInfo): string[] {
  const { id, kind, state, bytesDone, bytesTotal, source, destination } = transfer;
  const percent =
    bytesTotal === null || bytesTotal === 0 ? '' : ` (${Math.min(100, Math.floor((bytesDone / bytesTotal) * 100))}%)`;
  return [printable(id), kind, state, formatBytes(bytesDone) + percent, printable(source), printable(destination)];
}
