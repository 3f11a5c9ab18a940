/**
 * How far a transfer is, how fast it goes and how long it will take: counted as it happens, told at most ten times a second.
 */
import type { PathInfo } from '../transport/contract.ts';
import type { TransferEvent } from './contract.ts';

export type ProgressEvent = Extract<TransferEvent, { type: 'progress' }>;

export interface MeterOptions {
  readonly transfer: string;
  readonly path: () => PathInfo;
  /** How the bytes are moved just now. */
  readonly flow: () => { streams: number; chunkBytes: number };
  /** Absent when nobody listens: then only the counts are kept. */
  readonly emit?: ((event: ProgressEvent) => void) | undefined;
  /** Default performance.now. */
  readonly nowMs?: () => number;
}

/** A request with content for the receiver. */
export interface Carried {
  /** So much of its content was handed to the transport. */
  handleGiven(bytes: number): void;
  /** Content that was handed over and has not left, or not arrived, is known from now on. */
  handleSending(waitingBytes: () => number): void;
  /** It was answered, or broke. What it brought is counted as safe before. */
  end(): void;
}

export interface Meter {
  readonly bytesDone: number;
  readonly filesDone: number;
  readonly bytesTotal: number;
  readonly filesTotal: number;
  /** More to do was found; negative when some of it turned out not to be. */
  expect(files: number, bytes: number): void;
  /** The totals are final. */
  totalsKnown(): void;
  /** Bytes that moved and are safe at the receiver. */
  safe(bytes: number): void;
  /** Bytes that were at the receiver already: they count as done, not as speed. Negative when they turned out to differ. */
  found(bytes: number): void;
  filesFinished(count: number): void;
  /** A request begins that carries so many bytes of content. */
  carrying(bytes: number): Carried;
  /** The file that moves now. */
  current(path: string): void;
  /** Starts telling. */
  start(): void;
  /** Tells the last state and stops. */
  stop(): void;
  /** What the timer calls; for tests. */
  tick(): void;
}

export function createMeter(options: MeterOptions): Meter {
  const nowMs = options.nowMs ?? (() => performance.now());
  const counts = { bytesDone: 0, filesDone: 0, bytesTotal: 0, filesTotal: 0, totalKnown: false, current: '' };
  const speed = createSpeed();
  let moved = 0;
  let changed = true;
  const carried = new Set<() => { given: number; arrived: number }>();
  /** The most that was told to be there or on its way: a request that breaks takes nothing back, for it is made again. */
  let most = 0;
  let lastUnderway = 0;
  let lastToldMs = Number.NEGATIVE_INFINITY;
  let timer: ReturnType<typeof setInterval> | undefined;

  function underway(): number {
    let given = 0;
    let arrived = 0;
    for (const look of carried) {
      const one = look();
      given += one.given;
      arrived += one.arrived;
    }
    // A lane knows what was acknowledged of all its streams together.
    const acknowledged = Math.max(0, given - (carried.size > 0 ? (options.path().lane?.unacknowledgedBytes ?? 0) : 0));
    most = Math.min(Math.max(most, counts.bytesDone + Math.min(arrived, acknowledged)), counts.bytesTotal);
    return Math.max(0, most - counts.bytesDone);
  }

  function sample(now: number): void {
    const bytes = underway();
    if (bytes !== lastUnderway) changed = true;
    lastUnderway = bytes;
    speed.sample(now, moved + bytes);
  }

  function tell(): void {
    const now = nowMs();
    changed = false;
    lastToldMs = now;
    const bytesPerSecond = speed.at(now);
    const left = Math.max(0, counts.bytesTotal - counts.bytesDone - lastUnderway);
    options.emit?.({
      type: 'progress',
      transfer: options.transfer,
      ...counts,
      bytesUnderway: lastUnderway,
      bytesPerSecond,
      etaMs: counts.totalKnown && bytesPerSecond > 0 ? Math.round((left / bytesPerSecond) * 1000) : null,
      path: options.path(),
      ...options.flow(),
    });
  }

  function tick(): void {
    const now = nowMs();
    sample(now);
    if (changed || now - lastToldMs >= STILL_MS) tell();
  }

  return {
    get bytesDone() {
      return counts.bytesDone;
    },
    get filesDone() {
      return counts.filesDone;
    },
    get bytesTotal() {
      return counts.bytesTotal;
    },
    get filesTotal() {
      return counts.filesTotal;
    },
    expect(files, bytes) {
      counts.filesTotal += files;
      counts.bytesTotal += bytes;
      if (bytes < 0) most = 0;
      changed = true;
    },
    totalsKnown() {
      counts.totalKnown = true;
      changed = true;
    },
    safe(bytes) {
      moved += bytes;
      counts.bytesDone += bytes;
      changed = true;
    },
    found(bytes) {
      counts.bytesDone += bytes;
      if (bytes < 0) most = 0;
      changed = true;
    },
    filesFinished(count) {
      counts.filesDone += count;
      changed = true;
    },
    carrying(bytes) {
      const sinceMs = nowMs();
      let given = 0;
      let waiting = () => 0;
      const look = () => {
        // What is answered soon is not worth asking for.
        const arrived = nowMs() - sinceMs < SOON_MS ? 0 : Math.max(0, Math.min(bytes, given - waiting()));
        return { given: Math.min(bytes, given), arrived };
      };
      carried.add(look);
      return {
        handleGiven(more) {
          given += more;
        },
        handleSending(waitingBytes) {
          waiting = waitingBytes;
        },
        end: () => void carried.delete(look),
      };
    },
    current(path) {
      counts.current = path;
      changed = true;
    },
    start() {
      sample(nowMs());
      if (options.emit && timer === undefined) timer = setInterval(tick, TICK_MS).unref();
    },
    stop() {
      clearInterval(timer);
      timer = undefined;
      sample(nowMs());
      if (options.emit) tell();
    },
    tick,
  };
}

/** Mean over the last WINDOW_MS, from samples taken now and then. */
function createSpeed() {
  const samples: { atMs: number; bytes: number }[] = [];
  return {
    sample(atMs: number, bytes: number): void {
      samples.push({ atMs, bytes });
      while (samples.length > 2 && samples[1]!.atMs <= atMs - WINDOW_MS) samples.shift();
    },
    at(now: number): number {
      const first = samples[0];
      const last = samples.at(-1);
      if (!first || !last || now <= first.atMs) return 0;
      return Math.max(0, Math.round(((last.bytes - first.bytes) * 1000) / (now - first.atMs)));
    },
  };
}

const TICK_MS = 100;
/** So long without any change and the speed is told again, since it falls. */
const STILL_MS = 1000;
const WINDOW_MS = 5000;
const SOON_MS = 500;
