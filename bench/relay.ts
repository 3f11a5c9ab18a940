/** A TCP relay that counts what passes, so that what was sent twice shows, whoever sent it. */
import { readFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { atEnd } from './cleanup.ts';

export interface Relay {
  readonly port: number;
  /** Bytes so far, TLS and HTTP included: client to server, server to client. */
  readonly up: Counter;
  readonly down: Counter;
  /** Bytes that are under way: in this relay and in the kernel's buffers of every connection through it, both directions. */
  inFlightBytes(): number;
  /** Ends every connection; those that come from now on wait until `resume`. */
  pause(): void;
  resume(): void;
}

export class Counter {
  total = 0;
  #recent: { atMs: number; bytes: number }[] = [];

  add(bytes: number): void {
    this.total += bytes;
    const nowMs = performance.now();
    this.#recent.push({ atMs: nowMs, bytes });
    while (this.#recent[0]!.atMs < nowMs - 1000) this.#recent.shift();
  }

  /** Of the last second, or since `sinceMs` when that is later. */
  lastSecond(sinceMs: number): number {
    const fromMs = Math.max(sinceMs, performance.now() - 1000);
    return this.#recent.reduce((sum, { atMs, bytes }) => (atMs >= fromMs ? sum + bytes : sum), 0);
  }
}

export async function startRelay(serverPort: number): Promise<Relay> {
  const [up, down] = [new Counter(), new Counter()];
  const sockets = new Set<Socket>();
  let held: Socket[] | null = null;

  const server = createServer({ noDelay: true, pauseOnConnect: true }, (client) => {
    track(client);
    if (held) held.push(client);
    else join(client);
  });

  function track(socket: Socket): void {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    // Both ends are killed on purpose; what that does to a connection is no news.
    socket.on('error', () => socket.destroy());
  }

  function join(client: Socket): void {
    if (client.destroyed) return;
    const upstream = connect({ host: '127.0.0.1', port: serverPort, noDelay: true });
    track(upstream);
    pass(client, upstream, up);
    pass(upstream, client, down);
  }

  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  atEnd(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return {
    port,
    up,
    down,
    inFlightBytes() {
      const here = [...sockets].reduce((sum, socket) => sum + socket.writableLength + socket.readableLength, 0);
      return here + queuedBytes(new Set([port, serverPort]));
    },
    pause() {
      held ??= [];
      for (const socket of sockets) socket.destroy();
    },
    resume() {
      const waiting = held ?? [];
      held = null;
      for (const socket of waiting) join(socket);
    },
  };
}

function pass(from: Socket, to: Socket, counter: Counter): void {
  from.on('data', (piece) => {
    counter.add(piece.length);
    if (!to.write(piece)) {
      from.pause();
      to.once('drain', () => from.resume());
    }
  });
  from.once('end', () => to.end());
  from.once('close', () => to.destroySoon());
  from.resume();
}

/** What proc_net_tcp(5) says of the send and receive queues of sockets with one of these ports. */
function queuedBytes(ports: ReadonlySet<number>): number {
  let bytes = 0;
  for (const line of readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)) {
    const [, local = '', remote = '', , queues = ''] = line.trim().split(/\s+/);
    const portOf = (address: string) => Number.parseInt(address.split(':')[1] ?? '', 16);
    if (!ports.has(portOf(local)) && !ports.has(portOf(remote))) continue;
    const [sending = '0', receiving = '0'] = queues.split(':');
    // The first field of a listening socket's queues counts connections, not bytes: a few, which do not matter here.
    bytes += Number.parseInt(sending, 16) + Number.parseInt(receiving, 16);
  }
  return bytes;
}
