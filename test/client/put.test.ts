import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import type { Api } from '../../src/client/api-contract.ts';
import type { TransferEvent, TransferOptions } from '../../src/client/contract.ts';
import { runPut } from '../../src/client/put.ts';
import { HawserError } from '../../src/core/errors.ts';
import { broken, createEngineApi, WHO } from './engine-api.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'hawser-put-'));
after(() => fs.rmSync(root, { recursive: true, force: true }));

let folders = 0;
function folder(): string {
  const made = path.join(root, `w${folders++}`);
  fs.mkdirSync(made);
  return made;
}

/** Bytes that differ everywhere, and are the same for the same seed. */
function bytes(length: number, seed = 1): Buffer {
  const out = Buffer.allocUnsafe(length);
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out[i] = state;
  }
  return out;
}

function options(more: TransferOptions = {}): TransferOptions {
  return { stateFolder: path.join(root, 'state'), ...more };
}

function watch(): { events: TransferEvent[]; onEvent: (event: TransferEvent) => void; of: (type: string) => TransferEvent[] } {
  const events: TransferEvent[] = [];
  return { events, onEvent: (event) => events.push(event), of: (type) => events.filter((event) => event.type === type) };
}

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

/** Next door blocks have running digests. */
const ANYWHERE = [
  ['', null],
  [', next door', 0.1],
] as const;

for (const [where, rttMs] of ANYWHERE) {
  test(`several megabytes over a network that breaks arrive, and little is sent twice${where}`, async () => {
    const server = createEngineApi();
    server.rttMs = rttMs;
    const file = path.join(folder(), 'large');
    const content = bytes(9_000_000);
    fs.writeFileSync(file, content);
    let left = 700_000;
    server.onPiece = (_name, piece) => {
      left -= piece.length;
      if (left > 0) return;
      left = 700_000;
      throw broken();
    };
    server.onAnswer = (name, count) => {
      if (name !== 'putBlocks' && count === 1) throw broken();
    };
    const watched = watch();
    const summary = await runPut(server.api, [file], '/large', options({ onEvent: watched.onEvent, chunkBytes: 1_000_000 }));
    assert.deepEqual(await server.content('/large'), content);
    assert.ok(watched.of('notice').length > 0);
    assert.ok(summary.bytesSent < 2 * content.length, `${summary.bytesSent} bytes were sent`);
  });
}

for (const [where, rttMs] of ANYWHERE) {
  test(`an interrupted put goes on where it was, and a source that changed meanwhile sends what differs${where}`, async () => {
    const server = createEngineApi();
    server.rttMs = rttMs;
    const file = path.join(folder(), 'large');
    const content = bytes(8 << 20);
    fs.writeFileSync(file, content);
    const stop = new AbortController();
    let sent = 0;
    server.onPiece = (_name, piece) => {
      sent += piece.length;
      if (sent > 5 << 20) stop.abort();
    };
    await assert.rejects(
      runPut(server.api, [file], '/large', options({ signal: stop.signal, chunkBytes: 1 << 20, ...(!rttMs && { parallel: 2 }) })),
      {
        code: 'interrupted',
      },
    );
    server.onPiece = () => undefined;
    const [upload] = await server.engine.listUploads(WHO, { limit: 10 });
    assert.ok(upload && upload.safeBytes >= 1 << 20, `${upload?.safeBytes} bytes are safe`);
    content[5] = content[5]! ^ 1;
    fs.writeFileSync(file, content);
    // A server that has digests to compute first asks for patience.
    const { uploadDigests } = server.api;
    let asked = 0;
    const patient: typeof uploadDigests = async (...call) =>
      asked++ === 0 ? { done: false, hashedBytes: 0, size: 1 } : await uploadDigests(...call);
    const watched = watch();
    const summary = await runPut(
      { ...server.api, uploadDigests: patient },
      [file],
      '/large',
      options({ onEvent: watched.onEvent }),
    );
    assert.equal(asked, 2);
    assert.deepEqual(await server.content('/large'), content);
    assert.equal(summary.bytesSent, content.length - upload.safeBytes + 65536);
    assert.equal(watched.events.filter((event) => event.type === 'notice' && event.code === 'source_changed').length, 1);
  });
}

