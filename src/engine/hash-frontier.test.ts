import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { blake3 } from './blake3.ts';
import { HashFrontier } from './hash-frontier.ts';

const BLOCK = 64;

function file(blocks: number, tail: number): Uint8Array {
  return Uint8Array.from({ length: blocks * BLOCK + tail }, (_, i) => (i * 31) & 255);
}

/** A frontier over a disk that counts what is read back from it. */
function setUp(size: number, budget: number) {
  const disk = new Uint8Array(size);
  const reads: number[] = [];
  const memory = { left: budget };
  const frontier = new HashFrontier(
    BLOCK,
    async (position, into) => {
      reads.push(position);
      const part = disk.subarray(position, position + into.length);
      into.set(part);
      return part.length;
    },
    memory,
  );
  let held = 0;
  const arrive = (bytes: Uint8Array, index: number) => {
    const data = bytes.slice(index * BLOCK, (index + 1) * BLOCK);
    const hashed = frontier.handleArrival(index, data);
    disk.set(data, index * BLOCK);
    frontier.handleWritten(index);
    held++;
    frontier.keep(index, data, () => {
      held--;
      // Whoever gets the memory back writes over it.
      data.fill(0xee);
    });
    return hashed;
  };
  return { frontier, arrive, reads, memory, held: () => held };
}

describe('the hash frontier', () => {
  it('reads nothing back while blocks come in order', async () => {
    const bytes = file(5, 3);
    const { frontier, arrive, reads } = setUp(bytes.length, 0);
    for (let i = 0; i < 6; i++) assert.ok(arrive(bytes, i));
    assert.deepEqual(await frontier.finish(bytes.length), blake3(bytes));
    assert.deepEqual(reads, []);
  });

  it('keeps early blocks in memory as far as the budget goes, and gives every one back', async () => {
    const bytes = file(8, 0);
    const { frontier, arrive, reads, memory, held } = setUp(bytes.length, 3 * BLOCK);
    for (const i of [1, 2, 3]) arrive(bytes, i);
    assert.deepEqual([memory.left, held()], [0, 3]);
    arrive(bytes, 0);
    assert.deepEqual([memory.left, held(), frontier.position], [3 * BLOCK, 0, 4 * BLOCK]);
    for (const i of [4, 5, 6, 7]) arrive(bytes, i);
    assert.deepEqual(await frontier.finish(bytes.length), blake3(bytes));
    assert.deepEqual(reads, []);
  });

  it('hashes an early block from memory when its turn comes while it is still being written', async () => {
    const bytes = file(3, 0);
    const { frontier, arrive, reads, memory } = setUp(bytes.length, 3 * BLOCK);
    const [first, second] = [bytes.slice(0, BLOCK), bytes.slice(BLOCK, 2 * BLOCK)];
    frontier.handleArrival(1, second);
    frontier.handleArrival(0, first);
    assert.deepEqual([frontier.position, memory.left], [2 * BLOCK, 3 * BLOCK]);
    let released = 0;
    frontier.handleWritten(0);
    frontier.keep(0, first, () => released++);
    frontier.handleWritten(1);
    frontier.keep(1, second, () => released++);
    arrive(bytes, 2);
    assert.deepEqual(await frontier.finish(bytes.length), blake3(bytes));
    assert.deepEqual([reads, released], [[], 2]);
  });

  it('forgets an early block whose write fails', async () => {
    const bytes = file(3, 0);
    const { frontier, arrive, memory } = setUp(bytes.length, 3 * BLOCK);
    frontier.handleArrival(1, new Uint8Array(BLOCK));
    frontier.handleLost(1);
    assert.equal(memory.left, 3 * BLOCK);
    for (const i of [0, 1, 2]) arrive(bytes, i);
    assert.deepEqual(await frontier.finish(bytes.length), blake3(bytes));
  });

  it('verifies a running digest where it stands, hashes that block once, and starts over after a wrong one', async () => {
    const bytes = file(3, 5);
    const { frontier, arrive, reads } = setUp(bytes.length, 0);
    const upTo = (index: number) => blake3(bytes.subarray(0, (index + 1) * BLOCK));
    const block = (index: number) => bytes.slice(index * BLOCK, (index + 1) * BLOCK);
    arrive(bytes, 0);
    assert.equal(frontier.handleRunning(1, block(1), upTo(1)), true);
    assert.equal(frontier.position, 2 * BLOCK);
    assert.equal(frontier.handleRunning(1, block(1), upTo(1)), null, 'it has been hashed');
    assert.equal(frontier.handleRunning(3, block(3), upTo(3)), null, 'another comes before it');
    assert.equal(frontier.handleRunning(2, block(2), upTo(1)), false);
    assert.equal(frontier.position, 0);
    for (const i of [0, 1, 2, 3]) arrive(bytes, i);
    assert.deepEqual(await frontier.finish(bytes.length), blake3(bytes));
    assert.deepEqual(reads, []);
  });

  it('says when what comes before a block has been hashed, which it reads back where it has to', async () => {
    const bytes = file(4, 0);
    const { frontier, arrive, reads } = setUp(bytes.length, 0);
    const last = blake3(bytes);
    const data = bytes.slice(3 * BLOCK);
    arrive(bytes, 1);
    arrive(bytes, 2);
    const waiting = (async () => {
      while (frontier.handleRunning(3, data, last) === null) await frontier.step(3);
      return frontier.position;
    })();
    arrive(bytes, 0);
    assert.equal(await waiting, 4 * BLOCK);
    assert.deepEqual(reads, [BLOCK]);
  });

  it('is right for any order, any budget, blocks that come twice and blocks that change', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(9), { maxLength: 40 }),
        fc.nat(10),
        fc.nat(BLOCK - 1),
        fc.option(fc.nat(9)),
        async (order, budget, tail, changed) => {
          const bytes = file(9, tail + 1);
          const { frontier, arrive, memory, held } = setUp(bytes.length, budget * BLOCK);
          for (const i of order) arrive(bytes, i);
          if (changed !== null) {
            bytes[changed * BLOCK]! ^= 1;
            frontier.handleLost(changed);
            arrive(bytes, changed);
          }
          for (let i = 0; i < 10; i++) if (!order.includes(i)) arrive(bytes, i);
          assert.deepEqual(await frontier.finish(bytes.length), blake3(bytes));
          await frontier.settle();
          assert.deepEqual([memory.left, held()], [budget * BLOCK, 0]);
        },
      ),
      { seed: 7 },
    );
  });

  it('says so when the staged file is shorter than what was written', async () => {
    const frontier = new HashFrontier(BLOCK, async () => 0);
    await assert.rejects(frontier.finish(10), /ends at byte 0/);
  });
});
