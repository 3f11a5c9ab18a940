import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { HawserError } from '../../src/core/errors.ts';
import { decodeDigestRecords } from '../../src/core/wire/digest-records.ts';
import { systemClock } from '../../src/engine/clock.ts';
import type { Engine, UploadStatus } from '../../src/engine/contract.ts';
import { createEngine } from '../../src/engine/engine.ts';
import { createMemoryStore } from '../../src/store/files/memory.ts';
import { createMemoryMeta } from '../../src/store/meta/memory.ts';
import { ADMIN, body, content, digestOf, frame, frames, OTHER, openEngine, READER, refusal, send, WRITER } from './fixture.ts';

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

  it('waits for blocks that are on their way when it is asked to complete, and not for those that nobody sends', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(3 * BLOCK);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    const request = { epoch: upload.epoch, size: bytes.length, digest: digestOf(bytes), whenThere: true };
    const rest = Promise.withResolvers<void>();
    const pieces = frames(bytes, upload);
    const receiving = engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(pieces[0]!, rest.promise, ...pieces.slice(1)));
    const completing = engine.completeUpload(WRITER, upload.id, request);
    await new Promise(setImmediate);
    rest.resolve();
    await receiving;
    const done = await completing;
    assert.ok(done.done);
    assert.equal(done.value.digest, request.digest);
    const other = await engine.createUpload(WRITER, { path: '/b', size: bytes.length });
    await assert.rejects(
      engine.completeUpload(WRITER, other.id, { ...request, epoch: other.epoch }),
      refusal('upload_incomplete'),
    );
  });

  it('completes nothing for a client that was taken over while it waited', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(2 * BLOCK);
    const first = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    const request = { epoch: first.epoch, size: bytes.length, digest: digestOf(bytes), whenThere: true };
    const completing = engine.completeUpload(WRITER, first.id, request);
    completing.catch(() => undefined);
    await new Promise(setImmediate);
    const second = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    await engine.receiveBlocks(WRITER, second.id, second.epoch, body(...frames(bytes, second)));
    await assert.rejects(completing, refusal('superseded'));
  });

  it('publishes an empty file', async (t) => {
    const { engine } = await openEngine(t);
    assert.equal((await send(engine, '/empty', new Uint8Array(0))).digest, digestOf(new Uint8Array(0)));
  });

  it('goes on where an earlier client stopped, and says which blocks it has', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(4 * BLOCK);
    const first = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    const broken = body(...frames(bytes, first, [0, 2]), new Error('the connection broke'));
    await assert.rejects(engine.receiveBlocks(WRITER, first.id, first.epoch, broken), /broke/);
    const second = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    assert.ok(second.resumed);
    assert.equal(second.id, first.id);
    assert.deepEqual(second.safe, [
      [0, BLOCK],
      [2 * BLOCK, 3 * BLOCK],
    ]);
    const answer = await engine.uploadDigests(WRITER, second.id);
    assert.ok(answer.done);
    const runs = decodeDigestRecords(answer.value);
    assert.deepEqual(
      runs.map(({ first, digests }) => [first, Buffer.from(digests).toString('hex')]),
      [0, 2].map((i) => [i, digestOf(bytes.subarray(i * BLOCK, (i + 1) * BLOCK))]),
    );
    await engine.receiveBlocks(WRITER, second.id, second.epoch, body(...frames(bytes, second, [1, 3])));
    const done = await engine.completeUpload(WRITER, second.id, {
      epoch: second.epoch,
      size: bytes.length,
      digest: digestOf(bytes),
    });
    assert.ok(done.done);
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

  it('lets the newest client win, at once', async (t) => {
    const { engine } = await openEngine(t);
    const old = content(2 * BLOCK, 1);
    const fresh = content(2 * BLOCK, 2);
    const first = await engine.createUpload(WRITER, { path: '/a', size: old.length });
    const stuck = Promise.withResolvers<void>();
    const told = Promise.withResolvers<void>();
    const hanging = engine.receiveBlocks(
      WRITER,
      first.id,
      first.epoch,
      body(...frames(old, first, [0]), stuck.promise, ...frames(old, first, [1])),
      () => told.resolve(),
    );
    hanging.catch(() => undefined);
    const second = await engine.createUpload(WRITER, { path: '/a', size: fresh.length });
    await told.promise;
    await engine.receiveBlocks(WRITER, second.id, second.epoch, body(...frames(fresh, second)));
    stuck.resolve();
    await assert.rejects(hanging, refusal('superseded'));
    const done = await engine.completeUpload(WRITER, second.id, {
      epoch: second.epoch,
      size: fresh.length,
      digest: digestOf(fresh),
    });
    assert.ok(done.done && done.value.digest === digestOf(fresh));
    await assert.rejects(engine.receiveBlocks(WRITER, first.id, first.epoch, body()), refusal('upload_not_found'));
  });

  it('keeps what still fits when the size of the source changed', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(3 * BLOCK + 5);
    const first = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    await engine.receiveBlocks(WRITER, first.id, first.epoch, body(...frames(bytes, first)));
    const longer = content(4 * BLOCK);
    longer.set(bytes);
    const second = await engine.createUpload(WRITER, { path: '/a', size: longer.length });
    assert.deepEqual(second.safe, [[0, 3 * BLOCK]]);
    await engine.receiveBlocks(WRITER, second.id, second.epoch, body(...frames(longer, second, [3])));
    const done = await engine.completeUpload(WRITER, second.id, {
      epoch: second.epoch,
      size: longer.length,
      digest: digestOf(longer),
    });
    assert.ok(done.done);
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

  it('replaces blocks that differ when the source changed', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(3 * BLOCK);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(...frames(bytes, upload)));
    const changed = bytes.slice();
    changed[BLOCK + 1]! ^= 1;
    await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(...frames(changed, upload, [1])));
    const done = await engine.completeUpload(WRITER, upload.id, {
      epoch: upload.epoch,
      size: bytes.length,
      digest: digestOf(changed),
    });
    assert.ok(done.done);
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

  it('takes a request that comes twice for one, whenever the second comes', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(2 * BLOCK);
    const begin = { source: 'a', destination: '/' };
    const ask = (id: string) => engine.createUpload(WRITER, { path: '/a', size: bytes.length, begin, id });
    const [first, beside] = await Promise.all([ask('a'.repeat(20)), ask('a'.repeat(20))]);
    assert.deepEqual(beside, first);
    await engine.receiveBlocks(WRITER, first.id, first.epoch, body(...frames(bytes, first, [0])));
    const late = await ask('a'.repeat(20));
    assert.deepEqual([late.epoch, late.transfer, late.safeBytes], [first.epoch, first.transfer, BLOCK]);
    await engine.receiveBlocks(WRITER, first.id, first.epoch, body(...frames(bytes, first, [1])));
    const other = await ask('b'.repeat(20));
    assert.deepEqual([other.id, other.epoch, other.resumed], [first.id, first.epoch + 1, true]);
    // An old one that comes now does not end the newer client's upload.
    await assert.rejects(ask('a'.repeat(20)), refusal('superseded'));
    assert.deepEqual((await ask('b'.repeat(20))).epoch, other.epoch);
    assert.equal((await engine.listTransfers(WRITER, { limit: 10 })).length, 2);
    const request = { epoch: other.epoch, size: bytes.length, digest: digestOf(bytes) };
    assert.ok((await engine.completeUpload(WRITER, other.id, request)).done);
  });

  it('knows a request that made an upload after a restart, too', async (t) => {
    const stores = { files: createMemoryStore(), meta: createMemoryMeta() };
    const ask = (engine: Engine) => engine.createUpload(WRITER, { path: '/a', size: BLOCK, id: 'a'.repeat(20) });
    const before = createEngine(stores);
    const first = await ask(before);
    await before.drain();
    const after = createEngine(stores);
    t.after(() => after.drain());
    assert.equal((await ask(after)).epoch, first.epoch);
  });

  it('lets blocks wait for the request that begins their upload, and for no other', async (t) => {
    let late: () => void = () => undefined;
    const after = (_ms: number, callback: () => void) => {
      late = callback;
      return () => undefined;
    };
    const { engine } = await openEngine(t, { clock: { now: Date.now, sleep: systemClock.sleep, after } });
    const bytes = content(3 * BLOCK);
    const id = 'abcdefghij2345672345';
    const blocks = { blockBytes: BLOCK } as UploadStatus;
    const early = engine.receiveBlocks(WRITER, id, 1, body(...frames(bytes, blocks)), undefined, { whenBegun: true });
    const strange = engine.receiveBlocks(OTHER, id, 1, body(...frames(bytes, blocks)), undefined, { whenBegun: true });
    const upload = await engine.createUpload(WRITER, { path: '/a', size: bytes.length, id });
    assert.equal(upload.id, id);
    assert.equal((await early).safeBytes, bytes.length);
    await assert.rejects(strange, refusal('upload_not_found'));
    const done = await engine.completeUpload(WRITER, id, { epoch: 1, size: bytes.length, digest: digestOf(bytes) });
    assert.ok(done.done);
    // An id that is in use is nobody else's, also for its owner; and an unfinished upload keeps its own.
    const other = await engine.createUpload(OTHER, { path: '/b', size: 10, id: 'bbbbbbbbbbbbbbbbbbbb' });
    const [first, second] = await Promise.all([
      engine.createUpload(WRITER, { path: '/c', size: 10, id: other.id }),
      engine.createUpload(WRITER, { path: '/d', size: 10, id: 'cccccccccccccccccccc' }),
      engine.createUpload(WRITER, { path: '/e', size: 10, id: 'cccccccccccccccccccc' }),
    ]);
    assert.notEqual(first.id, other.id);
    const ids = (await engine.listUploads(ADMIN, { limit: 10 })).map((one) => one.id);
    assert.equal(new Set(ids).size, 4);
    const resumed = await engine.createUpload(WRITER, { path: '/d', size: 10, id: 'dddddddddddddddddddd' });
    assert.equal(resumed.id, second.id);
    // It never begins: in the end that is said.
    const nobody = engine.receiveBlocks(WRITER, 'eeeeeeeeeeeeeeeeeeee', 1, body(), undefined, { whenBegun: true });
    nobody.catch(() => undefined);
    await new Promise(setImmediate);
    late();
    await assert.rejects(nobody, refusal('upload_not_found'));
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

  it('lets a client that was taken over remove nothing', async (t) => {
    const { engine } = await openEngine(t);
    const first = await engine.createUpload(WRITER, { path: '/a', size: null });
    const second = await engine.createUpload(WRITER, { path: '/a', size: null });
    await assert.rejects(engine.removeUpload(WRITER, first.id, first.epoch), refusal('superseded'));
    await engine.removeUpload(WRITER, second.id, second.epoch);
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

  it('refuses a plain body that is shorter than it was announced', async (t) => {
    const { engine } = await openEngine(t);
    await send(engine, '/precious', content(100));
    const putting = engine.putFile(WRITER, { path: '/precious', size: 100_000 }, body(content(5000)), {});
    await assert.rejects(putting, refusal('body_incomplete'));
    assert.equal((await engine.stat(READER, '/precious')).size, 100);
  });
});
