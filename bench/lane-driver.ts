/**
 * What a packet of a lane costs on this machine, in microseconds of CPU: sealed, opened, sent and received, each way there is;
 * and the whole of it with HTTP in a stream, for either side, at a cap and without.
 * Options: --mbit 100,500,0 (0: no cap) --seconds 5 --warm-seconds 5
 */
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { DATA_PACKET_BYTES, HEADER_BYTES, TAG_BYTES } from '../src/core/lane/contract.ts';
import { peerAddress } from '../src/transport/lane/address.ts';
import { KEY_BYTES, type Suite } from '../src/transport/lane/keys.ts';
import { listenLanes } from '../src/transport/lane/listen.ts';
import { NativeMemory } from '../src/transport/lane/native.ts';
import { openClientLane } from '../src/transport/lane/open.ts';
import { type DatagramPort, OutgoingBatch, type PortOptions } from '../src/transport/lane/port.ts';
import { openDgramPort } from '../src/transport/lane/port-dgram.ts';
import { openLinuxPort } from '../src/transport/lane/port-linux.ts';
import { type CipherMaker, createOpen, createSeal, passesSelfTest } from '../src/transport/lane/seal.ts';
import { createEvpCipher } from '../src/transport/lane/seal-evp.ts';
import { createNodeCipher } from '../src/transport/lane/seal-node.ts';
import type { LaneParameters } from '../src/transport/lane/thread-messages.ts';
import { publish, say, table } from './report.ts';

const { values: options } = parseArgs({
  options: {
    mbit: { type: 'string', default: '100,300,500,0' },
    seconds: { type: 'string', default: '5' },
    'warm-seconds': { type: 'string', default: '5' },
    serve: { type: 'boolean', default: false },
  },
});

if (options.serve) await serve();
else await compare();

async function compare(): Promise<void> {
  const body = [
    table(['AEAD of a full data packet', 'seal', 'open'], aead()),
    table(['Sockets, loopback', 'datagrams at once', 'send', 'receive'], await sockets()),
    table(['Whole lane with HTTP, loopback', 'reached', 'sender', 'receiver'], await lanes()),
    'Microseconds of CPU (user and system) for each data packet of 1317 bytes; loopback does the work of the receiving stack in ' +
      'the sender. A whole lane is one body in one stream: HTTP, both threads, AEAD, sockets, rate control.',
  ];
  publish({ id: 'lane-driver', title: "Cost of a lane's packet", command: 'node bench/lane-driver.ts', body }, false);
}

function aead(): string[][] {
  const rows: string[][] = [];
  for (const suite of Object.keys(KEY_BYTES) as Suite[]) {
    for (const [name, make] of Object.entries({ 'node:crypto': createNodeCipher, OpenSSL: createEvpCipher })) {
      if (!passesSelfTest(make, suite)) rows.push([`${suite}, ${name}`, 'not here', '']);
      else rows.push([`${suite}, ${name}`, ...sealAndOpen(suite, make).map(us)]);
    }
  }
  return rows;
}

function sealAndOpen(suite: Suite, make: CipherMaker): number[] {
  const keys = { key: randomBytes(KEY_BYTES[suite]), iv: randomBytes(12) };
  const seal = createSeal(suite, keys, make);
  const open = createOpen(suite, keys, make);
  const count = 256;
  const plainBytes = DATA_PACKET_BYTES - HEADER_BYTES - TAG_BYTES;
  const memory = new NativeMemory(count * 1536);
  const costs = [0, 0];
  for (let round = 0; round < 200; round++) {
    const sealed = cpuOf(() => {
      for (let i = 0; i < count; i++) seal.seal(memory, i * 1536, plainBytes, 0, 0, round * count + i);
    });
    const opened = cpuOf(() => {
      for (let i = 0; i < count; i++)
        if (!open.open(memory, i * 1536, DATA_PACKET_BYTES, 0, 0, round * count + i)) throw new Error('A packet did not open.');
    });
    // The first rounds are for the compiler.
    if (round < 50) continue;
    costs[0]! += sealed / (150 * count);
    costs[1]! += opened / (150 * count);
  }
  return costs;
}

async function sockets(): Promise<string[][]> {
  const rows: string[][] = [];
  const ways: [string, (options: PortOptions) => DatagramPort | Promise<DatagramPort> | null][] = [
    ['node:dgram', openDgramPort],
    ['sendmmsg, recvmmsg', (options) => openLinuxPort({ ...options, segmentation: false })],
    ['the same, segmented by the kernel', openLinuxPort],
  ];
  for (const [name, open] of ways) {
    for (const count of [5, 50]) {
      const costs = await sendAndReceive(open, count);
      rows.push([name, String(count), ...(costs ? costs.map(us) : ['not here', ''])]);
    }
  }
  return rows;
}

