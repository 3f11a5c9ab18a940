/** Several paths of a lane: networks of this machine and addresses of the server, with a UDP relay for each address. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { assertSameFile, MIB, writeContent } from './content.ts';
import { type Event, openWorld, told } from './fixture.ts';
import type { Direction } from './relay.ts';
import { seeded } from './seed.ts';
import { startUdpRelay, type UdpRelay } from './udp-relay.ts';

const SIZE = 12 * MIB;

describe('several paths of a lane', { concurrency: 2, skip: process.platform !== 'linux' && 'has one loopback address' }, () => {
  for (const verb of ['put', 'get'] as const) {
    test(`${verb}: the addresses that a server gives are used at once, and one may go dark`, async (context) => {
      const { udp, run, carry, arrives } = await open(context, verb, []);
      await carry(256 * 1024);
      udp[1]!.weather.dark = { up: true, down: true };
      await arrives();
      const { events } = await run.ended;
      const seen = new Set(events.flatMap(({ path }) => pathsOf(path)).map(({ name }) => name));
      assert.deepEqual(seen, new Set(udp.map(({ port }) => `127.0.0.1:${port}`)));
    });

    test(`${verb}: status shows each path to whom it concerns`, async (context) => {
      const { world, server, carry } = await open(context, verb, ['--limit-rate', '1MB/s']);
      await carry(128 * 1024);
      let lane: Event | undefined;
      while (lane?.paths.length !== 2) [lane] = (await world.expect(server, ['status', '--json'])).events[0]?.lanes ?? [];
      const moved = verb === 'put' ? 'receivedBytes' : 'sentBytes';
      for (const path of lane.paths)
        assert.ok(path.state === 'active' && path[moved] > 0 && path.rttMs >= 20, JSON.stringify(path));
      const text = (await world.expect(server, ['status'])).stdout.toString();
      for (const { address } of lane.paths)
        assert.match(text, new RegExp(`${address} +active +${verb === 'put' ? 'up' : 'down'}`));
      const { token } = await world.client(server).createToken({ name: 'other', role: 'write' });
      const other = await world.expect(server, ['status', '--json'], { env: { HAWSER_TOKEN: token } });
      assert.deepEqual(other.events[0]?.lanes, []);
    });

    test(`${verb}: a metered network gets nothing while another works, and everything when none does`, async (context) => {
      const { udp, direction, run, arrives } = await open(context, verb, ['--path', '127.0.0.1,127.0.0.2:metered'], 1);
      const [relay] = udp;
      await relay!.passed(direction, SIZE / 4);
      assert.ok(relay!.bytesOf('127.0.0.2', direction) < 64 * 1024, `${relay!.bytesOf('127.0.0.2', direction)}`);
      relay!.weather.silent.add('127.0.0.1');
      await arrives();
      assert.ok(relay!.bytesOf('127.0.0.2', direction) > SIZE / 4);
      const { events } = await run.ended;
      const states = events.flatMap(({ path }) => pathsOf(path).map(({ name, state }) => `${name} ${state}`));
      assert.ok(
        states.includes('127.0.0.2 standby') && states.some((state) => /127\.0\.0\.1 (failed|degraded)/.test(state)),
        [...new Set(states)].join(),
      );
    });

    test(`${verb}: what is critical goes on when a path dies, over either of two`, async (context) => {
      const { udp, run, carry, arrives } = await open(context, verb, ['--priority', 'critical']);
      await carry(MIB);
      udp[0]!.weather.dark = { up: true, down: true };
      await arrives();
      if (verb === 'get') return;
      const { events } = await run.ended;
      const { repair } = events.findLast(({ path }) => path?.lane)!.path.lane.symbols;
      assert.ok(repair > 500, `${repair} repair symbols in good weather`);
    });
  }
});

const pathsOf = (path: Event | undefined): Event[] => path?.lane?.paths ?? [];

async function open(context: TestContext, verb: 'put' | 'get', more: readonly string[], relays = 2) {
  const world = openWorld(context);
  const random = seeded(context);
  const lanePort = await freeUdpPort();
  const udp: UdpRelay[] = [];
  for (let i = 0; i < relays; i++) {
    const relay = await startUdpRelay(random);
    world.onClose(() => relay.close());
    // A round trip of nothing would make repair ahead of need pointless.
    Object.assign(relay.weather, { port: lanePort, delayMs: 10 });
    udp.push(relay);
  }
  const advertise = udp.map(({ port }) => `127.0.0.1:${port}`).join();
  const server = await world.startServer({ args: ['--lane', String(lanePort), '--lane-advertise', advertise] });
  const [local, remote] = [world.path('here', 'f.bin'), join(server.dir, 'f.bin')];
  const [source, target] = verb === 'put' ? [local, remote] : [remote, local];
  mkdirSync(world.path('here'), { recursive: true });
  writeContent(source, SIZE, 7);
  const names = verb === 'put' ? [local, '/'] : ['/f.bin', local];
  const run = world.hawser(server, [verb, '--json', '--transport', 'lane', ...more, ...names]);
  const direction: Direction = verb === 'put' ? 'up' : 'down';
  return {
    world,
    server,
    udp,
    direction,
    run,
    /** Every relay passes so many bytes of what is sent. */
    async carry(bytes: number) {
      const all = Promise.all(udp.map((relay) => relay.passed(direction, bytes)));
      const ended = run.ended.then((ended) =>
        assert.fail(`it ended before: ${udp.map((relay) => relay.bytes[direction])}\n${told(ended)}`),
      );
      await Promise.race([all, ended]);
      ended.catch(() => undefined);
    },
    async arrives() {
      const ended = await run.ended;
      assert.equal(ended.code, 0, told(ended));
      await assertSameFile(target, source);
    },
  };
}

async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}
