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
  const underWay = new Set<{ readonly over: 'https' | 'lane'; readonly abort: AbortController; bulk: boolean }>();
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
    const entry = { over, abort, bulk: request.body !== undefined && !(request.body instanceof Uint8Array) };
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
      // An answer that is being read carries what there is to carry; one that was not begun would have to be asked for again.
      entry.bulk = request.method === 'GET';
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
    open().then(leaveHttps, () => undefined);
  }

  /**
   * What moves bytes over TCP is begun again on the lane, for two in one bottleneck would only be in each other's way; the server
   * keeps the blocks that it has. A TCP that has shown for a while that it is fast may end what it is at.
   */
  function leaveHttps(): void {
    if (laneOnly) return;
    const proven = meters.https.activeMs > TRIAL_MS && meters.https.bytesPerSecond > FAST_BYTES_PER_SECOND;
    if (proven) return;
    for (const request of underWay) if (request.over === 'https' && request.bulk) request.abort.abort(leftForLane());
  }
}

function isDead(lane: LaneTransport): boolean {
  const paths = lane.info().lane?.paths;
  return paths?.every(({ state }) => state === 'failed') === true;
}

const laneDied = (): HawserError => new HawserError('rerouted', 'Nothing comes back over the lane: going on over HTTPS.');
const leftForLane = (): HawserError => new HawserError('rerouted', 'The lane is open: going on over it.');

interface Meter {
  readonly activeMs: number;
  readonly bytesPerSecond: number;
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
      bytes = activeMs = 0;
      sinceMs = performance.now();
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
const FAST_BYTES_PER_SECOND = 5_000_000;
