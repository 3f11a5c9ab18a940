/**
 * HTTPS over several networks of this machine at once: a pool of connections for each, and every request goes where it will be
 * done first. A network that gives no sign is asked; when it does not answer while another does, its connections are dropped
 * and its requests are made again on the others, by whoever made them. It is asked again now and then, and taken back.
 */
import { performance } from 'node:perf_hooks';
import { HawserError } from '../core/errors.ts';
import type { PathInfo, Transport, TransportRequest, TransportResponse } from './contract.ts';
import { countedBody } from './counted-body.ts';
import type { LocalPath } from './local-paths.ts';
import { addressesNow } from './local-paths.ts';
import { choosePath, isInUse, type PathView, shownState } from './path-choice.ts';
import { createRateMeter, type RateMeter } from './rate-meter.ts';

export interface HttpsPathsOptions {
  readonly paths: readonly LocalPath[];
  /** A transport that leaves by this network. It is closed when the network fails, and another is made. */
  readonly make: (path: LocalPath) => Transport;
  /** What a network is asked for to see whether it works: any answer will do. */
  readonly target: string;
  /** Milliseconds of a clock that never jumps. */
  readonly nowMs?: () => number;
  /** What addresses a network has now. Default: the system's word. */
  readonly addresses?: (path: LocalPath) => readonly string[];
}

/** One network. */
interface Entry extends PathView {
  readonly local: LocalPath;
  readonly rate: RateMeter;
  readonly running: Set<Running>;
  transport: Transport;
  /** Addresses when `transport` was made, in one string. */
  addresses: string;
  state: PathView['state'];
  waitingBytes: number;
  sentBytes: number;
  receivedBytes: number;
  /** When anything was last heard or moved. */
  signMs: number;
  /** When the first request was begun after a rest. */
  sinceMs: number;
  /** When it was last asked; `asking`: no answer yet. */
  askedMs: number;
  asking: boolean;
  /** When it was last asked in vain. */
  silentMs: number;
  /** When a failure of its own was last made good by sending a request another way. */
  reroutedMs: number;
}

interface Running {
  readonly abort: AbortController;
  leftBytes: number;
}

