/**
 * Asks the same thing again beside an asking that is late, and takes the answer that comes first. TCP waits a second, then two, then four
 * before it sends a lost packet of a handshake again, and a path that has just lost three of them may be a good one: a new
 * connection does not know of that and begins at once (RFC 8305 does so for the addresses of a host).
 */
import { HawserError } from '../core/errors.ts';

export interface HedgeOptions {
  /** So long one is waited for before the next is asked beside it. */
  readonly everyMs: number;
  /** Most askings in all. */
  readonly most: number;
  /** A failure that another asking may not meet. */
  readonly mayPass: (error: unknown) => boolean;
  /** When nothing is under way any more, the next is asked at once. Default true; otherwise that is the end. */
  readonly again?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * For connections and for requests that may be made twice, on links where opening one can take ten seconds when the wrong packet is
 * lost, and a tenth of one when it is not. Rejects with the first failure that will not pass, or with the last one when all have failed.
 */
export function hedged<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  { everyMs, most, mayPass, again = true, signal }: HedgeOptions,
  onLate: (late: T) => void = () => undefined,
): Promise<T> {
  const rest = new AbortController();
  const stop = (): void => rest.abort(signal?.reason);
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
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
    if (!mayPass(error) || (running === 0 && (asked >= most || !again))) {
      settle();
      reject(error);
    } else if (running === 0) next();
  }

  next();
  return promise;
}
