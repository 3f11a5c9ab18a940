import assert from 'node:assert/strict';
import test from 'node:test';
import { createBlockEncoder } from '../fec/codec.ts';
import { BlocksIn } from './blocks-in.ts';
import { MAX_SOURCE_SYMBOLS, SYMBOL_BYTES } from './contract.ts';
import { symbolBytes } from './wire.ts';

test('as many symbols as there are sources, whichever and in whatever order, are the block', () => {
  const random = numbers(1);
  for (const bytes of [1, 17, 1280, 1281, 5000, 40 * 1280, 103 * 1280, 103 * 1280 - 1279]) {
    for (let round = 0; round < 4; round++) {
      const { blocksIn, delivered } = receiver();
      const block = new SentBlock(0, content(bytes, random));
      const order = Array.from({ length: 255 }, (_, symbol) => symbol).sort(() => random() - 0.5);
      for (const symbol of order.slice(0, block.k)) {
        assert.equal(delivered.length, 0);
        assert.equal(block.give(blocksIn, symbol), null);
      }
      assert.deepEqual(delivered[0], block.content);
      // Later ones are of no use, and do no harm.
      const duplicates = blocksIn.duplicates;
      for (const symbol of order.slice(0, 5)) assert.equal(block.give(blocksIn, symbol), null);
      assert.equal(delivered.length, 1);
      assert.equal(blocksIn.duplicates, duplicates + 5);
    }
  }
});

test('blocks in the memory of former ones are what was sent, also where symbols have to be made good', () => {
  const random = numbers(3);
  const { blocksIn, delivered } = receiver();
  for (let id = 0; id < 40; id++) {
    const block = new SentBlock(id, content(66_000 + Math.floor(random() * 65_000), random));
    for (let symbol = 1 + (id % 3); symbol < block.k; symbol++) block.give(blocksIn, symbol);
    for (let symbol = block.k; blocksIn.rank(id) < 255; symbol++) block.give(blocksIn, symbol);
    assert.deepEqual(delivered[id], block.content);
    // Copied, because its memory is given back, spoilt.
    const { buffer } = delivered[id] as Uint8Array;
    delivered[id] = new Uint8Array(0);
    blocksIn.recycle(new Uint8Array(buffer).fill(0xff));
  }
});

test('a symbol that comes twice counts once', () => {
  const { blocksIn, delivered } = receiver();
  const block = new SentBlock(0, content(3000, numbers(1)));
  for (const symbol of [0, 0, 7, 7, 0]) block.give(blocksIn, symbol);
  assert.equal(blocksIn.rank(0), 2);
  assert.equal(blocksIn.duplicates, 3);
  block.give(blocksIn, 1);
  assert.deepEqual(delivered[0], block.content);
});

test('blocks are whole in any order, and the lowest that is not says what is known', () => {
  const { blocksIn, delivered } = receiver();
  const blocks = Array.from({ length: 10 }, (_, id) => new SentBlock(id, content(2000, numbers(id))));
  for (const id of [3, 9, 1, 0]) for (const symbol of [0, 5]) blocks[id]!.give(blocksIn, symbol);
  assert.equal(delivered.length, 4);
  assert.deepEqual([blocksIn.lowest, blocksIn.highest], [2, 10]);
  assert.deepEqual(
    [0, 2, 3, 4, 9, 10].map((id) => blocksIn.rank(id)),
    [255, 0, 255, 0, 255, 0],
  );
  blocks[2]!.give(blocksIn, 1);
  assert.equal(blocksIn.rank(2), 1);
  blocks[2]!.give(blocksIn, 2);
  assert.equal(blocksIn.lowest, 4);
  assert.ok(blocksIn.hasIncomplete);
});

test('credit is never taken back, grows with what is whole, and never beyond the window', () => {
  for (const windowBlocks of [1, 64, 509, 100_000]) {
    const { blocksIn } = receiver(windowBlocks);
    const most = Math.max(64, Math.min(windowBlocks, 1024));
    let credit = blocksIn.credit;
    assert.equal(credit, 64);
    const random = numbers(windowBlocks);
    for (let step = 0; step < 5000; step++) {
      const id = blocksIn.lowest + Math.floor(random() * (blocksIn.credit - blocksIn.lowest));
      // The lowest seldom, so that the window fills.
      if (id === blocksIn.lowest && random() < 0.9) continue;
      assert.equal(new SentBlock(id, content(10, random)).give(blocksIn, 0), null);
      assert.ok(blocksIn.credit >= credit);
      credit = blocksIn.credit;
      assert.ok(credit - blocksIn.lowest <= most, `${credit} ${blocksIn.lowest}`);
    }
    assert.match(new SentBlock(credit, content(10, random)).give(blocksIn, 0) ?? '', /beyond the credit/);
  }
});

test('a block does not change its size', () => {
  const { blocksIn } = receiver();
  assert.equal(new SentBlock(0, content(3000, numbers(1))).give(blocksIn, 0), null);
  assert.match(new SentBlock(0, content(4000, numbers(1))).give(blocksIn, 1) ?? '', /changes its size/);
  assert.match(new SentBlock(0, content(3001, numbers(1))).give(blocksIn, 1) ?? '', /changes its size/);
});

/** A block as its sender has it. */
class SentBlock {
  readonly id: number;
  readonly content: Uint8Array;
  readonly k: number;
  readonly lastBytes: number;
  private readonly encoder = createBlockEncoder();

  constructor(id: number, bytes: Uint8Array) {
    this.id = id;
    this.content = bytes;
    this.k = Math.ceil(bytes.length / SYMBOL_BYTES);
    assert.ok(this.k <= MAX_SOURCE_SYMBOLS);
    this.lastBytes = bytes.length - (this.k - 1) * SYMBOL_BYTES;
  }

  give(to: BlocksIn, symbol: number): string | null {
    const { id, k, lastBytes } = this;
    const length = symbolBytes(symbol, k, lastBytes);
    let bytes = new Uint8Array(length);
    if (symbol < k) bytes = this.content.slice(symbol * SYMBOL_BYTES, symbol * SYMBOL_BYTES + length) as Uint8Array<ArrayBuffer>;
    else this.encoder.repair(id, this.content, k, k === 1 ? lastBytes : SYMBOL_BYTES, symbol, bytes);
    return to.handleSymbol({ block: id, symbol, sourceSymbols: k, lastBytes }, bytes);
  }
}

function receiver(windowBlocks = 509): { blocksIn: BlocksIn; delivered: Uint8Array[] } {
  const delivered: Uint8Array[] = [];
  const deliver = (bytes: Uint8Array): null => {
    delivered.push(bytes);
    return null;
  };
  return { blocksIn: new BlocksIn({ windowBlocks, deliver }), delivered };
}

function content(length: number, random: () => number): Uint8Array {
  return Uint8Array.from({ length }, () => Math.floor(random() * 256));
}

/** In [0, 1), by a linear congruence: enough to choose with. */
function numbers(seed: number): () => number {
  let state = seed * 2654435761 + 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