async function sendAndReceive(
  open: (options: PortOptions) => DatagramPort | Promise<DatagramPort> | null,
  count: number,
): Promise<number[] | null> {
  const common = { host: '127.0.0.1', port: 0, nowUs: () => performance.now() * 1000, onReadable: () => {}, onError: () => {} };
  const [from, to] = [await open(common), await open(common)];
  if (!from || !to) return null;
  const batch = new OutgoingBatch();
  const address = peerAddress('127.0.0.1', to.port);
  const rounds = Math.ceil(40_000 / count);
  let [sent, received] = [0, 0];
  let arrived = 0;
  for (let round = -rounds / 4; round < rounds; round++) {
    const sending = await cpuOfTurn(() => {
      for (let i = 0; i < count; i++) batch.add(from, address, DATA_PACKET_BYTES);
      batch.flush();
    });
    let got = 0;
    const receiving = await cpuOfTurn(() => {
      got += to.receive(1024, () => {});
    });
    if (round < 0) continue;
    sent += sending;
    received += receiving;
    arrived += got;
  }
  from.close();
  to.close();
  return [sent / (rounds * count), received / arrived];
}

async function lanes(): Promise<string[][]> {
  const rows: string[][] = [];
  for (const mbit of options.mbit.split(',').map(Number)) {
    for (const way of ['down', 'up'] as const) {
      say(`a lane ${way}, ${mbit === 0 ? 'no cap' : `${mbit} Mbit/s`}`);
      rows.push(await wholeLane(mbit, way));
    }
  }
  return rows;
}

async function wholeLane(mbit: number, way: 'down' | 'up'): Promise<string[]> {
  const server = fork(fileURLToPath(import.meta.url), ['--serve'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ask = (message: unknown): Promise<never> =>
    new Promise((resolve) => {
      server.once('message', resolve as never);
      server.send(message as object);
    });
  const secrets = { secret: randomBytes(32).toString('hex'), clientRandom: randomBytes(32).toString('hex') };
  const cap = mbit === 0 ? {} : { capBytesPerSecond: (mbit * 1e6) / 8 };
  const { port }: { port: number } = await ask({ ...secrets, ...cap });
  const link = await openClientLane({ ...parameters(secrets), ...cap, endpoints: [{ host: '127.0.0.1', port }] });
  const seconds = Number(options.seconds);
  let bytes = 0;
  let ended: () => void = () => {};
  const piece = Buffer.alloc(256 * 1024, 1);
  const request = http.request({ createConnection: () => link.connect(), method: way === 'up' ? 'PUT' : 'GET' }, (response) => {
    response.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
  });
  request.on('error', () => ended());
  if (way === 'down') request.end();
  else {
    const more = (): void => {
      while (request.write(piece));
    };
    request.on('drain', more);
    more();
  }
  const total = (): number => (way === 'down' ? bytes : request.socket ? request.socket.bytesWritten : 0);
  // Until the compiler is done.
  await wait(Number(options['warm-seconds']) * 1000);
  const before = { bytes: total(), own: process.cpuUsage(), other: (await ask('cpu')) as number, ms: performance.now() };
  await wait(seconds * 1000);
  const own = process.cpuUsage(before.own);
  const other = ((await ask('cpu')) as number) - before.other;
  const moved = total() - before.bytes;
  const packets = moved / 1280;
  const reached = (moved * 8) / 1000 / (performance.now() - before.ms);
  const mine = (own.user + own.system) / packets;
  const closed = new Promise<void>((resolve) => {
    ended = resolve;
  });
  await link.close();
  await closed;
  server.kill();
  const costs = way === 'down' ? [other / packets, mine] : [mine, other / packets];
  return [`${way}, ${mbit === 0 ? 'no cap' : `cap ${mbit} Mbit/s`}`, `${reached.toFixed(0)} Mbit/s`, ...costs.map(us)];
}

/** In a process of its own, so that its CPU is its own. */
async function serve(): Promise<void> {
  const piece = Buffer.alloc(256 * 1024, 1);
  const app = http.createServer((request, response) => {
    const more = (): void => {
      while (!response.destroyed && response.write(piece));
    };
    response.on('drain', more);
    if (request.method === 'GET') more();
    else request.resume();
  });
  process.on('disconnect', () => process.exit());
  process.on('message', async (message: 'cpu' | { secret: string; clientRandom: string; capBytesPerSecond?: number }) => {
    if (message === 'cpu') {
      const { user, system } = process.cpuUsage();
      process.send!(user + system);
      return;
    }
    const listener = await listenLanes({ host: '127.0.0.1', port: 0, onStream: (_, socket) => app.emit('connection', socket) });
    const { capBytesPerSecond } = message;
    listener.add({ ...parameters(message), ...(capBytesPerSecond === undefined ? {} : { capBytesPerSecond }) });
    process.send!({ port: listener.port });
  });
}

function parameters({ secret, clientRandom }: { secret: string; clientRandom: string }): LaneParameters {
  return {
    laneId: 'bench',
    suite: 'aes-128-gcm',
    secret: Buffer.from(secret, 'hex'),
    clientRandom: Buffer.from(clientRandom, 'hex'),
    maxPaths: 1,
    policy: { kind: 'fair' },
  };
}

function cpuOf(action: () => void): number {
  const before = process.cpuUsage();
  action();
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

/** With the turn of the event loop behind it: node:dgram works there. */
async function cpuOfTurn(action: () => void): Promise<number> {
  const before = process.cpuUsage();
  action();
  await new Promise((resolve) => setImmediate(resolve));
  const { user, system } = process.cpuUsage(before);
  return user + system;
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function us(value: number): string {
  return value.toFixed(2);
}
