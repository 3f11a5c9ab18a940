/**
 * The lanes of a server: who may open one, how many, and with which keys. The lane itself is a transport (src/transport/lane);
 * what travels in its streams is HTTP/1.1 and goes to the same routes, tokens and limits as on any other connection.
 */
import { lookup } from 'node:dns/promises';
import { isIP, type Socket } from 'node:net';
import { join } from 'node:path';
import { HawserError } from '../core/errors.ts';
import type { LanePolicy, LaneSnapshot } from '../core/lane/contract.ts';
import type { Principal } from '../engine/contract.ts';
import type { Suite } from '../transport/lane/keys.ts';
import type { LaneLink, LanePathInfo } from '../transport/lane/lane-link.ts';
import { type LaneListener, listenLanes } from '../transport/lane/listen.ts';
import { createHelloAnswers, type LaneKeys } from './lane-hellos.ts';
import type { LaneTicket, TicketSource } from './lane-tickets.ts';
import { addTotals, laneMetrics, noTotals } from './metrics.ts';

export interface LaneRequest {
  readonly clientRandom: Uint8Array;
  readonly suites: readonly Suite[];
  readonly policy: LanePolicy;
  /** This end, too, sends so that the loss of one path delays nothing. Default false. */
  readonly redundant?: boolean;
  readonly paths: number;
  /** What the client says that it received at on its last lane: a hint, of somebody who may lie. */
  readonly received?: { readonly bytesPerSecond: number; readonly rttUs: number };
}

export interface LaneGrant {
  readonly id: string;
  readonly suite: Suite;
  /** 32 bytes from which both ends derive every key. It travels in TLS only, and is never logged. */
  readonly secret: Uint8Array;
  readonly policy: LanePolicy;
  readonly paths: number;
  /** Where to send; a null host is the one that the request went to. */
  readonly endpoints: readonly { readonly host: string | null; readonly port: number }[];
  /** For the next one. */
  readonly ticket: LaneTicket;
}

export type LaneEndpoints = LaneGrant['endpoints'];

export interface OpenLane {
  readonly id: string;
  readonly owner: string;
  readonly peer: string;
  readonly openedMs: number;
  readonly policy: LanePolicy;
  readonly snapshot: LaneSnapshot | null;
  /** Of its paths that were open at any time: where the client is on each. */
  readonly addresses: ReadonlyMap<number, Pick<LanePathInfo, 'host' | 'port'>>;
  /** How late the thread of the lanes was at worst, of the last ten seconds or a little more. */
  readonly lagUs: number;
}

export interface Lanes {
  /** Rejects with too_many_lanes, policy_forbidden, lane_unavailable (the UDP port cannot be had). */
  open(principal: Principal, request: LaneRequest): Promise<LaneGrant>;
  /** With which a lane can be opened straight over UDP later on. Rejects with lane_unavailable. */
  ticket(principal: Principal): Promise<LaneTicket & { readonly endpoints: LaneEndpoints }>;
  /** Listens, if tickets were ever given to anybody. Rejects with lane_unavailable. */
  start(): Promise<void>;
  /** Closes one; `false`: there is none of that name that the principal may close. */
  close(principal: Principal, id: string): boolean;
  /** An administrator sees all, others their own. */
  list(principal: Principal): OpenLane[];
  /** For Prometheus. */
  metrics(): string;
  /** Closes every lane of a token that was revoked. */
  cutOff(owner: string): void;
  /** From now on a lane whose client does not answer is closed within a second or a few round trips: nothing is owed to it. */
  dropSilent(): void;
  stop(): Promise<void>;
}

export interface LaneSettings {
  readonly host: string;
  /** 0: the system chooses. */
  readonly port: number;
  readonly maxLanes: number;
  readonly maxLanesPerOwner: number;
  /** What a client may not ask for. Default: `high` and `fixed`. */
  readonly forbid: readonly LanePolicy['kind'][];
  /** Told to clients instead of the address that they asked; for NAT, relays and several networks. */
  readonly advertise?: LaneEndpoints;
  readonly capBytesPerSecond?: number;
  /** A folder that is there: every lane writes its trace into a file of its own (qlog, JSON-SEQ). Default: none does. */
  readonly traceFolder?: string;
  /** Where a lane that stalls leaves the last 30 s of its trace. Default: nowhere. */
  readonly stallFolder?: string;
  /** Told what the operator may want to know. */
  readonly onNote?: (text: string, facts: Readonly<Record<string, string>>) => void;
  readonly tickets: TicketSource;
  /** Whose token has that id; null: it was revoked, or has expired. */
  readonly principalOf: (id: string) => Promise<Principal | null>;
  readonly random: (bytes: number) => Uint8Array;
  readonly now: () => number;
  /** A stream was opened: it is served like a connection. */
  readonly onStream: (socket: Socket) => void;
}

