import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMemoryStore } from '../../src/store/files/memory.ts';
import { content, digestOf, frames, openEngine, WRITER } from './fixture.ts';

const MIB = 1 << 20;
const UPLOADS = 12;

describe('a disk that is slower than the network', () => {
  it('is waited for by all requests together, before much of what they bring is in memory', async (t) => {
    const gate = Promise.withResolvers<void>();
    const files = createMemoryStore({ beforeOp: (op) => (op === 'write' ? gate.promise : undefined) });
    const { engine } = await openEngine(t, { files });
    const bytes = content(3 * MIB);
    let taken = 0;
    const requests = Array.from({ length: UPLOADS }, async (_, i) => {
      const upload = await engine.createUpload(WRITER, { path: `/${i}`, size: bytes.length });
      const source = async function* () {
        for (const frame of frames(bytes, upload)) {
          taken += frame.length;
          yield frame;
        }
      };
      await engine.receiveBlocks(WRITER, upload.id, upload.epoch, source());
      return await engine.completeUpload(WRITER, upload.id, { epoch: upload.epoch, size: bytes.length, digest: digestOf(bytes) });
    });
    // Until nothing moves any more.
    for (let before = -1; before !== taken || taken === 0; ) {
      before = taken;
      for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    }
    const takenBefore = taken;
    gate.resolve();
    assert.ok((await Promise.all(requests)).every(({ done }) => done));
    assert.ok(takenBefore < 20 * MIB, `${takenBefore} bytes of ${taken} were taken`);
  });
});
