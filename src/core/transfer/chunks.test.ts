import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RangeSet } from '../ranges.ts';
import { nextChunk } from './chunks.ts';

const BLOCK = 4;

test('chunks taken one after the other cover exactly what is not safe, each byte once, in whole blocks', () => {
  const run = fc.tuple(fc.nat(30), fc.nat(6)).map(([first, count]) => [first * BLOCK, (first + count) * BLOCK] as const);
  fc.assert(
    fc.property(fc.array(run, { maxLength: 5 }), fc.nat(100), fc.integer({ min: 1, max: 30 }), (runs, size, chunkBytes) => {
      const safe = new RangeSet();
      for (const [start, end] of runs) safe.add(start, Math.min(end, size));
      const inFlight = new RangeSet();
      for (;;) {
        const chunk = nextChunk({ safe, inFlight, start: 0, size, blockBytes: BLOCK, chunkBytes });
        if (chunk === null) break;
        const [start, end] = chunk;
        assert.ok(end > start && end <= size && end - start <= Math.max(BLOCK, chunkBytes));
        assert.ok(start % BLOCK === 0 && (end % BLOCK === 0 || end === size));
        assert.deepEqual([safe.gaps(start, end), inFlight.gaps(start, end)], [[chunk], [chunk]]);
        inFlight.add(start, end);
      }
      assert.equal(safe.total + inFlight.total, size);
    }),
    { numRuns: 500 },
  );
});

test('nothing before the start is given', () => {
  const empty = new RangeSet();
  assert.deepEqual(nextChunk({ safe: empty, inFlight: empty, start: 8, size: 20, blockBytes: 4, chunkBytes: 9 }), [8, 16]);
  assert.equal(nextChunk({ safe: empty, inFlight: empty, start: 20, size: 20, blockBytes: 4, chunkBytes: 9 }), null);
});

test('a block of which a peer has only a part is sent whole', () => {
  const safe = RangeSet.from([
    [0, 6],
    [9, 20],
  ]);
  assert.deepEqual(nextChunk({ safe, inFlight: new RangeSet(), start: 0, size: 20, blockBytes: 4, chunkBytes: 64 }), [4, 12]);
});
