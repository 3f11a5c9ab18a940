import assert from 'node:assert/strict';
import { test } from 'node:test';
import { choosePath, isInUse, type PathView, shownState } from './path-choice.ts';

const view = (more: Partial<PathView> = {}): PathView => ({
  state: 'active',
  metered: false,
  rttMs: 50,
  bytesPerSecond: 1e6,
  waitingBytes: 0,
  ...more,
});

test('a question goes by the shortest way, whatever waits there', () => {
  assert.equal(choosePath([view({ rttMs: 80 }), view({ rttMs: 20, waitingBytes: 1e9 }), view({ rttMs: null })], 100), 1);
});

test('content goes where it is done first: waiting behind others on a fast path beats a slow one that is idle', () => {
  const fast = (waitingBytes: number) => view({ bytesPerSecond: 10e6, waitingBytes });
  const slow = view({ bytesPerSecond: 1e6 });
  assert.equal(choosePath([slow, fast(0)], 4e6), 1);
  assert.equal(choosePath([slow, fast(30e6)], 4e6), 1);
  assert.equal(choosePath([slow, fast(40e6)], 4e6), 0);
});

test('bytes are shared out in proportion to the rates', () => {
  const paths = [view({ bytesPerSecond: 3e6 }), view({ bytesPerSecond: 1e6, rttMs: 200 })];
  const given = [0, 0];
  for (let i = 0; i < 100; i++) {
    const index = choosePath(
      paths.map((path, at) => ({ ...path, waitingBytes: given[at]! * 1e6 })),
      1e6,
    );
    given[index]!++;
  }
  assert.ok(Math.abs(given[0]! - 75) <= 2, `${given}`);
});

test('a path of unknown rate is taken to be as fast as the fastest', () => {
  const known = view({ bytesPerSecond: 10e6, waitingBytes: 4e6 });
  assert.equal(choosePath([known, view({ bytesPerSecond: null })], 4e6), 1);
  assert.equal(choosePath([known, view({ bytesPerSecond: null, waitingBytes: 8e6 })], 4e6), 0);
});

test('a metered path is taken only while no other works', () => {
  const metered = view({ metered: true, bytesPerSecond: 1e9, rttMs: 1 });
  const own = view({ waitingBytes: 1e12 });
  assert.equal(choosePath([metered, own], 4e6), 1);
  assert.equal(choosePath([metered, { ...own, state: 'degraded' }], 4e6), 0);
  assert.equal(
    choosePath(
      [
        { ...metered, state: 'failed' },
        { ...own, state: 'degraded' },
      ],
      4e6,
    ),
    1,
  );
  assert.equal(
    choosePath(
      [
        { ...metered, state: 'failed' },
        { ...own, state: 'failed' },
      ],
      4e6,
    ),
    1,
  );
  assert.equal(shownState([metered, own], metered), 'standby');
  assert.equal(shownState([metered, { ...own, state: 'failed' }], metered), 'active');
  assert.equal(isInUse([metered, own], metered), false);
  assert.equal(isInUse([metered, own], own), true);
});

test('when none works, one is tried all the same', () => {
  assert.equal(choosePath([view({ state: 'failed', rttMs: null, bytesPerSecond: null })], 0), 0);
  assert.equal(choosePath([view({ state: 'failed' }), view({ state: 'degraded', rttMs: null })], 0), 1);
});
