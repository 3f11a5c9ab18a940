/**
 * A UDP relay with bad weather: what a client sends to its port comes out at the target, and what the target answers comes back,
 * each way late, not faster than the link, and not all of it. It listens on loopback, and looks into nothing.
 */
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createWeatherLink, type Weather } from './weather.ts';

export interface RelayOptions {
  readonly target: { readonly host: string; readonly port: number };
  /** Towards the target; the way back has the same, with losses of its own. */
  readonly weather: Weather;
  /** Monotonic. Default performance.now. */
  readonly nowMs?: () => number;
}

export interface DirectionCounts {
  /** Sent on. */
  readonly packets: number;
  /** UDP payload of those. */
  readonly bytes: number;
  readonly lost: number;
  readonly dropped: number;
}

export interface RelayReport {
  /** Towards the target, and back. */
  readonly up: DirectionCounts;
  readonly down: DirectionCounts;
  /** What became of the newest datagrams towards the target, oldest first: '#' is on its way, '.' lost, '!' dropped. */
  readonly recent: string;
}

export interface Relay {
  readonly port: number;
  report(): RelayReport;
  /** What is still on its way is lost. */
  close(): Promise<void>;
}

/** Rejects with the system's error when no port can be had. */
export async function openRelay({ target, weather, nowMs = () => performance.now() }: RelayOptions): Promise<Relay> {
  const front = createSocket('udp4');
  const upstreams = new Map<string, Socket>();
  const up = createDirection(weather, nowMs);
  const down = createDirection({ ...weather, seed: weather.seed ^ 0x5f5f5f5f }, nowMs);
  let closed = false;

  front.on('message', (message, from) => {
    const upstream = upstreamOf(from);
    if (upstream) up.take(message, (bytes) => send(upstream, bytes, target.port, target.host));
  });

  /** Each client has a socket of its own towards the target, so that answers find their way back. */
  function upstreamOf({ address, port }: { address: string; port: number }): Socket | null {
    const key = `${address} ${port}`;
    const known = upstreams.get(key);
    if (known) return known;
    if (upstreams.size >= MOST_CLIENTS) return null;
    const socket = createSocket('udp4');
    upstreams.set(key, socket);
    // "Connection refused" of a target that is not there yet: a datagram more that is lost.
    socket.on('error', () => undefined);
    socket.on('message', (message) => down.take(message, (bytes) => send(front, bytes, port, address)));
    socket.bind(0, LOOPBACK, () => grow(socket));
    return socket;
  }

  function send(socket: Socket, bytes: Uint8Array, port: number, host: string): void {
    if (!closed) socket.send(bytes, port, host, () => undefined);
  }

  front.bind(0, LOOPBACK);
  await once(front, 'listening');
  front.on('error', () => undefined);
  grow(front);
  return {
    port: front.address().port,
    report: () => ({ up: up.counts(), down: down.counts(), recent: up.recent() }),
    async close() {
      if (closed) return;
      closed = true;
      up.stop();
      down.stop();
      const sockets = [front, ...upstreams.values()];
      await Promise.all(sockets.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))));
    },
  };
}

/** Holds datagrams until they are due. They leave in the order in which they came, so one timer for the first is enough. */
function createDirection(weather: Weather, nowMs: () => number) {
  const link = createWeatherLink(weather);
  const counts = { packets: 0, bytes: 0, lost: 0, dropped: 0 };
  let waiting: { readonly dueMs: number; readonly deliver: () => void }[] = [];
  let head = 0;
  let recent = '';
  let timer: ReturnType<typeof setTimeout> | undefined;

  function flush(): void {
    timer = undefined;
    const now = nowMs();
    while (head < waiting.length && waiting[head]!.dueMs <= now + EARLY_MS) waiting[head++]!.deliver();
    if (head > COMPACT_AFTER) {
      waiting = waiting.slice(head);
      head = 0;
    }
    wake();
  }

  function wake(): void {
    const next = waiting[head];
    if (next && timer === undefined) timer = setTimeout(flush, Math.max(1, next.dueMs - nowMs()));
  }

  function remember(sign: string): void {
    recent += sign;
    if (recent.length > RECENT * 2) recent = recent.slice(-RECENT);
  }

  return {
    take(message: Uint8Array, deliver: (bytes: Uint8Array) => void): void {
      const fate = link.take(nowMs(), message.length);
      if (typeof fate === 'string') {
        counts[fate]++;
        remember(fate === 'lost' ? '.' : '!');
        return;
      }
      remember('#');
      waiting.push({
        dueMs: fate.arrivesMs,
        deliver() {
          counts.packets++;
          counts.bytes += message.length;
          deliver(message);
        },
      });
      wake();
    },
    counts: (): DirectionCounts => ({ ...counts }),
    recent: () => recent.slice(-RECENT),
    stop() {
      clearTimeout(timer);
      waiting = [];
      head = 0;
    },
  };
}

/** A burst that the sender lets go at once has to fit, or the system drops what the weather would not have. */
function grow(socket: Socket): void {
  for (const set of [() => socket.setRecvBufferSize(BUFFER_BYTES), () => socket.setSendBufferSize(BUFFER_BYTES)]) {
    try {
      set();
    } catch {
      // The system allows less: it has been set to that.
    }
  }
}

const LOOPBACK = '127.0.0.1';
const MOST_CLIENTS = 16;
const BUFFER_BYTES = 4 << 20;
/** Timers are not finer than this. */
const EARLY_MS = 0.5;
const COMPACT_AFTER = 4096;
const RECENT = 256;
