/**
 * One transport out of two: requests begin on HTTPS at once, a lane is opened beside it, and new requests go where bytes have
 * been seen to move faster. Each request lives and dies on one of them; whatever fails is tried again by whoever asked, so that
 * a change in the middle loses nothing (docs/design/lane.md).
 */
import { performance } from 'node:perf_hooks';
import { HawserError } from '../core/errors.ts';
import type { PathInfo, Transport, TransportRequest, TransportResponse } from './contract.ts';
import type { LaneTransport } from './lane-transport.ts';

export interface SwitchingOptions {
  readonly https: Transport;
  /** Rejects with why there is no lane. */
  readonly openLane: () => Promise<LaneTransport>;
  /** Requests wait for the lane, and fail when there is none. Default false: HTTPS does what the lane does not. */
  readonly laneOnly?: boolean;
}

export function createSwitchingTransport({ https, openLane, laneOnly = false }: SwitchingOptions): Transport {
  let lane: LaneTransport | null = null;
  let opening: Promise<LaneTransport> | null = null;
  let refused: string | null = null;
  let closed = false;
  /** Much is to be moved, and whether a lane is worth it is not yet known. */
  let wanted = false;
  /** Until when HTTPS is used though a lane is open. */
  let httpsUntilMs = 0;
  const meters = { https: createMeter(), lane: createMeter() };
  const underWay = new Set<{ readonly over: 'https' | 'lane'; readonly abort: AbortController }>();
  let watch: NodeJS.Timeout | null = null;

  function open(): Promise<LaneTransport> {
    opening ??= openLane().then(
      (made) => {
        if (closed) made.close();
        lane = made;
        refused = null;
        watch = setInterval(review, REVIEW_MS);
        watch.unref();
        return made;
      },
      (error: unknown) => {
        opening = null;
        refused = error instanceof Error ? error.message : String(error);
        throw error;
      },
    );
    return opening;
  }

  function choose(): 'https' | 'lane' {
    if (!lane || (!laneOnly && (isDead(lane) || performance.now() < httpsUntilMs))) return 'https';
    return 'lane';
  }

  /** Now and then: is the lane alive, and is it the faster one? */
  function review(): void {
    if (!lane || laneOnly) return;
    const now = performance.now();
    if (isDead(lane)) {
      for (const request of underWay) if (request.over === 'lane') request.abort.abort(laneDied());
      return;
    }
    const { https: before, lane: since } = meters;
    if (now < httpsUntilMs || since.activeMs < TRIAL_MS || before.activeMs < TRIAL_MS) return;
    if (since.bytesPerSecond < SLOWER * before.bytesPerSecond) {
      httpsUntilMs = now + AGAIN_MS;
      since.reset();
    }
  }

  async function request(request: TransportRequest): Promise<TransportResponse> {
    if (laneOnly && !lane) await open();
    const over = choose();
    const abort = new AbortController();
    const entry = { over, abort };
    underWay.add(entry);
    const signal = request.signal ? AbortSignal.any([request.signal, abort.signal]) : abort.signal;
    const meter = meters[over];
    const done = meter.begin();
    const finish = (): void => {
      if (underWay.delete(entry)) done();
    };
    try {
      const transport = over === 'lane' ? (lane as LaneTransport) : https;
      const body = request.body === undefined || request.body instanceof Uint8Array ? request.body : counted(request.body, meter);
      const response = await transport.request({ ...request, signal, ...(body === undefined ? {} : { body }) });
      openIfWorthIt();
      return {
        ...response,
        body: counted(response.body, meter, finish),
        cancel() {
          finish();
          response.cancel();
        },
      };
    } catch (error) {
      finish();
      throw abort.signal.aborted && !request.signal?.aborted ? abort.signal.reason : error;
    }
  }

  return {
    request,
    info(): PathInfo {
      const over = choose() === 'lane' && lane ? lane.info() : https.info();
      return refused === null || over.lane ? over : { ...over, laneRefused: refused };
    },
    prepare() {
      wanted = true;
      if (laneOnly) open().catch(() => undefined);
      else openIfWorthIt();
    },
    close() {
      closed = true;
      if (watch) clearInterval(watch);
      lane?.close();
      https.close();
    },
  };

  /** Next door TCP is at its best, and costs less. How far the server is shows with the first answer. */
  function openIfWorthIt(): void {
    const { rttMs } = https.info();
    if (!wanted || lane || opening || closed || rttMs === null || rttMs < NEAR_MS) return;
    wanted = false;
    open().then(leaveSlowRequests, () => undefined);
  }

  /** What crawls over TCP now is better begun again on the lane: the server keeps the blocks that it has. */
  function leaveSlowRequests(): void {
    if (laneOnly) return;
    const waiting = setTimeout(() => {
      if (meters.https.recentBytesPerSecond() > CRAWL_BYTES_PER_SECOND) return;
      for (const request of underWay) if (request.over === 'https') request.abort.abort(leftForLane());
    }, CRAWL_MS);
    waiting.unref();
  }
}

function isDead(lane: LaneTransport): boolean {
  const paths = lane.info().lane?.paths;
  return paths?.every(({ state }) => state === 'failed') === true;
}

const laneDied = (): HawserError => new HawserError('stalled', 'Nothing comes back over the lane: going on over HTTPS.');
const leftForLane = (): HawserError => new HawserError('stalled', 'The lane is open: going on over it.');

interface Meter {
  readonly activeMs: number;
  readonly bytesPerSecond: number;
  recentBytesPerSecond(): number;
  count(bytes: number): void;
  begin(): () => void;
  reset(): void;
}

/** Bytes over the time in which anything was under way. */
function createMeter(): Meter {
  let bytes = 0;
  let activeMs = 0;
  let running = 0;
  let sinceMs = 0;
  let markBytes = 0;
  let markMs = performance.now();
  const settle = (): void => {
    const now = performance.now();
    if (running > 0) activeMs += now - sinceMs;
    sinceMs = now;
  };
  return {
    get activeMs() {
      settle();
      return activeMs;
    },
    get bytesPerSecond() {
      settle();
      return activeMs > 0 ? (bytes / activeMs) * 1000 : 0;
    },
    recentBytesPerSecond() {
      const now = performance.now();
      const rate = ((bytes - markBytes) / Math.max(1, now - markMs)) * 1000;
      markBytes = bytes;
      markMs = now;
      return rate;
    },
    count(more) {
      bytes += more;
    },
    begin() {
      settle();
      running++;
      return () => {
        settle();
        running--;
      };
    },
    reset() {
      bytes = activeMs = markBytes = 0;
      sinceMs = markMs = performance.now();
    },
  };
}

async function* counted(body: AsyncIterable<Uint8Array>, meter: Meter, done?: () => void): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of body) {
      meter.count(piece.length);
      yield piece;
    }
  } finally {
    done?.();
  }
}

const REVIEW_MS = 500;
/** Both must have worked so long before they are compared. */
const TRIAL_MS = 4_000;
const SLOWER = 0.7;
const AGAIN_MS = 60_000;
const NEAR_MS = 3;
const CRAWL_MS = 1_000;
const CRAWL_BYTES_PER_SECOND = 1_000_000;
