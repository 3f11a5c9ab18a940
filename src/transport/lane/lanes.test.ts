/** Lanes over real sockets, both ends in threads of their own, through a relay that does what networks do. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import { networkInterfaces } from 'node:os';
import { after, before, describe, it } from 'node:test';
import {
  application,
  ask,
  digest,
  hasIpv6,
  parameters,
  pattern,
  type Relay,
  relayTo,
} from '../../../test/transport/lanes-fixture.ts';
import type { LaneLink } from './lane-link.ts';
import type { LaneSocket } from './lane-socket.ts';
import { type LaneListener, type ListenLanesOptions, listenLanes } from './listen.ts';
import { native } from './native.ts';
import { type ClientLaneOptions, openClientLane } from './open.ts';
import type { LaneParameters } from './thread-messages.ts';
import { startThread } from './worker-host.ts';

type Thread = ReturnType<typeof startThread>;

const ways: [string, string | false, string][] = [
  ['system calls', native() === null && 'there is no node:ffi here', '1'],
  ['node:dgram and node:crypto', false, '0'],
];

for (const [name, skip, setting] of ways) {
  describe(`lanes by ${name}`, { skip, timeout: 60_000 }, () => {
    let threads: { server: Thread; client: Thread };
    const app = application();
    const toClose: (() => Promise<void> | void)[] = [];

    before(() => {
      // Threads have the environment of the moment that they are started in.
      const usual = process.env.HAWSER_LANE_NATIVE;
      process.env.HAWSER_LANE_NATIVE = setting;
      threads = { server: startThread(), client: startThread() };
      if (usual === undefined) delete process.env.HAWSER_LANE_NATIVE;
      else process.env.HAWSER_LANE_NATIVE = usual;
    });
    after(async () => {
      for (const close of toClose.reverse()) await close();
      await Promise.all([threads.server.stop(), threads.client.stop()]);
    });

    async function listen(options: Partial<ListenLanesOptions> = {}): Promise<LaneListener> {
      const listener = await listenLanes({
        host: '127.0.0.1',
        port: 0,
        thread: threads.server,
        onStream: (_laneId, socket) => app.emit('connection', socket),
        ...options,
      });
      toClose.push(() => listener.close());
      return listener;
    }

    async function open(port: number, options: LaneParameters & Partial<ClientLaneOptions>): Promise<LaneLink> {
      const link = await openClientLane({ thread: threads.client, endpoints: [{ host: '127.0.0.1', port }], ...options });
      toClose.push(() => link.close());
      return link;
    }

    async function connect(
      serverOptions: Partial<LaneParameters> = {},
    ): Promise<{ link: LaneLink; relay: Relay; listener: LaneListener }> {
      const listener = await listen();
      const relay = await relayTo(listener.port);
      toClose.push(() => relay.close());
      const shared = parameters();
      listener.add({ ...shared, ...serverOptions });
      const link = await open(relay.port, shared);
      return { link, relay, listener };
    }

    it('carries requests and their bodies both ways, many at once', async () => {
      const { link } = await connect();
      const body = pattern(3_000_001);
      const answers = await Promise.all([
        ask(link, '/digest', body),
        ...Array.from({ length: 20 }, (_, i) => ask(link, `/bytes/${i * 20_000}`)),
      ]);
      assert.equal(answers[0]!.text, digest(body));
      for (let i = 0; i < 20; i++) assert.equal(digest(answers[i + 1]!.bytes), digest(pattern(i * 20_000)), `answer ${i}`);
    });

    it('is known to be of use as soon as it is open', async () => {
      const { link } = await connect();
      assert.deepEqual(
        link.stats()?.paths.map(({ state }) => state),
        ['active'],
      );
    });

    it('carries the same through loss, copies and tampering, and is told of no more than it should', async () => {
      const { link, relay } = await connect();
      let count = 0;
      let forged = 0;
      relay.onClient = (datagram) => {
        count++;
        if (count % 10 === 3) return [];
        if (count % 10 === 5) return [datagram, datagram];
        if (count % 10 !== 7) return [datagram];
        const tampered = Buffer.from(datagram);
        tampered[13 + (count % (tampered.length - 13))]! ^= 1;
        forged++;
        return [tampered, datagram];
      };
      const body = pattern(1_000_000);
      assert.equal((await ask(link, '/digest', body)).text, digest(body));
      assert.equal(digest((await ask(link, '/bytes/1000000')).bytes), digest(pattern(1_000_000)));
      assert.ok(forged > 50, `${forged} were forged`);
    });

    it('shows where the client is, and follows it to another port', async () => {
      const { link, relay } = await connect();
      assert.match((await ask(link, '/peer')).text, /^127\.0\.0\.1 \d+$/);
      const port = await relay.rebind();
      const body = pattern(500_000);
      assert.equal((await ask(link, '/digest', body)).text, digest(body));
      assert.equal((await ask(link, '/peer')).text, `127.0.0.1 ${port}`);
    });

    it('answers nothing to whom it does not know', async () => {
      const listener = await listen();
      const relay = await relayTo(listener.port);
      toClose.push(() => relay.close());
      const shared = parameters();
      listener.add(shared);
      let first = true;
      let fromServer = -1;
      relay.onClient = (datagram) => {
        if (!first) return [datagram];
        first = false;
        for (const junk of strangers(datagram)) relay.sendToServer(junk);
        // Loopback keeps order: answers to what went before would be here before the answer to this.
        fromServer = relay.fromServer.length;
        return [datagram];
      };
      const link = await open(relay.port, shared);
      assert.equal(fromServer, 0);
      const greeting = relay.fromServer[0] as Buffer;
      // Everything that the server has sent is for the lane: with its id, which nobody else has.
      await ask(link, '/bytes/1000');
      for (const datagram of relay.fromServer) assert.deepEqual(datagram.subarray(1, 9), greeting.subarray(1, 9));
    });

    it('gives up in the time that it was given when nothing comes back', async () => {
      const hole = createSocket('udp4');
      hole.bind(0, '127.0.0.1');
      await once(hole, 'listening');
      await assert.rejects(open(hole.address().port, { ...parameters(), timeoutMs: 100 }), {
        code: 'unreachable',
        message: /no answer over UDP within 0\.1 s/,
      });
      hole.close();
    });

    it('stops trying when it is asked to', async () => {
      const stop = new AbortController();
      const hole = createSocket('udp4');
      hole.bind(0, '127.0.0.1');
      await once(hole, 'listening');
      hole.once('message', () => stop.abort());
      await assert.rejects(open(hole.address().port, { ...parameters(), timeoutMs: 50_000, signal: stop.signal }), {
        code: 'interrupted',
      });
      hole.close();
    });

    it('does not wait when the other host says that nothing listens', {
      skip: setting === '0' && 'node:dgram does not tell',
    }, async () => {
      const closed = createSocket('udp4');
      closed.bind(0, '127.0.0.1');
      await once(closed, 'listening');
      const { port } = closed.address();
      closed.close();
      await once(closed, 'close');
      await assert.rejects(open(port, { ...parameters(), timeoutMs: 50_000 }), { code: 'unreachable', message: /refused/ });
    });

    it('finds the address that answers among those that do not', async () => {
      const listener = await listen();
      const hole = createSocket('udp4');
      hole.bind(0, '127.0.0.1');
      await once(hole, 'listening');
      const shared = parameters();
      listener.add(shared);
      const endpoints = [hole.address().port, listener.port].map((port) => ({ host: '127.0.0.1', port }));
      const link = await open(0, { ...shared, endpoints });
      assert.equal((await ask(link, '/bytes/5')).bytes.length, 5);
      hole.close();
    });

    it('uses several interfaces at once', { skip: process.platform !== 'linux' && 'only Linux has all of 127/8' }, async () => {
      const listener = await listen();
      const shared = { ...parameters(), maxPaths: 2 };
      listener.add(shared);
      const name = Object.keys(networkInterfaces()).find((key) => networkInterfaces()[key]?.[0]?.internal) ?? 'lo';
      const local = ['127.0.0.1', '127.0.0.2'].map((address) => ({
        name: address,
        device: name,
        addresses: [address],
        metered: false,
      }));
      const link = await open(listener.port, { ...shared, local });
      while ([...link.paths.values()].filter(({ state }) => state === 'active').length < 2) await once(link, 'path');
      const body = pattern(2_000_000);
      assert.equal((await ask(link, '/digest', body)).text, digest(body));
      assert.deepEqual([...link.paths.keys()].sort(), [0, 1]);
    });

    it('goes over IPv6', { skip: !hasIpv6() && 'there is no IPv6 here' }, async () => {
      const listener = await listen({ host: '::' });
      const shared = parameters();
      listener.add(shared);
      const six = await open(0, { ...shared, endpoints: [{ host: '::1', port: listener.port }] });
      assert.match((await ask(six, '/peer')).text, /^::1 \d+$/);
      const other = parameters('four');
      listener.add(other);
      const four = await open(listener.port, other);
      assert.match((await ask(four, '/peer')).text, /^127\.0\.0\.1 \d+$/);
    });

    it('lets a writer be no further ahead than the reader has room', async () => {
      const stuck = Promise.withResolvers<LaneSocket>();
      const listener = await listen({
        onStream: (_laneId, socket) => (socket.streamId === 0 ? stuck.resolve(socket) : app.emit('connection', socket)),
      });
      const shared = parameters();
      listener.add({ ...shared, streamWindowBytes: 1 << 20 });
      const link = await open(listener.port, shared);
      const writer = link.connect();
      // The reader is done when it has read: it gives up its own side.
      writer.on('error', () => {});
      const piece = pattern(65_536);
      let accepted = 0;
      let stopped = false;
      const more = (): void => {
        while (!stopped) {
          accepted += piece.length;
          if (!writer.write(piece)) return;
        }
      };
      writer.on('drain', more);
      more();
      const reader = await stuck.promise;
      // Another stream's whole exchange is time enough for this one to fill up.
      await ask(link, '/bytes/1000');
      const least = reader.bytesRead;
      assert.ok(least <= (1 << 20) + 131_840, `${least} bytes were sent to a reader that takes none`);
      assert.ok(accepted <= 4 << 20, `${accepted} bytes were accepted`);
      stopped = true;
      writer.end();
      let read = 0;
      for await (const bytes of reader) read += (bytes as Buffer).length;
      assert.equal(read, accepted);
    });

    it('tells the other end when one gives a stream up', async () => {
      const { link } = await connect();
      const gone = new Promise<void>((resolve) => {
        app.once('request', (request) => request.socket.once('close', () => resolve()));
      });
      const request = http.request({ createConnection: () => link.connect(), path: '/forever' });
      request.on('error', () => {});
      request.end();
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      response.on('error', () => {});
      response.destroy();
      await gone;
    });

    it('ends what is under way when the lane is closed, at both ends', async () => {
      const { link, listener } = await connect();
      const request = http.request({ createConnection: () => link.connect(), path: '/forever' });
      request.on('error', () => {});
      request.end();
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      const failed = once(response, 'error');
      const closed = once(link, 'closed');
      listener.remove('lane', 'the test is over');
      const [reason, byPeer] = await closed;
      assert.equal(reason, 'the test is over');
      assert.equal(byPeer, true);
      assert.equal((await failed)[0].code, 'ECONNRESET');
      const late = link.connect();
      assert.equal((await once(late, 'error'))[0].code, 'ECONNRESET');
    });

    it('refuses lanes beyond the limits', async () => {
      const listener = await listen({ maxLanes: 3, maxLanesPerPeer: 2 });
      listener.add({ ...parameters('a'), peer: 'x' });
      listener.add({ ...parameters('b'), peer: 'x' });
      assert.throws(() => listener.add({ ...parameters('c'), peer: 'x' }), { code: 'busy' });
      listener.add({ ...parameters('d'), peer: 'y' });
      assert.throws(() => listener.add({ ...parameters('e'), peer: 'z' }), { code: 'busy' });
    });

    it('says which address cannot be listened on', async () => {
      const first = await listen();
      await assert.rejects(listen({ port: first.port }), { code: 'usage', message: /something else listens there/ });
    });

    it('writes a trace when it is asked for', async () => {
      const { link } = await connect();
      await ask(link, '/bytes/100000');
      const lines = await link.recentTrace();
      assert.ok(lines.length > 0);
      for (const line of lines) assert.deepEqual(Object.keys(JSON.parse(line)).slice(0, 2), ['time', 'name']);
    });
  });
}

/** Datagrams that look more and more like the client's first, and are not. */
function strangers(real: Buffer): Buffer[] {
  const otherId = Buffer.from(real);
  otherId[4]! ^= 1;
  const forged = Buffer.from(real);
  forged[forged.length - 1]! ^= 1;
  const otherVersion = Buffer.from(real);
  otherVersion[0]! ^= 0xc0;
  return [
    Buffer.alloc(0),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    randomBytes(1200),
    real.subarray(0, 20),
    otherVersion,
    otherId,
    forged,
  ];
}
