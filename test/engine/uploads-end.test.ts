import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { HawserError } from '../../src/core/errors.ts';
import { createMemoryMeta } from '../../src/store/meta/memory.ts';
import { body, content, frame, frames, openEngine, refusal, WRITER } from './fixture.ts';

const BLOCK = 65536;

describe('an upload that ends early', () => {
  it('frees abandoned uploads when their time is over, and not before', async (t) => {
    const { engine, root, clock } = await openEngine(t, { expireMs: 1000 });
    const upload = await engine.createUpload(WRITER, { path: '/a', size: BLOCK });
    assert.equal(await engine.sweep(), 0);
    assert.equal((await readdir(join(root, '.hawser/staging'))).length, 1);
    clock.offsetMs = 2000;
    assert.equal(await engine.sweep(), 1);
    assert.deepEqual(await readdir(join(root, '.hawser/staging')), []);
    await assert.rejects(engine.getUpload(WRITER, upload.id), refusal('upload_not_found'));
  });

  it('makes everything safe that was in flight, and takes in no more, when it is told to drain', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(2 * BLOCK);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    const interrupted = Promise.withResolvers<void>();
    const receiving = engine.receiveBlocks(
      WRITER,
      upload.id,
      upload.epoch,
      body(frames(bytes, upload, [0])[0]!, interrupted.promise, frames(bytes, upload, [1])[0]!),
      () => interrupted.resolve(),
    );
    receiving.catch(() => undefined);
    await new Promise(setImmediate);
    await engine.drain();
    await assert.rejects(receiving, refusal('shutting_down'));
    assert.deepEqual((await engine.getUpload(WRITER, upload.id)).safe, [[0, BLOCK]]);
    await assert.rejects(engine.createUpload(WRITER, { path: '/b', size: 1 }), refusal('shutting_down'));
  });

  it('frees what it staged when the upload cannot be recorded', async (t) => {
    const meta = createMemoryMeta({
      beforeCommit: (method) => {
        if (method === 'addUpload') throw new HawserError('no_space', 'There is no space left for the database: free some.');
      },
    });
    const { engine, root } = await openEngine(t, { meta });
    await assert.rejects(engine.createUpload(WRITER, { path: '/a', size: 10 }), refusal('no_space'));
    assert.deepEqual(await readdir(join(root, '.hawser/staging')), []);
  });

  it('frees staging on a full disk, where nothing can be recorded before', async (t) => {
    const full = { now: false };
    const meta = createMemoryMeta({
      beforeCommit: async (method) => {
        if (!full.now || (method !== 'removeUpload' && method !== 'updateTransfer')) return;
        full.now = (await readdir(join(root, '.hawser/staging'))).length > 0;
        if (full.now) throw new HawserError('no_space', 'There is no space left for the database: free some.');
      },
    });
    const { engine, root } = await openEngine(t, { meta });
    const transfer = await engine.createTransfer(WRITER, { kind: 'upload', source: 'a', destination: '/a' });
    const upload = await engine.createUpload(WRITER, { path: '/a', size: 10, transfer: transfer.id });
    full.now = true;
    await engine.cancelTransfer(WRITER, transfer.id);
    assert.deepEqual(await readdir(join(root, '.hawser/staging')), []);
    await assert.rejects(engine.getUpload(WRITER, upload.id), refusal('upload_not_found'));
  });

  it('holds little memory for blocks that a stream scatters', async (t) => {
    const { engine } = await openEngine(t);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: null });
    const far = frame(content(10), 0, BLOCK);
    new DataView(far.buffer, far.byteOffset).setBigUint64(0, BigInt(upload.blockBytes) * 10_000n);
    await assert.rejects(engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(far)), refusal('frame_invalid'));
  });

  it('tells the senders of a cancelled transfer that it was cancelled', async (t) => {
    const { engine } = await openEngine(t);
    const transfer = await engine.createTransfer(WRITER, { kind: 'upload', source: 'a', destination: '/a' });
    const bytes = content(2 * BLOCK);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: bytes.length, transfer: transfer.id });
    const interrupted = Promise.withResolvers<string>();
    const never = new Promise<void>(() => undefined);
    const reached = Promise.withResolvers<void>();
    const source = async function* () {
      yield frames(bytes, upload, [0])[0]!;
      reached.resolve();
      await Promise.race([never, interrupted.promise]);
    };
    const receiving = engine.receiveBlocks(WRITER, upload.id, upload.epoch, source(), (why) => interrupted.resolve(why.code));
    receiving.catch(() => undefined);
    await reached.promise;
    await engine.cancelTransfer(WRITER, transfer.id);
    assert.equal(await interrupted.promise, 'transfer_cancelled');
    await assert.rejects(receiving, refusal('transfer_cancelled'));
  });
});
