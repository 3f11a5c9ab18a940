import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ADMIN, body, content, frames, OTHER, openEngine, READER, refusal, send, WRITER } from './fixture.ts';

const BLOCK = 65536;
const request = { kind: 'upload', source: 'a', destination: '/a' } as const;

describe('transfers', () => {
  it('counts what is safe, once, also when an upload goes on in another transfer', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(2 * BLOCK + 1);
    const first = await engine.createTransfer(WRITER, request);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: bytes.length, transfer: first.id });
    await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(...frames(bytes, upload, [0])));
    await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(...frames(bytes, upload, [0])));
    assert.equal((await engine.getTransfer(WRITER, first.id)).bytesDone, BLOCK);
    const second = await engine.createTransfer(WRITER, request);
    await send(engine, '/a', bytes, WRITER, { transfer: second.id });
    const done = await engine.getTransfer(WRITER, second.id);
    assert.deepEqual([done.bytesDone, done.filesDone], [bytes.length, 1]);
    assert.equal((await engine.getTransfer(WRITER, first.id)).state, 'failed');
  });

  it('is the same when it is begun again with the same id, and another for whoever else comes with it', async (t) => {
    const { engine } = await openEngine(t);
    const chosen = { ...request, source: 'a\udcff', id: 'abcdefghij' };
    const [first, late] = await Promise.all([engine.createTransfer(WRITER, chosen), engine.createTransfer(WRITER, chosen)]);
    assert.deepEqual([first.id, late.id], ['t-abcdefghij', 't-abcdefghij']);
    assert.equal((await engine.listTransfers(WRITER, { limit: 10 })).length, 1);
    await engine.pauseTransfer(WRITER, first.id);
    assert.equal((await engine.createTransfer(WRITER, chosen)).state, 'paused', 'as it is now');
    for (const [who, more] of [
      [OTHER, {}],
      [WRITER, { source: 'b' }],
    ] as const) {
      const { id, state } = await engine.createTransfer(who, { ...chosen, ...more });
      assert.notEqual(id, first.id);
      assert.equal(state, 'active');
    }
    assert.equal((await engine.listTransfers(ADMIN, { limit: 10 })).length, 3);
  });

  it('pauses in the middle of a body, keeps what was whole, and goes on', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(2 * BLOCK);
    const transfer = await engine.createTransfer(WRITER, request);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: bytes.length, transfer: transfer.id });
    const paused = Promise.withResolvers<void>();
    const [one, two] = frames(bytes, upload);
    const reached = Promise.withResolvers<void>();
    const source = async function* () {
      yield one!;
      reached.resolve();
      await paused.promise;
      yield two!;
    };
    const receiving = engine.receiveBlocks(WRITER, upload.id, upload.epoch, source());
    receiving.catch(() => undefined);
    await reached.promise;
    await engine.pauseTransfer(WRITER, transfer.id);
    paused.resolve();
    await assert.rejects(receiving, refusal('transfer_paused'));
    await assert.rejects(engine.receiveBlocks(WRITER, upload.id, upload.epoch, body()), refusal('transfer_paused'));
    const waiting = engine.waitTransfer(WRITER, transfer.id, 'paused', 60_000);
    await engine.resumeTransfer(WRITER, transfer.id);
    assert.equal((await waiting).state, 'active');
    await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(two!));
    assert.equal((await engine.getUpload(WRITER, upload.id)).safeBytes, bytes.length);
  });

  it('cancels: staging is freed at once and data is refused', async (t) => {
    const { engine, root } = await openEngine(t);
    const transfer = await engine.createTransfer(WRITER, request);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: BLOCK, transfer: transfer.id });
    await engine.cancelTransfer(WRITER, transfer.id);
    assert.deepEqual(await readdir(join(root, '.hawser/staging')), []);
    await assert.rejects(engine.receiveBlocks(WRITER, upload.id, upload.epoch, body()), refusal('upload_not_found'));
    await assert.rejects(
      engine.createUpload(WRITER, { path: '/a', size: BLOCK, transfer: transfer.id }),
      refusal('transfer_cancelled'),
    );
    await assert.rejects(engine.resumeTransfer(WRITER, transfer.id), refusal('transfer_ended'));
  });

  it('stops a download when it is paused', async (t) => {
    const { engine } = await openEngine(t);
    await send(engine, '/a', content(4 * BLOCK));
    const transfer = await engine.createTransfer(READER, { ...request, kind: 'download' });
    const file = await engine.open(READER, '/a', { transfer: transfer.id });
    const frames = file.frames(0, 4 * BLOCK, BLOCK);
    assert.equal((await frames.next()).done, false);
    await engine.pauseTransfer(READER, transfer.id);
    await assert.rejects(frames.next(), refusal('transfer_paused'));
    await file.close();
  });

  it('belongs to who started it; an admin sees and steers all', async (t) => {
    const { engine } = await openEngine(t);
    const transfer = await engine.createTransfer(WRITER, request);
    await assert.rejects(engine.getTransfer(OTHER, transfer.id), refusal('transfer_not_found'));
    await assert.rejects(engine.pauseTransfer(OTHER, transfer.id), refusal('transfer_not_found'));
    assert.deepEqual(await engine.listTransfers(OTHER, { limit: 10 }), []);
    assert.equal((await engine.listTransfers(ADMIN, { limit: 10 })).length, 1);
    assert.equal((await engine.pauseTransfer(ADMIN, transfer.id)).state, 'paused');
    await assert.rejects(engine.createTransfer(READER, request), refusal('forbidden'));
  });

  it('takes the progress of a download from the receiver and that of an upload from nobody', async (t) => {
    const { engine } = await openEngine(t);
    const up = await engine.createTransfer(WRITER, request);
    await assert.rejects(engine.changeTransfer(WRITER, up.id, { bytesDone: 5 }), refusal('request_invalid'));
    const down = await engine.createTransfer(READER, { ...request, kind: 'download' });
    assert.equal((await engine.changeTransfer(READER, down.id, { bytesDone: 5, filesDone: 1, state: 'done' })).bytesDone, 5);
    await assert.rejects(engine.changeTransfer(READER, down.id, { bytesDone: 6 }), refusal('transfer_ended'));
  });

  it('declares transfers over that nothing moved for as long as uploads are kept', async (t) => {
    const { engine, clock } = await openEngine(t, { expireMs: 1000 });
    const transfer = await engine.createTransfer(WRITER, request);
    await engine.sweep();
    assert.equal((await engine.getTransfer(WRITER, transfer.id)).state, 'active');
    clock.offsetMs = 2000;
    await engine.sweep();
    assert.equal((await engine.getTransfer(WRITER, transfer.id)).state, 'failed');
  });
});
