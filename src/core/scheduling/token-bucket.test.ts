import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { TokenBucket } from './token-bucket.ts';

test('a caller who waits as told moves the burst at once and then the rate', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1000, max: 1e8 }),
      fc.array(fc.integer({ min: 1, max: 300_000 }), { minLength: 1, maxLength: 200 }),
      (rateBytesPerSecond, pieces) => {
        const bucket = new TokenBucket({ rateBytesPerSecond });
        let nowMs = 5000;
        let moved = 0;
        for (const bytes of pieces) {
          nowMs += bucket.take(nowMs, bytes);
          moved += bytes;
          const allowed = bucket.burstBytes + (rateBytesPerSecond * (nowMs - 5000)) / 1000;
          assert.ok(moved <= allowed + 1, `${moved} of ${allowed}`);
          // And no slower than the rate.
          if (nowMs > 5000) assert.ok(moved >= allowed - 1, `${moved} of ${allowed}`);
        }
      },
    ),
  );
});

test('debt makes those who ask later wait longer', () => {
  const bucket = new TokenBucket({ rateBytesPerSecond: 1000, burstBytes: 100 });
  assert.equal(bucket.take(0, 100), 0);
  assert.equal(bucket.take(0, 500), 500);
  assert.equal(bucket.take(0, 500), 1000);
  assert.equal(bucket.take(1000, 0), 0);
});

test('a pause earns the burst and no more, and a clock that goes back earns nothing', () => {
  const bucket = new TokenBucket({ rateBytesPerSecond: 1000, burstBytes: 100 });
  bucket.take(0, 100);
  assert.equal(bucket.take(60_000, 200), 100);
  assert.equal(bucket.take(0, 0), 100);
});

test('the burst is 100 ms of the rate and at least 64 KiB', () => {
  assert.equal(new TokenBucket({ rateBytesPerSecond: 1000 }).burstBytes, 65_536);
  assert.equal(new TokenBucket({ rateBytesPerSecond: 1e8 }).burstBytes, 1e7);
  assert.throws(() => new TokenBucket({ rateBytesPerSecond: 0 }), RangeError);
});
