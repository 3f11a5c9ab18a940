/**
 * One transport out of two: requests begin on HTTPS at once, unless a lane has opened here before, for which they wait a moment; a
 * lane is opened beside it, and new requests go where bytes have been seen to move faster. Each request lives and dies on one of them; whatever fails is tried again by whoever asked, so that
 * a change in the middle loses nothing.
 */
import { performance } from 'node:perf_hooks';
import { HawserError } from '../core/errors.ts';
import type { PathInfo, Transport, TransportRequest, TransportResponse } from './contract.ts';
import { countedBody } from './counted-body.ts';
import { interrupted } from './failures.ts';
import { createLaneKeeper } from './lane-keeper.ts';
import type { LaneTransport } from './lane-transport.ts';
import { createTrafficMeter } from './traffic-meter.ts';

export interface SwitchingOptions {
  readonly https: Transport;
  /** Rejects with why there is no lane. `signal`: it is not wanted any more. `onAsked`: the first word is on its way. */
  readonly openLane: (signal: AbortSignal, onAsked?: () => void) => Promise<LaneTransport>;
  /** The server is on this machine: there is nothing that a lane could be better at. */
  readonly isNextDoor?: boolean;
  /** A lane opened here before, at this round trip: where it is worth it, requests wait a moment for the next one. Null: nobody knows. */
  readonly expectedRttMs?: number | null;
  /** Requests wait for the lane, and fail when there is none. Default false: HTTPS does what the lane does not. */
  readonly laneOnly?: boolean;
  /** Milliseconds of a clock that never jumps. */
  readonly nowMs?: () => number;
}

interface Entry {
  readonly over: 'https' | 'lane';
  readonly abort: AbortController;
  /** It carries content, rather than a question. */
  bulk: boolean;
  readonly sinceMs: number;
}

