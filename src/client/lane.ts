/** Opens a lane to the server: its keys come over the authenticated HTTPS connection, now or at an earlier time; its packets go over UDP. */
import { randomBytes } from 'node:crypto';
import { HawserError } from '../core/errors.ts';
import type { LanePolicy } from '../core/lane/contract.ts';
import type { LaneTransport } from '../transport/lane-transport.ts';
import type { LocalPath } from '../transport/local-paths.ts';
import * as answers from './answers.ts';
import type { Api, LaneEndpoints } from './api-contract.ts';
import { persistently } from './hedge.ts';
import type { LaneMemory, ReachedRate } from './lane-memory.ts';

export interface LaneWishes {
  readonly policy?: LanePolicy;
  /** Most bytes a second on the wire. */
  readonly capBytesPerSecond?: number;
  /** Over several paths: send so that the loss of one delays nothing, at twice the bytes; over one, with repair ahead of need. */
  readonly redundant?: boolean;
  /** Networks of this machine to use at once. Default: the way the system routes. */
  readonly paths?: readonly LocalPath[];
  /** Write what happens on the lane to this file (qlog, JSON-SEQ). */
  readonly traceFile?: string;
  /** When a lane stalls, the last 30 s of its trace are left here: the newest 16, of 1 MiB at most. Default: nowhere. */
  readonly stallFolder?: string;
  /** Told of the file that a stall left. */
  readonly onStall?: (file: string) => void;
}

interface Server {
  readonly host: string;
  /** host:port, for people and for the Host header. */
  readonly where: string;
}

/**
 * With a ticket of an earlier day a lane opens in one round trip, over UDP alone; without one, or when nothing comes back, its
 * keys come over HTTPS. Rejects with `route_not_found` (the server is too old), lane_unavailable, too_many_lanes,
 * policy_forbidden, and with `lane_unreachable` when no packet came back in time. `signal` gives up; `onAsked`: see Context.
 */
export async function openLane(
  api: Api,
  server: Server,
  wishes: LaneWishes = {},
  memory: LaneMemory | null = null,
  signal?: AbortSignal,
  onAsked?: () => void,
): Promise<LaneTransport> {
  const local = wishes.paths ?? [];
  // The thread that will carry it starts while the server is asked: on a long way the one hides behind the other.
  const parts = loadParts();
  parts.catch(() => undefined);
  const context = { api, server, wishes, local, parts, memory, signal, onAsked };
  const lane = await openAnyWay({ ...context, received: receivedHint(memory) }).catch((error: unknown) => {
    // A server that was put back to an older version refuses what its tickets no longer offer.
    const isHint = error instanceof HawserError && error.code === 'request_invalid' && receivedHint(memory) !== null;
    if (!isHint) throw error;
    memory?.learn({ takesReceived: false });
    return openAnyWay({ ...context, received: null });
  });
  return memory ? remembering(lane, memory, wishes) : lane;
}

async function openAnyWay(context: Context): Promise<LaneTransport> {
  return (await openWithTicket(context)) ?? (await (context.memory?.known ? openEither(context) : openOverHttps(context)));
}

interface Context {
  readonly api: Api;
  readonly server: Server;
  readonly wishes: LaneWishes;
  readonly local: readonly LocalPath[];
  readonly parts: ReturnType<typeof loadParts>;
  readonly memory: LaneMemory | null;
  readonly signal: AbortSignal | undefined;
  /** A hello is on its way: until it is answered there is time for other things. */
  readonly onAsked: (() => void) | undefined;
  /** What the server is told, so that it need not begin from nothing. */
  readonly received: ReturnType<typeof receivedHint>;
}

/**
 * After an outage UDP may come through long before a TCP connection does: hellos go on while HTTPS is tried. Whichever opens first
 * is taken; only what HTTPS says is final.
 */
