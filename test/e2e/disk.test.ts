/** Disks that are full, may not be written, may not be read, or lie. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { assertSameFile, content, digestOf, KIB, leftovers, listTree, MIB, writeContent } from './content.ts';
import { type Ended, lastEvent, openWorld, told, type World } from './fixture.ts';

const NOBODY = 65534;
const OLD = new Date('2020-01-01T00:00:00Z');
const FILES = [
  ['small', 1000],
  ['large', 5 * MIB],
] as const;
const isRoot = process.getuid?.() === 0;
const mounting = isRoot && canMount() ? {} : { skip: 'mounting a small tmpfs needs root and the right to mount' };
const imaging =
  isRoot && canMount() && fs.existsSync('/dev/loop-control') && fs.existsSync('/sbin/mkfs.ext4')
    ? {}
    : { skip: 'a disk image needs root, loop devices and mkfs.ext4' };
const becoming = isRoot ? {} : { skip: 'running a client as another user needs root' };

describe('disks', { concurrency: 2 }, () => {
  test('put: a full server says so with exit code 6, and goes on once there is room', mounting, async (context) => {
    const world = openWorld(context);
    const dir = mount(world, 'served', '16m');
    const server = await world.startServer({ dir });
    writeContent(world.path('film'), 24 * MIB, 1);
    const full = await world.expect(server, ['put', '--json', world.path('film'), '/film'], { exit: 6 });
    assertFull(full, 'no_space');
    assert.equal(fs.existsSync(join(dir, 'film')), false);
    assert.equal((await world.client(server).capabilities()).version.length > 0, true, 'the server is still there');
    execFileSync('mount', ['-o', 'remount,size=64m', dir]);
    await world.expect(server, ['put', world.path('film'), '/film']);
    await assertSameFile(join(dir, 'film'), world.path('film'));
  });

  test('put: a stream that fills the disk gives its space back', mounting, async (context) => {
    const world = openWorld(context);
    const dir = mount(world, 'served', '40m');
    const server = await world.startServer({ dir });
    // Nobody can reserve space for a stream whose end is not known.
    const run = world.hawser(server, ['put', '--json', '-', '/stream'], { input: fs.createReadStream('/dev/zero') });
    const ended = await run.ended;
    assert.equal(ended.code, 6, told(ended));
    assertFull(ended, 'no_space');
    assert.equal(fs.existsSync(join(dir, 'stream')), false);
    assert.deepEqual(fs.readdirSync(join(dir, '.hawser', 'staging')), [], 'it cannot be resumed, so nothing of it is kept');
    assert.equal((await world.client(server).listTransfers({ limit: 1 }))[0]?.state, 'failed');
    writeContent(world.path('film'), 20 * MIB, 1);
    await world.expect(server, ['put', world.path('film'), '/film']);
  });

  test('a full disk can be emptied: by cancelling, and by removing', mounting, async (context) => {
    const world = openWorld(context);
    const dir = mount(world, 'served', '40m');
    const server = await world.startServer({ dir });
    const relay = await world.relay(server);
    writeContent(world.path('film'), 16 * MIB, 1);
    await world.expect(server, ['put', world.path('film'), '/old']);
    relay.weather.bytesPerSecond = 2 * MIB;
    const run = world.hawser(server, ['put', '--json', world.path('film'), '/new'], { via: relay });
    const { transfer } = await run.event(({ event }) => event === 'start');
    await run.event(({ event, bytesDone }) => event === 'progress' && bytesDone > 0);
    await run.kill();
    fillUp(join(dir, 'others'));
    await world.expect(server, ['cancel', transfer]);
    assert.deepEqual(fs.readdirSync(join(dir, '.hawser', 'staging')), []);
    fillUp(join(dir, 'more'));
    await world.expect(server, ['rm', '/old']);
    assert.equal(fs.existsSync(join(dir, 'old')), false);
    fs.rmSync(join(dir, 'others'));
    await world.expect(server, ['put', world.path('film'), '/new']);
    await assertSameFile(join(dir, 'new'), world.path('film'));
  });

  test('put: many small files on a full server: each is there whole or not at all', mounting, async (context) => {
    const world = openWorld(context);
    const dir = mount(world, 'served', '8m');
    const server = await world.startServer({ dir });
    for (let index = 0; index < 300; index++) writeContent(world.path('tree', `f${index}`), 64 * KIB, index);
    const sent = listTree(world.path('tree'));
    const full = await world.expect(server, ['put', '--json', world.path('tree'), '/'], { exit: 6 });
    assertFull(full, 'no_space');
    for (const [path, { kind, content }] of listTree(join(dir, 'tree'))) {
      if (kind === 'file') assert.equal(content, sent.get(path)?.content, `${path} is whole`);
    }
    execFileSync('mount', ['-o', 'remount,size=64m', dir]);
    await world.expect(server, ['put', world.path('tree'), '/']);
    assert.deepEqual(listTree(join(dir, 'tree')), sent);
  });

  test('get: a full client says so with exit code 6, and goes on once there is room', mounting, async (context) => {
    const world = openWorld(context);
    const server = await world.startServer();
    const here = mount(world, 'here', '8m');
    writeContent(join(server.dir, 'film'), 12 * MIB, 2);
    for (let index = 0; index < 100; index++) writeContent(join(server.dir, 'tree', `f${index}`), 128 * KIB, index);
    for (const [source, target] of [
      ['/film', 'film'],
      ['/tree', ''],
    ] as const) {
      const full = await world.expect(server, ['get', '--json', source, join(here, target)], { exit: 6 });
      assertFull(full, 'local_no_space');
      assert.match(full.stdout.toString(), /MiB are still to come, and there are \d.* MiB of free space for them in \\"\/.*here/);
      assert.deepEqual(fs.readdirSync(here), target === '' ? ['film', 'tree'] : [], 'nothing was fetched');
      if (target !== '') assert.equal(fs.existsSync(join(here, target)), false);
      execFileSync('mount', ['-o', 'remount,size=64m', here]);
      await world.expect(server, ['get', source, join(here, target)]);
      if (source === '/film') execFileSync('mount', ['-o', 'remount,size=17m', here]);
    }
    await assertSameFile(join(here, 'film'), join(server.dir, 'film'));
    const names = [...listTree(join(server.dir, 'tree')).keys()];
    for (const name of names.filter((path) => path !== '.'))
      await assertSameFile(join(here, 'tree', name), join(server.dir, 'tree', name));
    assert.deepEqual(leftovers(here), []);
  });

  test(
    'a disk that turned read-only: a clear answer, nothing visible, and done once it is writable',
    mounting,
    async (context) => {
      const world = openWorld(context);
      const server = await world.startServer();
      const { dir } = server;
      // What the server has open goes on; what it opens from now on lies on a read-only mount.
      execFileSync('mount', ['--bind', dir, dir]);
      world.onClose(() => execFileSync('umount', ['-l', dir]));
      execFileSync('mount', ['-o', 'remount,bind,ro', dir]);
      writeContent(world.path('film'), 3 * MIB, 3);
      writeContent(world.path('tree', 'small'), 1000, 4);
      for (const source of ['film', 'tree']) {
        const ended = await world.expect(server, ['put', '--json', world.path(source), '/in/'], { exit: 1 });
        const last = lastEvent(ended);
        const failure = last.event === 'done' ? last.failures[0] : last;
        assert.equal(failure.code, 'read_only', told(ended));
      }
      assert.deepEqual([...listTree(dir).keys()], ['.']);
      execFileSync('mount', ['-o', 'remount,bind,rw', dir]);
      await world.expect(server, ['put', world.path('film'), world.path('tree'), '/in/']);
      await assertSameFile(join(dir, 'in', 'film'), world.path('film'));
      await assertSameFile(join(dir, 'in', 'tree', 'small'), world.path('tree', 'small'));
    },
  );

  test('a server on a read-only disk does not start, and says why', mounting, async (context) => {
    const world = openWorld(context);
    const dir = mount(world, 'served', '8m');
    execFileSync('mount', ['-o', 'remount,ro', dir]);
    await assert.rejects(world.startServer({ dir }), /read.only|EROFS/i);
  });

  test('get: a folder that may not be written is named, and nothing is left', becoming, async (context) => {
    const world = openWorld(context);
    const server = await world.startServer();
    fs.chmodSync(world.folder, 0o755);
    fs.mkdirSync(world.path('here'));
    fs.mkdirSync(world.path('nobody'));
    fs.chownSync(world.path('nobody'), NOBODY, NOBODY);
    writeContent(join(server.dir, 'film'), MIB, 5);
    const options = { uid: NOBODY, machine: 'nobody', exit: 1 };
    const ended = await world.expect(server, ['get', '--json', '/film', world.path('here', 'film')], options);
    assert.equal(lastEvent(ended).code, 'local_io', told(ended));
    assert.match(lastEvent(ended).message, /here/);
    assert.deepEqual(fs.readdirSync(world.path('here')), []);
  });

  test('put: files and folders that may not be read are reported, the rest arrives', becoming, async (context) => {
    const world = openWorld(context);
    const server = await world.startServer();
    fs.chmodSync(world.folder, 0o755);
    fs.mkdirSync(world.path('nobody'));
    fs.chownSync(world.path('nobody'), NOBODY, NOBODY);
    writeContent(world.path('tree', 'open'), 1000, 1);
    writeContent(world.path('tree', 'closed'), 1000, 2);
    writeContent(world.path('tree', 'closed-and-large'), MIB, 3);
    writeContent(world.path('tree', 'closed-folder', 'file'), 1000, 4);
    writeContent(world.path('tree', 'large'), MIB, 5);
    for (const name of ['closed', 'closed-and-large', 'closed-folder']) fs.chmodSync(world.path('tree', name), 0o700);
    const ended = await world.expect(server, ['put', '--json', world.path('tree'), '/'], {
      uid: NOBODY,
      machine: 'nobody',
      exit: 1,
    });
    const failures: { path: string; code: string }[] = lastEvent(ended).failures;
    assert.deepEqual(failures.map(({ path, code }) => `${path} ${code}`).sort(), [
      '/tree/closed local_io',
      '/tree/closed-and-large local_io',
      '/tree/closed-folder local_io',
    ]);
    await assertSameFile(join(server.dir, 'tree', 'open'), world.path('tree', 'open'));
    await assertSameFile(join(server.dir, 'tree', 'large'), world.path('tree', 'large'));
    assert.deepEqual(fs.readdirSync(join(server.dir, 'tree')).sort(), ['closed-folder', 'large', 'open']);
  });

  test('verify finds a single bit that rotted on the disk', imaging, async (context) => {
    const world = openWorld(context);
    const dir = world.path('served');
    fs.mkdirSync(dir);
    // A file system of its own, so that the bit can flip below it, where no time of the file tells of it.
    const image = world.path('disk.img');
    fs.writeFileSync(image, '');
    fs.truncateSync(image, 48 * MIB);
    execFileSync('mkfs.ext4', ['-q', '-F', image]);
    const mountImage = () => execFileSync('mount', ['-o', 'loop', image, dir]);
    mountImage();
    world.onClose(() => execFileSync('umount', ['-l', dir]));
    const server = await world.startServer({ dir });
    for (const [name, size] of FILES) {
      writeContent(world.path(name), size, size);
      await world.expect(server, ['put', world.path(name), `/${name}`]);
      await world.expect(server, ['verify', `/${name}`]);
    }
    await server.kill('SIGTERM');
    execFileSync('umount', [dir]);
    const disk = fs.readFileSync(image);
    for (const [, size] of FILES) {
      let at = disk.indexOf(content(64, size));
      assert.ok(at > 0, 'the content lies on the disk as it is');
      // Blocks that are no longer in use may hold it too.
      for (; at > 0; at = disk.indexOf(content(64, size), at)) disk[at + 7]! ^= 1;
    }
    fs.writeFileSync(image, disk);
    mountImage();
    await server.start();
    for (const [name] of FILES) {
      const { stdout } = await world.expect(server, ['verify', '--json', `/${name}`], { exit: 5 });
      const result = JSON.parse(stdout.toString());
      assert.equal(result.matches, false);
      assert.equal(result.recorded, await digestOf(world.path(name)));
      const get = await world.expect(server, ['get', '--json', `/${name}`, world.path('back')], { exit: 5 });
      assert.equal(lastEvent(get).code, 'digest_mismatch', told(get));
      assert.equal(fs.existsSync(world.path('back')), false, 'what is damaged is not handed out as whole');
    }
  });

  test('verify finds a byte that was changed, and hidden by setting the time back', async (context) => {
    const world = openWorld(context);
    const server = await world.startServer();
    for (const [name, size] of FILES) {
      writeContent(world.path(name), size, size);
      fs.utimesSync(world.path(name), OLD, OLD);
      await world.expect(server, ['put', world.path(name), `/${name}`]);
      const file = join(server.dir, name);
      const handle = fs.openSync(file, 'r+');
      fs.writeSync(handle, Buffer.from('#'), 0, 1, 500);
      fs.closeSync(handle);
      fs.utimesSync(file, OLD, OLD);
      const digest = await digestOf(world.path(name));
      await world.expect(server, ['verify', `/${name}`, '--digest', digest], { exit: 5 });
      const { stdout } = await world.expect(server, ['verify', '--json', `/${name}`], { exit: 5 });
      assert.equal(JSON.parse(stdout.toString()).recorded, digest);
    }
  });
});

function assertFull(ended: Ended, code: string): void {
  const last = lastEvent(ended);
  const failure = last.event === 'done' ? last.failures[0] : last;
  assert.equal(failure?.code, code, told(ended));
  assert.match(failure.message, /space/, 'the sentence says what is missing');
}

/** To the last byte. */
function fillUp(file: string): void {
  const handle = fs.openSync(file, 'w');
  try {
    for (let piece = MIB; piece >= 1; ) {
      try {
        fs.writeSync(handle, Buffer.alloc(piece));
      } catch {
        piece /= 2;
      }
    }
  } finally {
    fs.closeSync(handle);
  }
}

/** A small disk of its own at a folder of the world. */
function mount(world: World, name: string, size: string): string {
  const dir = world.path(name);
  fs.mkdirSync(dir);
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'hawser-test', dir]);
  world.onClose(() => execFileSync('umount', ['-l', dir]));
  return dir;
}

/** A container's root may not. */
function canMount(): boolean {
  const dir = fs.mkdtempSync('/tmp/hawser-mount-');
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'hawser-test', dir], { stdio: 'ignore' });
    execFileSync('umount', [dir]);
    return true;
  } catch {
    return false;
  } finally {
    fs.rmdirSync(dir);
  }
}
