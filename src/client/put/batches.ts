/**
 * The walk, some way ahead of the sending: totals are known early, and what the server already has is asked for many files at once,
 * while memory holds a bounded number of entries.
 */
import type { Job } from './job.ts';
import type { SourceEntry, WalkProblem } from './walk.ts';

export interface Found {
  readonly item: SourceEntry | WalkProblem;
  /** Remote. */
  readonly path: string;
}

export interface Batch {
  readonly items: readonly Found[];
  /** Indices of those that need not be sent; null when the server was not asked. */
  readonly present: Promise<ReadonlySet<number>> | null;
}

export interface Batches {
  /** The next, or null at the end. */
  next(): Promise<Batch | null>;
  /** Resolves when the walk has ended or been given up. */
  stop(): Promise<void>;
}

export interface ReadAheadOptions {
  /** Leave out files that the server has with this size and mtime. */
  readonly ask: boolean;
  /** Tell the server the totals at the end of the walk. */
  readonly announce: boolean;
}

/** Starts walking. */
export function readAhead(job: Job, found: Iterable<Found>, options: ReadAheadOptions): Batches {
  const ready: Batch[] = [];
  let ended = false;
  let stopped = false;
  let failure: { error: unknown } | null = null;
  let wakeReader: (() => void) | null = null;
  let wakeWalker: (() => void) | null = null;

  async function run(): Promise<void> {
    for (const items of cut(job, found)) {
      if (items !== null) {
        ready.push({ items, present: options.ask ? askPresent(job, items) : null });
        wakeReader?.();
      }
      // The requests that are on their way get their turn too, and whoever reads the files.
      await new Promise(setImmediate);
      while (ready.length >= MOST_BATCHES && !stopped) {
        await new Promise<void>((resolve) => {
          wakeWalker = resolve;
        });
      }
      if (stopped) return;
    }
    job.meter.totalsKnown();
    if (!options.announce) return;
    const { filesTotal, bytesTotal } = job.meter;
    // For people who look at the server; the end of the transfer says it once more.
    job.api.changeTransfer(job.transfer, { filesTotal, bytesTotal }, { signal: job.signal }).catch(() => undefined);
  }

  const running = run()
    .catch((error: unknown) => {
      failure = { error };
    })
    .finally(() => {
      ended = true;
      wakeReader?.();
    });

  return {
    async next() {
      while (ready.length === 0 && !ended) {
        await new Promise<void>((resolve) => {
          wakeReader = resolve;
        });
      }
      const batch = ready.shift();
      if (!batch && failure) throw failure.error;
      wakeWalker?.();
      return batch ?? null;
    },
    async stop() {
      stopped = true;
      wakeWalker?.();
      await running;
    },
  };
}

/**
 * Batches of many entries, or of those that a slow disk gave in a while; what is in them is announced. The first ones are short, so
 * that sending begins at once. Null now and then, for others to have their turn.
 */
function* cut(job: Job, found: Iterable<Found>): Generator<Found[] | null, void, undefined> {
  let items: Found[] = [];
  let full = FIRST_BATCH_ENTRIES;
  let files = 0;
  let bytes = 0;
  let startedMs = performance.now();
  const announce = () => {
    job.meter.expect(files, bytes);
    files = 0;
    bytes = 0;
  };
  for (const one of found) {
    items.push(one);
    if (one.item.kind === 'file' || one.item.kind === 'link') {
      files++;
      bytes += one.item.kind === 'file' ? one.item.size : 0;
    }
    if (items.length % TURN_EVERY !== 0) continue;
    if (items.length < full && performance.now() - startedMs <= LONGEST_BATCH_MS) {
      yield null;
      continue;
    }
    announce();
    yield items;
    items = [];
    full = Math.min(2 * full, BATCH_ENTRIES);
    startedMs = performance.now();
  }
  announce();
  if (items.length > 0) yield items;
}

function askPresent(job: Job, items: readonly Found[]): Promise<ReadonlySet<number>> {
  const files: number[] = [];
  const questions: { path: string; size: number; mtimeNs: bigint }[] = [];
  for (const [index, { item, path }] of items.entries()) {
    if (item.kind !== 'file') continue;
    files.push(index);
    questions.push({ path, size: item.size, mtimeNs: item.mtimeNs });
  }
  if (files.length === 0) return Promise.resolve(new Set());
  const answer = job
    .call(() => job.api.missingEntries(questions, { signal: job.signal }))
    .then((missing) => {
      const absent = new Set(missing);
      return new Set(files.filter((_, at) => !absent.has(at)));
    });
  // Whoever takes the batch hears of a failure; it may never be taken.
  answer.catch(() => undefined);
  return answer;
}

const FIRST_BATCH_ENTRIES = 64;
const BATCH_ENTRIES = 1024;
const MOST_BATCHES = 16;
const LONGEST_BATCH_MS = 20;
const TURN_EVERY = 64;
