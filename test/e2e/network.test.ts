/** Bad weather between client and server: it stalls, cuts, corrupts and goes away, and the file arrives all the same. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { createApi } from '../../src/client/api.ts';
import type { TransferEvent } from '../../src/client/contract.ts';
import { runGet } from '../../src/client/get.ts';
import { runPut } from '../../src/client/put.ts';
import { createHttpTransport } from '../../src/transport/https.ts';
import { assertSameFile, KIB, MIB, writeContent } from './content.ts';
import { type Ended, openWorld, type Server, told, type World } from './fixture.ts';
import type { Direction, Relay } from './relay.ts';
import { seeded } from './seed.ts';

const SIZE = 16 * MIB;

interface Journey {
  readonly world: World;
  readonly server: Server;
  readonly relay: Relay;
  readonly verb: 'put' | 'get';
  readonly source: string;
  readonly target: string;
  readonly remote: string;
  readonly local: string;
  /** Which way the content goes. */
  readonly direction: Direction;
}

describe('bad weather', { concurrency: 3 }, () => {
  for (const verb of ['put', 'get'] as const) {
    for (const stalled of ['up', 'down', 'both'] as const) {
      test(`${verb}: silence (${stalled}) for longer than the watchdog allows becomes a retry`, async (context) => {
        const journey = await open(context, verb);
        const { relay } = journey;
        const { promise: heard, resolve: hear } = Promise.withResolvers<void>();
        const running = impatiently(journey, (event) => {
          if (event.type === 'notice' && event.code === 'stalled') hear();
        });
        await relay.passed(journey.direction, SIZE / 4);
        relay.stall(stalled === 'both' ? undefined : stalled);
        await Promise.race([heard, running.then(() => assert.fail('it ended in spite of the silence'))]);
        relay.flow();
        await running;
        await assertSameFile(journey.target, journey.source);
      });
    }

    test(`${verb}: connections that are reset every 2 MiB only cost what was under way`, async (context) => {
      const journey = await open(context, verb);
      const { relay, direction } = journey;
      relay.weather.cutEveryBytes = 2 * MIB;
      await arrives(journey);
      assert.ok(relay.cuts >= 4, `${relay.cuts} connections were cut`);
      assert.ok(relay.bytes[direction] < 3 * SIZE, `${relay.bytes[direction]} bytes passed for ${SIZE}`);
    });

    test(`${verb}: flipped bits in plain HTTP are found by the block digests, and the blocks sent again`, async (context) => {
      const journey = await open(context, verb, { http: true });
      const { relay, direction } = journey;
      relay.weather.corruption = { direction, everyBytes: MIB, contentOnly: true, random: seeded(context), most: 12 };
      const { events } = await arrives(journey);
      assert.ok(relay.corrupted > 0);
      context.diagnostic(`${relay.corrupted} bits flipped`);
      assert.ok(
        events.some(({ event, code }) => event === 'notice' && code === 'block_mismatch'),
        'the reason is told',
      );
    });

    test(`${verb}: flipped bits under TLS cost the connection, and it goes on over another`, async (context) => {
      const journey = await open(context, verb);
      const { relay, direction } = journey;
      relay.weather.corruption = { direction, everyBytes: 2 * MIB, contentOnly: false, random: seeded(context), most: 8 };
      await arrives(journey);
      assert.ok(relay.corrupted > 0);
      context.diagnostic(`${relay.corrupted} bits flipped`);
    });

    test(`${verb}: an outage is waited out, and told with its reason`, async (context) => {
      const journey = await open(context, verb);
      const { relay } = journey;
      const run = start(journey);
      await relay.passed(journey.direction, SIZE / 4);
      relay.weather.refusing = true;
      relay.cut('reset');
      await run.event(({ event, code, retryInMs }) => event === 'notice' && code === 'unreachable' && retryInMs > 500);
      assert.equal(existsSync(journey.target), false);
      relay.weather.refusing = false;
      const ended = await run.ended;
      assert.equal(ended.code, 0, told(ended));
      await assertSameFile(journey.target, journey.source);
    });

    test(`${verb}: a slow and long link changes nothing but the time`, async (context) => {
      const journey = await open(context, verb);
      journey.relay.weather.delayMs = 40;
      await arrives(journey);
    });
  }

  test('put: on a slow link what is on its way is told before the first block is safe', async (context) => {
    const journey = await open(context, 'put');
    journey.relay.weather.bytesPerSecond = 32 * KIB;
    const run = start(journey);
    const { bytesDone } = await run.event(({ event, bytesUnderway }) => event === 'progress' && bytesUnderway > 0);
    assert.equal(bytesDone, 0);
    journey.relay.weather.bytesPerSecond = null;
    const ended = await run.ended;
    assert.equal(ended.code, 0, told(ended));
    const shown = ended.events.filter(({ event }) => event === 'progress').map((each) => each.bytesDone + each.bytesUnderway);
    assert.deepEqual(
      shown,
      shown.toSorted((a, b) => a - b),
    );
  });

  test('a bit flipped in the very first answers is one more reason to try again', async (context) => {
    const journey = await open(context, 'put');
    const { relay } = journey;
    relay.weather.corruption = { direction: 'down', everyBytes: 1, contentOnly: false, random: seeded(context), most: 2 };
    await arrives(journey);
    assert.equal(relay.corrupted, 2);
  });

  test('a half-dead client does not lock the upload for another', async (context) => {
    const journey = await open(context, 'put');
    const { world, server, relay } = journey;
    const first = start(journey);
    await relay.passed('up', SIZE / 4);
    relay.stall();
    await world.expect(server, ['put', '--json', journey.local, journey.remote], { machine: 'another' });
    await assertSameFile(journey.target, journey.source);
    relay.flow();
    const ended = await first.ended;
    assert.equal(ended.code, 1, told(ended));
    assert.equal(ended.events.at(-1)?.code, 'superseded', told(ended));
    await assertSameFile(journey.target, journey.source);
  });

  test('of two clients that put the same name at once, one tells that it was superseded', async (context) => {
    const journey = await open(context, 'put');
    const { world, server, relay } = journey;
    relay.weather.bytesPerSecond = 2 * MIB;
    const first = start(journey);
    await relay.passed('up', SIZE / 4);
    await world.expect(server, ['put', '--json', journey.local, journey.remote], { machine: 'another' });
    await assertSameFile(journey.target, journey.source);
    relay.weather.bytesPerSecond = null;
    const ended = await first.ended;
    assert.ok(ended.code === 1, `the older client gives way:\n${told(ended)}`);
    assert.equal(ended.events.at(-1)?.code, 'superseded');
    await assertSameFile(journey.target, journey.source);
  });
});

