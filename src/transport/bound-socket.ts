/** TCP connections that leave by a certain network of this machine. */
import { lookup } from 'node:dns/promises';
import { isIP, Socket, type SocketConstructorOpts } from 'node:net';
import { HawserError } from '../core/errors.ts';
import { linuxSockets } from './lane/linux-sockets.ts';
import { addressesNow, type LocalPath } from './local-paths.ts';

/** A pair of addresses of one family. */
export interface Way {
  readonly family: 4 | 6;
  readonly local: string;
  readonly remote: string;
  readonly device: string | null;
}

/**
 * Every way from the path's network to the host, those of the family `first` before others. Rejects with unreachable when the
 * network has no address now, or none of a family that the host has; with the resolver's error when there is no such host.
 */
export async function waysFrom(path: LocalPath, host: string, first: 4 | 6 | undefined): Promise<Way[]> {
  const locals = addressesNow(path);
  if (locals.length === 0)
    throw new HawserError('unreachable', `The network "${path.name}" has no address now.`, { value: path.name });
  const literal = isIP(host);
  const remotes = literal === 0 ? await lookup(host, { all: true }) : [{ address: host, family: literal }];
  const ways: Way[] = [];
  for (const { address: remote, family } of remotes) {
    const local = locals.find((address) => familyOf(address) === family);
    if (local !== undefined) ways.push({ family: family === 6 ? 6 : 4, local, remote, device: path.device });
  }
  if (ways.length === 0)
    throw new HawserError(
      'unreachable',
      `The network "${path.name}" cannot reach ${host}: the families of their addresses differ.`,
      { value: path.name },
    );
  return ways.sort((a, b) => Number(b.family === first) - Number(a.family === first));
}

/**
 * Begins to connect. The connection has the way's local address; on Linux it also leaves by the way's interface, where the system
 * allows that, and elsewhere by the one that the routing table gives for that address.
 */
export function connectBy({ family, local, remote, device }: Way, port: number): Socket {
  const descriptor = device === null ? null : (linuxSockets()?.openTcp(family, device) ?? null);
  // Not read from before it is connected, which is what a socket with a descriptor is taken for.
  const socket = descriptor === null ? new Socket() : new Socket({ fd: descriptor, manualStart: true } as SocketConstructorOpts);
  return socket.connect({ host: remote, port, localAddress: local, family }).setNoDelay();
}

const familyOf = (address: string): number => isIP(address.split('%')[0] ?? '');
