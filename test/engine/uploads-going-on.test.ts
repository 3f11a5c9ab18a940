import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeDigestRecords } from '../../src/core/wire/digest-records.ts';
import { systemClock } from '../../src/engine/clock.ts';
import type { Engine, UploadStatus } from '../../src/engine/contract.ts';
import { createEngine } from '../../src/engine/engine.ts';
import { createMemoryStore } from '../../src/store/files/memory.ts';
import { createMemoryMeta } from '../../src/store/meta/memory.ts';
import { ADMIN, body, content, digestOf, frames, OTHER, openEngine, refusal, WRITER } from './fixture.ts';

const BLOCK = 65536;

describe('an upload that goes on', () => {
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

  it('lets a client that was taken over remove nothing', async (t) => {
    const { engine } = await openEngine(t);
    const first = await engine.createUpload(WRITER, { path: '/a', size: null });
    const second = await engine.createUpload(WRITER, { path: '/a', size: null });
    await assert.rejects(engine.removeUpload(WRITER, first.id, first.epoch), refusal('superseded'));
    await engine.removeUpload(WRITER, second.id, second.epoch);
  });
});