async function open(context: TestContext, verb: 'put' | 'get', { http = false } = {}): Promise<Journey> {
  const world = openWorld(context);
  const server = await world.startServer({ http });
  const relay = await world.relay(server);
  const local = world.path('here', 'film.mxf');
  const published = join(server.dir, 'in', 'film.mxf');
  const [source, target] = verb === 'put' ? [local, published] : [published, local];
  writeContent(source, SIZE, 3, { marked: true });
  mkdirSync(world.path('here'), { recursive: true });
  const direction = verb === 'put' ? 'up' : 'down';
  return { world, server, relay, verb, source, target, remote: '/in/film.mxf', local, direction };
}

function start({ world, server, relay, verb, remote, local }: Journey) {
  return world.hawser(server, [verb, '--json', ...(verb === 'put' ? [local, remote] : [remote, local])], { via: relay });
}

async function arrives(journey: Journey): Promise<Ended> {
  const ended = await start(journey).ended;
  assert.equal(ended.code, 0, told(ended));
  await assertSameFile(journey.target, journey.source);
  return ended;
}

/** The same transfer in this process, whose watchdog need not be waited for as long as the real one. */
async function impatiently(journey: Journey, onEvent: (event: TransferEvent) => void): Promise<void> {
  const { world, server, relay, verb, remote, local } = journey;
  const transport = createHttpTransport({ url: `https://127.0.0.1:${relay.port}`, fingerprint: server.fingerprint! });
  const hasty = {
    ...transport,
    request: (request: Parameters<typeof transport.request>[0]) =>
      transport.request({ ...request, stallMs: PATIENCE_MS, answerMs: PATIENCE_MS }),
  };
  const api = createApi(hasty, { prefix: '', token: server.token });
  const options = { onEvent, stateFolder: world.path('state'), chunkBytes: 512 * KIB };
  try {
    await (verb === 'put' ? runPut(api, [local], remote, options) : runGet(api, [remote], local, options));
  } finally {
    transport.close();
  }
}

const PATIENCE_MS = 1500;
