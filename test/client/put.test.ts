import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { runPut } from '../../src/client/put.ts';
import { HawserError } from '../../src/core/errors.ts';
import { broken, createEngineApi, WHO } from './engine-api.ts';
import { bytes, folder, options, watch } from './put-fixture.ts';

test('a small file, a large file and an odd tree arrive byte for byte with mode and mtime', async () => {
  const server = createEngineApi();
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(path.join(tree, 'deep/er'), { recursive: true });
  fs.mkdirSync(path.join(tree, 'empty'));
  fs.writeFileSync(path.join(tree, 'small'), bytes(5000));
  fs.writeFileSync(path.join(tree, 'none'), '');
  fs.writeFileSync(path.join(tree, 'deep/er/large'), bytes(3_000_001, 2));
  fs.writeFileSync(Buffer.concat([Buffer.from(`${tree}/deep/`), Buffer.from([0xff, 0x41])]), 'odd name');
  fs.symlinkSync('small', path.join(tree, 'link'));
  fs.chmodSync(path.join(tree, 'small'), 0o640);
  fs.chmodSync(path.join(tree, 'deep'), 0o711);
  for (const name of ['small', 'deep/er/large', 'deep/er', 'deep', 'empty', '']) {
    fs.utimesSync(path.join(tree, name), 1_600_000_000, 1_600_000_000.5);
  }
  const summary = await runPut(server.api, [tree], '/in/', options());
  assert.deepEqual(summary.targets, ['/in/tree']);
  assert.equal(summary.filesDone, 5);
  assert.equal(summary.bytesDone, 5000 + 3_000_001 + 8);
  assert.equal(summary.bytesSent, 5000 + 3_000_001 + 8);
  assert.deepEqual(await server.content('/in/tree/small'), bytes(5000));
  assert.deepEqual(await server.content('/in/tree/deep/er/large'), bytes(3_000_001, 2));
  assert.equal(String(await server.content('/in/tree/deep/\udcffA')), 'odd name');
  assert.equal((await server.engine.stat(WHO, '/in/tree/link')).target, 'small');
  assert.equal((await server.engine.stat(WHO, '/in/tree/small')).mode, 0o640);
  for (const name of ['', '/deep', '/deep/er', '/empty', '/deep/er/large', '/small']) {
    const entry = await server.engine.stat(WHO, `/in/tree${name}`);
    assert.equal(entry.mtimeNs, 1_600_000_000_500_000_000n, name);
  }
  assert.equal((await server.engine.stat(WHO, '/in/tree/deep')).mode, 0o711);
  const record = await server.engine.getTransfer(WHO, summary.transfer);
  assert.equal(record.state, 'done');
  assert.equal(record.filesTotal, 5);
  assert.equal(record.bytesDone, summary.bytesDone);
});

test('a second put of the same tree sends nothing, and of a changed one only what changed', async () => {
  const server = createEngineApi();
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(tree);
  for (let i = 0; i < 50; i++) fs.writeFileSync(path.join(tree, `f${i}`), bytes(1000, i));
  fs.writeFileSync(path.join(tree, 'large'), bytes(1_000_000));
  await runPut(server.api, [tree], '/', options());
  const again = await runPut(server.api, [tree], '/', options());
  assert.deepEqual([again.filesSkipped, again.filesDone, again.bytesSent], [51, 0, 0]);
  assert.equal(again.bytesDone, 51_000 - 1000 + 1_000_000);
  fs.writeFileSync(path.join(tree, 'f7'), 'other');
  const third = await runPut(server.api, [tree], '/', options());
  assert.deepEqual([third.filesSkipped, third.filesDone, third.bytesSent], [50, 1, 5]);
  assert.equal((await server.engine.getTransfer(WHO, third.transfer)).filesTotal, 1);
});

test('a file becomes the new name, goes into an existing folder, and a trailing slash makes one', async () => {
  const server = createEngineApi();
  const file = path.join(folder(), 'a');
  fs.writeFileSync(file, 'x');
  assert.deepEqual((await runPut(server.api, [file], '/new', options())).targets, ['/new']);
  assert.deepEqual((await runPut(server.api, [file], '/made/', options())).targets, ['/made/a']);
  assert.deepEqual((await runPut(server.api, [file], '/made', options())).targets, ['/made/a']);
  await assert.rejects(runPut(server.api, [file, file], '/made', options()), { code: 'usage' });
  await assert.rejects(runPut(server.api, [path.dirname(file)], '/new', options()), { code: 'not_folder' });
  await assert.rejects(runPut(server.api, [`${file}-absent`], '/new', options()), { code: 'local_not_found' });
});

