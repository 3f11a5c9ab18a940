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
  let lastToldMs = Number.NEGATIVE_INFINITY;
  let timer: ReturnType<typeof setInterval> | undefined;

  function tell(): void {
    const now = nowMs();
    changed = false;
    lastToldMs = now;
    const bytesPerSecond = speed.at(now);
    const left = Math.max(0, counts.bytesTotal - counts.bytesDone);
    options.emit?.({
      type: 'progress',
      transfer: options.transfer,
      ...counts,
      bytesPerSecond,
      etaMs: counts.totalKnown && bytesPerSecond > 0 ? Math.round((left / bytesPerSecond) * 1000) : null,
      path: options.path(),
      ...options.flow(),
    });
  }

  function tick(): void {
    const now = nowMs();
    speed.sample(now, moved);
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
      changed = true;
    },
    filesFinished(count) {
      counts.filesDone += count;
      changed = true;
    },
    current(path) {
      counts.current = path;
      changed = true;
    },
    start() {
      speed.sample(nowMs(), moved);
      if (options.emit && timer === undefined) timer = setInterval(tick, TICK_MS).unref();
    },
    stop() {
      clearInterval(timer);
      timer = undefined;
      speed.sample(nowMs(), moved);
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
      return Math.round(((last.bytes - first.bytes) * 1000) / (now - first.atMs));
    },
  };
}

const TICK_MS = 100;
/** So long without any change and the speed is told again, since it falls. */
const STILL_MS = 1000;
const WINDOW_MS = 5000;