/** Connects when it is first needed. `paths` are two or more. */
export function createHttpsPaths(options: HttpsPathsOptions): Transport {
  const { paths, make, target, nowMs = () => performance.now(), addresses = addressesNow } = options;
  const entries = paths.map(newEntry);
  let reviews: NodeJS.Timeout | null = null;
  let closed = false;

  function newEntry(local: LocalPath): Entry {
    return {
      local,
      metered: local.metered,
      rate: createRateMeter(nowMs),
      running: new Set(),
      transport: make(local),
      addresses: addresses(local).join(),
      state: 'active',
      waitingBytes: 0,
      sentBytes: 0,
      receivedBytes: 0,
      signMs: NEVER,
      sinceMs: NEVER,
      askedMs: NEVER,
      asking: false,
      silentMs: NEVER,
      reroutedMs: NEVER,
      get rttMs() {
        return this.transport.info().rttMs;
      },
      get bytesPerSecond() {
        return this.rate.bytesPerSecond;
      },
    };
  }

  async function request(request: TransportRequest): Promise<TransportResponse> {
    const bytes = contentBytes(request);
    const entry = entries[choosePath(entries, bytes)]!;
    const abort = new AbortController();
    const running: Running = { abort, leftBytes: bytes };
    const onAbort = (): void => abort.abort(request.signal?.reason);
    request.signal?.addEventListener('abort', onAbort);
    if (request.signal?.aborted) onAbort();
    if (entry.running.size === 0) entry.sinceMs = nowMs();
    entry.running.add(running);
    entry.waitingBytes += bytes;
    entry.rate.begin();
    watchOver();

    function end(): void {
      if (!entry.running.delete(running)) return;
      entry.waitingBytes -= running.leftBytes;
      entry.rate.end();
      request.signal?.removeEventListener('abort', onAbort);
    }

    /** Who gave the request up here says why; the transport only knows that somebody did. */
    function blame(error: unknown): unknown {
      if (request.signal?.aborted || closed) return error;
      return abort.signal.aborted ? abort.signal.reason : handleFailure(entry, error);
    }

    function count(moved: number): void {
      const done = Math.min(moved, running.leftBytes);
      running.leftBytes -= done;
      entry.waitingBytes -= done;
      entry.rate.count(moved);
      handleSign(entry);
    }

    try {
      const { body } = request;
      const sends = body !== undefined && !(body instanceof Uint8Array);
      const counted = sends
        ? countedBody(body, {
            handleBytes(moved) {
              entry.sentBytes += moved;
              handleSign(entry);
            },
            handleEnd: () => undefined,
            blame: (error) => error,
          })
        : undefined;
      const response = await entry.transport.request({
        ...request,
        ...(counted ? { body: counted } : {}),
        signal: abort.signal,
      });
      // What has left may be in a socket's buffer, and those of a slow network hold seconds of it: only the answer says that it is there.
      if (sends) count(running.leftBytes);
      handleSign(entry);
      return {
        ...response,
        body: countedBody(response.body, {
          handleBytes(moved) {
            entry.receivedBytes += moved;
            count(moved);
          },
          handleEnd: end,
          blame,
        }),
        cancel() {
          end();
          response.cancel();
        },
      };
    } catch (error) {
      end();
      throw blame(error);
    }
  }

  function handleSign(entry: Entry): void {
    const now = nowMs();
    entry.signMs = now;
    entry.silentMs = NEVER;
    entry.state = 'active';
    // So it was not the server that did not answer.
    for (const other of entries) if (other.state === 'degraded' && now - other.silentMs < STALE_MS) fail(other);
  }

  /** What a request of this network failed with; with another network at hand it is to be made again there at once. */
  function handleFailure(entry: Entry, error: unknown): unknown {
    if (!(error instanceof HawserError) || (error.code !== 'unreachable' && error.code !== 'stalled')) return error;
    if (entry.state === 'active') entry.state = 'degraded';
    ask(entry);
    const hasOther = entries.some((other) => other !== entry && other.state === 'active');
    // A server that ends every request the same way is no matter of networks, and to be waited for.
    if (!hasOther || nowMs() - entry.reroutedMs < REROUTE_MS) return error;
    entry.reroutedMs = nowMs();
    return rerouted(entry, error);
  }

  /** Is it this network, or the server? Another network's answer will say. */
  function doubt(entry: Entry): void {
    const now = nowMs();
    if (now - entry.askedMs <= AGAIN_MS) return;
    ask(entry);
    for (const other of entries) if (other.state === 'active' && now - other.signMs > FRESH_MS) ask(other);
  }

  /** A connection of its own: the others may hang for reasons of their own, or have died. */
  function ask(entry: Entry): void {
    if (entry.asking || closed) return;
    entry.asking = true;
    entry.askedMs = nowMs();
    const transport = make(entry.local);
    const made = addresses(entry.local).join();
    const limitMs = Math.max(LEAST_ANSWER_MS, ANSWER_RTTS * (entry.rttMs ?? 0));
    void greet(transport, target, limitMs).then((answered) => {
      entry.asking = false;
      const isBetter = answered && !closed && (entry.state === 'failed' || entry.running.size === 0);
      if (answered && entry.state === 'failed') entry.rate.forget();
      if (answered) handleSign(entry);
      else if (!closed) handleSilence(entry);
      // Its connection is open already, and known to work.
      const old = isBetter ? entry.transport : transport;
      if (isBetter) {
        entry.transport = transport;
        entry.addresses = made;
      }
      void old.close();
    });
  }

  function handleSilence(entry: Entry): void {
    if (entry.state === 'failed') return;
    entry.state = 'degraded';
    entry.silentMs = nowMs();
    const hasOther = entries.some(
      (other) => other !== entry && other.state === 'active' && other.signMs > entry.askedMs - FRESH_MS,
    );
    if (hasOther) fail(entry);
  }

  function fail(entry: Entry): void {
    entry.state = 'failed';
    const old = entry.transport;
    for (const { abort } of entry.running) abort.abort(rerouted(entry, undefined));
    entry.transport = make(entry.local);
    entry.addresses = addresses(entry.local).join();
    void old.close();
  }

  function watchOver(): void {
    if (reviews) return;
    reviews = setInterval(review, REVIEW_MS);
    reviews.unref();
    // After a rest nobody knows what has become of them.
    review();
  }

  function review(): void {
    const now = nowMs();
    for (const entry of entries) {
      if (entry.state !== 'failed' && addresses(entry.local).join() !== entry.addresses) loseAddress(entry);
      const { rttMs } = entry;
      const silentMs = now - Math.max(entry.signMs, entry.sinceMs);
      if (entry.state !== 'active') doubt(entry);
      else if (entry.running.size > 0 && silentMs > Math.max(LEAST_SILENT_MS, SILENT_RTTS * (rttMs ?? 0))) {
        // The server may be thinking, or the reader be slow: only when nobody answers it is the network.
        doubt(entry);
        if (entry.asking && now - entry.askedMs > Math.max(LEAST_DOUBT_MS, DOUBT_RTTS * (rttMs ?? 0))) entry.state = 'degraded';
      }
    }
    if (entries.some(({ running }) => running.size > 0)) return;
    if (reviews) clearInterval(reviews);
    reviews = null;
  }

  /** Connections from an address that is gone carry nothing any more; a new address is another network until it answers. */
  function loseAddress(entry: Entry): void {
    fail(entry);
    entry.askedMs = NEVER;
  }

  return {
    request,
    info(): PathInfo {
      const used = entries.filter((entry) => isInUse(entries, entry));
      const first = used.find(({ rttMs }) => rttMs !== null) ?? used[0]!;
      const rtts = used.map(({ rttMs }) => rttMs).filter((ms) => ms !== null);
      return {
        ...first.transport.info(),
        rttMs: rtts.length > 0 ? Math.min(...rtts) : null,
        paths: entries.map((entry) => ({
          name: entry.local.name,
          state: shownState(entries, entry),
          metered: entry.metered,
          rttMs: entry.rttMs,
          bytesPerSecond: entry.rate.lately,
          sentBytes: entry.sentBytes,
          receivedBytes: entry.receivedBytes,
        })),
      };
    },
    prepare() {
      // Greeted, each shows its round trip, and whether it leads anywhere.
      for (const entry of entries) if (entry.rttMs === null) ask(entry);
    },
    async close() {
      closed = true;
      if (reviews) clearInterval(reviews);
      reviews = null;
      await Promise.all(entries.map(({ transport }) => transport.close()));
    },
  };
}

