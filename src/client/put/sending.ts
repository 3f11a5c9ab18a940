/** The blocks of one upload on their way: which are missing, which are in flight, and what is done about those that fail. */
import { RangeSet } from '../../core/ranges.ts';
import { canRetry, interrupted } from '../retry.ts';
import type { Head } from './head.ts';
import type { Job } from './job.ts';
import type { Chunk, Outgoing } from './streams.ts';

/** Where the bytes of a run of blocks come from. */
export interface BlockBody {
  readonly frames: AsyncGenerator<Uint8Array, void, undefined>;
  readonly contentLength: number;
}

export interface SendingOptions {
  readonly job: Job;
  readonly upload: string;
  readonly epoch: number;
  readonly blockBytes: number;
  /** For people: what moves now. */
  readonly path: string;
  readonly body: (first: number, end: number) => BlockBody;
  /** Content bytes of the blocks [first, end). */
  readonly bytesOf: (first: number, end: number) => number;
  /** Blocks became safe that were not before. */
  readonly onSafe: (first: number, end: number) => void;
  /** A request failed: what it carried goes again. */
  readonly onFailure?: () => void;
}

export interface Sending extends Outgoing {
  /** Blocks that the receiver does not have. */
  add(first: number, end: number): void;
  /** Blocks that are on their way already. Resolves when that is over: what did not arrive is missing. */
  adopt(head: Head): Promise<void>;
  /** Blocks that it has with other content. */
  replace(first: number, end: number): void;
  /** Resolves when nothing is missing and nothing in flight; rejects with what made the file fail. */
  idle(): Promise<void>;
  /** Resolves when nothing is missing and all has been handed to the network, though not all is answered; never rejects. */
  sent(): Promise<void>;
  /** Aborts when the file fails, with the error as its reason. */
  readonly failed: AbortSignal;
  /** The same as a promise: rejects, and never resolves. */
  readonly failure: Promise<never>;
  /** Takes no more; resolves when nothing is in flight. */
  stop(): Promise<void>;
}