/**
 * The UDP port is bound, and its thread started, when the first lane or ticket is asked for, and by `start` where there were tickets
 * before: a server that never had one pays nothing.
 */
export function createLanes(settings: LaneSettings): Lanes {
  const { random, now, onStream, onNote, traceFolder, stallFolder } = settings;
  const open = new Map<string, { owner: string; openedMs: number; policy: LanePolicy; link: LaneLink }>();
  const closedTotals = noTotals();
  const hellos = createHelloAnswers({
    tickets: () => settings.tickets.current,
    principalOf: settings.principalOf,
    now,
    open: grant,
  });
  let opened = 0;
  let listening: Promise<LaneListener> | null = null;
  let listener: LaneListener | null = null;
  let dropping: NodeJS.Timeout | undefined;

  async function listen(): Promise<LaneListener> {
    if (listener?.dead) listening = listener = null;
    listening ??= addressOf(settings.host).then((host) =>
      listenLanes({
        host,
        port: settings.port,
        maxLanes: settings.maxLanes,
        maxLanesPerPeer: settings.maxLanesPerOwner,
        onStream: (_laneId, socket) => onStream(socket as unknown as Socket),
        onHello: hellos.answer,
        onClosed: forget,
      }),
    );
    try {
      const opened = await listening;
      if (opened !== listener && opened.hint !== null) onNote?.(opened.hint, {});
      listener = opened;
      return listener;
    } catch (cause) {
      listening = null;
      throw new HawserError(
        'lane_unavailable',
        `The UDP port ${settings.port} cannot be had here (${(cause as Error).message}): HTTPS does everything.`,
        { value: settings.port, cause },
      );
    }
  }

  function forget(id: string): void {
    const snapshot = open.get(id)?.link.stats();
    if (snapshot) addTotals(closedTotals, snapshot);
    open.delete(id);
  }

  function remove(id: string, reason?: string): void {
    forget(id);
    listener?.remove(id, reason);
  }

  /** Clients that were killed leave lanes behind, and hellos that are sent again by others do: their places are taken back when somebody needs them. */
  function makeRoom(owner: string): void {
    const isFull = (): boolean => open.size >= settings.maxLanes || countOf(owner) >= settings.maxLanesPerOwner;
    for (const [id, lane] of open) {
      const mayGo = lane.owner === owner || open.size >= settings.maxLanes;
      const patienceMs = lane.link.remoteAddress === undefined ? UNUSED_MS : SILENT_MS;
      if (mayGo && isFull() && lane.link.silentMs > patienceMs) remove(id);
    }
    if (!isFull()) return;
    const own = countOf(owner);
    throw new HawserError(
      'too_many_lanes',
      `There are ${open.size} lanes open, ${own} of this token: close one, or go on over HTTPS.`,
      { value: own },
    );
  }

  const countOf = (owner: string): number => [...open.values()].filter((lane) => lane.owner === owner).length;

  async function grant(principal: Principal, request: LaneRequest, keys?: LaneKeys): Promise<LaneGrant> {
    const { policy } = request;
    if (settings.forbid.includes(policy.kind)) {
      throw new HawserError(
        'policy_forbidden',
        `This server does not allow the policy "${policy.kind}": use "fair" or "background".`,
        { value: policy.kind },
      );
    }
    const suite = request.suites[0] as Suite;
    const listener = await listen();
    const tickets = await settings.tickets.obtain();
    // Nothing is waited for from here on, so that two who ask at once do not both get the last place.
    makeRoom(principal.id);
    const id = Buffer.from(random(16)).toString('hex');
    const secret = keys?.secret ?? random(32);
    const link = listener.add({
      laneId: id,
      suite,
      secret,
      clientRandom: request.clientRandom,
      maxPaths: request.paths,
      ...(request.redundant ? { redundant: true } : {}),
      policy,
      peer: principal.id,
      ...(keys === undefined ? {} : { provenAddress: keys.from }),
      ...(settings.capBytesPerSecond === undefined ? {} : { capBytesPerSecond: settings.capBytesPerSecond }),
      ...hintOf(request, settings.capBytesPerSecond),
      ...(traceFolder === undefined ? {} : { traceFile: join(traceFolder, `${fileTime(now())}-${id}.sqlog`) }),
      ...(stallFolder === undefined ? {} : { stallFolder }),
    });
    link.on('stalled', (file) => onNote?.('a lane stalled; what led to it is in the file', { lane: id, file }));
    opened++;
    open.set(id, { owner: principal.id, openedMs: now(), policy, link });
    return {
      id,
      suite,
      secret,
      policy,
      paths: request.paths,
      endpoints: endpointsOf(listener),
      ticket: tickets.issue(principal.id),
    };
  }

  const endpointsOf = (listener: LaneListener): LaneEndpoints => settings.advertise ?? [{ host: null, port: listener.port }];

  return {
    open: (principal, request) => grant(principal, request),
    async ticket(principal) {
      const listener = await listen();
      const tickets = await settings.tickets.obtain();
      return { ...tickets.issue(principal.id), endpoints: endpointsOf(listener) };
    },
    async start() {
      if (settings.tickets.current) await listen();
    },
    close(principal, id) {
      const lane = open.get(id);
      if (!lane || (lane.owner !== principal.id && principal.role !== 'admin')) return false;
      remove(id);
      return true;
    },
    list(principal) {
      const shown: OpenLane[] = [];
      for (const [id, { owner, openedMs, policy, link }] of open) {
        if (principal.role !== 'admin' && owner !== principal.id) continue;
        shown.push({
          id,
          owner,
          openedMs,
          policy,
          peer: link.remoteAddress ?? '',
          snapshot: link.stats(),
          addresses: link.paths,
          lagUs: link.figures()?.lagUs ?? 0,
        });
      }
      return shown;
    },
    metrics: () =>
      laneMetrics(
        [...open.values()].map(({ link }) => link.stats()),
        opened,
        closedTotals,
        Math.max(0, ...[...open.values()].map(({ link }) => link.figures()?.lagUs ?? 0)),
      ),
    cutOff(owner) {
      for (const [id, lane] of open) if (lane.owner === owner) remove(id);
    },
    dropSilent() {
      const askedMs = performance.now();
      const look = (): void => {
        // A lane at rest may have been silent for long before it is asked.
        const sinceMs = performance.now() - askedMs;
        for (const [id, { link }] of open) {
          if (Math.min(link.silentMs, sinceMs) > answerMs(link)) remove(id, 'the server is stopping');
          else link.ping();
        }
      };
      look();
      dropping ??= setInterval(look, ASK_EVERY_MS);
    },
    async stop() {
      clearInterval(dropping);
      await (await listening?.catch(() => null))?.close();
    },
  };
}

