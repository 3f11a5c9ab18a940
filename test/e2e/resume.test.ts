/** Going on where it stopped: from another machine, with a source that changed, by `hawser resume`. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { assertSameFile, content, KIB, MIB, writeContent } from './content.ts';
import { type Ended, lastEvent, openWorld, type RunOptions, type Server, told, type World } from './fixture.ts';
import type { Relay } from './relay.ts';
import { seeded } from './seed.ts';

const SIZE = 24 * MIB;
/** Of a file of SIZE bytes. */
const BLOCK = 256 * KIB;
/** TLS, HTTP, frame headers, digests, and what was under way. */
const OVERHEAD = MIB;

interface Halfway {
  readonly world: World;
  readonly server: Server;
  readonly relay: Relay;
  readonly verb: 'put' | 'get';
  readonly source: string;
  readonly target: string;
  readonly args: readonly string[];
  /** Bytes that were safe at the receiver when it was killed. */
  readonly safeBytes: number;
  readonly transfer: string;
}

describe('resuming', { concurrency: 2 }, () => {
  test('another machine goes on with what the first has sent', async (context) => {
    const half = await halfway(context, 'put');
    const { world } = half;
    fs.mkdirSync(world.path('elsewhere'));
    fs.copyFileSync(half.source, world.path('elsewhere', 'copy'));
    const { passed } = await goOn(half, ['put', '--json', world.path('elsewhere', 'copy'), '/in/film.mxf'], {
      machine: 'another',
    });
    assert.ok(passed < SIZE - half.safeBytes + OVERHEAD, `${passed} bytes passed after ${half.safeBytes} were safe`);
  });

  for (const verb of ['put', 'get'] as const) {
    test(`${verb}: of a source that changed meanwhile only what differs moves again`, async (context) => {
      const half = await halfway(context, verb);
      const random = seeded(context);
      // In the middle of a block of the first half, most of which is safe already.
      const at = random.between(0, SIZE / 4 / BLOCK) * BLOCK + random.between(0, BLOCK - 100);
      overwrite(half.source, at, content(100, random.between(1, 1e9)));
      const { ended, passed } = await goOn(half, half.args);
      assert.ok(
        ended.events.some(({ event, code }) => event === 'notice' && code === 'source_changed'),
        'the change is told',
      );
      assert.ok(passed < SIZE - half.safeBytes + BLOCK + OVERHEAD, `${passed} bytes passed after ${half.safeBytes} were safe`);
    });

    test(`${verb}: a source that grew keeps what is still equal`, async (context) => {
      const half = await halfway(context, verb);
      fs.appendFileSync(half.source, content(3 * MIB + 17, 5));
      const { passed } = await goOn(half, half.args);
      assert.ok(passed < SIZE + 3 * MIB - half.safeBytes + OVERHEAD, `${passed} bytes passed after ${half.safeBytes} were safe`);
    });

    test(`${verb}: a source that shrank is sent as it is now`, async (context) => {
      const half = await halfway(context, verb);
      fs.truncateSync(half.source, 9 * MIB + 3);
      await goOn(half, half.args);
    });

    test(`${verb}: "hawser resume" runs the killed command again`, async (context) => {
      const half = await halfway(context, verb);
      const { stdout } = await half.world.expect(half.server, ['resume', '--list', '--json'], { via: half.relay });
      assert.equal(JSON.parse(stdout.toString()).transfer, half.transfer);
      const { passed } = await goOn(half, ['resume']);
      assert.ok(passed < SIZE - half.safeBytes + OVERHEAD, `${passed} bytes passed after ${half.safeBytes} were safe`);
      const after = await half.world.expect(half.server, ['resume', '--list', '--json'], { via: half.relay });
      assert.equal(after.stdout.toString(), '', 'nothing is left to resume');
    });

    test(`${verb}: Ctrl-C ends with 130 and prints the line that goes on`, async (context) => {
      const world = openWorld(context);
      const { server, relay, args, source, target } = await prepare(world, verb);
      relay.weather.bytesPerSecond = 2 * MIB;
      const run = world.hawser(server, [verb, ...args], { via: relay });
      await relay.passed(verb === 'put' ? 'up' : 'down', SIZE / 4);
      const ended = await run.kill('SIGINT');
      assert.equal(ended.code, 130, told(ended));
      const line = /hawser (resume \S+)/.exec(ended.stderr)?.[1];
      assert.ok(line, `the line is printed:\n${ended.stderr}`);
      assert.equal(fs.existsSync(target), false);
      relay.weather.bytesPerSecond = null;
      await world.expect(server, line.split(' '), { via: relay });
      await assertSameFile(target, source);
    });
  }

  test('a file that changes again and again while it is put arrives as it is at the end, or is reported', async (context) => {
    const world = openWorld(context);
    const random = seeded(context);
    const { server, relay, args, source, target } = await prepare(world, 'put');
    const run = world.hawser(server, ['put', '--json', ...args], { via: relay });
    for (let change = 0; change < 2; change++) {
      const reached = await Promise.race([relay.passed('up', random.between(MIB, SIZE / 2)).then(() => true), run.ended]);
      if (reached !== true) break;
      overwrite(source, random.between(0, SIZE - BLOCK), content(random.between(1, BLOCK), change));
    }
    const ended = await run.ended;
    if (ended.code === 0) await assertSameFile(target, source);
    else assert.equal(lastEvent(ended).code, 'source_changed', told(ended));
    await world.expect(server, ['put', ...args]);
    await assertSameFile(target, source);
  });
});

