/** HTTP/1.1 over the streams of a lane: to whoever asks, a transport like any other. */
import type { Socket } from 'node:net';
import { closedError, createConnections } from './connections.ts';
import type { Transport } from './contract.ts';
import type { LaneLink } from './lane/lane-link.ts';
import { createRequests } from './requests.ts';
import { createWatchdog } from './watchdog.ts';

export interface LaneTransport extends Transport {
  /** Ends what is under way with an error that may be tried again: over another transport, say. */
  interrupt(): void;
}

/** `where`: host:port of the server, as in the Host header over HTTPS. */
export function createLaneTransport(link: LaneLink, where: string, most = MOST_STREAMS): LaneTransport {
  const watchdog = createWatchdog();
  const sockets = new Set<Socket>();
  const dialer = {
    async dial(): Promise<Socket> {
      const socket = link.connect() as unknown as Socket;
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
      return socket;
    },
    tls: () => undefined,
    rttMs: () => rttMs(link),
  };
  const connections = createConnections(dialer, most);
  return {
    request: createRequests({ connections, where, watchdog }),
    info() {
      const lane = link.stats();
      return { transport: 'lane', remote: where, httpVersion: '1.1', rttMs: rttMs(link), ...(lane ? { lane } : {}) };
    },
    interrupt() {
      for (const socket of sockets) socket.destroy(Object.assign(new Error('The lane does not move.'), { code: 'ECONNRESET' }));
    },
    close() {
      connections.close();
      watchdog.close(closedError());
      void link.close();
    },
  };
}

function rttMs(link: LaneLink): number | null {
  const paths = link.stats()?.paths ?? [];
  const least = Math.min(...paths.map(({ minRttUs }) => minRttUs));
  return Number.isFinite(least) && least > 0 ? least / 1000 : null;
}

const MOST_STREAMS = 24;