async function openEither(context: Context): Promise<LaneTransport> {
  const stop = new AbortController();
  const signal = context.signal ? AbortSignal.any([context.signal, stop.signal]) : stop.signal;
  const both = { ...context, signal };
  const { promise, resolve, reject } = Promise.withResolvers<LaneTransport>();
  let over = false;
  const take = (lane: LaneTransport): void => {
    if (over) void lane.close();
    over = true;
    resolve(lane);
    stop.abort();
  };
  const fail = (error: unknown): void => {
    over = true;
    reject(error);
    stop.abort();
  };
  const greeting = openWithTicket(both, LONGEST_HELLO_MS).catch(() => null);
  void greeting.then((lane) => lane && take(lane));
  openOverHttps(both).then(take, async (error: unknown) => {
    const mayPass = error instanceof HawserError && error.facts.class === 'network';
    const lane = mayPass ? await greeting : null;
    if (!lane) fail(error);
  });
  return await promise;
}

/** Null: there is no ticket, or nobody answers to it in `mostMs`. */
async function openWithTicket(context: Context, mostMs = MOST_HELLO_MS): Promise<LaneTransport | null> {
  const { server, wishes, parts, memory, signal, onAsked, received } = context;
  const known = memory?.known;
  if (!memory || !known) return null;
  const { greetServer, createHello, createLaneTransport } = await parts;
  const hello = createHello(Buffer.from(known.ticket, 'base64url'), Buffer.from(known.secret, 'hex'), request(wishes, received));
  const { rttMs } = known;
  try {
    const link = await greetServer({
      ...common(context, known.endpoints),
      hello,
      maxPaths: MOST_PATHS,
      expectedRttMs: rttMs,
      ...(onAsked ? { onGreeted: onAsked } : {}),
      timeoutMs: rttMs === null || mostMs > MOST_HELLO_MS ? mostMs : Math.min(mostMs, LEAST_HELLO_MS + 5 * rttMs),
      parameters({ answer, laneSecret, clientRandom }) {
        const { id, suite, paths, ticket } = answers.laneWelcome(answer, 'welcome');
        memory.learn({ ...ticket, worked: true });
        return { ...lanePart(wishes), laneId: id, suite, secret: laneSecret, clientRandom, maxPaths: paths };
      },
    });
    if (wishes.onStall) link.on('stalled', wishes.onStall);
    return createLaneTransport(link, server.where);
  } catch (error) {
    if (!(error instanceof HawserError) || error.code !== 'unreachable' || signal?.aborted) throw error;
    memory.learn({ worked: false });
    return null;
  }
}

async function openOverHttps(context: Context): Promise<LaneTransport> {
  const { api, server, wishes, parts, memory, signal, received } = context;
  const clientRandom = randomBytes(32);
  const [grant, { openClientLane, createLaneTransport }] = await Promise.all([
    // Over TCP the first packets decide: one that is lost costs a second, and several at the wrong moment ten.
    persistently(
      (stop) => api.openLane({ clientRandom: clientRandom.toString('hex'), ...request(wishes, received) }, { signal: stop }),
      { signal },
      ({ id }) => api.closeLane(id).catch(() => undefined),
    ),
    parts,
  ]);
  const { rttMs } = api.transport.info();
  const link = await openClientLane({
    ...common(context, grant.endpoints),
    ...lanePart(wishes),
    laneId: grant.id,
    suite: grant.suite,
    secret: Buffer.from(grant.secret, 'hex'),
    clientRandom,
    maxPaths: grant.paths,
    // Greetings go out some ninety times in this; without a round trip to go by, a satellite must do.
    timeoutMs: rttMs === null ? MOST_OPEN_MS : Math.min(MOST_OPEN_MS, LEAST_OPEN_MS + 10 * rttMs),
    ...(rttMs === null ? {} : { rttMs }),
  }).catch((cause: unknown) => {
    // The server need not keep what nobody uses.
    api.closeLane(grant.id).catch(() => undefined);
    if (!(cause instanceof HawserError)) throw cause;
    if (cause.code !== 'unreachable') throw cause;
    throw new HawserError('lane_unreachable', cause.message, { value: server.where, cause });
  });
  if (grant.ticket) memory?.learn({ ...grant.ticket, endpoints: grant.endpoints, rttMs, worked: true });
  if (wishes.onStall) link.on('stalled', wishes.onStall);
  return createLaneTransport(link, server.where);
}