export function createSwitchingTransport(options: SwitchingOptions): Transport {
  const { https, openLane, isNextDoor = false, laneOnly = false, nowMs = () => performance.now() } = options;
  const { expectedRttMs = null } = options;
  const keeper = createLaneKeeper({ openLane, nowMs, onOpen: startReviews });
  /** Much is to be moved: a lane may be worth its while. */
  let wanted = false;
  /** Until when requests wait for a lane that is being opened, rather than begin over HTTPS. */
  let patientUntilMs = 0;
  /** Until when HTTPS is used though a lane is open. */
  let httpsUntilMs = 0;
  let deadSinceMs: number | null = null;
  const meters = { https: createTrafficMeter(nowMs), lane: createTrafficMeter(nowMs) };
  const underWay = new Set<Entry>();
  let reviews: NodeJS.Timeout | null = null;
  let first: NodeJS.Timeout | null = null;

  /** The lane, when new requests are to go over it. */
  function laneToUse(): LaneTransport | null {
    const { lane } = keeper;
    return lane && !isDead(lane) && nowMs() >= httpsUntilMs ? lane : null;
  }

  function startReviews(): void {
    deadSinceMs = null;
    reviews ??= setInterval(review, REVIEW_MS).unref();
  }

  /** Now and then: is the lane alive, and is it the faster one? */
  function review(): void {
    const { lane } = keeper;
    if (!lane) {
      // Where the whole network is gone, the requests that hang over HTTPS ask for nothing: no other occasion would come.
      if (underWay.size > 0 && keeper.mayOpen) keeper.open().then(leaveHttps, () => undefined);
      return;
    }
    const now = nowMs();
    if (isDead(lane)) {
      deadSinceMs ??= now;
      if (!laneOnly) leave('lane', laneDied());
      // It may come to life again by itself; by then a new one, from another port, is the better hope.
      if (now - deadSinceMs >= DROP_MS) keeper.drop();
      return;
    }
    deadSinceMs = null;
    // Questions that were too young when the lane opened.
    if (now >= httpsUntilMs) rerouteHttps(false);
    for (const { over } of underWay) {
      if (over !== 'lane') continue;
      lane.checkPulse();
      break;
    }
    const { https: before, lane: since } = meters;
    if (laneOnly || now < httpsUntilMs || since.activeMs < TRIAL_MS || before.activeMs < TRIAL_MS) return;
    if (since.bytesPerSecond < SLOWER * before.bytesPerSecond) {
      httpsUntilMs = now + AGAIN_MS;
      since.reset();
    }
  }

  function leave(over: Entry['over'], reason: HawserError): void {
    for (const request of underWay) if (request.over === over) request.abort.abort(reason);
  }

  async function request(request: TransportRequest): Promise<TransportResponse> {
    openIfWorthIt();
    if (!laneOnly && !keeper.lane && nowMs() < patientUntilMs)
      await settled(keeper.open(), patientUntilMs - nowMs(), request.signal);
    const lane = laneOnly ? await unlessAborted(keeper.open(), request.signal) : laneToUse();
    const over = lane ? 'lane' : 'https';
    const meter = meters[over];
    const abort = new AbortController();
    const isStream = request.body !== undefined && !(request.body instanceof Uint8Array);
    const entry: Entry = { over, abort, bulk: isStream, sinceMs: nowMs() };
    const end = meter.begin();
    const onAbort = (): void => abort.abort(request.signal?.reason);
    request.signal?.addEventListener('abort', onAbort);
    if (request.signal?.aborted) onAbort();
    underWay.add(entry);
    if (over === 'https') watchFirst();
    const onEnd = (): void => {
      end();
      underWay.delete(entry);
      request.signal?.removeEventListener('abort', onAbort);
    };
    /** Who gave the request up here says why; the transport only knows that somebody did. */
    const blame = (error: unknown): unknown => (abort.signal.aborted && !request.signal?.aborted ? abort.signal.reason : error);
    try {
      const handleBytes = (bytes: number): void => meter.count(bytes);
      const sent = { handleBytes, handleEnd: () => undefined, blame: (error: unknown) => error };
      const body = isStream ? { body: countedBody(request.body as AsyncIterable<Uint8Array>, sent) } : {};
      const response = await (lane ?? https).request({ ...request, ...body, signal: abort.signal });
      openIfWorthIt();
      // An answer that is being read carries what there is to carry; one that was not begun would have to be asked for again.
      entry.bulk = request.method === 'GET';
      return {
        ...response,
        body: countedBody(response.body, { handleBytes, handleEnd: onEnd, blame }),
        cancel() {
          onEnd();
          response.cancel();
        },
      };
    } catch (error) {
      onEnd();
      throw blame(error);
    }
  }

  return {
    request,
    info(): PathInfo {
      const lane = laneOnly ? keeper.lane : laneToUse();
      if (lane) return lane.info();
      const { refused } = keeper;
      const info = https.info();
      const { rttMs } = info;
      return { ...info, rttMs: rttMs ?? expectedRttMs, ...(refused === null ? {} : { laneRefused: refused }) };
    },
    prepare() {
      wanted = true;
      const isExpected = expectedRttMs !== null && expectedRttMs >= NEAR_MS && !isNextDoor;
      if (isExpected && keeper.mayOpen) {
        patientUntilMs = nowMs() + LEAST_PATIENCE_MS + PATIENCE_ROUND_TRIPS * expectedRttMs;
        const asked = new Promise<void>((resolve) => {
          void keeper.open(resolve).then(leaveHttps, noValue).finally(resolve);
        });
        return settled(asked, patientUntilMs - nowMs(), undefined);
      }
      if (laneOnly) keeper.open().catch(noValue);
      else openIfWorthIt();
    },
    async close() {
      if (reviews) clearInterval(reviews);
      if (first) clearInterval(first);
      const leaving = keeper.close();
      await https.close();
      await leaving;
    },
  };

  /**
   * How far the server is shows with the first connection. Where none comes about in two looks it is far, or packets were lost, or it
   * has a name that takes time to look up: the lane is asked for over a connection that begins now, beside the others, and not wanted
   * any more when the server is near after all. Asked for when that is known, it would come a round trip later.
   */
  function watchFirst(): void {
    if (laneOnly || isNextDoor || !wanted || first || https.info().rttMs !== null) return;
    const most = (expectedRttMs ?? NEAR_MS) < NEAR_MS ? LOOKS_IF_NEAR : LOOKS;
    let looks = 0;
    let early: Promise<unknown> | null = null;
    const end = (): void => clearInterval(first!);
    first = setInterval(() => {
      const { rttMs } = https.info();
      if (rttMs !== null) {
        end();
        if (rttMs < NEAR_MS && early) keeper.withdraw();
        else openIfWorthIt();
        return;
      }
      looks++;
      if (looks === most && keeper.mayOpen) early = keeper.open().then(leaveHttps, noValue).finally(end);
      // Somebody else asks for it.
      else if (looks >= LOOKS_IF_NEAR && !early) end();
    }, LOOK_MS);
    first.unref();
  }

  /** Next door TCP is at its best, and costs less. */
  function openIfWorthIt(): void {
    if (laneOnly || isNextDoor || !wanted || !keeper.mayOpen) return;
    const { rttMs } = https.info();
    if (rttMs === null) return;
    const slow = meters.https.activeMs > TRIAL_MS && meters.https.bytesPerSecond < FAST_BYTES_PER_SECOND;
    if (rttMs >= NEAR_MS || slow) keeper.open().then(leaveHttps, () => undefined);
  }

  /**
   * What moves bytes over TCP is begun again on the lane, for two in one bottleneck would only be in each other's way; the server
   * keeps the blocks that it has. A TCP that has shown for a while that it is fast may end what it is at.
   */
  function leaveHttps(): void {
    rerouteHttps(true);
  }

  function rerouteHttps(withBulk: boolean): void {
    const proven = meters.https.activeMs > TRIAL_MS && meters.https.bytesPerSecond > FAST_BYTES_PER_SECOND;
    if (proven) return;
    // A question that is long without an answer hangs on a lost packet.
    const stuckMs = nowMs() - Math.max(LEAST_STUCK_MS, 2 * (https.info().rttMs ?? 0));
    for (const { over, bulk, sinceMs, abort } of underWay)
      if (over === 'https' && ((bulk && withBulk) || (!bulk && sinceMs < stuckMs))) abort.abort(leftForLane());
  }
}

