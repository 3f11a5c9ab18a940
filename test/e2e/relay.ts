/**
 * A TCP relay with weather: it stalls, cuts, resets, delays, throttles and corrupts what passes, and counts it. What it does is
 * changed while it runs, by whoever waits for so many bytes to pass; nothing here goes by the clock but delay and rate.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Random } from './seed.ts';

/** up: towards the server. */
export type Direction = 'up' | 'down';

export interface Corruption {
  readonly direction: Direction;
  /** One byte is changed about once in so many. */
  readonly everyBytes: number;
  /** Only well inside marked content (test/e2e/content.ts), never in the protocol around it. */
  readonly contentOnly: boolean;
  readonly random: Random;
  /** No more than so many in all. Default: no limit. */
  readonly most?: number;
}

/** How it is out there. All fields may be set at any time, and hold for open connections too. */
export interface Weather {
  /** Where connections go. */
  port: number;
  /** New connections are closed at once. */
  refusing: boolean;
  stalled: { up: boolean; down: boolean };
  /** Clients with these addresses have no network: what they send and get waits, and nobody is told. Then `flow`. */
  silent: Set<string>;
  delayMs: number;
  bytesPerSecond: number | null;
  /** Each connection ends after so many bytes in both directions together. */
  cutEveryBytes: number | null;
  corruption: Corruption | null;
}

export interface Relay {
  readonly port: number;
  readonly weather: Weather;
  /** Passed on so far. */
  readonly bytes: Readonly<Record<Direction, number>>;
  /** The same by the client's address. */
  bytesOf(address: string, direction: Direction): number;
  readonly accepted: number;
  /** Cut by cutEveryBytes. */
  readonly cuts: number;
  readonly corrupted: number;
  /** Resolves when so many bytes more than now have passed; at that moment, so that what follows happens right then. */
  passed(direction: Direction, bytes: number): Promise<void>;
  /** Nothing moves any more, and nobody is told. */
  stall(direction?: Direction): void;
  flow(): void;
  /** Ends all connections: with a reset, or as if both sides had closed. */
  cut(how?: 'close' | 'reset'): void;
  close(): Promise<void>;
}

export async function startRelay(port: number): Promise<Relay> {
  const weather: Weather = {
    port,
    refusing: false,
    stalled: { up: false, down: false },
    silent: new Set(),
    delayMs: 0,
    bytesPerSecond: null,
    cutEveryBytes: null,
    corruption: null,
  };
  const bytes = { up: 0, down: 0 };
  const byAddress = new Map<string, Record<Direction, number>>();
  const counts = { accepted: 0, cuts: 0, corrupted: 0 };
  const pairs = new Set<[Socket, Socket]>();
  let waiting: { direction: Direction; at: number; wake: () => void }[] = [];
  let flowing = Promise.withResolvers<void>();

  function count(direction: Direction, length: number, address: string): void {
    bytes[direction] += length;
    const own = byAddress.get(address) ?? { up: 0, down: 0 };
    own[direction] += length;
    byAddress.set(address, own);
    const due = waiting.filter((wait) => bytes[wait.direction] >= wait.at);
    if (due.length === 0) return;
    waiting = waiting.filter((wait) => !due.includes(wait));
    for (const { wake } of due) wake();
  }

  function corrupt(direction: Direction, piece: Buffer): void {
    const { corruption } = weather;
    if (corruption === null || corruption.direction !== direction) return;
    if (corruption.most !== undefined && counts.corrupted >= corruption.most) return;
    if (corruption.random.between(0, corruption.everyBytes) >= piece.length) return;
    const at = corruption.random.between(0, piece.length);
    if (corruption.contentOnly && !isInsideContent(piece, at)) return;
    piece[at]! ^= 1;
    counts.corrupted++;
  }

  async function pump(direction: Direction, from: Socket, to: Socket, pair: [Socket, Socket], passed: { bytes: number }) {
    const address = pair[0].remoteAddress ?? '';
    try {
      for await (const piece of from as AsyncIterable<Buffer>) {
        if (weather.delayMs > 0) await sleep(weather.delayMs);
        if (weather.bytesPerSecond !== null) await sleep((piece.length / weather.bytesPerSecond) * 1000);
        while (weather.stalled[direction] || weather.silent.has(address)) await flowing.promise;
        corrupt(direction, piece);
        count(direction, piece.length, address);
        if (to.destroyed) return;
        if (!to.write(piece)) await drained(to);
        passed.bytes += piece.length;
        if (weather.cutEveryBytes === null || passed.bytes < weather.cutEveryBytes) continue;
        counts.cuts++;
        end(pair, 'reset');
        return;
      }
      to.end();
    } catch {
      end(pair, 'reset');
    }
  }

  function end(pair: [Socket, Socket], how: 'close' | 'reset'): void {
    pairs.delete(pair);
    for (const socket of pair) how === 'reset' ? reset(socket) : socket.destroy();
  }

  const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    client.on('error', () => undefined);
    counts.accepted++;
    if (weather.refusing) {
      reset(client);
      return;
    }
    const upstream = connect({ port: weather.port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
    const pair: [Socket, Socket] = [client, upstream];
    pairs.add(pair);
    upstream.on('error', () => end(pair, 'reset'));
    client.on('close', () => end(pair, 'close'));
    const passed = { bytes: 0 };
    void pump('up', client, upstream, pair, passed);
    void pump('down', upstream, client, pair, passed);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');

  const relay: Relay = {
    port: (server.address() as AddressInfo).port,
    weather,
    bytes,
    bytesOf: (address, direction) => byAddress.get(address)?.[direction] ?? 0,
    get accepted() {
      return counts.accepted;
    },
    get cuts() {
      return counts.cuts;
    },
    get corrupted() {
      return counts.corrupted;
    },
    passed: (direction, more) =>
      new Promise((wake) => {
        waiting.push({ direction, at: bytes[direction] + more, wake });
      }),
    stall(direction) {
      if (direction !== 'down') weather.stalled.up = true;
      if (direction !== 'up') weather.stalled.down = true;
    },
    flow() {
      weather.stalled = { up: false, down: false };
      weather.silent.clear();
      flowing.resolve();
      flowing = Promise.withResolvers<void>();
    },
    cut(how = 'close') {
      for (const pair of pairs) end(pair, how);
    },
    async close() {
      relay.flow();
      relay.cut();
      server.close();
      await once(server, 'close');
    },
  };
  return relay;
}

/**
 * Node 26 never exits when a socket is reset while its own end is still on the way out (libuv refuses to, and the handle stays), so
 * such a socket is only closed.
 */
function reset(socket: Socket): void {
  if (socket.writableEnded || socket.connecting) socket.destroy();
  else socket.resetAndDestroy();
}

/** Also resolves when it never will be, because the socket is gone. */
export function drained(socket: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) return resolve();
    const done = () => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}

/** Frame headers and HTTP have bytes below 0x80 in every 64 of theirs. */
function isInsideContent(piece: Buffer, at: number): boolean {
  if (at < MARGIN_BYTES || at + MARGIN_BYTES > piece.length) return false;
  return piece.subarray(at - MARGIN_BYTES, at + MARGIN_BYTES).every((byte) => byte >= 0x80);
}

const MARGIN_BYTES = 64;