test('"." puts the content of the folder into the destination', async () => {
  const server = createEngineApi();
  const here = folder();
  fs.writeFileSync(path.join(here, 'a'), 'x');
  const summary = await runPut(server.api, [`${here}/.`], '/', options());
  assert.deepEqual(summary.targets, ['/']);
  assert.equal(String(await server.content('/a')), 'x');
});

test('files that fail are listed, the others arrive; a full disk ends everything', async () => {
  const server = createEngineApi();
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(tree);
  for (let i = 0; i < 20; i++) fs.writeFileSync(path.join(tree, `f${i}`), 'x');
  fs.writeFileSync(path.join(tree, 'large'), bytes(1_000_000));
  fs.symlinkSync('/etc/passwd', path.join(tree, 'out'));
  await server.engine.makeFolder(WHO, '/tree/f3', {});
  await server.engine.makeFolder(WHO, '/tree/large', {});
  const summary = await runPut(server.api, [tree], '/', options());
  assert.equal(summary.filesDone, 19);
  assert.deepEqual(summary.failures.map(({ path, code }) => [path, code]).sort(), [
    ['/tree/f3', 'is_folder'],
    ['/tree/large', 'is_folder'],
    ['/tree/out', 'link_escapes'],
  ]);
  assert.equal((await server.engine.getTransfer(WHO, summary.transfer)).state, 'failed');
  server.onCall = (name) => {
    if (name === 'putPack') throw new HawserError('no_space', 'Full.');
  };
  await assert.rejects(runPut(server.api, [tree], '/second', options()), { code: 'no_space' });
});

test('a stream of unknown length arrives over a network that breaks, and needs a name', async () => {
  const server = createEngineApi();
  const content = bytes(7_654_321);
  let left = 2_500_000;
  server.onPiece = (_name, piece) => {
    left -= piece.length;
    if (left > 0) return;
    left = 2_500_000;
    throw broken();
  };
  async function* stream() {
    for (let at = 0; at < content.length; at += 100_000) yield content.subarray(at, at + 100_000);
  }
  const summary = await runPut(server.api, [stream()], '/in/stream', options({ chunkBytes: 2 << 20 }));
  assert.deepEqual(await server.content('/in/stream'), content);
  assert.equal(summary.bytesDone, content.length);
  await assert.rejects(runPut(server.api, [stream()], '/in/', options()), { code: 'usage' });
  await assert.rejects(runPut(server.api, [stream()], '/in', options()), { code: 'usage' });
  async function* empty() {}
  await runPut(server.api, [empty()], '/in/empty', options());
  assert.equal((await server.content('/in/empty')).length, 0);
});

test('a stream that never gives another byte does not keep an interrupted put', async () => {
  const server = createEngineApi();
  const stop = new AbortController();
  async function* stuck() {
    yield bytes(10);
    stop.abort();
    await new Promise(() => undefined);
  }
  await assert.rejects(runPut(server.api, [stuck()], '/s', options({ signal: stop.signal })), { code: 'interrupted' });
});

test('excluded names and what is below them stay away; sockets are left out with a notice', async () => {
  const server = createEngineApi();
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(path.join(tree, 'a/.git'), { recursive: true });
  fs.mkdirSync(path.join(tree, 'b'));
  for (const name of ['a/x.tmp', 'a/.git/config', 'a/keep', 'b/.hidden.tmp', 'b/only'])
    fs.writeFileSync(path.join(tree, name), name);
  const watched = watch();
  const summary = await runPut(
    server.api,
    [tree],
    '/',
    options({ exclude: ['*.tmp', '.git/', 'b/only'], onEvent: watched.onEvent }),
  );
  assert.equal(summary.filesDone, 1);
  const { entries } = await server.engine.list(WHO, '/tree', { limit: 100, recursive: true });
  assert.deepEqual(
    entries.map((entry) => entry.path),
    ['/tree/a', '/tree/a/keep', '/tree/b'],
  );
});