/** True: the server answered, whatever it said. */
async function greet(transport: Transport, target: string, limitMs: number): Promise<boolean> {
  const signal = AbortSignal.timeout(limitMs);
  try {
    const { body } = await transport.request({ method: 'GET', target, signal, stallMs: limitMs, answerMs: limitMs });
    for await (const _ of body);
    return true;
  } catch {
    return false;
  }
}

/** What the request moves, as far as that can be known before. */
function contentBytes({ body, contentLength, answerBytes = 0 }: TransportRequest): number {
  if (body === undefined || body instanceof Uint8Array) return answerBytes + (body?.length ?? 0);
  return contentLength ?? UNKNOWN_BYTES;
}

function rerouted(entry: Entry, cause: unknown): HawserError {
  return new HawserError('rerouted', `Nothing comes back over ${entry.local.name}: going on over the others.`, {
    value: entry.local.name,
    cause,
  });
}

const NEVER = Number.NEGATIVE_INFINITY;
const REVIEW_MS = 250;
/** TCP that lost the last packet of a burst is silent for a second (RFC 6298 section 2.4). */
const LEAST_SILENT_MS = 1_000;
const SILENT_RTTS = 4;
const LEAST_DOUBT_MS = 250;
const DOUBT_RTTS = 2;
const LEAST_ANSWER_MS = 2_000;
const ANSWER_RTTS = 8;
const AGAIN_MS = 3_000;
/** So long a greeting that was not answered counts against a network, once another shows that the server is there. */
const STALE_MS = 4_000;
/** So fresh a sign needs no greeting. */
const FRESH_MS = 500;
const REROUTE_MS = 5_000;
const UNKNOWN_BYTES = 1024 * 1024;
