import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { openDigestCache } from './digest-cache.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'hawser-cache-'));
after(() => fs.rmSync(root, { recursive: true, force: true }));

const NOW_MS = 1_000_000;
const now = () => NOW_MS;
const digest = (seed: number) => seed.toString(16).padStart(64, '0');

test('digests are found by the next process, once', async () => {
  const folder = path.join(root, 'a/b');
  const first = openDigestCache(folder, now);
  assert.equal(await first.get('1:2:3:4'), undefined);
  first.put('1:2:3:4', digest(7), 0n);
  assert.equal(await first.get('1:2:3:4'), digest(7));
  await first.save();
  const second = openDigestCache(folder, now);
  assert.equal(await second.get('1:2:3:4'), digest(7));
  second.put('1:2:3:4', digest(7), 0n);
  await second.save();
  assert.equal(fs.readFileSync(path.join(folder, 'digests.jsonl'), 'utf8').split('\n').length, 2);
  assert.equal(fs.statSync(path.join(folder, 'digests.jsonl')).mode & 0o777, 0o600);
});

test('a file that has just been written is not remembered', async () => {
  const cache = openDigestCache(path.join(root, 'c'), now);
  cache.put('key', digest(1), BigInt(NOW_MS - 1999) * 1_000_000n);
  assert.equal(await cache.get('key'), undefined);
  cache.put('key', digest(1), BigInt(NOW_MS - 2000) * 1_000_000n);
  assert.equal(await cache.get('key'), digest(1));
});

test('lines that are damaged, or foreign, are passed over', async () => {
  const folder = path.join(root, 'd');
  fs.mkdirSync(folder);
  const lines = ['{', 'null', '["a"]', '["a","short"]', `["good","${digest(3)}"]`, `[1,"${digest(3)}"]`, ''];
  fs.writeFileSync(path.join(folder, 'digests.jsonl'), lines.join('\n'));
  assert.equal(await openDigestCache(folder, now).get('good'), digest(3));
});

test('it keeps the newest when it has grown too long', async () => {
  const folder = path.join(root, 'e');
  fs.mkdirSync(folder);
  const file = path.join(folder, 'digests.jsonl');
  let text = '';
  for (let i = 0; i < 100_000; i++) text += `["k${i}","${digest(i)}"]\n`;
  fs.writeFileSync(file, text);
  const cache = openDigestCache(folder, now);
  cache.put('newest', digest(9), 0n);
  await cache.save();
  const kept = openDigestCache(folder, now);
  assert.equal(await kept.get('newest'), digest(9));
  assert.equal(await kept.get('k99999'), digest(99_999));
  assert.equal(await kept.get('k1'), undefined);
  assert.ok(fs.readFileSync(file, 'utf8').split('\n').length <= 50_001);
});

test('a folder that cannot be written is no failure', async () => {
  fs.writeFileSync(path.join(root, 'file'), '');
  const cache = openDigestCache(path.join(root, 'file'), now);
  cache.put('key', digest(1), 0n);
  await cache.save();
  assert.equal(await cache.get('key'), digest(1));
});
