import assert from 'node:assert/strict';
import { it } from 'node:test';
import { HawserError } from '../core/errors.ts';
import { hedged, persistently } from './hedge.ts';

const unreachable = () => new HawserError('unreachable', 'gone');

it('asks again beside an answer that is late, and gives up the others when one has come', async () => {
  const signals: AbortSignal[] = [];
  const answer = await hedged(
    (signal) => {
      signals.push(signal);
      return signals.length < 3 ? new Promise<string>(() => undefined) : Promise.resolve('third');
    },
    { everyMs: 1, most: 5 },
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
  const all = hedged(ask, { everyMs: 60_000, most: 4 });
  await assert.rejects(all, { code: 'unreachable' });
  assert.equal(asked, 4);
});

it('takes a refusal for an answer', async () => {
  let asked = 0;
  const ask = () => {
    asked++;
    return Promise.reject(new HawserError('lane_unavailable', 'none'));
  };
  const refused = hedged(ask, { everyMs: 60_000, most: 4 });
  await assert.rejects(refused, { code: 'lane_unavailable' });
  assert.equal(asked, 1);
});

it('hands back an answer that came too late', async () => {
  const { promise: slow, resolve } = Promise.withResolvers<string>();
  const late = Promise.withResolvers<string>();
  let asked = 0;
  const first = await hedged(() => (asked++ === 0 ? slow : Promise.resolve('fast')), { everyMs: 1, most: 2 }, late.resolve);
  assert.equal(first, 'fast');
  resolve('slow');
  assert.equal(await late.promise, 'slow');
});

const hanging = (signal: AbortSignal) =>
  new Promise<string>((_, reject) => {
    signal.addEventListener('abort', () => reject(new HawserError('interrupted', 'stopped')));
  });

it('gives up what hangs for something new, until an answer comes', async () => {
  const signals: AbortSignal[] = [];
  const answer = await persistently(
    (signal) => {
      signals.push(signal);
      return signals.length < 3 ? hanging(signal) : Promise.resolve('third');
    },
    { roundMs: 5 },
  );
  assert.equal(answer, 'third');
  assert.ok(signals[0]?.aborted && signals[1]?.aborted);
});

it('gives up when the time is over, or when it is told to', async () => {
  await assert.rejects(persistently(hanging, { roundMs: 5, deadlineMs: 10 }), { code: 'stalled' });
  const stop = new AbortController();
  const stopped = persistently(hanging, { signal: stop.signal });
  stop.abort();
  await assert.rejects(stopped, { code: 'interrupted' });
});

it('tries a few times more when it is refused a connection, with pauses, and not after a refusal of the server', async () => {
  const pauses: number[] = [];
  const sleep = async (ms: number) => void pauses.push(ms);
  let tries = 0;
  const refusedTwice = () => (++tries <= 13 ? Promise.reject(unreachable()) : Promise.resolve('there'));
  assert.equal(await persistently(refusedTwice, { sleep }), 'there');
  assert.equal(pauses.length, 1);
  await assert.rejects(
    persistently(() => Promise.reject(unreachable()), { sleep }),
    { code: 'unreachable' },
  );
  assert.equal(pauses.length, 3);
  let asked = 0;
  const refuse = () => {
    asked++;
    return Promise.reject(new HawserError('token_invalid', 'no'));
  };
  await assert.rejects(persistently(refuse, { sleep }), { code: 'token_invalid' });
  assert.equal(asked, 1);
});
