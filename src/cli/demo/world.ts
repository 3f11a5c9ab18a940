/**
 * All that the demo needs, on this machine: a folder that goes again, a file in it, a server that serves another, and a relay with
 * bad weather that the lane's packets pass.
 */
import { randomFillSync } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClientOptions } from '../../client/contract.ts';
import { toHex } from '../../core/hex.ts';
import { createBlake3 } from '../../engine/blake3.ts';
import type { ServerOptions } from '../../server/compose.ts';
import type { Relay } from './relay.ts';
import { startRelayThread } from './relay-thread.ts';
import type { Weather } from './weather.ts';

export interface DemoWorld {
  readonly client: ClientOptions;
  readonly source: string;
  /** BLAKE3 of the source, hex. */
  readonly digest: string;
  readonly relay: Relay;
  /** Ends all of it, and removes the folder. */
  close(): Promise<void>;
}

export async function openDemoWorld(bytes: number, weather: Weather, signal: AbortSignal): Promise<DemoWorld> {
  const closers: (() => unknown)[] = [];
  const close = async () => {
    for (const step of closers.splice(0).reverse()) await step();
  };
  try {
    const folder = await mkdtemp(join(tmpdir(), 'hawser-demo-'));
    // A second Ctrl-C ends the process at once; even then nothing stays behind.
    const removeNow = () => rmSync(folder, { recursive: true, force: true });
    process.once('exit', removeNow);
    closers.push(async () => {
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
      process.off('exit', removeNow);
    });
    const source = join(folder, 'footage.mxf');
    const digest = await writeSource(source, bytes, signal);
    const lanePort = await freeUdpPort();
    const relay = await startRelayThread({ target: { host: LOOPBACK, port: lanePort }, weather });
    closers.push(() => relay.close());
    const { startServer } = await import('../../server/compose.ts');
    const server = await startServer({
      dir: join(folder, 'served'),
      listen: { host: LOOPBACK, port: 0 },
      logLevel: 'silent',
      ...laneThroughRelay(lanePort, relay),
    });
    closers.push(() => server.close());
    const token = (await readFile(server.adminTokenFile, 'utf8')).trim();
    const { url, fingerprint } = server;
    const client: ClientOptions = { url, token, transport: 'lane', ...(fingerprint === null ? {} : { fingerprint }) };
    return { client, source, digest, relay, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The one place that leads the lane through the relay: the server listens on its own port, and tells clients the relay's. */
function laneThroughRelay(lanePort: number, relay: Relay): Pick<ServerOptions, 'lanePort' | 'laneAdvertise'> {
  return { lanePort, laneAdvertise: [{ host: LOOPBACK, port: relay.port }] };
}

/** Random, so that nothing makes it smaller. Returns its digest. */
async function writeSource(path: string, bytes: number, signal: AbortSignal): Promise<string> {
  const hash = createBlake3();
  const piece = new Uint8Array(Math.min(bytes, PIECE_BYTES));
  const file = await open(path, 'wx');
  try {
    for (let left = bytes; left > 0; left -= piece.length) {
      signal.throwIfAborted();
      randomFillSync(piece);
      const part = left < piece.length ? piece.subarray(0, left) : piece;
      hash.update(part);
      await file.write(part);
    }
  } finally {
    await file.close();
  }
  return toHex(hash.digest());
}

/** The relay must know it before the server's lane is there. */
async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, LOOPBACK);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}

const LOOPBACK = '127.0.0.1';
const PIECE_BYTES = 1 << 20;
