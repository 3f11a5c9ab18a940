/**
 * Sends a body whose pieces belong to somebody else: a large piece is written as it is, and the next one is asked for when it
 * has left; small pieces are gathered into one write, so that a header of a few bytes does not cost a packet and a system call.
 */
import type { ClientRequest } from 'node:http';

export interface Sending {
  /** Whose turn it is: the source's, the network's, or nobody's. */
  readonly turn: 'source' | 'network' | 'none';
  /** Every byte of a body of known length has been handed to the socket. */
  readonly complete: boolean;
  /** No more is wanted: nothing else is asked for or written. */
  stop(): void;
}

/**
 * `onDone` is called when all has been handed over; `onError` with the error of the source, or with a LengthError.
 * Errors of the socket are the request's to report.
 */
export function sendBody(
  request: ClientRequest,
  body: AsyncIterable<Uint8Array>,
  contentLength: number | undefined,
  onError: (error: unknown) => void,
): Sending {
  const iterator = body[Symbol.asyncIterator]();
  let turn: Sending['turn'] = 'source';
  let given = 0;
  let stopped = false;
  let wake: (() => void) | undefined;
  /** Small pieces that wait for company; written space is not touched again. */
  let gathered = NOTHING;
  let filled = 0;

  function written(error?: Error | null): void {
    // The request reports it; until then an answer may still come, and the source is not asked for what nobody takes.
    if (error) stopped = true;
    const resume = wake;
    wake = undefined;
    resume?.();
  }

  /** Resolves when `bytes` have left, or when nothing more is to be sent. */
  function write(bytes: Uint8Array): Promise<void> {
    turn = 'network';
    return new Promise((resolve) => {
      wake = resolve;
      request.write(bytes, written);
    });
  }

  function takeGathered(): Uint8Array {
    const bytes = gathered.subarray(0, filled);
    gathered = gathered.subarray(filled);
    filled = 0;
    return bytes;
  }

  function gather(piece: Uint8Array): void {
    if (gathered.length === 0) gathered = Buffer.allocUnsafeSlow(GATHER_BYTES);
    gathered.set(piece, filled);
    filled += piece.length;
  }

  async function take(piece: Uint8Array): Promise<void> {
    given += piece.length;
    if (contentLength !== undefined && given > contentLength) throw lengthError(given, contentLength);
    if (piece.length > SMALL_BYTES) {
      if (filled > 0) request.write(takeGathered());
      return write(piece);
    }
    if (filled + piece.length > gathered.length && gathered.length > 0) {
      if (filled > 0) await write(takeGathered());
      gathered = NOTHING;
    }
    if (!stopped) gather(piece);
  }

  async function pump(): Promise<void> {
    try {
      while (!stopped) {
        turn = 'source';
        const asked = iterator.next();
        // What was gathered does not wait for a source that is slower than one turn of the event loop.
        if (filled > 0 && (await Promise.race([asked, nextTurn()])) === LATE && !stopped) {
          await write(takeGathered());
          turn = 'source';
        }
        const { done, value } = await asked;
        if (stopped) break;
        if (done) return finish();
        if (value.length > 0) await take(value);
      }
      // Stopped early: the source may free what it holds.
      await iterator.return?.();
    } catch (error) {
      turn = 'none';
      if (!stopped) onError(error);
    }
  }

  function finish(): void {
    if (contentLength !== undefined && given !== contentLength) throw lengthError(given, contentLength);
    turn = 'none';
    if (filled > 0) request.end(takeGathered());
    else request.end();
  }

  void pump();
  return {
    get turn() {
      return turn;
    },
    get complete() {
      return contentLength !== undefined && given === contentLength && filled === 0;
    },
    stop() {
      stopped = true;
      turn = 'none';
      written();
    },
  };
}

function lengthError(given: number, contentLength: number): Error {
  return new RangeError(`A body of ${contentLength} bytes was announced, and its source gave ${given}.`);
}

const LATE = Symbol('the source was not ready');
const nextTurn = (): Promise<typeof LATE> => new Promise((resolve) => setImmediate(resolve, LATE));
const NOTHING = Buffer.alloc(0);
const SMALL_BYTES = 16 * 1024;
const GATHER_BYTES = 64 * 1024;
