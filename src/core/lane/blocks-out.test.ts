import assert from 'node:assert/strict';
import test from 'node:test';
import { createBlockEncoder } from '../fec/codec.ts';
import { BlocksOut, BULK_THRESHOLD, type SymbolChoice, TAIL_THRESHOLD, URGENT_THRESHOLD } from './blocks-out.ts';
import { SYMBOL_BYTES } from './contract.ts';

test('in the bulk the sources go once each, in order, and nothing else while nothing is lost', () => {
  const { blocks, send } = sender();
  make(blocks, 10);
  const sent = Array.from({ length: 10 }, () => send(BULK_THRESHOLD));
  assert.deepEqual(
    sent,
    Array.from({ length: 10 }, (_, symbol) => ({ block: 0, symbol })),
  );
  assert.equal(send(BULK_THRESHOLD), null);
  blocks.setModel({ loss: 0.3, burst: 4 });
  assert.equal(send(BULK_THRESHOLD), null);
});

test('a source that was lost goes again before anything new, of the lowest block first', () => {
  const { blocks, send } = sender();
  for (let id = 0; id < 3; id++) {
    make(blocks, 10);
    for (let i = 0; i < 10; i++) send(BULK_THRESHOLD);
  }
  make(blocks, 10);
  blocks.handleLost(2, 4);
  blocks.handleLost(1, 7);
  assert.deepEqual(send(BULK_THRESHOLD), { block: 1, symbol: 7 });
  assert.deepEqual(send(BULK_THRESHOLD), { block: 2, symbol: 4 });
  assert.deepEqual(send(BULK_THRESHOLD), { block: 3, symbol: 0 });
});

test('when the receiver holds symbols that no acknowledgement told of, only a new one is sure to help', () => {
  const { blocks, send } = sender();
  make(blocks, 10);
  for (let i = 0; i < 10; i++) send(BULK_THRESHOLD);
  for (let i = 0; i < 5; i++) blocks.handleUnknown(0);
  for (let i = 5; i < 8; i++) blocks.handleAcked(0, i, true);
  for (let i = 8; i < 10; i++) blocks.handleLost(0, i);
  blocks.handleRank(0, 7, false);
  // Seven are there, of which three are known: three of the five unknown ones and both lost ones may be what is missing.
  assert.deepEqual(
    [send(BULK_THRESHOLD), send(BULK_THRESHOLD), send(BULK_THRESHOLD)].map((choice) => choice?.symbol),
    [10, 11, 12],
  );
  assert.equal(send(BULK_THRESHOLD), null);
});

test('at the end, repair goes ahead of need until failing is unlikely enough', () => {
  const { blocks, send } = sender();
  make(blocks, 40);
  for (let i = 0; i < 40; i++) send(BULK_THRESHOLD);
  assert.equal(send(TAIL_THRESHOLD), null);
  blocks.setModel({ loss: 0.1, burst: 1 });
  let repairs = 0;
  for (let sent = send(TAIL_THRESHOLD); sent; sent = send(TAIL_THRESHOLD)) {
    assert.ok(sent.symbol >= 40);
    repairs++;
  }
  assert.ok(repairs >= 9 && repairs <= 13, `${repairs}`);
});

test('a block of a few packets is urgent from its first symbol on, a large one is not', () => {
  const { blocks, send } = sender();
  blocks.setModel({ loss: 0.3, burst: 1 });
  make(blocks, 2);
  let sent = 0;
  while (send(BULK_THRESHOLD, URGENT_THRESHOLD)) sent++;
  // P[fewer than two of nine arrive] is 0.0004, of eight 0.0013.
  assert.equal(sent, 9);
  make(blocks, 50);
  sent = 0;
  while (send(BULK_THRESHOLD, URGENT_THRESHOLD)) sent++;
  assert.equal(sent, 50);
});

test('when all 255 symbols were lost there is still something to send, and it is what is missing', () => {
  const { blocks, send } = sender();
  make(blocks, 20);
  for (let i = 0; i < 20; i++) send(BULK_THRESHOLD);
  const lost = new Set<number>();
  for (let i = 0; i < 20; i++) {
    if (i % 2) blocks.handleLost(0, i);
    else blocks.handleAcked(0, i, true);
    if (i % 2) lost.add(i);
  }
  const choice: SymbolChoice = { block: 0, symbol: 0 };
  for (let i = 0; i < 600; i++) {
    assert.ok(blocks.chooseAny(choice));
    blocks.write(choice, OUT);
    if (i > 260) assert.ok(lost.has(choice.symbol), `${choice.symbol} was acknowledged long ago`);
    blocks.handleLost(0, choice.symbol);
  }
  for (const symbol of lost) {
    assert.ok(blocks.get(0));
    blocks.write({ block: 0, symbol }, OUT);
    blocks.handleAcked(0, symbol, true);
  }
  assert.equal(blocks.get(0), undefined);
  assert.equal(blocks.hasUnfinished, false);
});

