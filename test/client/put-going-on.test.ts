import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Api } from '../../src/client/api-contract.ts';
import type { TransferEvent } from '../../src/client/contract.ts';
import { runPut } from '../../src/client/put.ts';
import { HawserError } from '../../src/core/errors.ts';
import { broken, createEngineApi, WHO } from './engine-api.ts';
import { bytes, folder, options, watch } from './put-fixture.ts';

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
