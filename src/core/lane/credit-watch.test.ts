import assert from 'node:assert/strict';
import test from 'node:test';
import { CreditWatch } from './credit-watch.ts';

test('who hears nothing asks again soon, and who hears something ever more rarely', () => {
  const watch = new CreditWatch();
  const asked: number[] = [];
  const run = (fromUs: number, untilUs: number, heardUs: (nowUs: number) => number): void => {
    for (let now = fromUs; now < untilUs; now += 5000) {
      if (now >= watch.dueUs) {
        asked.push(now);
        watch.handleAsked(now);
      }
      watch.watch(now, true, [{ timeoutUs: 300_000, lastHeardUs: heardUs(now) }]);
    }
  };
  run(0, 1_300_000, () => 0);
  assert.equal(asked[0], 300_000);
  // What walks through a burst of losses that is counted in packets.
  assert.ok(asked.length >= 32, `${asked.length}`);
  asked.length = 0;
  run(1_300_000, 21_300_000, (now) => now);
  assert.ok(asked.length >= 8 && asked.length <= 16, `${asked.length}`);
  watch.watch(21_300_000, false, []);
  assert.equal(watch.dueUs, Infinity);
});
