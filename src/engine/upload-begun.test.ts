import test from 'node:test';
import { createBegun } from './upload-begun.ts';

/** Time that does not pass: whoever waits for it waits for ever. */
const STILL = { now: () => 0, sleep: () => new Promise<void>(() => undefined), after: () => () => undefined };

test('an upload that begins while it is looked for is not missed', { timeout: 10_000 }, async () => {
  const begun = createBegun(STILL);
  await begun.until('a', async () => {
    begun.handleBegun('a');
    return false;
  });
});

test('one that is there is not waited for, and one that begins later wakes all who wait', { timeout: 10_000 }, async () => {
  const begun = createBegun(STILL);
  await begun.until('a', async () => true);
  const both = [begun.until('b', async () => false), begun.until('b', async () => false)];
  await new Promise(setImmediate);
  begun.handleBegun('c');
  begun.handleBegun('b');
  await Promise.all(both);
});

test('when too many wait, nobody else does', { timeout: 10_000 }, async () => {
  const begun = createBegun(STILL);
  for (let i = 0; i < 256; i++) void begun.until(`${i}`, async () => false);
  await begun.until('one more', async () => false);
});
