/**
 * Opens a client's end of a lane.
 *
 * @example
 * const link = await openClientLane({ ...parameters, endpoints: [{ host, port }], timeoutMs: 3000 });
 * const request = http.request({ createConnection: () => link.connect(), path: '/health' });
 */
import { HawserError } from '../../core/errors.ts';

import type { LocalPath } from '../local-paths.ts';
import type { Hello, Welcome } from './hello.ts';
import { LaneLink } from './lane-link.ts';
import { endpointNames, findEndpoints, planRoutes } from './routes.ts';
import type { FromThread, LaneParameters, Route, ToThread } from './thread-messages.ts';

import { laneThread, type ThreadHost } from './worker-host.ts';

export interface ClientLaneOptions extends LaneParameters {
  /** Where the server's UDP port is: names or IP addresses. Each is a path, as far as there may be so many (routes.ts). */
  readonly endpoints: readonly { readonly host: string; readonly port: number }[];
  /** Networks here, a path for each, to each of the endpoints. Default: whatever way the system chooses. */
  readonly local?: readonly LocalPath[];
  /** Round trip that the TLS connection saw. */
  readonly rttMs?: number;
  /** What an earlier lane to the same server reached. */
  readonly cachedBytesPerSecond?: number;
  /** The round trip that it had: from another one nothing is concluded. Default: `rttMs`. */
  readonly cachedRttMs?: number;
  /** How long to wait for the first answer. Default 5000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Default true: hand many datagrams to the system in one piece, where it can. */
  readonly segmentation?: boolean;
  /** Default: the process's own. */
  readonly thread?: ThreadHost;
}

/**
 * Resolves when the first authentic packet came back. Rejects with unreachable (UDP does not get through, or no such host) and
 * interrupted (`signal`).
 */
export async function openClientLane(options: ClientLaneOptions): Promise<LaneLink> {
  const { laneId, thread: host = laneThread() } = options;
  const { where, routes } = await routesFor(options);
  const key = host.newKey();
  const link = new LaneLink(host, key, { laneId, role: 'client' });
  namePaths(link, routes);
  host.add(key, link);
  await untilOpen(host, key, options, where, {
    begin: () => host.post(openMessage(key, options, routes, { rttMs: options.rttMs ?? null, answer: null })),
    // The server may have heard us, though we did not hear it.
    giveUp: () => link.close('given up'),
  });
  return link;
}

export interface GreetOptions extends Omit<ClientLaneOptions, keyof LaneParameters | 'rttMs'> {
  readonly hello: Hello;
  readonly maxPaths: number;
  /** How long the answer took before. Default: nobody knows. */
  readonly expectedRttMs?: number | null;
  /** The hello is on its way, and there is a round trip's time for other things. */
  readonly onGreeted?: () => void;
  /** From an authentic answer: what the lane shall be. Throws what the caller shall be told when the server says no. */
  readonly parameters: (welcome: Welcome) => LaneParameters;
}

/** Opens a lane by a hello (hello.ts), in one round trip. Rejects as `openClientLane`, and with what `parameters` throws. */
export async function greetServer(options: GreetOptions): Promise<LaneLink> {
  const { hello, thread: host = laneThread() } = options;
  const { where, routes } = await routesFor(options);
  const key = host.newKey();
  let link: LaneLink | null = null;
  await untilOpen(host, key, options, where, {
    begin() {
      const { expectedRttMs = null, segmentation = true } = options;
      host.post({ op: 'greet', lane: key, hello: hello.datagram, routes, segmentation, expectedRttMs });
      options.onGreeted?.();
    },
    handleWelcome({ bytes, answer, rttMs }, open) {
      if (link) return;
      let welcome: Welcome;
      try {
        welcome = hello.read(bytes);
      } catch {
        // Forged: the real one may still come.
        return;
      }
      const parameters = options.parameters(welcome);
      link = new LaneLink(host, key, { laneId: parameters.laneId, role: 'client' });
      namePaths(link, routes);
      host.add(key, link);
      link.greetedRttMs = rttMs;
      host.post(openMessage(key, { ...options, ...parameters }, routes, { rttMs, answer }));
      // What is asked of it meanwhile the thread finds when it has set the lane up.
      open();
    },
    giveUp: async () => {
      if (link) await link.close('given up');
      else host.post({ op: 'close', lane: key, reason: 'given up' });
    },
  });
  return link as unknown as LaneLink;
}

interface Attempt {
  readonly begin: () => void;
  /** Calls `open` when it needs no other word to be. */
  readonly handleWelcome?: (message: Extract<FromThread, { op: 'welcome' }>, open: () => void) => void;
  readonly giveUp: () => Promise<void>;
}

