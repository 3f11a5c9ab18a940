/**
 * The requests of one fetch: made again after failures that may pass, ended and made again later when the transfer is paused,
 * ended for good when the fetch is.
 */
import type { HawserError } from '../../core/errors.ts';
import type { Api } from '../api-contract.ts';
import type { TransferOptions } from '../contract.ts';
import {
  createHeadway,
  createPauseGate,
  type Headway,
  interrupted,
  quietNotices,
  type RetryOptions,
  withRetry,
} from '../retry.ts';

/** `fn` may be called several times, and is to go on from where it was. */
export type Call = <T>(fn: (signal: AbortSignal) => Promise<T>) => Promise<T>;

export interface Calls {
  readonly call: Call;
  readonly headway: Headway;
  /** Aborted when the user stops, and when something ended the whole fetch. */
  readonly signal: AbortSignal;
  /** What ended it. */
  readonly ended: { readonly error: unknown } | null;
  /** The first error is the one that counts. */
  end(error: unknown): void;
  /** The transfer is known: from now on its pauses are waited for. */
  handleTransfer(api: Api, transfer: string): void;
  /** Running requests end, with `reason`, and are made again when the transfer goes on. */
  handlePause(reason: HawserError): void;
  /** Listens to the user's signal no longer. */
  release(): void;
}

export function createCalls(options: TransferOptions): Calls {
  const headway = createHeadway();
  const stop = new AbortController();
  let ended: { error: unknown } | null = null;
  /** Ends the requests that run now; replaced at each pause. */
  let halt: { readonly controller: AbortController; reason: HawserError | null } = newHalt();

  const end = (error: unknown) => {
    ended ??= { error };
    stop.abort();
    halt.controller.abort();
  };
  const handleUserAbort = () => end(interrupted());
  if (options.signal?.aborted) handleUserAbort();
  options.signal?.addEventListener('abort', handleUserAbort, { once: true });

  const plain: RetryOptions = {
    ...(options.retries !== undefined && { retries: options.retries }),
    signal: stop.signal,
    headway,
    onNotice: quietNotices(
      (notice) => options.onEvent?.(notice),
      () => performance.now(),
    ),
  };
  let retry = plain;

  return {
    headway,
    signal: stop.signal,
    get ended() {
      return ended;
    },
    end,
    call: async (fn) => {
      try {
        return await withRetry(async () => {
          const own = halt;
          try {
            return await fn(own.controller.signal);
          } catch (error) {
            throw own.reason ?? error;
          }
        }, retry);
      } catch (error) {
        throw ended ? ended.error : error;
      }
    },
    handleTransfer: (api, transfer) => {
      retry = { ...plain, whilePaused: createPauseGate(api, transfer, plain) };
    },
    handlePause: (reason) => {
      const running = halt;
      halt = newHalt();
      running.reason = reason;
      running.controller.abort();
    },
    release: () => options.signal?.removeEventListener('abort', handleUserAbort),
  };
}

function newHalt(): { controller: AbortController; reason: HawserError | null } {
  return { controller: new AbortController(), reason: null };
}
