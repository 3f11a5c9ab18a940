/** Asks the same thing again over another connection when an answer is late, and takes the answer that comes first. */
import { HawserError } from '../core/errors.ts';
import { canRetry } from './retry.ts';

export interface HedgeOptions {
  /** So long one is waited for before the next is asked beside it. */
  readonly everyMs: number;
  /** Most askings in all. */
  readonly most: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * For requests that may be made twice, on links where opening a connection can take ten seconds when the wrong packet is lost, and
 * a tenth of one when it is not. Rejects with the first refusal, or with the last failure of the network when all have failed.
 */
export function hedged<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  { everyMs, most, signal }: HedgeOptions,
  onLate: (late: T) => void = () => undefined,
): Promise<T> {
  const rest = new AbortController();
  const stop = (): void => rest.abort(signal?.reason);
  signal?.addEventListener('abort', stop, { once: true });
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let asked = 0;
  let running = 0;
  let over = false;
  let timer: NodeJS.Timeout | undefined;

  function settle(): void {
    over = true;
    clearTimeout(timer);
    signal?.removeEventListener('abort', stop);
    rest.abort(new HawserError('interrupted', 'Another asking was answered first.'));
  }

  function next(): void {
    clearTimeout(timer);
    if (over || asked >= most) return;
    asked++;
    running++;
    ask(rest.signal).then(handleAnswer, handleFailure);
    timer = setTimeout(next, everyMs);
  }

  function handleAnswer(answer: T): void {
    running--;
    if (over) {
      onLate(answer);
      return;
    }
    settle();
    resolve(answer);
  }

  function handleFailure(error: unknown): void {
    running--;
    if (over) return;
    if (!canRetry(error) || (running === 0 && asked >= most)) {
      settle();
      reject(error);
    } else if (running === 0) next();
  }

  next();
  return promise;
}