/** What is asked for, in either way. */
function request({ policy = FAIR, redundant }: LaneWishes, received: Context['received']) {
  const { kind } = policy;
  // How many there will be hangs on the server's addresses, too.
  return {
    policy: kind,
    ...(kind === 'fixed' ? { bytesPerSecond: policy.bytesPerSecond } : {}),
    ...(redundant ? { redundant } : {}),
    paths: MOST_PATHS,
    ...(received ? { received } : {}),
  };
}

/** Null: there is nothing that would help the server, or it does not want to know. */
function receivedHint(memory: LaneMemory | null): { bytesPerSecond: number; rttUs: number } | null {
  const known = memory?.known;
  if (!known?.takesReceived || !isFresh(known.received)) return null;
  const { bytesPerSecond, rttMs } = known.received;
  const within = (value: number, most: number): number => Math.round(Math.min(Math.max(value, 1), most));
  return { bytesPerSecond: Math.max(1000, within(bytesPerSecond, 12.5e9)), rttUs: within(rttMs * 1000, 60e6) };
}

const isFresh = (rate: ReachedRate | null): rate is ReachedRate => rate !== null && Date.now() - rate.atMs < REMEMBERED_MS;

function lanePart({ policy = FAIR, capBytesPerSecond, redundant, traceFile, stallFolder }: LaneWishes) {
  return {
    policy,
    ...(capBytesPerSecond === undefined ? {} : { capBytesPerSecond }),
    ...(redundant ? { redundant } : {}),
    ...(traceFile === undefined ? {} : { traceFile }),
    ...(stallFolder === undefined ? {} : { stallFolder }),
  };
}

function common({ server, local, memory, signal }: Context, endpoints: LaneEndpoints) {
  const { reached = null } = memory?.known ?? {};
  return {
    endpoints: endpoints.map(({ host, port }) => ({ host: host ?? server.host, port })),
    ...(signal ? { signal } : {}),
    ...(local.length > 0 ? { local } : {}),
    ...(isFresh(reached) ? { cachedBytesPerSecond: reached.bytesPerSecond, cachedRttMs: reached.rttMs } : {}),
  };
}

/** When the lane ends: how far away the server was and, when enough was moved to tell, what it reached, either way. */
function remembering(lane: LaneTransport, memory: LaneMemory, { policy = FAIR, capBytesPerSecond }: LaneWishes): LaneTransport {
  return {
    ...lane,
    close(reason) {
      const { lane: snapshot, rttMs } = lane.info();
      const path = snapshot?.paths[0];
      if (rttMs !== null) {
        const isMeasured = policy.kind === 'fair' && path?.state === 'active';
        const rate = (bytesPerSecond: number) => ({ bytesPerSecond: Math.round(bytesPerSecond), rttMs, atMs: Date.now() });
        const sent = isMeasured && capBytesPerSecond === undefined && path.sentBytes > TELLING_BYTES;
        const received = isMeasured && path.receivedBytes > TELLING_BYTES;
        memory.learn({
          rttMs,
          ...(sent ? { reached: rate(path.rateBytesPerSecond) } : {}),
          ...(received ? { received: rate(path.arrivalPeakBytesPerSecond) } : {}),
        });
      }
      return lane.close(reason);
    },
  };
}

async function loadParts() {
  const [{ laneThread }, { openClientLane, greetServer }, { createLaneTransport }, { createHello }] = await Promise.all([
    import('../transport/lane/worker-host.ts'),
    import('../transport/lane/open.ts'),
    import('../transport/lane-transport.ts'),
    import('../transport/lane/hello.ts'),
  ]);
  laneThread();
  return { openClientLane, greetServer, createLaneTransport, createHello };
}

const FAIR: LanePolicy = { kind: 'fair' };
const LEAST_OPEN_MS = 4_000;
const MOST_OPEN_MS = 10_000;
/** Hellos go out eighty times in this. */
const LEAST_HELLO_MS = 1_500;
const MOST_HELLO_MS = 4_500;
/** While HTTPS is tried as well. */
const LONGEST_HELLO_MS = 15_000;
/** What a path carried so long ago says little of what it carries now. */
const REMEMBERED_MS = 3600_000;
const TELLING_BYTES = 2_000_000;
/** That a server grants. */
const MOST_PATHS = 8;