/**
 * Half of it is tried once, in a train that is bounded whatever is said (docs/design/lane.md). A rate that is commanded needs no hint,
 * and who wants to stay in the background begins there.
 */
function hintOf({ policy, received }: LaneRequest, mostBytesPerSecond = Number.POSITIVE_INFINITY) {
  if (!received || policy.kind === 'fixed' || policy.kind === 'background') return {};
  return { cachedBytesPerSecond: Math.min(received.bytesPerSecond, mostBytesPerSecond), cachedRttMs: received.rttUs / 1000 };
}

/** Somebody who is there has answered by then, unless several packets were lost each way. */
function answerMs(link: LaneLink): number {
  const rttsUs = link.stats()?.paths.map(({ rttUs }) => rttUs) ?? [];
  return ANSWER_MS + 4 * (Math.max(0, ...rttsUs) / 1000);
}

/** A time as part of a file's name, which may have no colon everywhere. */
const fileTime = (ms: number): string => new Date(ms).toISOString().replaceAll(':', '-');

/** Two greetings of an idle lane, and some. */
const SILENT_MS = 35_000;
/** Of a lane that was never used. Whoever asked for it over a bad link has begun by then. */
const UNUSED_MS = 5_000;
const ANSWER_MS = 1_000;
const ASK_EVERY_MS = 250;

/** UDP ports are bound to addresses; "localhost" is a name. */
async function addressOf(host: string): Promise<string> {
  return isIP(host) === 0 ? (await lookup(host)).address : host;
}
