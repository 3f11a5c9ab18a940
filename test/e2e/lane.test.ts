/** The lane in good weather and bad: real processes, a UDP relay between them, and the same file at the other end. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { assertSameFile, KIB, leftovers, listTree, MIB, writeContent } from './content.ts';
import {
  type Ended,
  type Event,
  lastEvent,
  openWorld,
  type Run,
  type RunOptions,
  type Server,
  told,
  type World,
} from './fixture.ts';
import type { Direction } from './relay.ts';
import { type Random, seeded } from './seed.ts';
import { startUdpRelay, type UdpRelay } from './udp-relay.ts';

const SIZE = 12 * MIB;

interface Journey {
  readonly world: World;
  readonly server: Server;
  readonly udp: UdpRelay;
  readonly random: Random;
  readonly verb: 'put' | 'get';
  readonly source: string;
  readonly target: string;
  readonly args: readonly string[];
  /** Which way the content goes. */
  readonly direction: Direction;
}

describe('the lane', { concurrency: 3 }, () => {
  test('files, a folder and many small files, there and back', async (context) => {
    const { world, server } = await open(context, 'put');
    for (const [index, size] of [0, 1, 64 * KIB, 3 * MIB + 1].entries())
      writeContent(world.path('tree', 'sizes', `f${size}`), size, index);
    for (let index = 0; index < 300; index++) writeContent(world.path('tree', `d${index % 7}`, `s${index}`), 37 * index, index);
    const put = await world.expect(server, ['put', ...LANE, '--json', world.path('tree'), '/']);
    assertOver(put, 'lane');
    const get = await world.expect(server, ['get', ...LANE, '--json', '/tree', world.path('back/')]);
    assertOver(get, 'lane');
    assert.deepEqual(listTree(world.path('back', 'tree')), listTree(world.path('tree')));
    assert.deepEqual(listTree(join(server.dir, 'tree')), listTree(world.path('tree')));
  });

  for (const verb of ['put', 'get'] as const) {
    test(`${verb}: loss, doubles, disorder and corrupted bytes cost time alone`, async (context) => {
      const journey = await open(context, verb);
      Object.assign(journey.udp.weather, { lossPercent: 10, doublePercent: 3, latePercent: 5, corruptPercent: 2 });
      await arrives(journey, 'lane', start(journey, LANE));
      const { dropped, doubled, late, corrupted } = journey.udp.counts;
      for (const count of [dropped, doubled, late, corrupted]) assert.ok(count > 20, JSON.stringify(journey.udp.counts));
    });

    test(`${verb}: a NAT that forgets the client does not end its lane`, async (context) => {
      const journey = await open(context, verb);
      const run = start(journey, LANE);
      for (let times = 0; times < 2; times++) {
        await journey.udp.passed(journey.direction, SIZE / 4);
        await journey.udp.rebind();
      }
      const ended = await arrives(journey, 'lane', run);
      assert.equal(journey.udp.bindings, 3);
      assert.deepEqual(notices(ended), [], 'nobody noticed');
    });
  }
});

async function open(context: TestContext, verb: 'put' | 'get', { serve = [] as string[] } = {}): Promise<Journey> {
  const world = openWorld(context);
  const random = seeded(context);
  const udp = await startUdpRelay(random);
  world.onClose(() => udp.close());
  udp.weather.port = await freeUdpPort();
  const lane = ['--lane', String(udp.weather.port), '--lane-advertise', `127.0.0.1:${udp.port}`];
  const server = await world.startServer({ args: [...lane, ...serve] });
  const local = world.path('here', 'film.mxf');
  const published = join(server.dir, 'in', 'film.mxf');
  const [source, target] = verb === 'put' ? [local, published] : [published, local];
  writeContent(source, SIZE, 3);
  mkdirSync(world.path('here'), { recursive: true });
  const args = [verb, '--json', ...(verb === 'put' ? [local, '/in/film.mxf'] : ['/in/film.mxf', local])];
  return { world, server, udp, random, verb, source, target, args, direction: verb === 'put' ? 'up' : 'down' };
}

function start({ world, server, args }: Journey, more: readonly string[], options: RunOptions = {}): Run {
  return world.hawser(server, [...args, ...more], options);
}

async function arrives({ world, source, target }: Journey, over: string, run: Run): Promise<Ended> {
  const ended = await run.ended;
  assert.equal(ended.code, 0, told(ended));
  await assertSameFile(target, source);
  assert.deepEqual(leftovers(world.folder), []);
  assertOver(ended, over);
  return ended;
}

/** What carried the last bytes. */
function assertOver(ended: Ended, transport: string): void {
  const last = ended.events.findLast(({ event }) => event === 'progress');
  assert.equal(last?.path.transport, transport, told(ended));
}

const notices = ({ events }: Ended): Event[] => events.filter(({ event }) => event === 'notice');

async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  return port;
}

const LANE = ['--transport', 'lane'];