async function prepare(world: World, verb: 'put' | 'get') {
  const server = await world.startServer();
  const relay = await world.relay(server);
  const local = world.path('here', 'film.mxf');
  const published = join(server.dir, 'in', 'film.mxf');
  const [source, target] = verb === 'put' ? [local, published] : [published, local];
  writeContent(source, SIZE, 4);
  fs.mkdirSync(world.path('here'), { recursive: true });
  const args = verb === 'put' ? [local, '/in/film.mxf'] : ['/in/film.mxf', local];
  return { server, relay, args, source, target };
}

/** A transfer whose client was killed when a quarter or more was safe. */
async function halfway(context: TestContext, verb: 'put' | 'get'): Promise<Halfway> {
  const world = openWorld(context);
  const { server, relay, args, source, target } = await prepare(world, verb);
  // Slow enough for some of it to become safe before the rest has passed.
  relay.weather.bytesPerSecond = 3 * MIB;
  const run = world.hawser(server, [verb, '--json', ...args], { via: relay });
  const { transfer } = await run.event(({ event }) => event === 'start');
  const { bytesDone } = await run.event(({ event, bytesDone }) => event === 'progress' && bytesDone >= SIZE / 4);
  await run.kill();
  assert.equal(fs.existsSync(target), false);
  relay.weather.bytesPerSecond = null;
  return { world, server, relay, verb, source, target, args: [verb, '--json', ...args], safeBytes: bytesDone, transfer };
}

/** Runs the command; `passed` is what it moved in the direction of the content. */
async function goOn(half: Halfway, args: readonly string[], options: RunOptions = {}): Promise<{ ended: Ended; passed: number }> {
  const { world, server, relay, verb } = half;
  const direction = verb === 'put' ? 'up' : 'down';
  const before = relay.bytes[direction];
  const ended = await world.expect(server, args, { via: relay, ...options });
  await assertSameFile(half.target, half.source);
  return { ended, passed: relay.bytes[direction] - before };
}

function overwrite(file: string, at: number, bytes: Buffer): void {
  const handle = fs.openSync(file, 'r+');
  fs.writeSync(handle, bytes, 0, bytes.length, at);
  fs.closeSync(handle);
}