test('whatever is acknowledged, lost, found again or reported, the accounts balance and every block ends', () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = numbers(seed);
    const { blocks, send } = sender();
    blocks.setModel({ loss: 0.3, burst: 1.5 });
    blocks.credit = 30;
    /** What is on its way, and what was given up and may have come through all the same. */
    const inFlight: SymbolChoice[] = [];
    const stray: SymbolChoice[] = [];
    const held = new Map<number, Set<number>>();
    const take = (from: SymbolChoice[]): SymbolChoice | undefined => from.splice(Math.floor(random() * from.length), 1)[0];
    for (let step = 0; step < 30_000 && (blocks.next < 30 || blocks.hasUnfinished); step++) {
      if (blocks.canMake && random() < 0.5) make(blocks, 1 + Math.floor(random() * 60));
      const sent = random() < 0.5 && send(random() < 0.5 ? BULK_THRESHOLD : TAIL_THRESHOLD, URGENT_THRESHOLD);
      if (sent) inFlight.push(sent);
      const what = random();
      if (what < 0.3) {
        const gone = take(inFlight);
        if (!gone) continue;
        if (random() < 0.5) blocks.handleLost(gone.block, gone.symbol);
        else blocks.handleUnknown(gone.block);
        if (random() < 0.5) stray.push(gone);
      } else if (what < 0.6) {
        const wasInFlight = random() < 0.8;
        const came = take(wasInFlight ? inFlight : stray);
        if (!came) continue;
        held.set(came.block, (held.get(came.block) ?? new Set()).add(came.symbol));
        blocks.handleAcked(came.block, came.symbol, wasInFlight);
      } else if (what < 0.62) {
        const id = blocks.lowest + Math.floor(random() * 10);
        const block = blocks.get(id);
        const rank = held.get(id)?.size ?? 0;
        if (block && random() < 0.1) blocks.handleRank(id, rank, rank >= block.sourceSymbols);
      }
      for (let id = blocks.lowest; id < blocks.next; id++) {
        const block = blocks.get(id);
        if (!block) continue;
        assert.equal(block.inFlight, inFlight.filter((choice) => choice.block === id).length, `seed ${seed}, block ${id}`);
        assert.ok(block.rank < block.sourceSymbols && block.acked <= block.rank, `seed ${seed}`);
      }
    }
    assert.equal(blocks.next, 30, `seed ${seed}`);
    assert.equal(blocks.hasUnfinished, false, `seed ${seed}: block ${blocks.lowest}`);
    assert.ok(blocks.useless >= 0);
  }
});

test('no more blocks are made than the peer takes, nor more than can be remembered', () => {
  const { blocks, send } = sender();
  const fillAll = (limit: number): number => {
    let made = 0;
    while (blocks.canMake && made < limit) {
      make(blocks, 1);
      send(BULK_THRESHOLD);
      made++;
    }
    return made;
  };
  assert.equal(fillAll(5000), 64);
  blocks.credit = 2 ** 32 - 1;
  assert.equal(fillAll(5000), 1024 - 64);
  blocks.handleCompleteBelow(100);
  assert.equal(fillAll(5000), 100);
});

test('what was never made was not received either', () => {
  const { blocks, send } = sender();
  make(blocks, 3);
  send(BULK_THRESHOLD);
  assert.equal(blocks.handleCompleteBelow(2), false);
  blocks.handleRank(7, 255, true);
  assert.equal(blocks.lowest, 0);
  assert.equal(blocks.handleCompleteBelow(1), true);
  assert.equal(blocks.hasUnfinished, false);
});

test('what the block did not need is counted, and nothing else', () => {
  const { blocks, send } = sender();
  make(blocks, 10);
  blocks.setModel({ loss: 0.2, burst: 1 });
  const sent: SymbolChoice[] = [];
  for (let choice = send(TAIL_THRESHOLD); choice; choice = send(TAIL_THRESHOLD)) sent.push(choice);
  for (const { symbol } of sent.slice(0, 10)) blocks.handleAcked(0, symbol, true);
  assert.equal(blocks.useless, 0);
  for (const { symbol } of sent.slice(10)) blocks.handleAcked(0, symbol, true);
  assert.equal(blocks.useless, sent.length - 10);
  assert.ok(blocks.useless > 0);
});

function sender(): { blocks: BlocksOut; send: (threshold: number, urgent?: number) => SymbolChoice | null } {
  const blocks = new BlocksOut(createBlockEncoder());
  const send = (threshold: number, urgent = BULK_THRESHOLD): SymbolChoice | null => {
    const choice = { block: -1, symbol: -1 };
    if (!blocks.choose(threshold, urgent, choice)) return null;
    blocks.write(choice, OUT);
    return choice;
  };
  return { blocks, send };
}

function make(blocks: BlocksOut, symbols: number): void {
  assert.ok(blocks.make(symbols, (out, limit) => out.subarray(0, limit).fill(7).length));
}

/** In [0, 1), by a linear congruence: enough to choose with. */
function numbers(seed: number): () => number {
  let state = seed * 2654435761 + 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const OUT = new Uint8Array(8 + SYMBOL_BYTES);