test('an interrupted put of a folder under a new name goes on under that name, and the next one goes into it', async () => {
  const server = createEngineApi();
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(tree);
  fs.writeFileSync(path.join(tree, 'large'), bytes(3 << 20));
  const stop = new AbortController();
  server.onPiece = () => stop.abort();
  await assert.rejects(runPut(server.api, [tree], '/new', options({ signal: stop.signal })), { code: 'interrupted' });
  assert.equal((await server.engine.stat(WHO, '/new')).kind, 'folder');
  server.onPiece = () => undefined;
  assert.deepEqual((await runPut(server.api, [tree], '/new', options())).targets, ['/new']);
  assert.deepEqual(await server.content('/new/large'), bytes(3 << 20));
  assert.deepEqual((await runPut(server.api, [tree], '/new', options())).targets, ['/new/tree']);
});

test('an interrupted put into a folder that was there goes on in it', async () => {
  const server = createEngineApi();
  await server.engine.makeFolder(WHO, '/there', {});
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(tree);
  fs.writeFileSync(path.join(tree, 'large'), bytes(3 << 20));
  const stop = new AbortController();
  server.onPiece = () => stop.abort();
  await assert.rejects(runPut(server.api, [tree], '/there', options({ signal: stop.signal })), { code: 'interrupted' });
  server.onPiece = () => undefined;
  assert.deepEqual((await runPut(server.api, [tree], '/there', options())).targets, ['/there/tree']);
});

for (const [where, rttMs] of ANYWHERE) {
  test(`a source that changes while it is sent is sent again where it differs; one that never rests fails${where}`, async () => {
    const server = createEngineApi();
    server.rttMs = rttMs;
    const file = path.join(folder(), 'large');
    const content = bytes(3 << 20);
    fs.writeFileSync(file, content);
    let changes = 0;
    server.onAnswer = (name) => {
      if (name !== 'putBlocks' || changes++ > 0) return;
      content.fill(7, 0, 10);
      const fd = fs.openSync(file, 'r+');
      fs.writeSync(fd, content, 0, 10, 0);
      fs.closeSync(fd);
      fs.utimesSync(file, 1000, 2000);
    };
    const summary = await runPut(server.api, [file], '/large', options());
    assert.deepEqual(await server.content('/large'), content);
    assert.ok(summary.bytesSent <= content.length + 65536);
    assert.equal((await server.engine.stat(WHO, '/large')).mtimeNs, 2_000_000_000_000n);
    let tick = 3000;
    server.onAnswer = (name) => {
      if (name === 'putBlocks' || name === 'uploadDigests') fs.utimesSync(file, 1000, tick++);
    };
    fs.writeFileSync(file, bytes(3 << 20, 9));
    await assert.rejects(runPut(server.api, [file], '/large', options()), { code: 'source_changed' });
    assert.deepEqual(await server.content('/large'), content);
  });
}

test('next door blocks have running digests; what arrives damaged is sent again with its own', async () => {
  const server = createEngineApi();
  server.rttMs = 0.1;
  const file = path.join(folder(), 'large');
  const content = bytes(9_000_000);
  fs.writeFileSync(file, content);
  let sent = 0;
  let running = 0;
  let damaged = false;
  server.onPiece = (_name, piece) => {
    if (piece.length === 0) return;
    sent += piece.length;
    if (!damaged && piece[0] === 0x80) running++;
    if (damaged || sent < 5_000_000) return;
    damaged = true;
    piece[piece.length - 1]! ^= 1;
  };
  const watched = watch();
  const summary = await runPut(server.api, [file], '/large', options({ onEvent: watched.onEvent, chunkBytes: 4 << 20 }));
  assert.deepEqual(await server.content('/large'), content);
  assert.ok(running > 0, 'no running digest was sent');
  assert.deepEqual(
    watched.of('notice').map((event) => event.type === 'notice' && event.code),
    ['block_mismatch'],
  );
  assert.ok(summary.bytesSent < content.length + (5 << 20), `${summary.bytesSent} bytes were sent`);
});

test('a block whose running digest came before its turn is sent again', async () => {
  const server = createEngineApi();
  server.rttMs = 0.1;
  const file = path.join(folder(), 'large');
  const content = bytes(5_000_000);
  fs.writeFileSync(file, content);
  server.onCall = (name, count) => {
    if (name === 'putBlocks' && count === 2) throw new HawserError('running_digest_early', 'Not yet.');
  };
  await runPut(server.api, [file], '/large', options({ chunkBytes: 1 << 20 }));
  assert.deepEqual(await server.content('/large'), content);
});

