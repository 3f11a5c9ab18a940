import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seededRandom } from '../../../bench/figures.ts';
import { createBlockEncoder, decodeBlock } from './codec.ts';
import { divide, multiply } from './gf256.ts';
import { createSimdKernel, type Kernel } from './kernel.ts';
import { createPlainKernel } from './kernel-plain.ts';
import { createWorkspace, type Workspace } from './workspace.ts';

const SEED = Number(process.env.HAWSER_SEED ?? 20);

function bytesOf(length: number, random: () => number): Uint8Array {
  return Uint8Array.from({ length }, () => Math.floor(random() * 256));
}

/** All repair symbols of a block after the definition in matrix.ts, byte by byte. */
function expectedRepair(source: Uint8Array, k: number, symbolBytes: number, symbol: number): Uint8Array {
  const out = new Uint8Array(symbolBytes);
  for (let j = 0; j < k; j++) {
    const coefficient = divide(multiply(k ^ j, symbol), multiply(symbol ^ j, k));
    for (let i = 0; i < symbolBytes; i++) out[i]! ^= multiply(coefficient, source[j * symbolBytes + i] ?? 0);
  }
  return out;
}

/** Loses the source symbols not in `kept`, decodes with `repairs`, and asserts that the block is whole again. */
function assertDecodes(
  source: Uint8Array,
  symbolBytes: number,
  kept: readonly number[],
  repairs: readonly number[],
  repairSymbols: readonly Uint8Array[],
  workspace: Workspace,
): void {
  const k = source.length / symbolBytes;
  const block = new Uint8Array(source.length).fill(0xa5);
  const present = new Uint8Array(k);
  for (const j of kept) {
    block.set(source.subarray(j * symbolBytes, (j + 1) * symbolBytes), j * symbolBytes);
    present[j] = 1;
  }
  decodeBlock({ k, symbolBytes, block, present, repairEsi: repairs, repairSymbols }, workspace);
  if (Buffer.compare(block, source) !== 0) {
    assert.fail(`k=${k} kept ${kept.join()} with repair ${repairs.join()} does not give back the block`);
  }
}

const kernels: [string, (arenaBytes: number) => Kernel][] = [
  ['wasm-simd', (arenaBytes) => createSimdKernel(arenaBytes)!],
  ['plain', createPlainKernel],
];

