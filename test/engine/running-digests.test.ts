/** Blocks whose digest is that of the file up to their end: verified in order, and hashed once. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { decodeDigestRecords } from '../../src/core/wire/digest-records.ts';
import { systemClock } from '../../src/engine/clock.ts';
import { createEngine } from '../../src/engine/engine.ts';
import type { FileStore, StagingFile } from '../../src/store/files/contract.ts';
import { createMemoryStore } from '../../src/store/files/memory.ts';
import { createMemoryMeta } from '../../src/store/meta/memory.ts';
import { body, content, digestOf, frames, openEngine, refusal, runningFrames, WRITER } from './fixture.ts';

const BLOCK = 65536;

/** A clock whose seconds are over as soon as nothing else is to be done. */
const impatient = (_ms: number, callback: () => void): (() => void) => {
  const timer = setTimeout(callback, 50);
  return () => clearTimeout(timer);
};

/** The event loop has nothing left to do. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
}

describe('running digests', () => {
  it('takes running digests, and computes those of the blocks when somebody asks, also after a restart', async (t) => {
    const meta = createMemoryMeta();
    const files = createMemoryStore();
    const bytes = content(3 * BLOCK + 5);
    const before = createEngine({ files, meta });
    const upload = await before.createUpload(WRITER, { path: '/a', size: bytes.length });
    await before.receiveBlocks(WRITER, upload.id, upload.epoch, body(...runningFrames(bytes, upload).slice(0, 2)));
    const after = createEngine({ files, meta });
    t.after(() => after.drain());
    for (const engine of [before, after]) {
      const answer = await engine.uploadDigests(WRITER, upload.id);
      assert.ok(answer.done);
      assert.deepEqual(
        decodeDigestRecords(answer.value).map(({ first, digests }) => [first, Buffer.from(digests).toString('hex')]),
        [[0, digestOf(bytes.subarray(0, BLOCK)) + digestOf(bytes.subarray(BLOCK, 2 * BLOCK))]],
      );
      if (engine === before) await before.drain();
    }
    const again = await after.createUpload(WRITER, { path: '/a', size: bytes.length });
    await after.receiveBlocks(WRITER, again.id, again.epoch, body(...runningFrames(bytes, again).slice(2)));
    const request = { epoch: again.epoch, size: bytes.length, digest: digestOf(bytes) };
    assert.ok((await after.completeUpload(WRITER, again.id, request)).done);
  });

  it('refuses a block whose running digest is wrong, and takes it with its own', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(3 * BLOCK);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    const running = runningFrames(bytes, upload);
    running[1]![BLOCK]! ^= 1;
    const sent = engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(...running));
    await assert.rejects(sent, refusal('block_mismatch'));
    assert.deepEqual((await engine.getUpload(WRITER, upload.id)).safe, [[0, BLOCK]]);
    await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(...frames(bytes, upload, [1, 2])));
    const request = { epoch: upload.epoch, size: bytes.length, digest: digestOf(bytes) };
    assert.ok((await engine.completeUpload(WRITER, upload.id, request)).done);
  });

  it('lets a block with a running digest wait for those before it, and not for what nobody sends', async (t) => {
    const { engine } = await openEngine(t, { clock: { ...systemClock, after: impatient } });
    const bytes = content(4 * BLOCK);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    const running = runningFrames(bytes, upload);
    const first = Promise.withResolvers<void>();
    const before = engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(first.promise, running[0]!));
    const after = engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(running[1]!));
    await new Promise(setImmediate);
    first.resolve();
    await Promise.all([before, after]);
    const alone = engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(running[3]!));
    await assert.rejects(alone, refusal('running_digest_early'));
    const twice = engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(running[0]!));
    await assert.rejects(twice, refusal('running_digest_early'));
    await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(running[2]!, running[3]!));
    const request = { epoch: upload.epoch, size: bytes.length, digest: digestOf(bytes) };
    assert.ok((await engine.completeUpload(WRITER, upload.id, request)).done);
  });

  it('do not count for a block that was verified and then not written', async (t) => {
    const stores = { files: createMemoryStore(), meta: createMemoryMeta() };
    const old = content(2 * BLOCK, 1);
    const bytes = content(2 * BLOCK, 2);
    const before = createEngine(stores);
    const begun = await before.createUpload(WRITER, { path: '/a', size: bytes.length });
    await before.receiveBlocks(WRITER, begun.id, begun.epoch, body(...frames(old, begun, [1])));
    await before.drain();
    // Of the old block only the disk knows now.
    const engine = createEngine(stores);
    t.after(() => engine.drain());
    const first = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    const late = engine.receiveBlocks(WRITER, first.id, first.epoch, body(runningFrames(bytes, first)[1]!));
    late.catch(() => undefined);
    await turns();
    const second = await engine.createUpload(WRITER, { path: '/a', size: bytes.length });
    await engine.receiveBlocks(WRITER, second.id, second.epoch, body(...frames(bytes, second, [0])));
    await assert.rejects(late, refusal('superseded'));
    const request = { epoch: second.epoch, size: bytes.length, digest: digestOf(bytes) };
    await assert.rejects(engine.completeUpload(WRITER, second.id, request), refusal('digest_mismatch'));
  });

  it('have those who ask wait while the blocks are read', async () => {
    const gate = Promise.withResolvers<void>();
    const engine = createEngine({ files: watchReads(() => gate.promise), meta: createMemoryMeta(), patienceMs: 1 });
    const bytes = content(BLOCK);
    const upload = await engine.createUpload(WRITER, { path: '/a', size: BLOCK });
    await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(...runningFrames(bytes, upload)));
    assert.deepEqual(await engine.uploadDigests(WRITER, upload.id), { done: false, hashedBytes: 0, size: BLOCK });
    gate.resolve();
    await turns();
    const answer = await engine.uploadDigests(WRITER, upload.id);
    assert.ok(answer.done);
    assert.equal(Buffer.from(decodeDigestRecords(answer.value)[0]!.digests).toString('hex'), digestOf(bytes));
    await engine.drain();
  });

  it('leave no digest behind of what was overwritten while it was read', async () => {
    let afterRead = async (): Promise<void> => undefined;
    const engine = createEngine({ files: watchReads(() => afterRead()), meta: createMemoryMeta() });
    const [old, bytes] = [content(BLOCK, 1), content(BLOCK, 2)];
    const upload = await engine.createUpload(WRITER, { path: '/a', size: BLOCK });
    await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(...runningFrames(old, upload)));
    afterRead = async () => {
      afterRead = async () => undefined;
      await engine.receiveBlocks(WRITER, upload.id, upload.epoch, body(...frames(bytes, upload)));
    };
    const answer = await engine.uploadDigests(WRITER, upload.id);
    assert.ok(answer.done);
    assert.equal(Buffer.from(decodeDigestRecords(answer.value)[0]!.digests).toString('hex'), digestOf(bytes));
    await engine.drain();
  });
});

/** A store that calls back after it has read from a staged file, and before it says so. */
function watchReads(afterRead: () => Promise<void>): FileStore {
  const files = createMemoryStore();
  const watch = (staging: StagingFile): StagingFile =>
    Object.assign(Object.create(staging) as StagingFile, {
      async read(position: number, into: Uint8Array) {
        const got = await staging.read(position, into);
        await afterRead();
        return got;
      },
    });
  return Object.assign(Object.create(files) as FileStore, {
    createStaging: async (...call: Parameters<FileStore['createStaging']>) => watch(await files.createStaging(...call)),
  });
}
