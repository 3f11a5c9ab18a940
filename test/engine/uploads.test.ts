import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { body, content, digestOf, frame, frames, OTHER, openEngine, READER, refusal, send, WRITER } from './fixture.ts';

const BLOCK = 65536;

describe('uploads', () => {
  it('publishes exactly what was sent, with its attributes, and only at the end', async (t) => {
    const { engine, root } = await openEngine(t);
    const bytes = content(3 * BLOCK + 17);
    const upload = await engine.createUpload(WRITER, {
      path: '/in/a.bin',
      size: bytes.length,
      mode: 0o640,
      mtimeNs: 1_600_000_000_123_456_789n,
    });
    assert.equal(upload.blockBytes, BLOCK);
    await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(...frames(bytes, upload, [3, 1, 0, 2])));
    await assert.rejects(engine.stat(WRITER, '/in/a.bin'), refusal('not_found'));
    const done = await engine.completeUpload(WRITER, upload.id, {
      epoch: upload.epoch,
      size: bytes.length,
      digest: digestOf(bytes),
    });
    assert.ok(done.done);
    assert.equal(done.value.digest, digestOf(bytes));
    assert.deepEqual(new Uint8Array(await readFile(join(root, 'in/a.bin'))), bytes);
    const info = await engine.stat(READER, '/in/a.bin');
    assert.equal(info.mtimeNs, 1_600_000_000_123_456_789n);
    assert.equal(info.mode, 0o640);
    assert.equal(info.etag, `"${digestOf(bytes)}"`);
    assert.deepEqual(await readdir(join(root, '.hawser/staging')), []);
  });

  it('publishes an empty file', async (t) => {
    const { engine } = await openEngine(t);
    assert.equal((await send(engine, '/empty', new Uint8Array(0))).digest, digestOf(new Uint8Array(0)));
  });

  it('keeps the whole blocks of a body that ends inside one', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(2 * BLOCK);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    const cut = Buffer.concat(frames(bytes, upload)).subarray(0, BLOCK + 1000);
    await assert.rejects(engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(cut)), refusal('body_incomplete'));
    assert.deepEqual((await engine.getUpload(WRITER, upload.id)).safe, [[0, BLOCK]]);
  });

  it('refuses a damaged block and keeps those before it', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(2 * BLOCK);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    const [good, bad] = frames(bytes, upload);
    bad![100]! ^= 1;
    await assert.rejects(engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(good!, bad!)), refusal('block_mismatch'));
    assert.deepEqual((await engine.getUpload(WRITER, upload.id)).safe, [[0, BLOCK]]);
  });

  it('refuses blocks off the grid, past the end, and short ones in the middle', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(2 * BLOCK);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    const misplaced = (offset: number, length: number) => {
      const one = frame(bytes.subarray(0, length), 0, BLOCK);
      new DataView(one.buffer, one.byteOffset).setBigUint64(0, BigInt(offset));
      return one;
    };
    for (const [offset, length] of [
      [1, BLOCK],
      [2 * BLOCK, BLOCK],
      [0, BLOCK - 1],
      [2 ** 52, BLOCK],
    ] as const) {
      const receiving = engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(misplaced(offset, length)));
      await assert.rejects(receiving, refusal('frame_invalid'), `${length} bytes at ${offset}`);
    }
    assert.equal((await engine.getUpload(WRITER, upload.id)).safeBytes, 0);
  });

  it('takes a stream whose length nobody knows', async (t) => {
    const { engine } = await openEngine(t);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: null });
    const bytes = content(upload.blockBytes + 99);
    await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(...frames(bytes, upload)));
    const done = await engine.completeUpload(WRITER, upload.id, {
      epoch: upload.epoch,
      size: bytes.length,
      digest: digestOf(bytes),
    });
    assert.ok(done.done && done.value.size === bytes.length);
  });

  it('does not publish what differs from its digest, or is not all there', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(2 * BLOCK);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    const finish = (digest: string) =>
      engine.completeUpload(WRITER, upload.id, { epoch: upload.epoch, size: bytes.length, digest });
    await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(...frames(bytes, upload, [0])));
    await assert.rejects(finish(digestOf(bytes)), refusal('upload_incomplete'));
    await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(...frames(bytes, upload, [1])));
    await assert.rejects(finish(digestOf(content(9))), refusal('digest_mismatch'));
    await assert.rejects(engine.stat(WRITER, '/a'), refusal('not_found'));
    assert.ok((await finish(digestOf(bytes))).done);
    assert.ok((await finish(digestOf(bytes))).done, 'completing again gives the same answer');
  });

  it('makes the file from a copy it has, and does not believe a digest that no bytes back', async (t) => {
    const { engine, root } = await openEngine(t);
    const bytes = content(2 * BLOCK);
    await send(engine, '/first', bytes);
    const again = await engine.createUpload(WRITER, { path: '/second', size: bytes.length, digest: digestOf(bytes) });
    assert.ok(again.deduplicated);
    const done = await engine.completeUpload(WRITER, again.id, {
      epoch: again.epoch,
      size: bytes.length,
      digest: digestOf(bytes),
    });
    assert.ok(done.done);
    assert.deepEqual(new Uint8Array(await readFile(join(root, 'second'))), bytes);
    const inPlace = await engine.createUpload(WRITER, { path: '/second', size: bytes.length, digest: digestOf(bytes) });
    assert.equal(inPlace.state, 'done');
    const unknown = await engine.createUpload(WRITER, { path: '/third', size: bytes.length, digest: digestOf(content(5)) });
    assert.ok(!unknown.deduplicated && unknown.safeBytes === 0);
  });

  it('keeps to the overwrite rules', async (t) => {
    const { engine } = await openEngine(t);
    await send(engine, '/a', content(10), WRITER, { mtimeNs: 2_000n });
    await assert.rejects(engine.createUpload(WRITER, { path: '/a', size: 5, overwrite: 'never' }), refusal('exists'));
    await assert.rejects(
      engine.createUpload(WRITER, { path: '/a', size: 5, overwrite: 'newer', mtimeNs: 2_000n }),
      refusal('not_newer'),
    );
    assert.equal(
      (await engine.createUpload(WRITER, { path: '/a', size: 5, overwrite: 'newer', mtimeNs: 3_000n })).state,
      'receiving',
    );
    await engine.makeFolder(WRITER, '/folder', {});
    await assert.rejects(engine.createUpload(WRITER, { path: '/folder', size: 5 }), refusal('is_folder'));
  });

  it('shows an upload to nobody but its owner, and takes none from a reader', async (t) => {
    const { engine } = await openEngine(t);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: 5 });
    await assert.rejects(engine.getUpload(OTHER, upload.id), refusal('upload_not_found'));
    await assert.rejects(engine.removeUpload(OTHER, upload.id), refusal('upload_not_found'));
    assert.deepEqual(await engine.listUploads(OTHER, { limit: 10 }), []);
    await assert.rejects(engine.createUpload(READER, { path: '/b', size: 5 }), refusal('forbidden'));
    const theirs = await engine.createUpload(OTHER, { path: '/a', size: 5 });
    assert.notEqual(theirs.id, upload.id, 'another user never goes on with somebody else’s bytes');
  });

  it('takes a plain body whole or not at all', async (t) => {
    const { engine, root } = await openEngine(t);
    const bytes = content(100_000);
    const { created } = await engine.putFile(WRITER, { path: '/p', size: null }, body(bytes), { blake3: digestOf(bytes) });
    assert.ok(created);
    await assert.rejects(
      engine.putFile(WRITER, { path: '/q', size: null }, body(bytes), { blake3: digestOf(content(3)) }),
      refusal('digest_mismatch'),
    );
    await assert.rejects(engine.putFile(WRITER, { path: '/q', size: null }, body(bytes, new Error('broke')), {}), /broke/);
    await assert.rejects(stat(join(root, 'q')), /ENOENT/);
    assert.deepEqual(await readdir(join(root, '.hawser/staging')), []);
  });

  it('does not publish the bytes of one client with the time of another that came while they were verified', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(3_000_000);
    const first = await engine.createUpload(WRITER, { path: '/a', size: bytes.length, mtimeNs: 1_000n });
    await engine.receiveBlocks(WRITER, first.id, first.epoch, body(...frames(bytes, first)));
    const completing = engine.completeUpload(WRITER, first.id, {
      epoch: first.epoch,
      size: bytes.length,
      digest: digestOf(bytes),
    });
    const second = await engine.createUpload(WRITER, { path: '/a', size: bytes.length, mtimeNs: 2_000n });
    assert.ok((await completing).done);
    assert.equal((await engine.stat(WRITER, '/a')).mtimeNs, 1_000n);
    assert.notEqual(second.id, first.id);
  });

  it('takes a file that arrived with this size and time for the same, and sends any other', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(1000);
    await send(engine, '/a', bytes, WRITER, { mtimeNs: 1_000n });
    assert.equal((await engine.createUpload(WRITER, { path: '/a', size: 1000, mtimeNs: 1_000n })).state, 'done');
    assert.equal((await engine.createUpload(WRITER, { path: '/a', size: 1000, mtimeNs: 1_001n })).state, 'receiving');
    assert.equal((await engine.createUpload(WRITER, { path: '/a', size: 1000 })).state, 'receiving');
  });

  it('refuses a plain body that is shorter than it was announced', async (t) => {
    const { engine } = await openEngine(t);
    await send(engine, '/precious', content(100));
    const putting = engine.putFile(WRITER, { path: '/precious', size: 100_000 }, body(content(5000)), {});
    await assert.rejects(putting, refusal('body_incomplete'));
    assert.equal((await engine.stat(READER, '/precious')).size, 100);
  });
});
