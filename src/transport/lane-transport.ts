/** HTTP/1.1 over the streams of a lane: to whoever asks, a transport like any other. */
import type { Socket } from 'node:net';
import type { HawserError } from '../core/errors.ts';
import type { PathSnapshot } from '../core/lane/contract.ts';
import { closedError, createConnections } from './connections.ts';
import type { Transport } from './contract.ts';
import type { LaneLink } from './lane/lane-link.ts';
import { createRequests } from './requests.ts';
import { createWatchdog } from './watchdog.ts';

export interface LaneTransport extends Transport {
  /** Call it now and then while an answer is waited for: a server that says nothing is asked whether it is there. */
  checkPulse(): void;
  /** Resolves, with the reason, when the lane is no more. */
  readonly closed: Promise<string>;
  /** `reason`: what those are told whose requests are under way. Resolves when the server was told, as far as that can be. */
  close(reason?: HawserError): Promise<void>;
}

/** `where`: host:port of the server, as in the Host header over HTTPS. */
export function createLaneTransport(link: LaneLink, where: string, most = MOST_STREAMS): LaneTransport {
  const watchdog = createWatchdog();
  const closed = new Promise<string>((resolve) => {
    if (link.closed) resolve('closed');
    else link.once('closed', resolve);
  });
  const dialer = {
    dial: async () => link.connect() as unknown as Socket,
    tls: () => undefined,
    rttMs: () => rttMs(link),
  };
  const connections = createConnections(dialer, most, MOST_IDLE);
  return {
    request: createRequests({ connections, where, watchdog }),
    info() {
      const stats = link.stats();
      const lane = stats && { ...stats, paths: stats.paths.map((path) => named(path, link.pathNames[path.id])) };
      const figures = link.figures();
      return {
        transport: 'lane',
        remote: where,
        httpVersion: '1.1',
        rttMs: rttMs(link),
        ...(lane ? { lane } : {}),
        ...(figures ? { laneLagUs: Math.round(figures.lagUs) } : {}),
        ...(figures?.hint ? { laneHint: figures.hint } : {}),
      };
    },
    closed,
    checkPulse() {
      if (link.silentMs > QUIET_MS) link.ping();
    },
    async close(reason = closedError()) {
      connections.close(reason);
      watchdog.close(reason);
      await link.close();
    },
  };
}

function named(path: PathSnapshot, name: string | undefined): PathSnapshot {
  return name === undefined ? path : { ...path, name };
}

function rttMs(link: LaneLink): number | null {
  const paths = link.stats()?.paths ?? [];
  const least = Math.min(...paths.map(({ minRttUs }) => minRttUs));
  return Number.isFinite(least) && least > 0 ? least / 1000 : link.greetedRttMs;
}

const MOST_STREAMS = 32;
/** A stream costs no round trip to open, but while it is open the server keeps memory for what may come on it. */
const MOST_IDLE = 4;
const QUIET_MS = 2_000;
