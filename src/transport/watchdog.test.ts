import assert from 'node:assert/strict';
import { beforeEach, describe, it, mock } from 'node:test';
import { HawserError } from '../core/errors.ts';
import { createWatchdog } from './watchdog.ts';

let nowMs = 0;

/** Time passes in small steps, as it does for a process that is not blocked. */
function pass(ms: number): void {
  for (let step = 0; step < ms; step += 5) {
    nowMs += 5;
    mock.timers.tick(5);
  }
}

function watched(allowedMs: number) {
  const seen = { moved: 0, allowedMs, expiredAfterMs: 0, failed: '' };
  const entry = {
    progress: () => seen.moved,
    allowedMs: () => seen.allowedMs,
    expire: (silentMs: number) => {
      seen.expiredAfterMs = silentMs;
    },
    fail: (error: HawserError) => {
      seen.failed = error.code;
    },
  };
  return { seen, entry };
}

describe('the watchdog', () => {
  beforeEach(() => {
    nowMs = 0;
    mock.timers.reset();
    mock.timers.enable({ apis: ['setTimeout'] });
  });

  it('tells of silence once it has lasted', () => {
    const dog = createWatchdog(() => nowMs);
    const { seen, entry } = watched(1000);
    dog.watch(entry);
    pass(900);
    assert.equal(seen.expiredAfterMs, 0);
    pass(400);
    assert.ok(seen.expiredAfterMs >= 1000 && seen.expiredAfterMs <= 1300, String(seen.expiredAfterMs));
  });

  it('starts again whenever something moves', () => {
    const dog = createWatchdog(() => nowMs);
    const { seen, entry } = watched(1000);
    dog.watch(entry);
    for (let i = 0; i < 20; i++) {
      pass(700);
      seen.moved++;
    }
    assert.equal(seen.expiredAfterMs, 0);
    pass(1500);
    assert.ok(seen.expiredAfterMs >= 1000);
  });

  it('does not count while it is not the turn of the network', () => {
    const dog = createWatchdog(() => nowMs);
    const { seen, entry } = watched(Infinity);
    dog.watch(entry);
    pass(100_000);
    seen.allowedMs = 1000;
    pass(900);
    assert.equal(seen.expiredAfterMs, 0);
    pass(2000);
    assert.ok(seen.expiredAfterMs >= 1000);
  });

  it('does not take a suspended machine for silence', () => {
    const dog = createWatchdog(() => nowMs);
    const { seen, entry } = watched(20_000);
    dog.watch(entry);
    nowMs += 3_600_000;
    pass(1000);
    assert.equal(seen.expiredAfterMs, 0);
    pass(25_000);
    assert.ok(seen.expiredAfterMs >= 20_000);
  });

  it('keeps several apart, and forgets what is over', () => {
    const dog = createWatchdog(() => nowMs);
    const long = watched(5000);
    const short = watched(200);
    const over = watched(100);
    dog.watch(long.entry);
    dog.watch(over.entry)();
    dog.watch(short.entry);
    pass(400);
    assert.ok(short.seen.expiredAfterMs >= 200);
    assert.equal(over.seen.expiredAfterMs, 0);
    dog.close(new HawserError('interrupted', 'Closed.'));
    assert.equal(long.seen.failed, 'interrupted');
    assert.equal(short.seen.failed, '');
    pass(10_000);
    assert.equal(long.seen.expiredAfterMs, 0);
  });
});
