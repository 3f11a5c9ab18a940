import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type ConditionalHeaders, etagMatches, judge, judgeRange, type Verdict } from './conditional.ts';

const file = { etag: '"abc"', mtimeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678), size: 1000 };
const at = 'Fri, 02 Jan 2026 03:04:05 GMT';
const before = 'Fri, 02 Jan 2026 03:04:04 GMT';
const part = (start: number, end: number): Verdict => ({ kind: 'part', start, end });

describe('ranges', () => {
  const cases: [header: string, size: number, expected: Verdict['kind'] | Verdict][] = [
    ['bytes=0-0', 1000, part(0, 1)],
    ['bytes=0-', 1000, part(0, 1000)],
    ['bytes=999-', 1000, part(999, 1000)],
    ['bytes=10-5000', 1000, part(10, 1000)],
    ['bytes=-1', 1000, part(999, 1000)],
    ['bytes=-5000', 1000, part(0, 1000)],
    ['BYTES=1-2', 1000, part(1, 3)],
    ['bytes=1000-', 1000, 'unsatisfiable'],
    ['bytes=1000-1000', 1000, 'unsatisfiable'],
    ['bytes=99999999999999999999999-', 1000, 'unsatisfiable'],
    ['bytes=99999999999999999999998-99999999999999999999999', 1000, 'unsatisfiable'],
    ['bytes=0-99999999999999999999999', 1000, part(0, 1000)],
    ['bytes=-0', 1000, 'unsatisfiable'],
    ['bytes=0-', 0, 'unsatisfiable'],
    ['bytes=-5', 0, 'whole'],
    ['bytes=5-4', 1000, 'whole'],
    ['bytes=0-1,5-6', 1000, 'whole'],
    ['bytes=0-1,0-1,0-1', 1000, 'whole'],
    ['bytes=-', 1000, 'whole'],
    ['bytes=--5', 1000, 'whole'],
    ['bytes=-5-10', 1000, 'whole'],
    ['bytes=a-b', 1000, 'whole'],
    ['bytes=0x1-0x2', 1000, 'whole'],
    ['bytes=1e2-', 1000, 'whole'],
    ['lines=0-1', 1000, 'whole'],
    ['', 1000, 'whole'],
  ];
  for (const [header, size, expected] of cases) {
    it(`"${header}" of ${size} bytes`, () => {
      const verdict = judgeRange(header, size);
      if (typeof expected === 'string') assert.equal(verdict.kind, expected);
      else assert.deepEqual(verdict, expected);
    });
  }

  it('are never outside the file, whatever is asked', () => {
    const number = fc.oneof(fc.constant(''), fc.nat(2000).map(String), fc.bigInt({ min: 0n, max: 1n << 80n }).map(String));
    fc.assert(
      fc.property(number, number, fc.nat(1500), (first, last, size) => {
        const verdict = judgeRange(`bytes=${first}-${last}`, size);
        if (verdict.kind !== 'part') return;
        assert.ok(verdict.start >= 0 && verdict.start < verdict.end && verdict.end <= size);
      }),
      { seed: 20260102, numRuns: 2000 },
    );
  });
});

describe('conditions', () => {
  const cases: [name: string, headers: ConditionalHeaders, expected: Verdict['kind']][] = [
    ['nothing asked', {}, 'whole'],
    ['If-Match with the tag', { 'if-match': '"x", "abc"' }, 'whole'],
    ['If-Match with *', { 'if-match': '*' }, 'whole'],
    ['If-Match with another', { 'if-match': '"x"' }, 'failed'],
    ['If-Match with a weak tag', { 'if-match': 'W/"abc"' }, 'failed'],
    ['If-Match malformed', { 'if-match': 'abc' }, 'failed'],
    ['If-None-Match with the tag', { 'if-none-match': '"abc"' }, 'unmodified'],
    ['If-None-Match with a weak tag', { 'if-none-match': 'W/"abc"' }, 'unmodified'],
    ['If-None-Match with *', { 'if-none-match': '*' }, 'unmodified'],
    ['If-None-Match with others', { 'if-none-match': '"x", W/"y"' }, 'whole'],
    ['If-Modified-Since the same second', { 'if-modified-since': at }, 'unmodified'],
    ['If-Modified-Since earlier', { 'if-modified-since': before }, 'whole'],
    ['If-Modified-Since nonsense', { 'if-modified-since': 'yesterday' }, 'whole'],
    ['If-Unmodified-Since the same second', { 'if-unmodified-since': at }, 'whole'],
    ['If-Unmodified-Since earlier', { 'if-unmodified-since': before }, 'failed'],
    ['If-Match before If-Unmodified-Since', { 'if-match': '"abc"', 'if-unmodified-since': before }, 'whole'],
    ['If-None-Match before If-Modified-Since', { 'if-none-match': '"x"', 'if-modified-since': at }, 'whole'],
    ['If-Match failing before If-None-Match', { 'if-match': '"x"', 'if-none-match': '"abc"' }, 'failed'],
    ['304 before the range', { 'if-none-match': '"abc"', range: 'bytes=0-1' }, 'unmodified'],
    ['If-Range with the tag', { 'if-range': '"abc"', range: 'bytes=0-1' }, 'part'],
    ['If-Range with another', { 'if-range': '"x"', range: 'bytes=0-1' }, 'whole'],
    ['If-Range with a weak tag', { 'if-range': 'W/"abc"', range: 'bytes=0-1' }, 'whole'],
    ['If-Range with the date', { 'if-range': at, range: 'bytes=0-1' }, 'whole'],
    ['If-Range with another tag and no such range', { 'if-range': '"x"', range: 'bytes=5000-' }, 'whole'],
  ];
  for (const [name, headers, expected] of cases) {
    it(name, () => assert.equal(judge('GET', headers, file).kind, expected));
  }

  it('ranges are for GET only', () => assert.equal(judge('HEAD', { range: 'bytes=0-1' }, file).kind, 'whole'));

  it('a tag never matches a part of another', () => {
    assert.equal(etagMatches('"xabc"', '"abc"', 'weak'), false);
    assert.equal(etagMatches('"a","bc"', '"abc"', 'weak'), false);
    assert.equal(etagMatches('', '"abc"', 'weak'), false);
  });
});
