/** What the options of put and get promise, streams, what is sent only once, and sources that do not hold still. */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { assertSameFile, content, digestOf, KIB, leftovers, listTree, MIB, writeContent } from './content.ts';
import { lastEvent, openWorld, told } from './fixture.ts';
import { seeded } from './seed.ts';

const LARGE = 3 * MIB;

describe('options', { concurrency: 2 }, () => {
  for (const [kind, bytes] of [
    ['a small file', 100],
    ['a large file', LARGE],
  ] as const) {
    test(`--overwrite never, newer and always, with ${kind}, both ways`, async (context) => {
      const world = openWorld(context);
      const server = await world.startServer();
      const served = join(server.dir, 'f');
      const here = world.path('here', 'f');
      // What lies at the target is dated 2020; the source once before and once after it.
      const between = new Date('2020-01-01T00:00:00Z');
      for (const verb of ['put', 'get'] as const) {
        const [source, target] = verb === 'put' ? [here, served] : [served, here];
        const args = verb === 'put' ? [here, '/f'] : ['/f', here];
        for (const [when, year, replaced] of [
          ['never', 2024, false],
          ['newer', 2020, false],
          ['newer', 2024, true],
          ['always', 2016, true],
        ] as const) {
          writeContent(source, bytes, 1);
          fs.utimesSync(source, new Date(`${year}-01-01T00:00:00Z`), new Date(`${year}-01-01T00:00:00Z`));
          writeContent(target, bytes + 1, 2);
          fs.utimesSync(target, between, between);
          const before = await digestOf(target);
          const ended = await world.hawser(server, [verb, '--json', '--overwrite', when, ...args]).ended;
          const expected = replaced ? await digestOf(source) : before;
          assert.equal(await digestOf(target), expected, `${verb} --overwrite ${when}, source of ${year}:\n${told(ended)}`);
          if (replaced || when === 'newer' || verb === 'get') assert.equal(ended.code, 0, told(ended));
        }
      }
      assert.deepEqual(leftovers(world.folder), []);
    });
  }

  test('--exclude leaves out names and paths, both ways', async (context) => {
    const world = openWorld(context);
    const server = await world.startServer();
    for (const name of [
      'a.txt',
      'b.tmp',
      'keep/c.txt',
      'keep/d.tmp',
      'cache/e.txt',
      'deep/cache/f.txt',
      'deep/g.txt',
      '.hidden',
    ]) {
      writeContent(world.path('tree', name), 100, 1);
    }
    const excludes = ['--exclude', '*.tmp', '--exclude', '/cache/', '--exclude', '.hidden'];
    await world.expect(server, ['put', ...excludes, world.path('tree'), '/']);
    const wanted = ['.', 'a.txt', 'deep', 'deep/cache', 'deep/cache/f.txt', 'deep/g.txt', 'keep', 'keep/c.txt'];
    assert.deepEqual([...listTree(join(server.dir, 'tree')).keys()].sort(), wanted);
    await world.expect(server, ['put', world.path('tree'), '/all']);
    await world.expect(server, ['get', ...excludes, '/all', world.path('back')]);
    assert.deepEqual([...listTree(world.path('back')).keys()].sort(), wanted);
  });

  test('--no-preserve gives what arrives a mode and a time of its own, both ways', async (context) => {
    const world = openWorld(context);
    const server = await world.startServer();
    const old = new Date('2001-01-01T00:00:00Z');
    for (const [name, bytes] of [
      ['small', 100],
      ['large', LARGE],
    ] as const) {
      writeContent(world.path('tree', name), bytes, 1);
      fs.chmodSync(world.path('tree', name), 0o700);
      fs.utimesSync(world.path('tree', name), old, old);
    }
    await world.expect(server, ['put', '--no-preserve', world.path('tree'), '/plain']);
    await world.expect(server, ['put', world.path('tree'), '/kept']);
    await world.expect(server, ['get', '--no-preserve', '/kept', world.path('back')]);
    for (const folder of [join(server.dir, 'plain'), world.path('back')]) {
      for (const name of ['small', 'large']) {
        const { mode, mtimeMs } = fs.statSync(join(folder, name));
        assert.equal(mode & 0o111, 0, `${name} in ${folder} is not executable`);
        assert.ok(mtimeMs > old.getTime(), `${name} in ${folder} has its own time`);
        await assertSameFile(join(folder, name), world.path('tree', name));
      }
    }
    assert.equal(fs.statSync(join(server.dir, 'kept', 'large')).mode & 0o777, 0o700);
  });

  test('a stream goes in by "put -" and comes out by "get -"', async (context) => {
    const world = openWorld(context);
    const server = await world.startServer();
    for (const size of [0, 1, 64 * KIB, 9 * MIB + 5]) {
      const bytes = content(size, 8);
      await world.expect(server, ['put', '--quiet', '-', '/stream'], { input: bytes });
      assert.ok(fs.readFileSync(join(server.dir, 'stream')).equals(bytes));
      const out = await world.expect(server, ['get', '--quiet', '/stream', '-']);
      assert.ok(out.stdout.equals(bytes), `${out.stdout.length} of ${size} bytes came out as they went in`);
    }
  });

  test('a stream whose source fails half-way is not taken for whole', async (context) => {
    const world = openWorld(context);
    const server = await world.startServer();
    const relay = await world.relay(server);
    async function* endless() {
      for (let piece = 0; ; piece++) yield content(MIB, piece);
    }
    const run = world.hawser(server, ['put', '--json', '-', '/stream'], { input: endless(), via: relay });
    await relay.passed('up', 6 * MIB);
    const ended = await run.kill('SIGINT');
    assert.equal(ended.code, 130, told(ended));
    assert.equal(fs.existsSync(join(server.dir, 'stream')), false);
  });

  test('the same content under another name is not sent again', async (context) => {
    const world = openWorld(context);
    const server = await world.startServer();
    const relay = await world.relay(server);
    writeContent(world.path('f'), 8 * MIB, 9);
    // A file that has only just been written is not remembered: it may change again within its clock's tick.
    fs.utimesSync(world.path('f'), new Date('2020-01-01'), new Date('2020-01-01'));
    await world.expect(server, ['put', world.path('f'), '/one'], { via: relay });
    const before = relay.bytes.up;
    const second = await world.expect(server, ['put', '--json', world.path('f'), '/two'], { via: relay });
    assert.ok(relay.bytes.up - before < 64 * KIB, `${relay.bytes.up - before} bytes passed`);
    assert.ok(
      second.events.some(({ event, outcome }) => event === 'file' && outcome === 'deduplicated'),
      told(second),
    );
    assert.equal(lastEvent(second).bytesSent, 0);
    await assertSameFile(join(server.dir, 'two'), world.path('f'));
    const digest = await digestOf(world.path('f'));
    await world.expect(server, ['verify', '/two', '--digest', digest]);
    // What the server believes to have has changed on its disk meanwhile: then it is sent.
    for (const name of ['one', 'two']) fs.writeFileSync(join(server.dir, name), 'no longer that');
    await world.expect(server, ['put', world.path('f'), '/three']);
    await assertSameFile(join(server.dir, 'three'), world.path('f'));
  });

  for (const verb of ['put', 'get'] as const) {
    test(`${verb}: --limit-rate is not exceeded`, async (context) => {
      const world = openWorld(context);
      const server = await world.startServer();
      const relay = await world.relay(server);
      const [source, args] =
        verb === 'put' ? [world.path('f'), [world.path('f'), '/f']] : [join(server.dir, 'f'), ['/f', world.path('f')]];
      writeContent(source, 6 * MIB, 10);
      const run = world.hawser(server, [verb, '--json', '--limit-rate', '3MB/s', ...args], { via: relay });
      await run.event(({ event }) => event === 'start');
      const startedMs = performance.now();
      const direction = verb === 'put' ? 'up' : 'down';
      const before = relay.bytes[direction];
      for (let part = 1; part <= 4; part++) {
        await Promise.race([relay.passed(direction, MIB), run.ended]);
        const allowed = 3e6 * ((performance.now() - startedMs) / 1000) + BURST_BYTES;
        assert.ok(
          relay.bytes[direction] - before <= allowed,
          `${relay.bytes[direction] - before} bytes where ${allowed} are allowed`,
        );
      }
      assert.equal((await run.ended).code, 0);
    });
  }

  test('files that vanish before their turn are named, and the rest arrives', async (context) => {
    const world = openWorld(context);
    const server = await world.startServer();
    const relay = await world.relay(server);
    const name = (index: number) => `f${index.toString().padStart(5, '0')}`;
    for (let index = 0; index < MANY_FILES; index++) writeContent(world.path('tree', name(index)), 10, index);
    const run = world.hawser(server, ['put', '--json', world.path('tree'), '/'], { via: relay });
    // Far from the last ones: only so much is read ahead of what is sent.
    await relay.passed('up', 50 * KIB);
    relay.stall();
    for (let index = MANY_FILES - 10; index < MANY_FILES; index++) fs.rmSync(world.path('tree', name(index)));
    relay.flow();
    const ended = await run.ended;
    assert.equal(ended.code, 4, `every failure is of a file that is not there:\n${told(ended)}`);
    const { failures, filesDone } = lastEvent(ended);
    assert.deepEqual(
      failures.map(({ path, code }: { path: string; code: string }) => [path, code]),
      Array.from({ length: 10 }, (_, index) => [`/tree/${name(MANY_FILES - 10 + index)}`, 'local_not_found']),
    );
    assert.ok(filesDone >= MANY_FILES - 10);
    assert.equal(fs.readdirSync(join(server.dir, 'tree')).length, MANY_FILES - 10);
  });

  test('files that vanish, change and appear while a folder is put are told, and the rest is whole', async (context) => {
    const world = openWorld(context);
    const server = await world.startServer();
    const relay = await world.relay(server);
    const random = seeded(context);
    const name = (index: number) => world.path('tree', `d${index % 20}`, `f${index}`);
    for (let index = 0; index < FILES; index++) writeContent(name(index), random.between(0, 40_000), index);
    for (let index = 0; index < 5; index++) writeContent(world.path('tree', 'large', `l${index}`), 2 * MIB, index);
    const untouched = new Set(listTree(world.path('tree')).keys());
    const run = world.hawser(server, ['put', '--json', world.path('tree'), '/'], { via: relay });
    let over = false;
    void run.ended.then(() => {
      over = true;
    });
    const touch = (file: string) => untouched.delete(file.slice(world.path('tree').length + 1));
    while (!over) {
      const index = random.between(0, FILES);
      const file = random.between(0, 10) === 0 ? world.path('tree', 'large', `l${index % 5}`) : name(index);
      touch(file);
      if (!fs.existsSync(file)) writeContent(file, 1000, index);
      else if (random.between(0, 2) === 0) fs.rmSync(file);
      else fs.appendFileSync(file, content(random.between(1, 1000), index));
      await Promise.race([relay.passed('up', 100 * KIB), run.ended]);
    }
    const ended = await run.ended;
    const last = lastEvent(ended);
    assert.equal(last.event, 'done', told(ended));
    assert.equal(ended.code === 0, last.filesFailed === 0, told(ended));
    for (const { code } of last.failures) assert.match(code, /^(local_not_found|source_changed|local_io)$/);
    const arrived = listTree(join(server.dir, 'tree'));
    const sent = listTree(world.path('tree'));
    for (const [path, { kind, content: digest }] of sent) {
      if (kind === 'file' && untouched.has(path)) assert.equal(arrived.get(path)?.content, digest, `${path} has arrived`);
    }
    context.diagnostic(`${last.filesFailed} of ${FILES} failed, ${sent.size - untouched.size} were touched`);
    await world.expect(server, ['put', world.path('tree'), '/']);
    const again = listTree(join(server.dir, 'tree'));
    for (const [path, { kind, content: digest }] of sent) {
      if (kind === 'file') assert.equal(again.get(path)?.content, digest, `${path} is up to date`);
    }
  });
});

const FILES = 400;
const MANY_FILES = 6000;
/** What a token bucket lets through at once, and what is on its way. */
const BURST_BYTES = 2 * MIB;