async function untilOpen(
  host: ThreadHost,
  key: number,
  { timeoutMs = DEFAULT_TIMEOUT_MS, signal }: { readonly timeoutMs?: number; readonly signal?: AbortSignal },
  where: string,
  { begin, handleWelcome, giveUp }: Attempt,
): Promise<void> {
  host.hold();
  try {
    if (signal?.aborted) throw stopped(signal);
    await new Promise<void>((resolve, reject) => {
      const succeed = (): void => {
        settle();
        resolve();
      };
      const fail = (error: unknown): void => {
        settle();
        void giveUp().then(() => reject(error));
      };
      const onAbort = (): void => fail(stopped(signal));
      const timer = setTimeout(() => fail(silent(where, timeoutMs)), timeoutMs);
      const stopHearing = host.hear(key, (message) => {
        if (message.op === 'opened') {
          succeed();
        } else if (message.op === 'welcome') {
          try {
            handleWelcome?.(message, succeed);
          } catch (error) {
            fail(error);
          }
        } else if (message.op === 'open-failed') fail(refused(where, message.codes));
        else if (message.op === 'closed' || message.op === 'listen-failed') {
          const reason = message.op === 'closed' ? message.reason : message.message;
          settle();
          reject(
            new HawserError('unreachable', `The lane to ${where} was closed before it was open: ${reason}.`, { value: where }),
          );
        }
      });
      function settle(): void {
        clearTimeout(timer);
        stopHearing();
        signal?.removeEventListener('abort', onAbort);
      }
      signal?.addEventListener('abort', onAbort);
      begin();
    });
  } finally {
    host.release();
  }
}

function openMessage(
  lane: number,
  options: LaneParameters & Pick<ClientLaneOptions, 'cachedBytesPerSecond' | 'cachedRttMs' | 'segmentation'>,
  routes: readonly Route[],
  { rttMs, answer }: { rttMs: number | null; answer: number | null },
): Extract<ToThread, { op: 'open' }> {
  const { cachedBytesPerSecond = null, cachedRttMs = null } = options;
  const parameters = parametersOf(options);
  const segmentation = options.segmentation !== false;
  return { op: 'open', lane, parameters, routes, rttMs, cachedBytesPerSecond, cachedRttMs, segmentation, answer };
}

function namePaths(link: LaneLink, routes: readonly Route[]): void {
  for (const { pathId, label } of routes) link.pathNames[pathId] = label;
}

async function routesFor(options: Pick<ClientLaneOptions, 'endpoints' | 'local' | 'maxPaths'>) {
  const routes = planRoutes(await findEndpoints(options.endpoints), options.local ?? [], options.maxPaths);
  return { where: endpointNames(options.endpoints), routes };
}

/** Without what only this side needs; secrets are copied, for the thread overwrites its own. */
export function parametersOf(parameters: LaneParameters): LaneParameters {
  const { laneId, suite, secret, clientRandom, maxPaths, policy } = parameters;
  return {
    laneId,
    suite,
    secret: secret.slice(),
    clientRandom: clientRandom.slice(),
    maxPaths,
    policy,
    ...pick(parameters, OPTIONAL),
  };
}

function pick<T extends object, K extends keyof T>(from: T, keys: readonly K[]): Partial<Pick<T, K>> {
  const into: Partial<Pick<T, K>> = {};
  for (const key of keys) if (from[key] !== undefined) into[key] = from[key];
  return into;
}

function silent(where: string, timeoutMs: number): HawserError {
  const seconds = (timeoutMs / 1000).toFixed(1);
  return new HawserError(
    'unreachable',
    `${where} gave no answer over UDP within ${seconds} s: a firewall on the way may drop UDP. TCP works without it.`,
    { value: where },
  );
}

function refused(where: string, codes: readonly string[]): HawserError {
  const refusal = codes.every((code) => code === 'ECONNREFUSED');
  const words = refusal
    ? `${where} refused: nothing listens on that UDP port.`
    : `No datagram can be sent to ${where} (${codes.join(', ')}).`;
  return new HawserError('unreachable', words, { value: where });
}

function stopped(signal: AbortSignal | undefined): HawserError {
  return new HawserError('interrupted', 'Opening a lane was given up because it was asked to stop.', { cause: signal?.reason });
}

const OPTIONAL = [
  'capBytesPerSecond',
  'redundant',
  'receiveWindowBytes',
  'streamWindowBytes',
  'maxStreams',
  'idleMs',
  'traceFile',
  'stallFolder',
] as const satisfies readonly (keyof LaneParameters)[];
const DEFAULT_TIMEOUT_MS = 5000;
