/** Opens a lane to the server: its keys come over the authenticated HTTPS connection, its packets go over UDP. */
import { randomBytes } from 'node:crypto';
import { HawserError } from '../core/errors.ts';
import type { LanePolicy } from '../core/lane/contract.ts';
import { choosePaths } from '../transport/lane/interfaces.ts';
import type { LaneTransport } from '../transport/lane-transport.ts';
import type { Api } from './api-contract.ts';
import { hedged } from './hedge.ts';

export interface LaneWishes {
  readonly policy?: LanePolicy;
  /** Most bytes a second on the wire. */
  readonly capBytesPerSecond?: number;
  /** Names of network interfaces to use at once; with a leading "!" not to use. Default: the way the system routes. */
  readonly paths?: readonly string[];
  /** Write what happens on the lane to this file (qlog, JSON-SEQ). */
  readonly traceFile?: string;
  /** When a lane stalls, the last 30 s of its trace are left here: the newest 16, of 1 MiB at most. Default: nowhere. */
  readonly stallFolder?: string;
  /** Told of the file that a stall left. */
  readonly onStall?: (file: string) => void;
}

/**
 * Rejects with `route_not_found` (the server is too old), lane_unavailable, too_many_lanes, policy_forbidden, and with
 * `lane_unreachable` when no packet came back in time. `signal` gives up.
 */
export async function openLane(
  api: Api,
  server: { readonly host: string; readonly where: string },
  wishes: LaneWishes = {},
  signal?: AbortSignal,
): Promise<LaneTransport> {
  const clientRandom = randomBytes(32);
  const { kind } = wishes.policy ?? { kind: 'fair' };
  // The thread that will carry it starts while the server is asked: on a long way the one hides behind the other.
  const parts = loadParts();
  parts.catch(() => undefined);
  const local = wishes.paths ? choosePaths(wishes.paths) : [];
  const [grant, { openClientLane, createLaneTransport }] = await Promise.all([
    // Over TCP the first packets decide: one that is lost costs a second, and several at the wrong moment ten.
    hedged(
      (stop) =>
        api.openLane(
          {
            clientRandom: clientRandom.toString('hex'),
            policy: kind,
            ...(wishes.policy?.kind === 'fixed' ? { bytesPerSecond: wishes.policy.bytesPerSecond } : {}),
            paths: Math.max(1, local.length),
          },
          { signal: stop },
        ),
      { everyMs: HEDGE_MS, most: MOST_ASKINGS, signal },
      ({ id }) => api.closeLane(id).catch(() => undefined),
    ),
    parts,
  ]);
  const { rttMs } = api.transport.info();
  const link = await openClientLane({
    laneId: grant.id,
    suite: grant.suite,
    secret: Buffer.from(grant.secret, 'hex'),
    clientRandom,
    maxPaths: grant.paths,
    policy: wishes.policy ?? { kind: 'fair' },
    endpoints: grant.endpoints.map(({ host, port }) => ({ host: host ?? server.host, port })),
    // Greetings go out twenty times in this; without a round trip to go by, a satellite must do.
    timeoutMs: rttMs === null ? MOST_OPEN_MS : Math.min(MOST_OPEN_MS, LEAST_OPEN_MS + 10 * rttMs),
    ...(signal ? { signal } : {}),
    ...(local.length > 0 ? { local } : {}),
    ...(rttMs === null ? {} : { rttMs }),
    ...(wishes.capBytesPerSecond === undefined ? {} : { capBytesPerSecond: wishes.capBytesPerSecond }),
    ...(wishes.traceFile === undefined ? {} : { traceFile: wishes.traceFile }),
    ...(wishes.stallFolder === undefined ? {} : { stallFolder: wishes.stallFolder }),
  }).catch((cause: unknown) => {
    // The server need not keep what nobody uses.
    api.closeLane(grant.id).catch(() => undefined);
    if (!(cause instanceof HawserError)) throw cause;
    if (cause.code !== 'unreachable') throw cause;
    throw new HawserError('lane_unreachable', cause.message, { value: server.where, cause });
  });
  if (wishes.onStall) link.on('stalled', wishes.onStall);
  return createLaneTransport(link, server.where);
}

async function loadParts() {
  const [{ laneThread }, { openClientLane }, { createLaneTransport }] = await Promise.all([
    import('../transport/lane/worker-host.ts'),
    import('../transport/lane/open.ts'),
    import('../transport/lane-transport.ts'),
  ]);
  laneThread();
  return { openClientLane, createLaneTransport };
}

const LEAST_OPEN_MS = 4_000;
const MOST_OPEN_MS = 10_000;
/** Three round trips of 200 ms and a little: further away some are asked in vain, which costs little. */
const HEDGE_MS = 700;
const MOST_ASKINGS = 6;
