import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ReplayWindow } from './replay-window.ts';

test('accepts each number once and none that is too old, whatever the order and the jumps', () => {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: -80, max: 40 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 400 }) },
    { weight: 1, arbitrary: fc.constantFrom(63, 64, 65, 127, 128, 129, 2 ** 32, 2 ** 40) },
  );
  const start = fc.constantFrom(0, 1, 31, 32, 2 ** 31 - 5, 2 ** 32 - 3, 2 ** 47);
  fc.assert(
    fc.property(start, fc.array(step, { maxLength: 200 }), (first, steps) => {
      const window = new ReplayWindow(64);
      const seen = new Set<number>();
      let largest = -1;
      for (const distance of [first, ...steps]) {
        const number = largest < 0 ? first : Math.max(0, largest + distance);
        const fresh = number > largest - 64 && !seen.has(number);
        assert.equal(window.accept(number), fresh, `${number} after ${largest}`);
        seen.add(number);
        largest = Math.max(largest, number);
        assert.equal(window.largest, largest);
        for (let back = -2; back < 70; back++) {
          const other = largest - back;
          assert.equal(window.has(other), back < 64 && other >= 0 && seen.has(other), `has ${other} at ${largest}`);
        }
        const count = Math.min(largest + 1, 64 - (seen.size % 3));
        const bitmap = new Uint8Array(9).fill(0xee);
        window.copyNewestFirst(bitmap, count);
        for (let i = 0; i < Math.ceil(count / 8) * 8; i++) {
          assert.equal((bitmap[i >>> 3]! >>> (i & 7)) & 1, i < count && seen.has(largest - i) ? 1 : 0, `bit ${i} at ${largest}`);
        }
        assert.ok(bitmap.subarray(Math.ceil(count / 8)).every((octet) => octet === 0xee));
      }
    }),
    { numRuns: 400 },
  );
});

test('every permutation of six numbers and a repetition is told apart', () => {
  const visit = (left: number[], order: number[]) => {
    if (left.length === 0) {
      const window = new ReplayWindow(32);
      for (const number of order) assert.ok(window.accept(number));
      for (const number of order) assert.ok(!window.accept(number));
      return;
    }
    for (const next of left)
      visit(
        left.filter((other) => other !== next),
        [...order, next],
      );
  };
  visit([0, 1, 30, 31, 7, 12], []);
});

test('a window that is no power of two is refused', () => {
  assert.throws(() => new ReplayWindow(100), RangeError);
  assert.throws(() => new ReplayWindow(16), RangeError);
});