for (const [name, makeKernel] of kernels) {
  describe(`the code with the ${name} kernel`, () => {
    const workspace = createWorkspace(makeKernel, 4);
    const encoder = createBlockEncoder(workspace);

    function repairsOf(
      key: number,
      source: Uint8Array,
      k: number,
      symbolBytes: number,
      symbols: readonly number[],
    ): Uint8Array[] {
      return symbols.map((symbol) => {
        const out = new Uint8Array(symbolBytes);
        encoder.repair(key, source, k, symbolBytes, symbol, out);
        return out;
      });
    }

    test('any k of 12 symbols give back a block of k, for every k up to 6', () => {
      const random = seededRandom(1);
      for (let k = 1; k <= 6; k++) {
        const source = bytesOf(k * 64, random);
        const all = Array.from({ length: 12 - k }, (_, i) => k + i);
        const made = repairsOf(k, source, k, 64, all);
        encoder.forget(k);
        for (let set = 0; set < 1 << 12; set++) {
          const members = Array.from({ length: 12 }, (_, i) => i).filter((i) => set & (1 << i));
          if (members.length !== k) continue;
          const repairs = members.filter((i) => i >= k);
          const kept = members.filter((i) => i < k);
          assertDecodes(
            source,
            64,
            kept,
            repairs,
            repairs.map((i) => made[i - k]!),
            workspace,
          );
        }
      }
    });

    test(`any k of 255 symbols give back blocks of any size (seed ${SEED})`, () => {
      const random = seededRandom(SEED);
      for (const k of [2, 3, 7, 31, 64, 100, 102, 103, 103, 127, 128, 200, 254]) {
        const symbolBytes = k > 103 ? 512 : 1280;
        const source = bytesOf(k * symbolBytes, random);
        for (const share of [0.02, 0.3, 1]) {
          const missing = Math.min(255 - k, Math.max(1, Math.round(k * share)));
          const order = shuffled(k, random);
          const repairs = shuffled(255 - k, random)
            .map((i) => i + k)
            .slice(0, missing);
          const made = repairsOf(k, source, k, symbolBytes, repairs);
          assertDecodes(source, symbolBytes, order.slice(missing), repairs, made, workspace);
        }
        encoder.forget(k);
      }
    });

    test('repair symbols are what the matrix says, the first one the exclusive or of the sources', () => {
      const source = bytesOf(5 * 128, seededRandom(3));
      const made = repairsOf(0, source, 5, 128, [5, 6, 7, 99, 254]);
      [5, 6, 7, 99, 254].forEach((symbol, i) => {
        assert.deepEqual(made[i], expectedRepair(source, 5, 128, symbol));
      });
      for (let i = 0; i < 128; i++) {
        assert.equal(
          made[0]![i],
          [0, 1, 2, 3, 4].reduce((sum, j) => sum ^ source[j * 128 + i]!, 0),
        );
      }
      encoder.forget(0);
    });

    test('a short last symbol counts as padded with zeros, whatever lay in its slot before', () => {
      repairsOf(1, new Uint8Array(4 * 1280).fill(255), 4, 1280, [4]);
      encoder.forget(1);
      const source = bytesOf(3 * 1280 + 1, seededRandom(4));
      const [repair] = repairsOf(1, source, 4, 1280, [9]);
      assert.deepEqual(repair, expectedRepair(source, 4, 1280, 9));
      encoder.forget(1);
    });

    test('with one source symbol of any length every repair symbol is a copy, padded with zeros', () => {
      for (const length of [1, 63, 64, 1280]) {
        const source = bytesOf(length, seededRandom(length));
        const [repair] = repairsOf(2, source, 1, length, [254]);
        assert.deepEqual(repair, source);
        assertDecodes(source, length, [], [254], [repair!], workspace);
      }
      const padded = new Uint8Array(4).fill(9);
      encoder.repair(2, Uint8Array.of(7), 1, 3, 1, padded);
      assert.deepEqual(padded, Uint8Array.of(7, 0, 0, 9));
    });

    test('more blocks than slots, asked in any order, get their own repair symbols', () => {
      const random = seededRandom(SEED);
      const sources = Array.from({ length: 9 }, () => bytesOf(3 * 64, random));
      for (let round = 0; round < 200; round++) {
        const key = Math.floor(random() * sources.length);
        const symbol = 3 + Math.floor(random() * 252);
        const [repair] = repairsOf(key, sources[key]!, 3, 64, [symbol]);
        assert.deepEqual(repair, expectedRepair(sources[key]!, 3, 64, symbol), `seed ${SEED}, round ${round}, block ${key}`);
        if (random() < 0.2) {
          encoder.forget(key);
          sources[key] = bytesOf(3 * 64, random);
        }
      }
    });

    test('encoders that share a workspace do not see one another, though they use the same keys', () => {
      const others = [encoder, createBlockEncoder(workspace), createBlockEncoder(workspace)];
      const sources = others.map((_, i) => bytesOf(2 * 64, seededRandom(50 + i)));
      const out = new Uint8Array(64);
      for (let key = 100; key < 105; key++) {
        others.forEach((other, i) => {
          other.repair(key, sources[i]!, 2, 64, 77, out);
          assert.deepEqual(out, expectedRepair(sources[i]!, 2, 64, 77));
        });
        others[1]!.forget(key);
      }
    });
  });
}

test('the source is read once a block: a cached block is not copied again', () => {
  const encoder = createBlockEncoder(createWorkspace(undefined, 2));
  const source = bytesOf(2 * 64, seededRandom(6));
  const original = source.slice();
  const out = new Uint8Array(64);
  encoder.repair(1, source, 2, 64, 2, out);
  source.fill(0);
  encoder.repair(1, source, 2, 64, 3, out);
  assert.deepEqual(out, expectedRepair(original, 2, 64, 3));
  encoder.forget(1);
  encoder.repair(1, source, 2, 64, 3, out);
  assert.deepEqual(out, new Uint8Array(64));
});