/** Resolves when the promise is settled, or not for so long. Rejects when the signal aborts. */
async function settled(promise: Promise<unknown>, mostMs: number, signal: AbortSignal | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, mostMs);
  });
  const either = Promise.race([promise.then(noValue, noValue), late]);
  await unlessAborted(either, signal).finally(() => clearTimeout(timer));
}

/** The promise goes on for those who share it. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(interrupted(signal));
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

function isDead(lane: LaneTransport): boolean {
  const paths = lane.info().lane?.paths ?? [];
  // One that never opened is no hope either.
  return paths.length > 0 && paths.every(({ state }) => state === 'failed' || state === 'opening');
}

const laneDied = (): HawserError => new HawserError('rerouted', 'Nothing comes back over the lane: going on over HTTPS.');
const leftForLane = (): HawserError => new HawserError('rerouted', 'The lane is open: going on over it.');

const noValue = (): void => undefined;

/** Over UDP a hello goes out eighty times in this and a round trip: one that is not answered by then will not be. */
const LEAST_PATIENCE_MS = 1_000;
const PATIENCE_ROUND_TRIPS = 3;
const REVIEW_MS = 500;
/** Both must have worked so long before they are compared. */
const TRIAL_MS = 4_000;
const SLOWER = 0.7;
const AGAIN_MS = 60_000;
/** Half of it is what a busy machine may add. Nearer than this, TCP has made a loss good before it is missed. */
const NEAR_MS = 8;
const LEAST_STUCK_MS = 300;
const LOOK_MS = 10;
/** After a thread was busy its timers come first, and what the network has told only then. */
const LOOKS = 2;
const LOOKS_IF_NEAR = 70;
const DROP_MS = 5_000;
const FAST_BYTES_PER_SECOND = 5_000_000;
