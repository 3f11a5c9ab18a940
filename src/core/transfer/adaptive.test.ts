import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { FailureClass } from '../errors.ts';
import { Adaptive } from './adaptive.ts';

const KIB = 1024;

test('starts from the distance: few streams nearby, more far away, never more than allowed', () => {
  for (const [rttMs, streams] of [
    [0.2, 2],
    [5, 4],
    [149, 4],
    [150, 6],
    [600, 6],
  ] as const) {
    const adaptive = new Adaptive();
    adaptive.handleRtt(rttMs);
    assert.equal(adaptive.streams, streams, `${rttMs} ms`);
  }
  assert.equal(new Adaptive().streams, 4);
  assert.equal(new Adaptive({ maxStreams: 1 }).streams, 1);
});

test('a chunk at most doubles with a success, up to what one stream moves in a second', () => {
  const adaptive = new Adaptive();
  assert.equal(adaptive.chunkBytes, 256 * KIB);
  // 1 MB a second: 15 blocks and a bit, and chunks are whole blocks.
  const seen = [0, 1, 2, 3, 4].map(() => {
    const bytes = adaptive.chunkBytes;
    adaptive.handleChunkDone({ startedMs: 0, nowMs: bytes / 1000, bytes });
    return adaptive.chunkBytes / KIB;
  });
  assert.deepEqual(seen, [512, 960, 960, 960, 960]);
});

test('on a long path a chunk takes eight round trips', () => {
  const adaptive = new Adaptive();
  adaptive.handleRtt(600);
  for (let i = 0; i < 50; i++) {
    const bytes = adaptive.chunkBytes;
    adaptive.handleChunkDone({ startedMs: i * 1e5, nowMs: i * 1e5 + 600 + bytes / 500, bytes });
  }
  // 600 ms of waiting and 4200 of moving, at 500 bytes a millisecond.
  assert.ok(Math.abs(adaptive.chunkBytes - 4200 * 500) < 128 * KIB, String(adaptive.chunkBytes));
});

test('a short last chunk changes nothing', () => {
  const adaptive = new Adaptive();
  for (let i = 0; i < 9; i++) adaptive.handleChunkDone({ startedMs: 0, nowMs: 250, bytes: adaptive.chunkBytes });
  const before = adaptive.chunkBytes;
  adaptive.handleChunkDone({ startedMs: 0, nowMs: 250, bytes: 10 });
  assert.equal(adaptive.chunkBytes, before);
});

test('failures halve the chunk, once for all that come together', () => {
  const adaptive = new Adaptive({ minChunkBytes: 64 * KIB });
  adaptive.handleFailure(1000, 'network');
  adaptive.handleFailure(1001, 'network');
  assert.equal(adaptive.chunkBytes, 128 * KIB);
  adaptive.handleFailure(9000, 'checksum');
  assert.equal(adaptive.chunkBytes, 64 * KIB);
  adaptive.handleFailure(19_000, 'network');
  assert.equal(adaptive.chunkBytes, 64 * KIB);
});

test('what fewer requests cannot cure changes nothing', () => {
  const adaptive = new Adaptive();
  for (const kind of ['authentication', 'quota', 'state', 'request', 'internal', 'source-changed'] as const) {
    for (let i = 0; i < 20; i++) adaptive.handleFailure(i * 5000, kind);
  }
  assert.equal(adaptive.streams, 4);
  assert.equal(adaptive.chunkBytes, 256 * KIB);
});

test('an outage leaves one stream, and all come back with the network', () => {
  const adaptive = new Adaptive();
  for (let i = 0; i < 10; i++) adaptive.handleFailure(i * 2000, 'network');
  assert.equal(adaptive.streams, 1);
  assert.match(adaptive.why, /requests fail/);
  adaptive.handleChunkDone({ startedMs: 30_000, nowMs: 31_000, bytes: adaptive.chunkBytes });
  assert.equal(adaptive.streams, 4);
});

test('a busy server gets half as many requests', () => {
  const adaptive = new Adaptive();
  adaptive.handleFailure(0, 'server');
  adaptive.handleFailure(1, 'server');
  assert.equal(adaptive.streams, 2);
  assert.match(adaptive.why, /busy with 4/);
});

test('what was asked for is kept whatever happens', () => {
  const adaptive = new Adaptive({ fixedStreams: 3, fixedChunkBytes: 100_000, blockBytes: 64 * KIB });
  for (let i = 0; i < 100; i++) {
    adaptive.handleChunkDone({ startedMs: i * 100, nowMs: i * 100 + 90, bytes: 65_536 });
    if (i % 10 === 0) adaptive.handleFailure(i * 100, i % 20 === 0 ? 'network' : 'server');
    assert.equal(adaptive.streams, 3);
    assert.equal(adaptive.chunkBytes, 65_536);
  }
  assert.match(adaptive.why, /3 streams \(as asked\)/);
});

test('too little to send is no reason to change the number of streams', () => {
  const adaptive = new Adaptive();
  adaptive.handleRtt(50);
  // One request at a time, though four are wanted.
  for (let nowMs = 0; nowMs < 300_000; nowMs += 500) {
    adaptive.handleChunkDone({ startedMs: nowMs, nowMs: nowMs + 500, bytes: adaptive.chunkBytes });
    assert.equal(adaptive.streams, 4);
  }
});

test('stays within its limits whatever it is told', () => {
  const event = fc.oneof(
    fc.record({ kind: fc.constant('rtt' as const), ms: fc.double({ min: -1, max: 1e5 }) }),
    fc.record({ kind: fc.constant('done' as const), afterMs: fc.nat(5000), tookMs: fc.nat(5000), bytes: fc.nat(2 ** 25) }),
    fc.record({
      kind: fc.constant('failed' as const),
      afterMs: fc.nat(5000),
      cause: fc.constantFrom<FailureClass>('network', 'server', 'checksum', 'quota'),
    }),
  );
  fc.assert(
    fc.property(fc.array(event, { maxLength: 200 }), fc.integer({ min: 1, max: 16 }), (events, maxStreams) => {
      const adaptive = new Adaptive({ maxStreams });
      let nowMs = 0;
      for (const one of events) {
        if (one.kind === 'rtt') adaptive.handleRtt(one.ms);
        else {
          nowMs += one.afterMs;
          if (one.kind === 'failed') adaptive.handleFailure(nowMs, one.cause);
          else adaptive.handleChunkDone({ nowMs, startedMs: nowMs - one.tookMs, bytes: one.bytes });
        }
        assert.ok(Number.isInteger(adaptive.streams) && adaptive.streams >= 1 && adaptive.streams <= maxStreams, adaptive.why);
        assert.ok(
          adaptive.chunkBytes >= 64 * KIB && adaptive.chunkBytes <= 16384 * KIB && adaptive.chunkBytes % (64 * KIB) === 0,
        );
        assert.ok(!/NaN|Infinity|undefined/.test(adaptive.why), adaptive.why);
      }
    }),
    { numRuns: 300 },
  );
});
