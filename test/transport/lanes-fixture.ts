/** What tests of lanes over real sockets need: an application, questions to it, and a relay that does what networks do. */
import { createHash, randomBytes } from 'node:crypto';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import { networkInterfaces } from 'node:os';
import type { LaneLink } from '../../src/transport/lane/lane-link.ts';
import type { LaneParameters } from '../../src/transport/lane/thread-messages.ts';

/** A body that differs everywhere. */
export function pattern(bytes: number): Buffer {
  const body = Buffer.alloc(bytes);
  for (let i = 0; i + 4 <= bytes; i += 4) body.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
  return body;
}

export const hasIpv6 = (): boolean =>
  Object.values(networkInterfaces()).some((entries) => entries?.some(({ address }) => address === '::1'));

export const digest = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of message) pieces.push(piece as Buffer);
  return Buffer.concat(pieces);
}

export async function ask(link: LaneLink, path: string, body?: Buffer): Promise<{ text: string; bytes: Buffer }> {
  const request = http.request({ createConnection: () => link.connect(), path, method: body ? 'PUT' : 'GET' });
  request.end(body);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  const bytes = await bodyOf(response);
  return { text: bytes.toString(), bytes };
}

export function parameters(laneId = 'lane'): LaneParameters {
  const secrets = { secret: randomBytes(32), clientRandom: randomBytes(32) };
  return { laneId, suite: 'aes-128-gcm', ...secrets, maxPaths: 1, policy: { kind: 'fair' } };
}

/** Answers with what it got: /digest of a body, /bytes/N, /peer. */
export function application(): http.Server {
  return http.createServer(async (request, response) => {
    const [, what, count] = (request.url ?? '').split('/');
    if (what === 'bytes') response.end(pattern(Number(count)));
    else if (what === 'peer') response.end(`${request.socket.remoteAddress} ${request.socket.remotePort}`);
    else if (what === 'forever') response.write('begun');
    else response.end(digest(await bodyOf(request)));
  });
}

export interface Relay {
  readonly port: number;
  /** Datagrams that came from the server. */
  readonly fromServer: Buffer[];
  /** What to send on of a client's datagram; default: itself. */
  onClient: (datagram: Buffer) => Buffer[];
  /** Sends to the server from a new port, as a NAT that forgot the old one. */
  rebind(): Promise<number>;
  sendToServer(datagram: Buffer): void;
  close(): void;
}

export async function relayTo(port: number): Promise<Relay> {
  const front = createSocket('udp4');
  const backs: UdpSocket[] = [];
  const fromServer: Buffer[] = [];
  let client: { address: string; port: number } | null = null;
  async function rebind(): Promise<number> {
    const back = createSocket('udp4');
    back.bind(0, '127.0.0.1');
    await once(back, 'listening');
    backs.push(back);
    back.on('message', (datagram) => {
      fromServer.push(datagram);
      // What comes to a port that the NAT has forgotten does not come through.
      if (client && back === backs.at(-1)) front.send(datagram, client.port, client.address);
    });
    return back.address().port;
  }
  await rebind();
  front.bind(0, '127.0.0.1');
  await once(front, 'listening');
  const relay: Relay = {
    port: front.address().port,
    fromServer,
    onClient: (datagram) => [datagram],
    rebind,
    sendToServer: (datagram) => backs.at(-1)!.send(datagram, port, '127.0.0.1'),
    close() {
      front.close();
      for (const back of backs) back.close();
    },
  };
  front.on('message', (datagram, from) => {
    client = from;
    for (const out of relay.onClient(datagram)) relay.sendToServer(out);
  });
  return relay;
}
