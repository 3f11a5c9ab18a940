import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createWriter } from './writing.ts';

/** A file whose calls end when told to, and which takes at most `mostBytes` a call. */
function slowFile(mostBytes = Number.MAX_SAFE_INTEGER) {
  const content = new Uint8Array(64);
  const calls: { pieces: number; end: () => void; fail: (error: Error) => void }[] = [];
  const writev = (pieces: readonly Uint8Array[], position: number) =>
    new Promise<{ bytesWritten: number }>((resolve, reject) => {
      const end = () => {
        const bytes = Buffer.concat(pieces).subarray(0, mostBytes);
        content.set(bytes, position);
        resolve({ bytesWritten: bytes.length });
      };
      calls.push({ pieces: pieces.length, end, fail: reject });
    });
  return { content, calls, handle: { writev } as never };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const bytes = (value: number) => new Uint8Array(8).fill(value);

describe('writes to one file', () => {
  it('go one call at a time, and neighbours that waited in one', async () => {
    const { content, calls, handle } = slowFile();
    const write = createWriter(handle);
    const all = Promise.all([write(0, bytes(1)), write(8, bytes(2)), write(16, bytes(3)), write(40, bytes(4))]);
    for (const pieces of [1, 2, 1]) {
      await turn();
      assert.equal(calls.length, 1);
      const call = calls.pop()!;
      assert.equal(call.pieces, pieces);
      call.end();
    }
    await all;
    assert.deepEqual(
      [0, 8, 16, 24, 40].map((at) => content[at]),
      [1, 2, 3, 0, 4],
    );
  });

  it('go on where the system stopped in the middle', async () => {
    const { content, calls, handle } = slowFile(5);
    const write = createWriter(handle);
    let done = false;
    const all = Promise.all([write(0, bytes(1)), write(8, bytes(2)), write(16, bytes(3))]).then(() => {
      done = true;
    });
    while (!done) {
      calls.shift()?.end();
      await turn();
    }
    await all;
    assert.deepEqual([...content.subarray(0, 24)], [...bytes(1), ...bytes(2), ...bytes(3)]);
  });

  it('fail with their own call, and those after it still happen', async () => {
    const { content, calls, handle } = slowFile();
    const write = createWriter(handle);
    const first = assert.rejects(write(0, bytes(1)), /disk/);
    const second = write(8, bytes(2));
    calls.shift()!.fail(new Error('disk'));
    await first;
    calls.shift()!.end();
    await second;
    assert.equal(content[8], 2);
  });
});
