/**
 * Opens a client's end of a lane.
 *
 * @example
 * const link = await openClientLane({ ...parameters, endpoints: [{ host, port }], timeoutMs: 3000 });
 * const request = http.request({ createConnection: () => link.connect(), path: '/health' });
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { HawserError } from '../../core/errors.ts';
import { hostAndPort } from '../failures.ts';
import type { LocalAddress } from './interfaces.ts';
import { LaneLink } from './lane-link.ts';
import type { LaneParameters, Route } from './thread-messages.ts';
import { laneThread, type ThreadHost } from './worker-host.ts';

export interface ClientLaneOptions extends LaneParameters {
  /** Where the server's UDP port is: names or IP addresses. All are tried at once, and the one that answers first is used. */
  readonly endpoints: readonly { readonly host: string; readonly port: number }[];
  /** Interfaces here, a path for each. Default: one path, by whatever way the system chooses. */
  readonly local?: readonly LocalAddress[];
  /** Round trip that the TLS connection saw. */
  readonly rttMs?: number;
  /** What an earlier lane to the same server reached. */
  readonly cachedBytesPerSecond?: number;
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
  const { laneId, timeoutMs = DEFAULT_TIMEOUT_MS, signal, thread: host = laneThread() } = options;
  const where = options.endpoints.map((endpoint) => hostAndPort(endpoint.host, endpoint.port)).join(', ');
  const routes = await routesOf(options, where);
  if (signal?.aborted) throw stopped(signal);
  const key = host.newKey();
  const link = new LaneLink(host, key, { laneId, role: 'client' });
  host.add(key, link);
  host.hold();
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (error: HawserError): void => {
        settle();
        // The server may have heard us, though we did not hear it.
        void link.close('given up').then(() => reject(error));
      };
      const onAbort = (): void => fail(stopped(signal));
      const timer = setTimeout(() => fail(silent(where, timeoutMs)), timeoutMs);
      const stopHearing = host.hear(key, (message) => {
        if (message.op === 'opened') {
          settle();
          resolve();
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
      host.post({
        op: 'open',
        lane: key,
        parameters: parametersOf(options),
        routes,
        rttMs: options.rttMs ?? null,
        cachedBytesPerSecond: options.cachedBytesPerSecond ?? null,
        segmentation: options.segmentation !== false,
      });
    });
  } finally {
    host.release();
  }
  return link;
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

async function routesOf({ endpoints, local = [], maxPaths }: ClientLaneOptions, where: string): Promise<Route[]> {
  const addresses: { host: string; port: number; family: 4 | 6 }[] = [];
  let cause: unknown;
  for (const { host, port } of endpoints) {
    try {
      const found = isIP(host) === 0 ? await lookup(host, { all: true }) : [{ address: host, family: isIP(host) }];
      for (const { address, family } of found) addresses.push({ host: address, port, family: family === 6 ? 6 : 4 });
    } catch (error) {
      cause = error;
    }
  }
  if (addresses.length === 0)
    throw new HawserError('unreachable', `There is no host for ${where}: check the name.`, { value: where, cause });
  const routes: Route[] =
    local.length === 0
      ? addresses.map(({ host, port, family }) => ({
          pathId: 0,
          local: family === 6 ? '::' : '0.0.0.0',
          device: null,
          host,
          port,
        }))
      : local.slice(0, maxPaths).flatMap(({ address, name }, pathId) => {
          const family = isIP(address.split('%')[0] ?? '');
          return addresses
            .filter((candidate) => candidate.family === family)
            .map(({ host, port }) => ({ pathId, local: address, device: name, host, port }));
        });
  if (routes.length === 0)
    throw new HawserError(
      'unreachable',
      `None of the local addresses can reach ${where}: the families of their addresses differ.`,
      {
        value: where,
      },
    );
  return routes.slice(0, MOST_ROUTES);
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
  'receiveWindowBytes',
  'streamWindowBytes',
  'maxStreams',
  'idleMs',
  'traceFile',
  'stallFolder',
] as const satisfies readonly (keyof LaneParameters)[];
const DEFAULT_TIMEOUT_MS = 5000;
const MOST_ROUTES = 16;
