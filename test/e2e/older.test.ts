/** Today's client and a server of the first version: all that it ever could do goes on working. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { assertSameFile, KIB, listTree, MIB, writeContent } from './content.ts';
import { openWorld } from './fixture.ts';
import { startOlderServer } from './older-server.ts';

describe('a server of the first version', { concurrency: 2 }, () => {
  for (const place of ['next door', 'far away'] as const) {
    test(`${place}: takes what is put there, gives it back, and lists it`, async (context) => {
      const { world, dir, hawser, refused } = await open(context, place === 'far away');
      writeContent(world.path('film'), 5 * MIB + 1, 1);
      writeContent(world.path('small'), 1000, 2);
      writeContent(world.path('tree', 'deep', 'film'), 3 * MIB, 3);
      for (let index = 0; index < 50; index++) writeContent(world.path('tree', `f${index}`), index * KIB, index);
      await hawser(['put', world.path('film'), '/film']);
      await hawser(['put', world.path('small'), '/']);
      await hawser(['put', world.path('tree'), '/in/']);
      await hawser(['put', '-', '/stream'], Buffer.alloc(2 * MIB, 7));
      await assertSameFile(join(dir, 'film'), world.path('film'));
      assert.deepEqual(listTree(join(dir, 'in', 'tree')), listTree(world.path('tree')));
      await hawser(['get', '/film', world.path('film-back')]);
      await hawser(['get', '/in/tree', world.path('tree-back')]);
      await assertSameFile(world.path('film-back'), world.path('film'));
      assert.deepEqual(listTree(world.path('tree-back')), listTree(world.path('tree')));
      const { stdout } = await hawser(['ls', '/']);
      for (const name of ['film', 'small', 'in', 'stream']) assert.match(stdout.toString(), new RegExp(`\\b${name}\\b`));
      assert.match((await hawser(['history'])).stdout.toString(), /done/);
      context.diagnostic([...new Set(refused)].join(', '));
      // What is refused is asked once by each command, and not again and again.
      assert.ok(refused.includes('POST /api/v1/transfers id'), refused.join('\n'));
      assert.ok(refused.length < 40, refused.join('\n'));
    });
  }

  test('who insists on a lane hears that the server does not know of any', async (context) => {
    const { world, hawser } = await open(context, false);
    writeContent(world.path('film'), MIB, 1);
    const { stderr } = await hawser(['put', '--transport', 'lane', world.path('film'), '/film'], undefined, 1);
    assert.match(stderr, /does not know/);
  });
});

async function open(context: TestContext, isFar: boolean) {
  const world = openWorld(context);
  const server = await world.startServer({ http: true });
  const older = await startOlderServer(server.port);
  world.onClose(() => older.close());
  const address = { http: false, port: older.port, token: server.token, fingerprint: older.fingerprint };
  const relay = await world.relay(address);
  if (isFar) relay.weather.delayMs = 20;
  // Not by an address that looks like this machine's own.
  const env: Record<string, string> = isFar ? { HAWSER_URL: `https://[::ffff:127.0.0.1]:${relay.port}` } : {};
  return {
    world,
    dir: server.dir,
    refused: older.refused,
    hawser: (args: readonly string[], input?: Uint8Array, exit = 0) =>
      world.expect(address, args, { env, exit, ...(input === undefined ? {} : { input }) }),
  };
}
