/**
 * A UDP relay with weather: it drops, doubles, delays and corrupts datagrams by a seed, changes the port that a client is seen
 * at, and goes dark. What it does is changed while it runs, by whoever waits for so many bytes to pass.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { Direction } from './relay.ts';
import type { Random } from './seed.ts';

/** All fields may be set at any time. Chances are of each datagram, in hundredths. */
export interface UdpWeather {
  /** Where datagrams go. */
  port: number;
  dark: { up: boolean; down: boolean };
  /** Clients with these addresses have no network. */
  silent: Set<string>;
  /** Each way. */
  delayMs: number;
  lossPercent: number;
  doublePercent: number;
  /** So many stay behind until the next few have passed. */
  latePercent: number;
  corruptPercent: number;
  /** Larger ones vanish: payload, without the headers of IP and UDP. */
  mostBytes: number;
}

interface Client {
  readonly address: string;
  readonly port: number;
}

export interface UdpRelay {
  readonly port: number;
  readonly weather: UdpWeather;
  /** Payload passed on so far. */
  readonly bytes: Readonly<Record<Direction, number>>;
  /** The same by the client's address. */
  bytesOf(address: string, direction: Direction): number;
  readonly counts: Readonly<{ dropped: number; doubled: number; late: number; corrupted: number; tooLarge: number }>;
  /** Resolves when so many bytes more than now have passed. */
  passed(direction: Direction, bytes: number): Promise<void>;
  /** The server sees every client at a new port from now on, and what it sends to the old one is lost. */
  rebind(): Promise<void>;
  /** So many ports the server has seen. */
  readonly bindings: number;
  close(): Promise<void>;
}

export async function startUdpRelay(random: Random): Promise<UdpRelay> {
  const weather: UdpWeather = {
    port: 0,
    dark: { up: false, down: false },
    silent: new Set(),
    delayMs: 0,
    lossPercent: 0,
    doublePercent: 0,
    latePercent: 0,
    corruptPercent: 0,
    mostBytes: 65_535,
  };
  const bytes = { up: 0, down: 0 };
  const counts = { dropped: 0, doubled: 0, late: 0, corrupted: 0, tooLarge: 0 };
  const front = await bound();
  const byAddress = new Map<string, Record<Direction, number>>();
  /** By the client's address and port: the socket that stands for it towards the server. */
  const clients = new Map<string, { from: Client; socket: Promise<Socket> }>();
  const sockets = new Set<Socket>([front]);
  const held: Record<Direction, { datagram: Buffer; from: Client; send: (datagram: Buffer) => void; after: number }[]> = {
    up: [],
    down: [],
  };
  let waiting: { direction: Direction; at: number; wake: () => void }[] = [];

  const happens = (percent: number): boolean => percent > 0 && random.between(0, 100) < percent;

  function pass(direction: Direction, datagram: Buffer, from: Client, send: (datagram: Buffer) => void): void {
    if (weather.dark[direction] || weather.silent.has(from.address)) return;
    if (datagram.length > weather.mostBytes) {
      counts.tooLarge++;
      return;
    }
    if (happens(weather.lossPercent)) {
      counts.dropped++;
      return;
    }
    if (happens(weather.corruptPercent)) {
      datagram[random.between(0, datagram.length)]! ^= 1 << random.between(0, 8);
      counts.corrupted++;
    }
    if (happens(weather.latePercent)) {
      held[direction].push({ datagram, from, send, after: random.between(1, 12) });
      counts.late++;
      return;
    }
    forward(direction, datagram, from, send);
    if (happens(weather.doublePercent)) {
      forward(direction, datagram, from, send);
      counts.doubled++;
    }
    for (const late of held[direction].filter((entry) => --entry.after <= 0)) {
      held[direction].splice(held[direction].indexOf(late), 1);
      forward(direction, late.datagram, late.from, late.send);
    }
  }

  function forward(direction: Direction, datagram: Buffer, from: Client, send: (datagram: Buffer) => void): void {
    if (weather.delayMs > 0) setTimeout(send, weather.delayMs, datagram);
    else send(datagram);
    bytes[direction] += datagram.length;
    const own = byAddress.get(from.address) ?? { up: 0, down: 0 };
    own[direction] += datagram.length;
    byAddress.set(from.address, own);
    const due = waiting.filter((wait) => bytes[wait.direction] >= wait.at);
    if (due.length === 0) return;
    waiting = waiting.filter((wait) => !due.includes(wait));
    for (const { wake } of due) wake();
  }

  async function standIn(client: Client): Promise<Socket> {
    const socket = await bound();
    sockets.add(socket);
    socket.on('message', (datagram) => pass('down', datagram, client, (it) => send(front, it, client)));
    return socket;
  }

  front.on('message', async (datagram, from) => {
    const key = `${from.address} ${from.port}`;
    const client = clients.get(key) ?? { from, socket: standIn(from) };
    clients.set(key, client);
    const towards = await client.socket;
    pass('up', datagram, from, (it) => send(towards, it, { address: '127.0.0.1', port: weather.port }));
  });

  return {
    port: front.address().port,
    weather,
    bytes,
    bytesOf: (address, direction) => byAddress.get(address)?.[direction] ?? 0,
    counts,
    passed: (direction, more) =>
      new Promise((wake) => {
        waiting.push({ direction, at: bytes[direction] + more, wake });
      }),
    async rebind() {
      for (const client of clients.values()) {
        const old = await client.socket;
        client.socket = standIn(client.from);
        old.removeAllListeners('message');
      }
    },
    get bindings() {
      return sockets.size - 1;
    },
    async close() {
      for (const socket of sockets) socket.close();
    },
  };
}

async function bound(): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: BUFFER_BYTES, sendBufferSize: BUFFER_BYTES });
  // Nobody may listen there just now.
  socket.on('error', () => undefined);
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

function send(socket: Socket, datagram: Buffer, { address, port }: Client): void {
  try {
    socket.send(datagram, port, address, () => undefined);
  } catch {
    // It was closed while the datagram was on its way.
  }
}

const BUFFER_BYTES = 4 << 20;
