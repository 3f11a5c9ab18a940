/**
 * Tells the server every two seconds what is safe here, and hears in the answer whether the transfer still is to go on.
 */
import { HawserError } from '../../core/errors.ts';
import type { Api } from '../api-contract.ts';
import type { TransferInfo } from '../contract.ts';
import type { Meter } from '../progress.ts';
import { withRetry } from '../retry.ts';

export interface Reporter {
  /** The last report: `done`, or `failed` with a sentence. Never rejects: what is here is here, whether the server hears of it or not. */
  close(failure: string | null): Promise<void>;
}

export interface ReporterHandlers {
  /** The transfer is paused: running requests are to end. */
  handlePause(reason: HawserError): void;
  /** It was cancelled, or ended elsewhere. */
  handleEnd(reason: HawserError): void;
}

export function startReporter(api: Api, transfer: string, meter: Meter, handlers: ReporterHandlers): Reporter {
  let paused = false;
  let closed = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let running: Promise<void> = Promise.resolve();
  const closing = new AbortController();
  let sent = '';

  const handleState = (info: TransferInfo) => {
    if (closed) return;
    if (info.state === 'paused') {
      if (!paused) handlers.handlePause(stateError('transfer_paused', transfer, 'is paused'));
    } else if (info.state === 'cancelled') {
      handlers.handleEnd(stateError('transfer_cancelled', transfer, 'was cancelled'));
    } else if (info.state !== 'active') {
      handlers.handleEnd(stateError('transfer_ended', transfer, `is already ${info.state}`));
    }
    paused = info.state === 'paused';
  };

  const report = async () => {
    try {
      const change = counts(meter);
      const text = JSON.stringify(change);
      const signal = AbortSignal.any([closing.signal, AbortSignal.timeout(REPORT_TIMEOUT_MS)]);
      handleState(
        text === sent ? await api.getTransfer(transfer, { signal }) : await api.changeTransfer(transfer, change, { signal }),
      );
      sent = text;
    } catch (error) {
      // A network that fails is noticed, and waited for, where the bytes are fetched.
      if (error instanceof HawserError && ENDING.has(error.code) && !closed) handlers.handleEnd(error);
    }
    schedule();
  };

  const schedule = () => {
    if (closed) return;
    timer = setTimeout(() => {
      running = report();
    }, REPORT_EVERY_MS);
    timer.unref();
  };

  schedule();
  return {
    close: async (failure) => {
      closed = true;
      clearTimeout(timer);
      closing.abort();
      await running;
      const end = failure === null ? { state: 'done' as const } : { state: 'failed' as const, error: failure.slice(0, 1000) };
      // Whoever interrupted, or met an error, does not want to wait long for what is only a courtesy.
      const [retries, timeoutMs] = failure === null ? [GOODBYE_RETRIES, REPORT_TIMEOUT_MS] : [0, GOODBYE_MS];
      const signal = AbortSignal.timeout(timeoutMs);
      await withRetry(() => api.changeTransfer(transfer, { ...counts(meter), ...end }, { signal }), { retries, signal }).catch(
        () => undefined,
      );
    },
  };
}

function counts(meter: Meter): { filesTotal: number; bytesTotal: number; filesDone: number; bytesDone: number } {
  const { filesTotal, bytesTotal, filesDone, bytesDone } = meter;
  return { filesTotal, bytesTotal, filesDone, bytesDone: Math.max(0, bytesDone) };
}

function stateError(
  code: 'transfer_paused' | 'transfer_cancelled' | 'transfer_ended',
  transfer: string,
  what: string,
): HawserError {
  return new HawserError(code, `The transfer ${transfer} ${what}.`, { value: transfer });
}

const ENDING = new Set(['transfer_cancelled', 'transfer_ended', 'transfer_not_found']);
const REPORT_EVERY_MS = 2000;
const REPORT_TIMEOUT_MS = 20_000;
const GOODBYE_MS = 2000;
const GOODBYE_RETRIES = 5;