test('a pause from elsewhere stops the bytes, a resume lets them go on, a cancel ends the put', async () => {
  for (const end of ['resume', 'cancel'] as const) {
    const server = createEngineApi();
    const file = path.join(folder(), 'large');
    fs.writeFileSync(file, bytes(4 << 20));
    let id = '';
    let paused = false;
    server.onPiece = async () => {
      if (paused) return;
      paused = true;
      await server.engine.pauseTransfer(WHO, id);
    };
    const codes: string[] = [];
    const onEvent = (event: TransferEvent) => {
      if (event.type === 'start') id = event.transfer;
      if (event.type === 'notice') codes.push(event.code);
    };
    server.onCall = async (name) => {
      if (name !== 'getTransfer') return;
      await (end === 'resume' ? server.engine.resumeTransfer(WHO, id) : server.engine.cancelTransfer(WHO, id));
    };
    const run = runPut(server.api, [file], '/large', options({ onEvent, chunkBytes: 1 << 20, parallel: 1 }));
    if (end === 'resume') {
      assert.equal((await run).filesDone, 1);
      assert.deepEqual(codes, ['transfer_paused', 'transfer_resumed']);
    } else {
      await assert.rejects(run, { code: 'transfer_cancelled' });
      assert.equal((await server.engine.listUploads(WHO, { limit: 1 })).length, 0);
    }
  }
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

test('an upload that the server has lost is opened again', async () => {
  const server = createEngineApi();
  const file = path.join(folder(), 'large');
  const content = bytes(5 << 20);
  fs.writeFileSync(file, content);
  server.onCall = async (name, count) => {
    if (name !== 'putBlocks' || count !== 3) return;
    const [upload] = await server.engine.listUploads(WHO, { limit: 1 });
    await server.engine.removeUpload(WHO, upload!.id);
  };
  await runPut(server.api, [file], '/large', options({ parallel: 1, chunkBytes: 1 << 20 }));
  assert.deepEqual(await server.content('/large'), content);
});

test("a pack whose answer got lost is not taken for someone else's files", async () => {
  const server = createEngineApi();
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(tree);
  for (let i = 0; i < 30; i++) fs.writeFileSync(path.join(tree, `f${i}`), bytes(3000, i));
  server.onAnswer = (name, count) => {
    if (name === 'putPack' && count === 1) throw broken();
  };
  const summary = await runPut(server.api, [tree], '/', options({ overwrite: 'never' }));
  assert.deepEqual([summary.filesDone, summary.filesFailed, summary.bytesSent], [30, 0, 90_000]);
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

test('a transfer whose first answer was lost is not begun twice', async () => {
  const server = createEngineApi();
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(tree);
  fs.writeFileSync(path.join(tree, 'a'), 'x');
  server.onAnswer = (name, count) => {
    if (name === 'createTransfer' && count === 1) throw broken();
  };
  const { transfer } = await runPut(server.api, [tree], '/', options());
  const listed = await server.engine.listTransfers(WHO, { limit: 10 });
  assert.deepEqual(
    listed.map(({ id, state }) => [id, state]),
    [[transfer, 'done']],
  );
  assert.equal(server.calls.filter((name) => name === 'createTransfer').length, 2);
});

test('an unreachable server is given up after five tries', async () => {
  const server = createEngineApi();
  const file = path.join(folder(), 'a');
  fs.writeFileSync(file, 'x');
  server.onCall = () => {
    throw new HawserError('unreachable', 'Refused.');
  };
  await assert.rejects(runPut(server.api, [file], '/a', options()), { code: 'unreachable' });
  assert.equal(server.calls.filter((name) => name === 'createTransfer').length, 6);
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

test('a question that fails for good ends the uploads that are on their way', async () => {
  const server = createEngineApi();
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(tree);
  for (let i = 0; i < 1100; i++) fs.writeFileSync(path.join(tree, `f${i}`), '');
  fs.writeFileSync(path.join(tree, 'a-large'), bytes(1_000_000));
  await server.engine.makeFolder(WHO, '/tree', {});
  server.onPiece = (name) => (name === 'putBlocks' ? new Promise<void>(() => undefined) : undefined);
  server.onCall = (name, count) => {
    if (name === 'missingEntries' && count === 2) throw new HawserError('token_expired', 'Expired.');
  };
  await assert.rejects(runPut(server.api, [tree], '/', options()), { code: 'token_expired' });
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

for (const packBytes of [0, 1000, 16 * 1024, 16 * 1024 + 1, 17 * 1024, 256 * 1024 + 16 * 1024, 300_000]) {
  test(`a server that takes packs of ${packBytes} bytes gets everything, and no pack with files that is longer`, async () => {
    const server = createEngineApi();
    const packs: number[] = [];
    const capabilities: Api['capabilities'] = async (call) => ({ ...(await server.api.capabilities(call)), packBytes });
    const putPack: Api['putPack'] = (query, body, length, call) => {
      packs.push(length);
      return server.api.putPack(query, body, length, call);
    };
    const tree = path.join(folder(), 'tree');
    fs.mkdirSync(path.join(tree, 'sub'), { recursive: true });
    for (let i = 0; i < 12; i++) fs.writeFileSync(path.join(tree, `sub/f${i}`), bytes(i * 23_000, i));
    fs.symlinkSync('sub/f3', path.join(tree, 'link'));
    const summary = await runPut({ ...server.api, capabilities, putPack }, [tree], '/in', options());
    assert.deepEqual([summary.filesDone, summary.filesFailed], [13, 0]);
    for (let i = 0; i < 12; i++) assert.deepEqual(await server.content(`/in/sub/f${i}`), bytes(i * 23_000, i), `f${i}`);
    // A folder or a link has no other way, so one of them goes alone, however little the server takes.
    assert.ok(Math.max(...packs) <= Math.max(packBytes, 200), `${Math.max(...packs)}`);
  });
}

test('a full pack leaves before the files of the next are read', async () => {
  const server = createEngineApi();
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(tree);
  for (let i = 0; i < 12; i++) fs.writeFileSync(path.join(tree, `f${i}`), bytes(100_000, i));
  const steps: string[] = [];
  const putPack: Api['putPack'] = async (query, body, length, call) => {
    steps.push('begins');
    const pieces: Uint8Array[] = [];
    for await (const piece of body as AsyncIterable<Uint8Array>) pieces.push(Buffer.from(piece));
    steps.push('left');
    return server.api.putPack(query, Buffer.concat(pieces), length, call);
  };
  await runPut({ ...server.api, putPack }, [tree], '/in/', options());
  assert.deepEqual(steps.slice(0, 4), ['begins', 'left', 'begins', 'left']);
});

test('a server that takes packs of no entries gets one at a time', async () => {
  const server = createEngineApi();
  const capabilities: Api['capabilities'] = async (call) => ({ ...(await server.api.capabilities(call)), packEntries: 0 });
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(tree);
  for (let i = 0; i < 40; i++) fs.writeFileSync(path.join(tree, `f${i}`), 'x');
  const summary = await runPut({ ...server.api, capabilities }, [tree], '/in', options());
  assert.equal(summary.filesDone, 40);
  assert.equal(String(await server.content('/in/f39')), 'x');
});

test('an upload that the server ends with another digest has failed', async () => {
  const server = createEngineApi();
  const file = path.join(folder(), 'large');
  fs.writeFileSync(file, bytes(2_000_000));
  const completeUpload: Api['completeUpload'] = async (id, request, call) => {
    const answer = await server.api.completeUpload(id, request, call);
    return answer.done ? { ...answer, value: { ...answer.value, digest: 'ab'.repeat(32) } } : answer;
  };
  const api = { ...server.api, completeUpload };
  await assert.rejects(runPut(api, [file], '/large', options()), { code: 'digest_mismatch' });
  const stream = async function* () {
    yield bytes(100_000);
  };
  await assert.rejects(runPut(api, [stream()], '/stream', options()), { code: 'digest_mismatch' });
  const unsaid: Api['completeUpload'] = async (id, request, call) => {
    const answer = await server.api.completeUpload(id, request, call);
    return answer.done ? { ...answer, value: { ...answer.value, digest: null } } : answer;
  };
  const other = path.join(folder(), 'other');
  fs.writeFileSync(other, bytes(2_000_000, 9));
  const summary = await runPut({ ...server.api, completeUpload: unsaid }, [other], '/other', options());
  assert.equal(summary.filesDone, 1, 'a digest that is not known yet is no other digest');
});

for (const refused of [false, true]) {
  test(`far away the completion is asked for before the last blocks are answered${refused ? ', and again when that failed' : ''}`, {
    timeout: 30_000,
  }, async () => {
    const server = createEngineApi();
    server.rttMs = 100;
    const file = path.join(folder(), 'film');
    fs.writeFileSync(file, bytes(1_100_000, 7));
    // No block is answered before somebody asks for the completion.
    const asked = Promise.withResolvers<void>();
    let completions = 0;
    server.onCall = (name, count) => {
      if (name !== 'completeUpload') return;
      completions++;
      asked.resolve();
      if (refused && count === 1) throw broken();
    };
    server.onAnswer = async (name) => {
      if (name === 'putBlocks') await asked.promise;
    };
    const summary = await runPut(server.api, [file], '/in/', options());
    assert.equal(summary.filesDone, 1);
    assert.deepEqual(await server.content('/in/film'), bytes(1_100_000, 7));
    assert.equal(completions, refused ? 2 : 1);
    assert.equal((await server.engine.getTransfer(WHO, summary.transfer)).state, 'done');
    assert.ok(!server.calls.includes('createTransfer'), 'its transfer began with its upload');
  });
}

describe('far away the first blocks leave with the request that begins the upload', () => {
  const SIZE = 3_000_000;

  async function world(change: (server: ReturnType<typeof createEngineApi>) => void | Promise<void>) {
    const server = createEngineApi();
    server.rttMs = 100;
    const file = path.join(folder(), 'film');
    fs.writeFileSync(file, bytes(SIZE, 11));
    await change(server);
    const summary = await runPut(server.api, [file], '/in/', options());
    assert.equal(summary.filesDone, 1);
    assert.deepEqual(await server.content('/in/film'), bytes(SIZE, 11));
    assert.deepEqual(await server.engine.listUploads(WHO, { limit: 10 }), []);
    return { server, summary };
  }

  test('and wait there for it', { timeout: 30_000 }, async () => {
    const left = Promise.withResolvers<void>();
    const { summary } = await world((server) => {
      server.onCall = async (name) => {
        if (name === 'putBlocks') left.resolve();
        // Were they sent afterwards, this would never end.
        if (name === 'createUpload') await left.promise;
      };
    });
    assert.equal(summary.bytesSent, SIZE);
  });

  test('and go again when they were lost, or damaged', async () => {
    for (const fault of ['lost', 'damaged'] as const) {
      const { server } = await world((server) => {
        server.onCall = (name, count) => {
          if (fault === 'lost' && name === 'putBlocks' && count === 1) throw broken();
        };
        let pieces = 0;
        server.onPiece = (_name, piece) => {
          if (fault === 'damaged' && pieces++ === 0) piece[1000]! ^= 1;
        };
      });
      assert.ok(server.calls.filter((name) => name === 'putBlocks').length > 1, fault);
    }
  });

  test('and are let go when an unfinished upload goes on', async () => {
    await world(async ({ engine }) => {
      const half = await engine.createUpload(WHO, { path: '/in/film', size: SIZE });
      assert.equal(half.resumed, false);
    });
  });
});

test('an upload that was opened before it turned out that it cannot be is not left behind', async () => {
  const server = createEngineApi();
  const from = folder();
  fs.writeFileSync(path.join(from, 'small'), bytes(10));
  fs.writeFileSync(path.join(from, 'film'), bytes(2_000_000, 8));
  await runPut(server.api, [path.join(from, 'small')], '/taken', options());
  await assert.rejects(runPut(server.api, [path.join(from, 'film')], '/taken/', options()), { code: 'not_folder' });
  assert.deepEqual(await server.engine.listUploads(WHO, { limit: 10 }), []);
  await server.engine.makeFolder(WHO, '/folder', {});
  const { targets } = await runPut(server.api, [path.join(from, 'film')], '/folder', options());
  assert.deepEqual(targets, ['/folder/film']);
  assert.deepEqual(await server.engine.listUploads(WHO, { limit: 10 }), []);
});
