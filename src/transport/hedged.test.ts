import assert from 'node:assert/strict';
import { it } from 'node:test';
import { HawserError } from '../core/errors.ts';
import { hedged } from './hedged.ts';

const unreachable = () => new HawserError('unreachable', 'gone');
const mayPass = (error: unknown) => error instanceof HawserError && error.facts.retry;

it('asks again beside an answer that is late, and gives up the others when one has come', async () => {
  const signals: AbortSignal[] = [];
  const answer = await hedged(
    (signal) => {
      signals.push(signal);
      return signals.length < 3 ? new Promise<string>(() => undefined) : Promise.resolve('third');
    },
    { everyMs: 1, most: 5, mayPass },
  );
  assert.equal(answer, 'third');
  assert.equal(signals.length, 3);
  assert.ok(signals[0]?.aborted);
});

it('asks at once when the only one under way fails on the network, and says so when all have', async () => {
  let asked = 0;
  const ask = () => {
    asked++;
    return Promise.reject(unreachable());
  };
  const all = hedged(ask, { everyMs: 60_000, most: 4, mayPass });
  await assert.rejects(all, { code: 'unreachable' });
  assert.equal(asked, 4);
});

it('takes a refusal for an answer', async () => {
  let asked = 0;
  const ask = () => {
    asked++;
    return Promise.reject(new HawserError('lane_unavailable', 'none'));
  };
  const refused = hedged(ask, { everyMs: 60_000, most: 4, mayPass });
  await assert.rejects(refused, { code: 'lane_unavailable' });
  assert.equal(asked, 1);
});

it('hands back an answer that came too late', async () => {
  const { promise: slow, resolve } = Promise.withResolvers<string>();
  const late = Promise.withResolvers<string>();
  let asked = 0;
  const first = await hedged(
    () => (asked++ === 0 ? slow : Promise.resolve('fast')),
    { everyMs: 1, most: 2, mayPass },
    late.resolve,
  );
  assert.equal(first, 'fast');
  resolve('slow');
  assert.equal(await late.promise, 'slow');
});

it('ends with the last one under way where none is to be asked again, and not before', async () => {
  const second = Promise.withResolvers<string>();
  let asked = 0;
  const ask = () =>
    asked++ === 0 ? new Promise<string>((_, reject) => void second.promise.then(() => reject(unreachable()))) : late();
  const late = () => {
    second.resolve('begun');
    return new Promise<string>((resolve) => setImmediate(() => resolve('there')));
  };
  assert.equal(await hedged(ask, { everyMs: 1, most: 2, mayPass, again: false }), 'there');
  let alone = 0;
  const refused = () => {
    alone++;
    return Promise.reject(unreachable());
  };
  await assert.rejects(hedged(refused, { everyMs: 60_000, most: 4, mayPass, again: false }), { code: 'unreachable' });
  assert.equal(alone, 1);
});

it('is given up with the one who wants it, also when that was before', async () => {
  const hanging = (signal: AbortSignal) =>
    new Promise<string>((_, reject) => {
      const stop = () => reject(new HawserError('interrupted', 'stopped'));
      if (signal.aborted) stop();
      signal.addEventListener('abort', stop);
    });
  const stop = new AbortController();
  const wanted = hedged(hanging, { everyMs: 60_000, most: 2, mayPass, signal: stop.signal });
  stop.abort();
  await assert.rejects(wanted, { code: 'interrupted' });
  await assert.rejects(hedged(hanging, { everyMs: 60_000, most: 2, mayPass, signal: stop.signal }), { code: 'interrupted' });
});