test('a pipe or a device that is named as a source has failed; below a folder it is left out', async () => {
  const server = createEngineApi();
  const here = folder();
  const pipe = path.join(here, 'pipe');
  execFileSync('mkfifo', [pipe]);
  fs.writeFileSync(path.join(here, 'file'), 'x');
  await assert.rejects(runPut(server.api, [pipe], '/pipe', options()), {
    code: 'local_io',
    message: /pipe" is no file.*standard input/,
  });
  const several = await runPut(server.api, [pipe, path.join(here, 'file')], '/several', options());
  assert.deepEqual([several.filesDone, several.filesFailed], [1, 1]);
  const below = await runPut(server.api, [here], '/below', options());
  assert.deepEqual([below.filesDone, below.filesFailed], [1, 0]);
});

test('a name that the destination cannot have is refused before anything is asked', async () => {
  const server = createEngineApi();
  const file = path.join(folder(), '.hawser');
  fs.writeFileSync(file, 'x');
  await assert.rejects(runPut(server.api, [file], '/', options()), { code: 'path_reserved' });
  assert.deepEqual(server.calls, []);
});

test('a link that is given by name is what it points to', async () => {
  const server = createEngineApi();
  const here = folder();
  fs.mkdirSync(path.join(here, 'real'));
  fs.writeFileSync(path.join(here, 'real/file'), 'x');
  fs.writeFileSync(path.join(here, 'large'), bytes(1_000_000));
  for (const [link, target] of [
    ['f', 'real/file'],
    ['d', 'real'],
    ['l', 'large'],
  ] as const) {
    fs.symlinkSync(target, path.join(here, link));
  }
  const summary = await runPut(
    server.api,
    ['f', 'd/', 'l'].map((name) => path.join(here, name)),
    '/to',
    options(),
  );
  assert.deepEqual(summary.targets, ['/to/f', '/to/d', '/to/l']);
  assert.equal(String(await server.content('/to/f')), 'x');
  assert.equal(String(await server.content('/to/d/file')), 'x');
  assert.equal((await server.content('/to/l')).length, 1_000_000);
});

test('one file that is there already costs no upload, and one that changed no question', async () => {
  const server = createEngineApi();
  const file = path.join(folder(), 'large');
  fs.writeFileSync(file, bytes(500_000));
  await runPut(server.api, [file], '/large', options());
  assert.equal((await runPut(server.api, [file], '/large', options())).filesSkipped, 1);
  assert.equal(server.calls.filter((name) => name === 'createUpload').length, 1);
  fs.appendFileSync(file, 'more');
  assert.equal((await runPut(server.api, [file], '/large', options())).filesDone, 1);
  assert.equal(server.calls.filter((name) => name === 'missingEntries').length, 1);
});

test('links are followed when asked, and one that leads back up ends there', async () => {
  const server = createEngineApi();
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(path.join(tree, 'sub'), { recursive: true });
  fs.writeFileSync(path.join(tree, 'file'), 'x');
  fs.symlinkSync('file', path.join(tree, 'link'));
  fs.symlinkSync('..', path.join(tree, 'sub/up'));
  const summary = await runPut(server.api, [tree], '/', options({ follow: true }));
  assert.equal(String(await server.content('/tree/link')), 'x');
  assert.deepEqual(
    summary.failures.map(({ path, code }) => [path, code]),
    [['/tree/sub/up', 'local_io']],
  );
});

test('a file that the server has under another name is not sent, once its digest is known', async () => {
  const server = createEngineApi();
  const file = path.join(folder(), 'large');
  fs.writeFileSync(file, bytes(2_000_000));
  fs.utimesSync(file, 1000, 1000);
  await runPut(server.api, [file], '/one', options());
  const watched = watch();
  const summary = await runPut(server.api, [file], '/two', options({ onEvent: watched.onEvent }));
  assert.equal(summary.bytesSent, 0);
  assert.deepEqual(await server.content('/two'), bytes(2_000_000));
  assert.deepEqual(
    watched.events.flatMap((event) => (event.type === 'file' ? [event.outcome] : [])),
    ['deduplicated'],
  );
});

test('progress never runs ahead of what is safe, and ends at the total', async () => {
  const server = createEngineApi();
  const file = path.join(folder(), 'large');
  fs.writeFileSync(file, bytes(20_000_000));
  const watched = watch();
  await runPut(server.api, [file], '/large', options({ onEvent: watched.onEvent, limitRateBytesPerSecond: 100_000_000 }));
  const progress = watched.events.filter((event) => event.type === 'progress');
  let last = 0;
  for (const event of progress) {
    assert.ok(event.bytesDone >= last && event.bytesDone <= 20_000_000);
    last = event.bytesDone;
  }
  assert.equal(last, 20_000_000);
  assert.equal(watched.events.at(-1)?.type, 'done');
});
