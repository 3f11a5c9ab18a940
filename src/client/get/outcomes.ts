/** What became of each file, counted and told. */
import type { HawserError } from '../../core/errors.ts';
import type { TransferOptions, TransferSummary } from '../contract.ts';
import type { Meter } from '../progress.ts';

export interface Outcomes {
  fileDone(path: string, size: number, digest: string | null): void;
  fileSkipped(path: string, size: number, digest: string | null): void;
  fileFailed(path: string, size: number, error: HawserError): void;
  readonly filesFailed: number;
  readonly firstFailure: HawserError | null;
  summary(transfer: string, bytesReceived: number, targets: readonly string[]): TransferSummary;
}

export function createOutcomes(options: TransferOptions, meter: Meter): Outcomes {
  const startedMs = performance.now();
  const counts = { done: 0, skipped: 0, failed: 0, bytes: 0 };
  const failures: { path: string; code: string; message: string }[] = [];
  let firstFailure: HawserError | null = null;
  return {
    fileDone: (path, size, digest) => {
      counts.done++;
      counts.bytes += size;
      meter.filesFinished(1);
      options.onEvent?.({ type: 'file', path, size, digest, outcome: 'done' });
    },
    fileSkipped: (path, size, digest) => {
      counts.skipped++;
      counts.bytes += size;
      meter.found(size);
      meter.filesFinished(1);
      options.onEvent?.({ type: 'file', path, size, digest, outcome: 'skipped' });
    },
    fileFailed: (path, size, error) => {
      const { code, message } = error;
      counts.failed++;
      firstFailure ??= error;
      if (failures.length < MAX_FAILURES) failures.push({ path, code, message });
      options.onEvent?.({ type: 'file', path, size, digest: null, outcome: 'failed', code, message });
    },
    get filesFailed() {
      return counts.failed;
    },
    get firstFailure() {
      return firstFailure;
    },
    summary: (transfer, bytesReceived, targets) => ({
      transfer,
      filesDone: counts.done,
      filesSkipped: counts.skipped,
      filesFailed: counts.failed,
      bytesDone: counts.bytes,
      bytesSent: bytesReceived,
      elapsedMs: Math.round(performance.now() - startedMs),
      failures,
      targets,
    }),
  };
}

/** Of each failed file there is an event; the list in the summary is bounded. */
const MAX_FAILURES = 10_000;
