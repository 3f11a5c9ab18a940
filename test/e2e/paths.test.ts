/** Several networks at once over HTTPS: two addresses of this machine stand for them, and a relay tells them apart. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { assertSameFile, MIB, writeContent } from './content.ts';
import { type Event, openWorld, type Server, told, type World } from './fixture.ts';
import type { Direction, Relay } from './relay.ts';

const SIZE = 24 * MIB;
const FIRST = '127.0.0.1';
const SECOND = '127.0.0.2';

describe('several networks over HTTPS', {
  concurrency: 2,
  skip: process.platform !== 'linux' && 'has one loopback address',
}, () => {
  for (const verb of ['put', 'get'] as const) {
    test(`${verb}: both carry, and are shown`, async (context) => {
      const { relay, run, arrives } = await open(context, verb, `${FIRST},${SECOND}`);
      const { events } = (await arrives()).ended;
      for (const address of [FIRST, SECOND])
        assert.ok(relay.bytesOf(address, run.direction) > SIZE / 20, `${relay.bytesOf(address, run.direction)} by ${address}`);
      const { paths } = lastProgress(events).path;
      assert.deepEqual(
        paths.map(({ name, state, metered }: Event) => [name, state, metered]),
        [
          [FIRST, 'active', false],
          [SECOND, 'active', false],
        ],
      );
      for (const path of paths) {
        assert.ok(path.rttMs >= 0 && path.bytesPerSecond > 0, JSON.stringify(path));
        assert.ok(path[verb === 'put' ? 'sentBytes' : 'receivedBytes'] > SIZE / 20, JSON.stringify(path));
      }
    });

    test(`${verb}: one that falls silent is given up, and the other does the rest`, async (context) => {
      const { relay, run, arrives } = await open(context, verb, `${FIRST},${SECOND}`);
      await relay.passed(run.direction, SIZE / 4);
      relay.weather.silent.add(SECOND);
      const { events } = (await arrives()).ended;
      assert.deepEqual(states(lastProgress(events)), ['active', 'failed']);
      // What it held is made again at once, which nobody has to be told of.
      assert.deepEqual(
        events.filter(({ event }) => event === 'notice').map(({ code }) => code),
        [],
      );
    });

    test(`${verb}: a metered one waits, and steps in when the other is gone`, async (context) => {
      const { relay, run, arrives } = await open(context, verb, `${FIRST},${SECOND}:metered`);
      await relay.passed(run.direction, SIZE / 4);
      assert.ok(relay.bytesOf(SECOND, run.direction) < 64 * 1024, 'a greeting, no more');
      relay.weather.silent.add(FIRST);
      const { events } = (await arrives()).ended;
      const before = events.find(({ event, bytesDone }) => event === 'progress' && bytesDone > 0);
      assert.deepEqual(states(before!), ['active', 'standby']);
      assert.deepEqual(states(lastProgress(events)), ['failed', 'active']);
    });
  }

  test('one that is silent from the beginning costs seconds, not the transfer; it is taken back when it answers', async (context) => {
    const { relay, run, arrives } = await open(context, 'put', `${FIRST},${SECOND}`, (relay) => relay.weather.silent.add(FIRST));
    await run.process.event((event) => event.event === 'progress' && states(event)[0] === 'failed');
    relay.weather.bytesPerSecond = 2 * MIB;
    relay.flow();
    await run.process.event((event) => event.event === 'progress' && states(event)[0] === 'active');
    relay.weather.bytesPerSecond = null;
    await arrives();
    assert.ok(relay.bytesOf(FIRST, 'up') > MIB);
  });

  test('a server that goes away and comes back is no matter of networks', async (context) => {
    const { relay, run, server, arrives } = await open(context, 'put', `${FIRST},${SECOND}`);
    await relay.passed('up', SIZE / 4);
    await server.kill('SIGKILL');
    await run.process.event(({ event, retryInMs }) => event === 'notice' && retryInMs !== undefined);
    await server.start();
    await arrives();
  });
});

async function open(context: TestContext, verb: 'put' | 'get', paths: string, prepare: (relay: Relay) => unknown = () => null) {
  const world: World = openWorld(context);
  const server: Server = await world.startServer();
  const relay = await world.relay(server);
  const [remote, local] = [join(server.dir, 'f.bin'), world.path('here', 'f.bin')];
  const [source, target] = verb === 'put' ? [local, remote] : [remote, local];
  mkdirSync(world.path('here'), { recursive: true });
  writeContent(source, SIZE, 5);
  relay.weather.bytesPerSecond = 4 * MIB;
  prepare(relay);
  const names = verb === 'put' ? [local, '/'] : ['/f.bin', local];
  const args = [verb, '--json', '--transport', 'https', '--path', paths, ...names];
  const process = world.hawser(server, args, { via: relay });
  const direction: Direction = verb === 'put' ? 'up' : 'down';
  return {
    relay,
    server,
    run: { process, direction },
    async arrives() {
      const ended = await process.ended;
      assert.equal(ended.code, 0, told(ended));
      await assertSameFile(target, source);
      return { ended };
    },
  };
}

const states = ({ path }: Event): string[] => path.paths.map(({ state }: Event) => state);

function lastProgress(events: readonly Event[]): Event {
  const last = events.findLast(({ event }) => event === 'progress');
  assert.ok(last, 'there was progress');
  return last;
}
