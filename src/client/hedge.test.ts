import assert from 'node:assert/strict';
import { it } from 'node:test';
import { HawserError } from '../core/errors.ts';
import { persistently } from './hedge.ts';

const unreachable = () => new HawserError('unreachable', 'gone');

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