test('the block that was not asked for longest makes room for another', () => {
  const encoder = createBlockEncoder(createWorkspace(undefined, 2));
  const sources = [1, 2, 3].map((seed) => bytesOf(2 * 64, seededRandom(seed)));
  const out = new Uint8Array(64);
  const ask = (key: number) => encoder.repair(key, sources[key]!, 2, 64, 9, out);
  for (const key of [0, 1, 0, 2]) ask(key);
  const kept = expectedRepair(sources[0]!, 2, 64, 9);
  for (const source of sources) source.fill(0);
  ask(0);
  assert.deepEqual(out, kept, 'block 0 was asked for between 1 and 2');
  ask(1);
  assert.deepEqual(out, new Uint8Array(64), 'block 1 had to go, and is read again');
});

test('more repair symbols than are missing are not used, none are needed for a whole block, and flags stay as they are', () => {
  const block = bytesOf(3 * 64, seededRandom(7));
  const whole = block.slice();
  const wrong = new Uint8Array(64).fill(9);
  decodeBlock({ k: 3, symbolBytes: 64, block, present: Uint8Array.of(1, 1, 1), repairEsi: [4], repairSymbols: [wrong] });
  assert.deepEqual(block, whole);
  block.fill(0, 64, 128);
  const present = Uint8Array.of(1, 0, 255);
  const repairSymbols = [expectedRepair(whole, 3, 64, 8), wrong];
  decodeBlock({ k: 3, symbolBytes: 64, block, present, repairEsi: [8, 8], repairSymbols });
  assert.deepEqual(block, whole);
  assert.deepEqual(present, Uint8Array.of(1, 0, 255));
});

test('what a caller must not hand in is a RangeError, and the block stays as it was', () => {
  const symbol = new Uint8Array(64).fill(1);
  const good = {
    k: 3,
    symbolBytes: 64,
    block: new Uint8Array(192),
    present: Uint8Array.of(0, 1, 0),
    repairEsi: [3, 4],
    repairSymbols: [symbol, symbol],
  };
  const bad = {
    'too few repair symbols': { repairEsi: [3] },
    'too few bytes of repair': { repairSymbols: [symbol] },
    'one repair symbol twice': { repairEsi: [5, 5] },
    'a source symbol as repair': { repairEsi: [2, 3] },
    'a symbol beyond the code': { repairEsi: [3, 255] },
    'not a number': { repairEsi: [3, Number.NaN] },
    'a short repair symbol': { repairSymbols: [symbol, symbol.subarray(1)] },
    'a short block': { block: new Uint8Array(191) },
    'flags for another k': { present: new Uint8Array(4) },
    'odd symbols': { symbolBytes: 63, block: new Uint8Array(189) },
    'more than there is room for': {
      k: 100,
      symbolBytes: 3264,
      block: new Uint8Array(326_400),
      present: new Uint8Array(100).fill(1),
    },
    'no symbols': { k: 0, block: new Uint8Array(0), present: new Uint8Array(0) },
  };
  for (const [what, change] of Object.entries(bad)) {
    const received = { ...good, ...change };
    assert.throws(() => decodeBlock(received), RangeError, what);
    assert.ok(
      received.block.every((byte) => byte === 0),
      what,
    );
  }
  decodeBlock(good);
  assert.ok(good.block.some((byte) => byte !== 0));

  const encoder = createBlockEncoder();
  const out = new Uint8Array(64);
  const source = new Uint8Array(192);
  assert.throws(() => encoder.repair(1, source, 3, 64, 2, out), RangeError);
  assert.throws(() => encoder.repair(1, source, 3, 64, 255, out), RangeError);
  assert.throws(() => encoder.repair(1, source, 2, 64, 3, out), RangeError);
  assert.throws(() => encoder.repair(1, source, 4, 64, 4, out), RangeError);
  assert.throws(() => encoder.repair(1, source, 3, 64, 3, out.subarray(1)), RangeError);
  assert.throws(() => encoder.repair(1, new Uint8Array(104 * 1280), 104, 1280, 200, new Uint8Array(1280)), RangeError);
});

function shuffled(length: number, random: () => number): number[] {
  const order = Array.from({ length }, (_, i) => i);
  for (let i = length - 1; i > 0; i--) {
    const other = Math.floor(random() * (i + 1));
    [order[i], order[other]] = [order[other]!, order[i]!];
  }
  return order;
}
