/** The lane in good weather and bad: real processes, a UDP relay between them, and the same file at the other end. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { createHttpTransport } from '../../src/transport/https.ts';
import { assertSameFile, content, KIB, leftovers, listTree, MIB, writeContent } from './content.ts';
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
import type { Direction, Relay } from './relay.ts';
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

describe('the lane', { concurrency: 4 }, () => {
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

  for (const verb of ['put', 'get'] as const) {
    test(`${verb}: UDP that is blocked in the middle is left for HTTPS`, async (context) => {
      const journey = await open(context, verb);
      const { udp, direction } = journey;
      const relay = await farAway(journey);
      const run = startFar(journey, relay, []);
      await udp.passed(direction, SIZE / 4);
      udp.weather.dark = { up: true, down: true };
      relay.weather.delayMs = 0;
      await arrives(journey, 'https', run);
    });

    test(`${verb}: packets of full size that vanish in the middle are noticed though control comes through`, async (context) => {
      const journey = await open(context, verb);
      const relay = await farAway(journey);
      const run = startFar(journey, relay, []);
      await journey.udp.passed(journey.direction, SIZE / 4);
      journey.udp.weather.mostBytes = 1272;
      relay.weather.delayMs = 0;
      await arrives(journey, 'https', run);
      assert.ok(journey.udp.counts.tooLarge > 0);
    });

    test(`${verb}: the server is killed and started again in the middle`, async (context) => {
      const journey = await open(context, verb);
      const { server, udp, direction } = journey;
      const run = start(journey, LANE);
      await udp.passed(direction, SIZE / 3);
      await server.kill();
      await server.start();
      const ended = await arrives(journey, 'lane', run);
      assert.ok(notices(ended).length > 0, 'it was noticed');
    });

    test(`${verb}: the client is killed and run again, and sends only what is missing`, async (context) => {
      const journey = await open(context, verb);
      const run = start(journey, [...LANE, '--limit-rate', '4MB/s']);
      const { bytesDone } = await run.event(({ event, bytesDone }) => event === 'progress' && bytesDone > SIZE / 4);
      await run.kill();
      const ended = await arrives(journey, 'lane', start(journey, LANE));
      assert.ok(
        lastEvent(ended).bytesSent <= SIZE - bytesDone + MIB,
        `${lastEvent(ended).bytesSent} of ${SIZE} after ${bytesDone}`,
      );
    });

    test(`${verb}: paused, resumed, and held to a rate`, async (context) => {
      const journey = await open(context, verb);
      const { world, server, udp, direction } = journey;
      const run = start(journey, [...LANE, '--limit-rate', '4MB/s']);
      await udp.passed(direction, MIB);
      // However long it takes to pause it, it cannot be over.
      udp.weather.dark = { up: true, down: true };
      const { transfer } = await run.event(({ event }) => event === 'start');
      await world.expect(server, ['pause', transfer]);
      udp.weather.dark = { up: false, down: false };
      await run.event(({ event, code }) => event === 'notice' && code === 'transfer_paused');
      await world.expect(server, ['resume', transfer]);
      const ended = await arrives(journey, 'lane', run);
      assert.ok(lastEvent(ended).elapsedMs > ((SIZE - 4 * MIB) / 4e6) * 1000, `${lastEvent(ended).elapsedMs} ms`);
      assert.ok(udp.bytes[direction] >= SIZE);
    });
  }

  test('cancelled in the middle', async (context) => {
    const journey = await open(context, 'put');
    const run = start(journey, [...LANE, '--limit-rate', '2MB/s']);
    const { transfer } = await run.event(({ event }) => event === 'start');
    await run.event(({ event, bytesDone }) => event === 'progress' && bytesDone > 0);
    await journey.world.expect(journey.server, ['cancel', transfer]);
    const ended = await run.ended;
    assert.equal(ended.code, 1, told(ended));
    assert.equal(lastEvent(ended).code, 'transfer_cancelled');
  });

  test('an outage of everything is waited out', async (context) => {
    const journey = await open(context, 'put');
    const { udp } = journey;
    const relay = await farAway(journey);
    const run = startFar(journey, relay, ['--limit-rate', '3MB/s']);
    await run.event(({ event, path, bytesDone }) => event === 'progress' && path.transport === 'lane' && bytesDone > MIB);
    udp.weather.dark = { up: true, down: true };
    relay.weather.refusing = true;
    relay.weather.delayMs = 0;
    relay.cut('reset');
    await run.event(({ event, code }) => event === 'notice' && code === 'unreachable');
    udp.weather.dark = { up: false, down: false };
    relay.weather.refusing = false;
    const ended = await run.ended;
    assert.equal(ended.code, 0, told(ended));
    await assertSameFile(journey.target, journey.source);
  });

  test('where UDP is blocked, HTTPS does it and says why; the lane alone fails soon, with 7', async (context) => {
    const journey = await open(context, 'put');
    const { server, udp } = journey;
    udp.weather.dark = { up: true, down: true };
    const relay = await farAway(journey);
    // Slow enough that the lane is given up before the transfer is done.
    relay.weather.bytesPerSecond = 64 * KIB;
    const run = startFar(journey, relay, []);
    const alone = start({ ...journey, args: ['put', '--json', journey.source, '/alone'] }, LANE, { machine: 'another' });
    await run.event(({ event, path }) => event === 'progress' && /no answer over UDP/.test(path.laneRefused ?? ''));
    relay.weather.bytesPerSecond = null;
    relay.weather.delayMs = 0;
    await arrives(journey, 'https', run);
    const ended = await alone.ended;
    assert.equal(ended.code, 7, told(ended));
    assert.match(told(ended), /no answer over UDP .* a firewall on the way may drop UDP/);
    assert.deepEqual(notices(ended), [], 'it was not tried again and again');
    assert.deepEqual(await lanesOf(server), [], 'nothing stays open');
  });

  test('a lane to a server that is known opens without a word over TCP', async (context) => {
    const journey = await open(context, 'put');
    const relay = await farAway(journey);
    await arrives(journey, 'lane', startFar(journey, relay, []));
    relay.weather.refusing = true;
    const { accepted } = relay;
    writeContent(journey.source, SIZE, 4);
    await arrives(journey, 'lane', startFar(journey, relay, LANE));
    assert.equal(relay.accepted, accepted);
  });

  test('get: the server is told what the last one received at', async (context) => {
    const traces = mkdtempSync(join(tmpdir(), 'hawser-lane-told-'));
    context.after(() => rmSync(traces, { recursive: true }));
    const journey = await open(context, 'get', { serve: ['--lane-trace', traces] });
    const lanes = journey.world.path('home', '.local', 'state', 'hawser', 'lanes');
    const seen = new Set<string>();
    let remembered: number | undefined;
    for (let times = 0; times < 2; times++) {
      await arrives(journey, 'lane', start(journey, LANE));
      rmSync(journey.target);
      // On a busy machine a lane may have been opened twice, and one of the two let go.
      const news = readdirSync(traces).filter((name) => !seen.has(name));
      assert.ok(news.length > 0);
      for (const name of news) {
        seen.add(name);
        const told = /"path:remembered","data":\{"path":0,"bytesPerSecond":(\d+),/.exec(readFileSync(join(traces, name), 'utf8'));
        assert.equal(told ? Number(told[1]) : undefined, remembered);
      }
      remembered = JSON.parse(readFileSync(join(lanes, readdirSync(lanes)[0]!), 'utf8')).received.bytesPerSecond;
      assert.ok(remembered! > 0);
    }
  });

  test('a lane that is expected and does not open: HTTPS does it', async (context) => {
    const journey = await open(context, 'put');
    const relay = await farAway(journey);
    await login(journey, relay);
    journey.udp.weather.dark = { up: true, down: true };
    relay.weather.delayMs = 0;
    await arrives(journey, 'https', startFar(journey, relay, []));
  });

  test('a server that was started again takes the tickets that it gave before', async (context) => {
    const journey = await open(context, 'put');
    const relay = await farAway(journey);
    await login(journey, relay);
    await journey.server.kill();
    await journey.server.start();
    relay.weather.refusing = true;
    const { accepted } = relay;
    await arrives(journey, 'lane', startFar(journey, relay, []));
    assert.equal(relay.accepted, accepted);
  });

  test('where only small packets come through, no lane is opened', async (context) => {
    const journey = await open(context, 'put');
    journey.udp.weather.mostBytes = 1300;
    const ended = await start(journey, LANE).ended;
    assert.equal(ended.code, 7, told(ended));
    assert.ok(journey.udp.counts.tooLarge > 0);
  });

  test('a server that is told to stop closes its lanes, ends with 0, and the transfer goes on against the next', async (context) => {
    const journey = await open(context, 'put');
    const { server } = journey;
    const run = start(journey, [...LANE, '--limit-rate', '4MB/s']);
    await run.event(({ event, bytesDone }) => event === 'progress' && bytesDone > SIZE / 4);
    const ended = await server.kill('SIGTERM');
    assert.equal(ended.code, 0, told(ended));
    await server.start();
    await arrives(journey, 'lane', run);
  });

  test('strangers hear nothing from the UDP port, whatever they send there', async (context) => {
    const journey = await open(context, 'put');
    const stranger = createSocket('udp4').bind(0, '127.0.0.1');
    journey.world.onClose(() => stranger.close());
    await once(stranger, 'listening');
    let heard = 0;
    stranger.on('message', () => heard++);
    const run = start(journey, LANE);
    await journey.udp.passed('up', SIZE / 4);
    for (let bytes = 0; bytes <= 1400; bytes += 10) {
      const datagram = content(bytes, bytes);
      if (bytes > 0) datagram[0] = (bytes & 1 ? 0x40 : 0x50) | (bytes & 0x0f);
      stranger.send(datagram, journey.udp.weather.port, '127.0.0.1');
    }
    await arrives(journey, 'lane', run);
    assert.equal(heard, 0);
  });

  test('nine commands in a row leave no lane behind, where eight are allowed', async (context) => {
    const { world, server } = await open(context, 'put');
    writeContent(world.path('small'), 1000, 1);
    for (let round = 0; round < 9; round++) await world.expect(server, ['put', ...LANE, world.path('small'), `/small${round}`]);
    assert.deepEqual(await lanesOf(server), []);
  });

  test('--lane off: none is offered, and who wants nothing else is told', async (context) => {
    const world = openWorld(context);
    const server = await world.startServer({ args: ['--lane', 'off'] });
    writeContent(world.path('f'), MIB, 1);
    assert.deepEqual((await world.client(server).capabilities()).transports, [{ name: 'https' }]);
    const { stderr } = await world.expect(server, ['put', ...LANE, world.path('f'), '/f'], { exit: 1 });
    assert.match(stderr, /offers no lane/);
    await world.expect(server, ['put', world.path('f'), '/f']);
  });

  test('to this machine itself nothing of a lane is begun', async (context) => {
    const journey = await open(context, 'put');
    const ended = await arrives(journey, 'https', start(journey, []));
    for (const { event, path } of ended.events)
      if (event === 'progress') assert.deepEqual([path.transport, path.laneRefused], ['https', undefined]);
    assert.deepEqual(journey.udp.bytes, { up: 0, down: 0 });
    // The server's UDP port is bound with the first lane.
    const taken = createSocket('udp4').bind(journey.udp.weather.port, '127.0.0.1');
    await once(taken, 'listening');
    taken.close();
  });
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

/** A way to the server over TCP that takes long, by an address that does not look like this machine's own. */
async function farAway({ world, server }: Journey): Promise<Relay> {
  const relay = await world.relay(server);
  relay.weather.delayMs = 60;
  return relay;
}

const farUrl = ({ port }: Relay): string => `https://[::ffff:127.0.0.1]:${port}`;

function startFar(journey: Journey, relay: Relay, more: readonly string[]): Run {
  return start(journey, more, { env: { HAWSER_URL: farUrl(relay) } });
}

/** Over the relay. From then on there is a ticket. */
async function login({ world, server }: Journey, relay: Relay): Promise<void> {
  await world.expect(server, ['login', farUrl(relay), '--fingerprint', server.fingerprint!]);
}

async function lanesOf({ port, fingerprint, token }: Server): Promise<unknown[]> {
  const transport = createHttpTransport({ url: `https://127.0.0.1:${port}`, fingerprint: fingerprint! });
  const headers = { authorization: `Bearer ${token}` };
  const { body } = await transport.request({ method: 'GET', target: '/api/v1/lanes', headers });
  let text = '';
  for await (const piece of body) text += Buffer.from(piece).toString();
  await transport.close();
  // One that was granted twice, because the first answer was late, is never used.
  return JSON.parse(text).lanes.filter(({ peer }: { peer: string }) => peer !== '');
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
