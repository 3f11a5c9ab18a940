/** What is put can be got again, byte for byte, name for name. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertSameFile, digestOf, KIB, type Listed, leftovers, listTree, MIB, writeContent } from './content.ts';
import { lastEvent, openWorld } from './fixture.ts';

const BLOCK = 64 * KIB;
const SIZES = [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 256 * KIB, 256 * KIB + 1, 5 * MIB, 40 * MIB];

test('files of every size at the edges arrive with the digest that b3sum prints', async (context) => {
  const world = openWorld(context);
  const server = await world.startServer();
  for (const [index, size] of SIZES.entries()) writeContent(world.path('source', `f${size}`), size, index);
  const names = SIZES.map((size) => `f${size}`);
  const put = await world.expect(server, ['put', '--json', ...names.map((name) => world.path('source', name)), '/in/']);
  assert.equal(lastEvent(put).filesDone, SIZES.length);
  const get = await world.expect(server, ['get', '--json', ...names.map((name) => `/in/${name}`), world.path('back/')]);
  assert.equal(lastEvent(get).filesDone, SIZES.length);
  const client = world.client(server);
  for (const name of names) {
    const source = world.path('source', name);
    await assertSameFile(join(server.dir, 'in', name), source);
    await assertSameFile(world.path('back', name), source);
    const digest = await digestOf(source);
    assert.equal((await client.digest(`/in/${name}`)).digest, digest, 'the server knows the digest');
    for (const { events } of [put, get]) {
      const told = events.find((event) => event.event === 'file' && event.path === `/in/${name}`);
      assert.equal(told?.digest, digest, `the event of ${name} tells the digest`);
    }
  }
  assert.deepEqual(leftovers(world.path('back')), []);
  assert.deepEqual(fs.readdirSync(join(server.dir, '.hawser', 'staging')), [], 'nothing stays staged');
});

test('plain HTTP carries the same', async (context) => {
  const world = openWorld(context);
  const server = await world.startServer({ http: true });
  writeContent(world.path('f'), 5 * MIB + 7, 9);
  await world.expect(server, ['put', world.path('f'), '/f']);
  await world.expect(server, ['get', '/f', world.path('g')]);
  await assertSameFile(world.path('g'), world.path('f'));
});

test('a tree keeps its names, links, modes and times to the nanosecond, there and back', async (context) => {
  const world = openWorld(context);
  const server = await world.startServer();
  const source = world.path('tree');
  makeTree(source);
  await world.expect(server, ['put', '--json', source, '/']);
  const sent = listTree(source);
  assertSameTree(listTree(join(server.dir, 'tree')), sent);
  await world.expect(server, ['get', '--json', '/tree', world.path('back/')]);
  assertSameTree(listTree(world.path('back', 'tree')), sent);
  assert.deepEqual(leftovers(world.path('back')), []);
  const again = await world.expect(server, ['put', '--json', source, '/']);
  const files = [...sent.values()].filter(({ kind }) => kind === 'file').length;
  assert.ok(lastEvent(again).filesSkipped >= files, 'what is there already is not sent again');
  assert.equal(lastEvent(again).bytesSent, 0);
});

test('a link that leads out of the tree is reported by name, and the rest arrives', async (context) => {
  const world = openWorld(context);
  const server = await world.startServer();
  fs.mkdirSync(world.path('tree'));
  fs.writeFileSync(world.path('secret'), 'not yours');
  fs.writeFileSync(world.path('tree', 'file'), 'here');
  fs.symlinkSync('file', world.path('tree', 'inside'));
  fs.symlinkSync('../../../../secret', world.path('tree', 'out'));
  fs.symlinkSync('/etc/passwd', world.path('tree', 'absolute'));
  const put = await world.expect(server, ['put', '--json', world.path('tree'), '/'], { exit: 1 });
  const failed = lastEvent(put)
    .failures.map(({ path }: { path: string }) => path)
    .sort();
  assert.deepEqual(failed, ['/tree/absolute', '/tree/out']);
  assert.deepEqual([...listTree(join(server.dir, 'tree')).keys()], ['.', 'file', 'inside']);
  assert.equal(fs.readlinkSync(join(server.dir, 'tree', 'inside')), 'file');
});

test('a link that leads out, already on the server, is not followed by get', async (context) => {
  const world = openWorld(context);
  const server = await world.startServer();
  fs.mkdirSync(join(server.dir, 'tree'));
  fs.writeFileSync(join(server.dir, 'tree', 'file'), 'here');
  fs.symlinkSync('/etc/passwd', join(server.dir, 'tree', 'out'));
  const get = await world.expect(server, ['get', '--json', '/tree', world.path('back/')], { exit: 1 });
  assert.deepEqual(
    lastEvent(get).failures.map(({ path }: { path: string }) => path),
    ['/tree/out'],
  );
  assert.deepEqual([...listTree(world.path('back', 'tree')).keys()], ['.', 'file']);
});

function makeTree(root: string): void {
  const at = (...names: (string | Buffer)[]) =>
    Buffer.concat([Buffer.from(root), ...names.flatMap((name) => [Buffer.from('/'), Buffer.from(name)])]);
  fs.mkdirSync(at('empty', 'emptier'), { recursive: true });
  fs.mkdirSync(at('deep', 'er', 'and', 'deeper'), { recursive: true });
  fs.mkdirSync(at('odd'));
  const names: (string | Buffer)[] = [
    'plain.txt',
    'with space',
    'new\nline',
    '-leading-dash',
    '--json',
    'caf\u00e9-nfc',
    'cafe\u0301-nfd',
    'x'.repeat(255),
    '\u{1F6F6}'.repeat(63),
    Buffer.from([0x66, 0xff, 0xfe, 0x80, 0x66]),
    'percent%2Fslash%00',
    'back\\slash"quote\'',
    '.hidden',
    '.hawser',
    '\ufeffbom',
    '\u202etxt.exe',
    'semi;colon?query#hash',
    'trailing.',
    'con',
  ];
  for (const [index, name] of names.entries()) fs.writeFileSync(at('odd', name), `odd ${index}`);
  fs.writeFileSync(at('deep', 'er', 'and', 'deeper', 'file'), 'deep');
  for (const [index, mode] of [0o400, 0o600, 0o640, 0o644, 0o755, 0o777].entries()) {
    fs.writeFileSync(at(`mode-${index}`), `mode ${index}`);
    fs.chmodSync(at(`mode-${index}`), mode);
  }
  writeContent(join(root, 'large'), 3 * MIB + 5, 77);
  fs.chmodSync(at('large'), 0o750);
  fs.symlinkSync('deep/er', at('to-folder'));
  fs.symlinkSync('../plain', at('deep', 'dangling-inside'));
  fs.symlinkSync(Buffer.concat([Buffer.from('odd/'), Buffer.from([0x66, 0xff, 0xfe, 0x80, 0x66])]), at('to-odd'));
  fs.chmodSync(at('empty'), 0o700);
  // Times last, from the bottom up: making things in a folder changes its own. touch(1) sets every nanosecond digit.
  const stamp = (path: Buffer, prefix: string) => {
    if (fs.lstatSync(path).isDirectory()) {
      for (const name of fs.readdirSync(path, { encoding: 'latin1' })) {
        stamp(Buffer.concat([path, Buffer.from('/'), Buffer.from(name, 'latin1')]), prefix + name);
      }
    }
    const tick = 1_600_000_000 + prefix.length;
    fs.lutimesSync(path, tick + 0.000_25, tick + 0.000_25);
  };
  stamp(Buffer.from(root), '');
  const exact = ['plain.txt', 'new\nline'].map((name) => join(root, 'odd', name));
  execFileSync('touch', ['-h', '-d', '@1600000000.123456789', '--', ...exact, join(root, 'large'), join(root, 'to-folder')]);
  execFileSync('touch', ['-d', '@1500000000.987654321', '--', join(root, 'empty'), join(root, 'odd'), root]);
}

/** Links have no mode of their own. */
function assertSameTree(actual: Map<string, Listed>, expected: Map<string, Listed>): void {
  const facts = (tree: Map<string, Listed>) =>
    Object.fromEntries([...tree].map(([path, entry]) => [path, entry.kind === 'link' ? { ...entry, mode: null } : entry]));
  assert.deepEqual(facts(actual), facts(expected));
}
