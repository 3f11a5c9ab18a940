import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { decodeDigestRecords, encodeDigestRecords } from './digest-records.ts';

test('runs come back as they were', () => {
  const run = fc.record({ gap: fc.nat(1000), count: fc.integer({ min: 1, max: 3 }), fill: fc.nat(255) });
  fc.assert(
    fc.property(fc.array(run, { maxLength: 6 }), (list) => {
      let next = 0;
      const runs = list.map(({ gap, count, fill }) => {
        const first = next + gap;
        next = first + count;
        return { first, digests: new Uint8Array(32 * count).fill(fill) };
      });
      assert.deepEqual(decodeDigestRecords(encodeDigestRecords(runs)), runs);
    }),
  );
});

test('empty runs are left out', () => {
  assert.equal(encodeDigestRecords([{ first: 3, digests: new Uint8Array() }]).length, 0);
});

test('records that are cut, empty, out of order or beyond the last block are refused', () => {
  const good = encodeDigestRecords([
    { first: 1, digests: new Uint8Array(32) },
    { first: 5, digests: new Uint8Array(32) },
  ]);
  for (let length = 1; length < good.length; length++) {
    if (length !== 40)
      assert.throws(() => decodeDigestRecords(good.subarray(0, length)), { code: 'protocol_error' }, `${length}`);
  }
  const spoiled = (at: number, value: number) => {
    const bytes = Uint8Array.from(good);
    bytes[at] = value;
    return bytes;
  };
  assert.throws(() => decodeDigestRecords(spoiled(47, 0)), { code: 'protocol_error' });
  assert.throws(() => decodeDigestRecords(spoiled(43, 1)), { code: 'protocol_error' });
  assert.throws(() => decodeDigestRecords(spoiled(4, 255)), { code: 'protocol_error' });
  assert.throws(() => decodeDigestRecords(Uint8Array.from([255, 255, 255, 255, 0, 0, 0, 2, ...new Uint8Array(64)])), {
    code: 'protocol_error',
  });
});

test('runs that cannot be written are a defect', () => {
  const digests = new Uint8Array(32);
  for (const runs of [
    [{ first: -1, digests }],
    [{ first: 0, digests: digests.subarray(1) }],
    [
      { first: 2, digests },
      { first: 2, digests },
    ],
  ]) {
    assert.throws(() => encodeDigestRecords(runs), { code: 'internal' });
  }
});
