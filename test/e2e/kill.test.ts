/** kill -9 of either side, at points drawn from a seed, again and again until it is done: nothing lost, nothing half visible. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { assertSameFile, digestOf, leftovers, listTree, MIB, writeContent } from './content.ts';
import { lastEvent, openWorld, type Server, told, type World } from './fixture.ts';
import type { Direction, Relay } from './relay.ts';
import { type Random, seeded } from './seed.ts';

const SIZE = 24 * MIB;
const SMALL_FILES = 300;

interface Journey {
  readonly verb: 'put' | 'get';
  readonly args: readonly string[];
  /** Which way the content goes. */
  readonly direction: Direction;
  readonly source: string;
  readonly target: string;
}

describe('kill -9', { concurrency: 3 }, () => {
  for (const verb of ['put', 'get'] as const) {
    for (const victim of ['client', 'server'] as const) {
      test(`${verb}: the ${victim} is killed until it is done`, async (context) => {
        const world = openWorld(context);
        const random = seeded(context);
        const server = await world.startServer();
        const relay = await world.relay(server);
        const journey = prepare(world, server, verb);
        const expected = await digestOf(journey.source);
        const kills = await killUntilDone(world, { server, relay, journey, random, bytes: SIZE, victims: [victim] }, async () => {
          if (existsSync(journey.target))
            assert.equal(await digestOf(journey.target), expected, 'whole as soon as it is visible');
        });
        context.diagnostic(`${kills} kills`);
        await assertSameFile(journey.target, journey.source);
        assertNothingLeft(world, server);
      });
    }
  }

  test('a folder of small files survives kills of both sides', async (context) => {
    const world = openWorld(context);
    const random = seeded(context);
    const server = await world.startServer();
    const relay = await world.relay(server);
    for (let index = 0; index < SMALL_FILES; index++) {
      writeContent(world.path('tree', `d${index % 7}`, `f${index}`), random.between(0, 30_000), index);
    }
    const sent = listTree(world.path('tree'));
    const journeys: Journey[] = [
      { verb: 'put', args: [world.path('tree'), '/'], direction: 'up', source: '', target: join(server.dir, 'tree') },
      { verb: 'get', args: ['/tree', world.path('back/')], direction: 'down', source: '', target: world.path('back', 'tree') },
    ];
    for (const journey of journeys) {
      const victims = ['client', 'server'] as const;
      const kills = await killUntilDone(world, { server, relay, journey, random, bytes: 4 * MIB, victims }, async () => {
        if (!existsSync(journey.target)) return;
        for (const [path, { kind, content }] of listTree(journey.target)) {
          if (kind === 'file') assert.equal(content, sent.get(path)?.content, `${path} is whole as soon as it is visible`);
        }
      });
      context.diagnostic(`${journey.verb}: ${kills} kills`);
      assert.deepEqual(listTree(journey.target), sent);
    }
    assertNothingLeft(world, server);
  });

  test('what was safe before the kill is not sent again', async (context) => {
    const world = openWorld(context);
    const server = await world.startServer();
    const relay = await world.relay(server);
    for (const verb of ['put', 'get'] as const) {
      const journey = prepare(world, server, verb);
      // Slow enough for some of it to become safe before the rest has passed.
      relay.weather.bytesPerSecond = 2 * MIB;
      const run = world.hawser(server, [verb, '--json', ...journey.args], { via: relay });
      const progress = await run.event((event) => event.event === 'progress' && event.bytesDone >= SIZE / 4);
      await run.kill();
      assert.equal(existsSync(journey.target), false);
      relay.weather.bytesPerSecond = null;
      const before = relay.bytes[journey.direction];
      const again = await world.expect(server, [verb, '--json', ...journey.args], { via: relay });
      const passed = relay.bytes[journey.direction] - before;
      assert.ok(
        passed < SIZE - progress.bytesDone + OVERHEAD,
        `${verb}: ${passed} bytes passed after ${progress.bytesDone} were safe`,
      );
      assert.ok(lastEvent(again).bytesSent <= SIZE - progress.bytesDone + OVERHEAD);
      await assertSameFile(journey.target, journey.source);
    }
  });
});

function prepare(world: World, server: Server, verb: 'put' | 'get'): Journey {
  const local = world.path(verb, 'film.mxf');
  const remote = join(server.dir, verb, 'film.mxf');
  writeContent(verb === 'put' ? local : remote, SIZE, verb === 'put' ? 1 : 2);
  mkdirSync(world.path(verb), { recursive: true });
  return verb === 'put'
    ? { verb, args: [local, '/put/film.mxf'], direction: 'up', source: local, target: remote }
    : { verb, args: ['/get/film.mxf', local], direction: 'down', source: remote, target: local };
}

interface Killing {
  readonly server: Server;
  readonly relay: Relay;
  readonly journey: Journey;
  readonly random: Random;
  /** How much there is to move, about. */
  readonly bytes: number;
  /** Who dies, in turn. */
  readonly victims: readonly ('client' | 'server')[];
}

/**
 * Runs the command, kills somebody after a random number of bytes, runs it again when it was the client, until the command ends
 * by itself. `check` looks at what is visible at each death and at the end. Returns how many died.
 */
async function killUntilDone(world: World, killing: Killing, check: () => Promise<void>): Promise<number> {
  const { server, relay, journey, random, bytes, victims } = killing;
  const start = () => world.hawser(server, [journey.verb, '--json', ...journey.args], { via: relay });
  let run = start();
  for (let kills = 0; ; kills++) {
    // Farther each time, so that it ends: everything fits in between in the end.
    const reach = random.between(1, Math.ceil((bytes / 4) * (1 + kills / 2)));
    const reached = relay.passed(journey.direction, reach).then(() => 'reached' as const);
    const ended = await Promise.race([reached, run.ended]);
    if (ended !== 'reached') {
      await check();
      assert.equal(ended.code, 0, told(ended));
      return kills;
    }
    if (victims[kills % victims.length] === 'client') {
      await run.kill();
      await check();
      run = start();
    } else {
      await server.kill();
      await check();
      await server.start();
    }
  }
}

function assertNothingLeft(world: World, server: Server): void {
  assert.deepEqual(leftovers(world.folder), [], 'no partial file stays behind');
  assert.deepEqual(readdirSync(join(server.dir, '.hawser', 'staging')), [], 'nothing stays staged');
}

/** TLS, HTTP, frame headers, digests, and a block or two that were under way. */
const OVERHEAD = MIB;
