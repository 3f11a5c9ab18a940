/**
 * Which ways a client's lane takes: a path for each pair of a network here and an address that the server gave. What is only
 * another address of the same name or network is an alternative within a path: all are tried, and the first that answers is it.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { HawserError } from '../../core/errors.ts';
import { hostAndPort } from '../failures.ts';
import type { LocalPath } from '../local-paths.ts';
import type { Route } from './thread-messages.ts';

export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** An endpoint with the addresses of its name. */
export interface FoundEndpoint extends Endpoint {
  readonly addresses: readonly { readonly address: string; readonly family: 4 | 6 }[];
}

type Way = Pick<Route, 'local' | 'device' | 'host' | 'port'>;

interface Pair {
  readonly from: LocalPath;
  readonly label: string;
  readonly ways: Way[];
}

/** Looks names up. Rejects with unreachable when none of them is known; others are left out. */
export async function findEndpoints(endpoints: readonly Endpoint[]): Promise<FoundEndpoint[]> {
  const found: FoundEndpoint[] = [];
  let cause: unknown;
  for (const { host, port } of endpoints) {
    try {
      const literal = isIP(host.split('%')[0] ?? '');
      const addresses = literal === 0 ? await lookup(host, { all: true }) : [{ address: host, family: literal }];
      found.push({ host, port, addresses: addresses.map(({ address, family }) => ({ address, family: family === 6 ? 6 : 4 })) });
    } catch (error) {
      cause = error;
    }
  }
  if (found.length > 0) return found;
  const where = endpointNames(endpoints);
  throw new HawserError('unreachable', `There is no host for ${where}: check the name.`, { value: where, cause });
}

/**
 * At most `maxPaths` paths, numbered from 0: first those of networks that are not metered, and of these such that every network
 * and every address has one before any has a second. What is one too many is an alternative of a path from the same network, or
 * of a like one. Throws unreachable when no network has an address of a fitting family.
 */
export function planRoutes(endpoints: readonly FoundEndpoint[], locals: readonly LocalPath[], maxPaths: number): Route[] {
  const froms = locals.length > 0 ? locals : [ANYWHERE];
  const pairs: Pair[] = [];
  for (const metered of [false, true]) {
    const alike = froms.filter((from) => from.metered === metered);
    for (let shift = 0; shift < endpoints.length; shift++) {
      for (const [index, from] of alike.entries()) {
        const endpoint = endpoints[(index + shift) % endpoints.length] as FoundEndpoint;
        const label = labelOf(from, locals.length > 0, endpoint, endpoints.length > 1);
        const ways = waysBetween(from, endpoint);
        if (ways.length > 0) pairs.push({ from, label, ways });
      }
    }
  }
  const chosen = pairs.slice(0, maxPaths);
  const lastResort = pairs.find(({ from }) => from.metered);
  // What is to step in when the others fail is worth more than one other more.
  if (lastResort && !chosen.includes(lastResort) && chosen.length > 1) chosen[chosen.length - 1] = lastResort;
  for (const pair of pairs) {
    if (chosen.includes(pair)) continue;
    const host = chosen.find(({ from }) => from === pair.from) ?? chosen.find(({ from }) => from.metered === pair.from.metered);
    host?.ways.push(...pair.ways);
  }
  if (chosen.length === 0) {
    const where = endpointNames(endpoints);
    throw new HawserError(
      'unreachable',
      `None of the local addresses can reach ${where}: the families of their addresses differ.`,
      { value: where },
    );
  }
  return chosen.flatMap(({ from: { metered }, label, ways }, pathId) =>
    ways.slice(0, MOST_ALTERNATIVES).map((way) => ({ pathId, metered, label, ...way })),
  );
}

export function endpointNames(endpoints: readonly Endpoint[]): string {
  return endpoints.map(({ host, port }) => hostAndPort(host, port)).join(', ');
}

function waysBetween(from: LocalPath, { addresses, port }: FoundEndpoint): Way[] {
  return addresses.flatMap(({ address, family }) => {
    const local = from.addresses.find((candidate) => isIP(candidate.split('%')[0] ?? '') === family);
    return local === undefined ? [] : [{ local, device: from.device, host: address, port }];
  });
}

/** What tells the path from the others. */
function labelOf(from: LocalPath, isNamed: boolean, { host, port }: Endpoint, isOneOfMany: boolean): string {
  const to = hostAndPort(host, port);
  if (!isNamed) return to;
  return isOneOfMany ? `${from.name} to ${to}` : from.name;
}

/** Whichever way the system chooses. */
const ANYWHERE: LocalPath = { name: '', device: null, addresses: ['0.0.0.0', '::'], metered: false };
const MOST_ALTERNATIVES = 8;
