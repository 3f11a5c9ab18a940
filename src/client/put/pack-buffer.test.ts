import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { PackAssembler, type PackEntry } from '../../core/wire/pack.ts';
import { blake3 } from '../../engine/blake3.ts';
import { PackBuffer } from './pack-buffer.ts';
import { type SourceEntry, walk } from './walk.ts';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'hawser-pack-'));
after(() => fs.rmSync(folder, { recursive: true, force: true }));

function entryOf(name: string): SourceEntry {
  const [entry] = [...walk(path.join(folder, name), { follow: false, exclude: null })];
  return entry as SourceEntry;
}

function write(name: string, text: string): SourceEntry {
  fs.writeFileSync(path.join(folder, name), text);
  return entryOf(name);
}

function unpack(bytes: Uint8Array): (PackEntry & { content: string })[] {
  const entries: (PackEntry & { content: string })[] = [];
  const assembler = new PackAssembler({ maxContentBytes: 1 << 20 });
  assembler.push(bytes, (entry, content) => entries.push({ ...entry, content: String(Buffer.from(content)) }));
  assert.equal(assembler.pendingBytes, 0);
  return entries;
}

const LIMITS = { maxBytes: 4000, maxFileBytes: 1000, preserve: true, follow: false };

test('files, folders and links are packed, and what is kept stays whole', () => {
  const pack = new PackBuffer(LIMITS);
  const files = ['one', 'two', 'three'].map((name) => write(name, name.repeat(10)));
  assert.equal(pack.addFile(files[0]!, '/one'), 'added');
  assert.equal(pack.add({ ...files[0]!, kind: 'folder', size: 0 }, '/folder'), 'added');
  assert.equal(pack.add({ ...files[0]!, kind: 'link', size: 0, target: 'else' }, '/link'), 'added');
  assert.equal(pack.addFile(files[1]!, '/zw\u00f6lf \udcff'), 'added');
  assert.equal(pack.addFile(files[2]!, '/three'), 'added');
  const all = unpack(pack.bytes);
  assert.deepEqual(
    all.map(({ kind, path, content, target }) => [kind, path, content, target]),
    [
      ['file', '/one', 'one'.repeat(10), undefined],
      ['folder', '/folder', '', undefined],
      ['link', '/link', '', 'else'],
      ['file', '/zw\u00f6lf \udcff', 'two'.repeat(10), undefined],
      ['file', '/three', 'three'.repeat(10), undefined],
    ],
  );
  for (const { kind, digest, content } of all) {
    if (kind === 'file') assert.ok(Buffer.from(digest).equals(blake3(Buffer.from(content))));
  }
  assert.deepEqual([all[0]!.mode, all[0]!.mtimeNs], [files[0]!.mode, files[0]!.mtimeNs]);
  pack.keep([1, 3]);
  assert.deepEqual(
    unpack(pack.bytes).map(({ path, content }) => [path, content]),
    [
      ['/folder', ''],
      ['/zw\u00f6lf \udcff', 'two'.repeat(10)],
    ],
  );
  assert.deepEqual(
    pack.entries.map(({ path, size }) => [path, size]),
    [
      ['/folder', 0],
      ['/zw\u00f6lf \udcff', 30],
    ],
  );
});

test('a pack is full when the next entry does not fit, and takes it once it is empty', () => {
  const pack = new PackBuffer({ ...LIMITS, maxBytes: 1060 });
  const file = write('a', 'x'.repeat(900));
  assert.equal(pack.addFile(file, '/a'), 'added');
  assert.equal(pack.addFile(file, '/b'), 'full');
  assert.equal(unpack(pack.bytes).length, 1);
  pack.clear();
  assert.equal(pack.addFile(file, '/b'), 'added');
});

test('a file that changed since the walk is sent as it is now; one that outgrew packs is not taken', () => {
  const pack = new PackBuffer(LIMITS);
  const before = write('f', 'old');
  write('f', 'newer content');
  assert.equal(pack.addFile(before, '/f'), 'added');
  const [entry] = unpack(pack.bytes);
  assert.equal(entry!.content, 'newer content');
  assert.equal(entry!.mtimeNs, entryOf('f').mtimeNs);
  assert.deepEqual(
    pack.entries.map(({ size, mtimeNs }) => [size, mtimeNs]),
    [[13, entryOf('f').mtimeNs]],
  );
  write('f', 'x'.repeat(1001));
  assert.equal(pack.addFile(before, '/f'), 'too-large');
  assert.equal(pack.entries.length, 1);
});

test('what cannot be read is a failure that leaves the pack as it was', () => {
  const pack = new PackBuffer(LIMITS);
  const gone = write('gone', 'x');
  fs.rmSync(path.join(folder, 'gone'));
  assert.throws(() => pack.addFile(gone, '/gone'), { code: 'local_not_found' });
  fs.symlinkSync('/etc/passwd', path.join(folder, 'gone'));
  assert.throws(() => pack.addFile(gone, '/gone'), { code: 'local_io' });
  assert.throws(() => pack.add({ ...gone, kind: 'link', target: '' }, '/l'), { code: 'path_invalid' });
  assert.equal(pack.length, 0);
});

test('without preserving, neither mode nor mtime travel', () => {
  const pack = new PackBuffer({ ...LIMITS, preserve: false });
  pack.addFile(write('p', 'x'), '/p');
  const [entry] = unpack(pack.bytes);
  assert.deepEqual([entry!.mode, entry!.mtimeNs], [undefined, undefined]);
});