export function createSending(options: SendingOptions): Sending {
  const { job } = options;
  const missing = new RangeSet();
  /** Were in a request that failed: some may have arrived. */
  const unsure = new RangeSet();
  /** The receiver has had these with other content. */
  const replaced = new RangeSet();
  let inFlight = 0;
  /** Of those, the ones that have not left yet. */
  let leaving = 0;
  let stopped = false;
  let waiting: (() => void)[] = [];
  const allSent = Promise.withResolvers<void>();
  const failed = new AbortController();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);

  function fail(error: unknown): void {
    stopped = true;
    failed.abort(error);
    failure.reject(error);
  }

  // A put that ends while this file waits for its turn ends here too.
  const handleAbort = () => fail(interrupted());
  job.signal.addEventListener('abort', handleAbort);
  if (job.signal.aborted) handleAbort();

  function handleEnd(): void {
    inFlight--;
    if (inFlight > 0 || (missing.total > 0 && !stopped)) return;
    for (const resolve of waiting) resolve();
    waiting = [];
  }

  function handleLeft(): void {
    if (leaving === 0 && missing.total === 0 && !stopped) allSent.resolve();
  }

  async function send(first: number, end: number, onSent: () => void): Promise<void> {
    let run: [number, number] | null = [first, end];
    let left = false;
    leaving++;
    const handleSent = (): void => {
      if (left) return;
      left = true;
      leaving--;
      handleLeft();
    };
    try {
      run = await whatIsLeft(first, end);
      if (run)
        await sendRun(...run, () => {
          handleSent();
          onSent();
        });
    } catch (error) {
      if (run) missing.add(...run);
      if (!canRetry(error) && !isPause(error)) fail(error);
      else throw error;
    } finally {
      handleSent();
      handleEnd();
    }
  }

  async function sendRun(first: number, end: number, onSent: () => void): Promise<void> {
    const { frames, contentLength } = options.body(first, end);
    // The transport reports a body that fails in its own words; ours say what happened to the file.
    let bodyError: unknown;
    const carried = job.meter.carrying(options.bytesOf(first, end));
    const watched = watch(frames, carried.handleGiven, onSent, (error) => {
      bodyError = error;
    });
    job.meter.current(options.path);
    try {
      const { signal } = job;
      const { handleSending } = carried;
      await job.api.putBlocks(options.upload, options.epoch, watched, contentLength, { signal, onSending: handleSending });
      handleSafe(first, end);
    } catch (error) {
      unsure.add(first, end);
      options.onFailure?.();
      throw bodyError ?? error;
    } finally {
      carried.end();
      // Gives its buffers back also when the transport dropped it half-way.
      await frames.return(undefined).catch(() => undefined);
    }
  }

  /**
   * The receiver keeps the whole blocks that came before a request broke: for more than one it is worth asking which. Gives the first
   * run that is to be sent.
   */
  async function whatIsLeft(first: number, end: number): Promise<[number, number] | null> {
    if (end - first === 1 || unsure.nextStart(first) >= end) return [first, end];
    const { safe } = await job.api.getUpload(options.upload, { signal: job.signal });
    unsure.remove(first, end);
    const { blockBytes } = options;
    const there = new RangeSet();
    for (const [from, to] of safe) there.add(Math.max(first, from / blockBytes), Math.min(end, Math.ceil(to / blockBytes)));
    // What the receiver had before, with other content, is there in any case and says nothing.
    for (const [from, to] of replaced.entries()) there.remove(from, to);
    for (const [from, to] of there.entries()) handleSafe(from, to);
    const [run, ...later] = there.gaps(first, end);
    for (const [from, to] of later) missing.add(from, to);
    return run ?? null;
  }

  function handleSafe(first: number, end: number): void {
    job.headway.moved();
    options.onSafe(first, end);
  }

  return {
    get ready() {
      return !stopped && missing.total > 0;
    },
    take(bytes, streams): Chunk {
      const first = missing.nextStart(0);
      // Towards the end the rest is shared out, so that no stream is left with a long chunk while others have none.
      const share = Math.max(SMALLEST_SHARE_BYTES, Math.ceil((missing.total * options.blockBytes) / streams));
      const blocks = Math.max(1, Math.floor(Math.min(bytes, share) / options.blockBytes));
      const end = Math.min(missing.runEnd(first), first + blocks);
      missing.remove(first, end);
      inFlight++;
      return { bytes: options.bytesOf(first, end), send: (onSent) => send(first, end, onSent), abandon: fail };
    },
    add(first, end) {
      missing.add(first, end);
    },
    async adopt({ end, sent, safe }) {
      inFlight++;
      leaving++;
      const left = sent.then(() => {
        leaving--;
        handleLeft();
      });
      try {
        await safe;
        handleSafe(0, end);
      } catch {
        unsure.add(0, end);
        missing.add(0, end);
      }
      await left;
      handleEnd();
    },
    replace(first, end) {
      replaced.add(first, end);
      missing.add(first, end);
    },
    idle: () =>
      Promise.race([
        failure.promise,
        new Promise<void>((resolve) => {
          if (inFlight === 0 && missing.total === 0) resolve();
          else waiting.push(resolve);
        }),
      ]),
    sent: () => allSent.promise,
    failed: failed.signal,
    failure: failure.promise,
    async stop() {
      stopped = true;
      job.signal.removeEventListener('abort', handleAbort);
      while (inFlight > 0) await new Promise<void>((resolve) => waiting.push(resolve));
    },
  };
}

async function* watch(
  frames: AsyncGenerator<Uint8Array, void, undefined>,
  onPiece: (bytes: number) => void,
  onEnd: () => void,
  onError: (error: unknown) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    for await (const piece of frames) {
      onPiece(piece.length);
      yield piece;
    }
    onEnd();
  } catch (error) {
    onError(error);
    throw error;
  }
}

function isPause(error: unknown): boolean {
  return (error as { code?: unknown } | null)?.code === 'transfer_paused';
}

const SMALLEST_SHARE_BYTES = 256 * 1024;
