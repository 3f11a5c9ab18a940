import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RangeSet } from './ranges.ts';

const LIMIT = 40;
const range = fc.tuple(fc.nat(LIMIT), fc.nat(LIMIT));

test('behaves like a set of integers under any run of additions and removals', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), range), { maxLength: 30 }), range, (steps, [from, to]) => {
      const set = new RangeSet();
      const model = new Set<number>();
      for (const [adds, [start, end]] of steps) {
        if (adds) set.add(start, end);
        else set.remove(start, end);
        for (let i = start; i < end; i++) adds ? model.add(i) : model.delete(i);
        assert.equal(set.total, model.size);
      }
      assert.deepEqual(
        set.entries(),
        runsOf((i) => model.has(i), 0, LIMIT + 1),
      );
      assert.deepEqual(
        set.gaps(from, to),
        runsOf((i) => !model.has(i), from, to),
      );
      assert.equal(set.covers(from, to), set.gaps(from, to).length === 0);
      let end = from;
      while (model.has(end)) end++;
      assert.equal(set.runEnd(from), end);
      const starts = set.entries().map(([start]) => start);
      assert.equal(set.nextStart(from), Math.min(...starts.filter((start) => start >= from)));
      assert.equal(set.runs, set.entries().length);
    }),
    { numRuns: 500 },
  );
});

test('a copy is not touched by what happens to the original', () => {
  const set = RangeSet.from([
    [0, 4],
    [8, 9],
  ]);
  const copy = set.clone();
  set.add(4, 8);
  assert.deepEqual(set.entries(), [[0, 9]]);
  assert.deepEqual(copy.entries(), [
    [0, 4],
    [8, 9],
  ]);
  assert.equal(copy.total, 5);
});

test('holds sizes beyond 32 bits and refuses what is no whole number', () => {
  const set = new RangeSet();
  set.add(2 ** 40, 2 ** 40 + 5);
  assert.ok(set.covers(2 ** 40 + 1, 2 ** 40 + 5));
  assert.throws(() => set.add(0.5, 2), RangeError);
  assert.throws(() => set.remove(0, Number.NaN), RangeError);
});

function runsOf(holds: (i: number) => boolean, from: number, to: number): [number, number][] {
  const runs: [number, number][] = [];
  for (let i = from; i < to; i++) {
    if (!holds(i)) continue;
    const last = runs.at(-1);
    if (last?.[1] === i) last[1] = i + 1;
    else runs.push([i, i + 1]);
  }
  return runs;
}
