/** Steering a running transfer from outside: pause, resume, cancel, and the end of the server that it talks to. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { assertSameFile, leftovers, MIB, writeContent } from './content.ts';
import { openWorld, type Run, type Server, told, type World } from './fixture.ts';
import type { Relay } from './relay.ts';

const SIZE = 16 * MIB;

interface Journey {
  readonly world: World;
  readonly server: Server;
  readonly relay: Relay;
  readonly run: Run;
  readonly transfer: string;
  readonly source: string;
  readonly target: string;
}

describe('control', { concurrency: 3 }, () => {
  for (const verb of ['put', 'get'] as const) {
    test(`${verb}: paused and resumed from another process`, async (context) => {
      const journey = await underWay(context, verb);
      const { world, server, relay, run, transfer } = journey;
      await world.expect(server, ['pause', transfer]);
      await run.event(({ event, code }) => event === 'notice' && code === 'transfer_paused');
      const { transfers } = await status(world, server);
      assert.deepEqual(
        transfers.map(({ id, state }: { id: string; state: string }) => [id, state]),
        [[transfer, 'paused']],
      );
      assert.equal(existsSync(journey.target), false);
      relay.weather.bytesPerSecond = null;
      await world.expect(server, ['resume', transfer], { machine: 'another' });
      await arrives(journey);
      assert.ok(
        (await run.ended).events.some(({ event, code }) => event === 'notice' && code === 'transfer_resumed'),
        'going on is told',
      );
    });

    test(`${verb}: paused and resumed over the API, twice`, async (context) => {
      const journey = await underWay(context, verb);
      const { world, server, relay, run, transfer } = journey;
      const client = world.client(server);
      for (let round = 1; round <= 2; round++) {
        assert.equal((await client.pause(transfer)).state, 'paused');
        await nthNotice(run, 'transfer_paused', round);
        assert.equal((await client.resume(transfer)).state, 'active');
        await nthNotice(run, 'transfer_resumed', round);
      }
      relay.weather.bytesPerSecond = null;
      await arrives(journey);
      assert.equal((await client.getTransfer(transfer)).state, 'done');
    });

    test(`${verb}: cancelled from another process, its space is free at once`, async (context) => {
      const journey = await underWay(context, verb);
      const { world, server, run, transfer, target } = journey;
      const before = await status(world, server);
      assert.equal(before.transfers[0]?.id, transfer, 'it is listed while it runs');
      if (verb === 'put') assert.equal(readdirSync(join(server.dir, '.hawser', 'staging')).length, 1);
      await world.expect(server, ['cancel', transfer]);
      assert.deepEqual(readdirSync(join(server.dir, '.hawser', 'staging')), []);
      const after = await status(world, server);
      assert.deepEqual([after.transfers, after.uploads], [[], []]);
      const ended = await run.ended;
      assert.equal(ended.code, 1, told(ended));
      assert.equal(ended.events.at(-1)?.code, 'transfer_cancelled');
      assert.equal(existsSync(target), false);
      assert.equal((await world.client(server).getTransfer(transfer)).state, 'cancelled');
      const { stdout } = await world.expect(server, ['history']);
      assert.match(stdout.toString(), /cancelled/);
    });

    test(`${verb}: a killed one is cancelled, and its command begins anew`, async (context) => {
      const journey = await underWay(context, verb);
      const { world, server, run, transfer, source, target } = journey;
      await run.kill();
      await world.client(server).cancel(transfer);
      assert.deepEqual(readdirSync(join(server.dir, '.hawser', 'staging')), []);
      await world.expect(server, [verb, ...argsOf(journey, verb)]);
      await assertSameFile(target, source);
    });

    test(`${verb}: SIGTERM ends the server with 0 within 10 s, and it goes on against the next`, async (context) => {
      const journey = await underWay(context, verb);
      const { server, relay } = journey;
      const startedMs = performance.now();
      const ended = await server.kill('SIGTERM');
      assert.equal(ended.code, 0, told(ended));
      assert.ok(performance.now() - startedMs < 10_000 + STARTUP_MS, 'the limit that the manual gives');
      assert.equal(existsSync(journey.target), false);
      relay.weather.bytesPerSecond = null;
      await server.start();
      await arrives(journey);
    });
  }

  test('status lists what a killed client left, with the time it expires', async (context) => {
    const { world, server, run } = await underWay(context, 'put');
    await run.kill();
    const { uploads, interrupted } = await status(world, server);
    assert.equal(uploads.length, 1);
    assert.equal(uploads[0].path, '/in/film.mxf');
    assert.ok(uploads[0].safeBytes > 0 && uploads[0].safeBytes < SIZE);
    assert.ok(Date.parse(uploads[0].expires) > Date.now());
    assert.equal(interrupted.length, 1, 'and the command that this machine can run again');
    const text = (await world.expect(server, ['status'])).stdout.toString();
    assert.match(text, /film\.mxf/);
  });
});

async function underWay(context: TestContext, verb: 'put' | 'get'): Promise<Journey> {
  const world = openWorld(context);
  const server = await world.startServer();
  const relay = await world.relay(server);
  const local = world.path('here', 'film.mxf');
  const published = join(server.dir, 'in', 'film.mxf');
  const [source, target] = verb === 'put' ? [local, published] : [published, local];
  writeContent(source, SIZE, 6);
  mkdirSync(world.path('here'), { recursive: true });
  relay.weather.bytesPerSecond = MIB;
  const paths = verb === 'put' ? [local, '/in/film.mxf'] : ['/in/film.mxf', local];
  const run = world.hawser(server, [verb, '--json', '--parallel', '2', '--chunk-size', '1MiB', ...paths], { via: relay });
  const { transfer } = await run.event(({ event }) => event === 'start');
  await run.event(({ event, bytesDone }) => event === 'progress' && bytesDone > 0);
  return { world, server, relay, run, transfer, source, target };
}

const argsOf = ({ source, target }: Journey, verb: 'put' | 'get'): string[] =>
  verb === 'put' ? [source, '/in/film.mxf'] : ['/in/film.mxf', target];

async function arrives({ world, run, source, target }: Journey): Promise<void> {
  const ended = await run.ended;
  assert.equal(ended.code, 0, told(ended));
  await assertSameFile(target, source);
  assert.deepEqual(leftovers(world.folder), []);
}

async function nthNotice(run: Run, wanted: string, nth: number): Promise<void> {
  let seen = 0;
  await run.event(({ event, code }) => event === 'notice' && code === wanted && ++seen === nth);
}

async function status(world: World, server: Server) {
  const { stdout } = await world.expect(server, ['status', '--json']);
  return JSON.parse(stdout.toString());
}

/** The process is asked before it has loaded everything it needs to stop, and the machine is busy. */
const STARTUP_MS = 1000;
