import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ErrorCode, HawserError } from '../core/errors.ts';
import type { Api } from './api-contract.ts';
import type { TransferInfo } from './contract.ts';
import {
  canRetry,
  createHeadway,
  createPauseGate,
  createTries,
  interrupted,
  type Notice,
  quietNotices,
  type RetryOptions,
  sleepMs,
  withRetry,
} from './retry.ts';

function error(code: ErrorCode, retryAfterMs?: number): HawserError {
  return new HawserError(code, `It is ${code}.`, retryAfterMs === undefined ? {} : { retryAfterMs });
}

/** Waits that take no time, and are written down. */
function instant(more: RetryOptions = {}): RetryOptions & { waits: number[]; notices: Notice[] } {
  const waits: number[] = [];
  const notices: Notice[] = [];
  return {
    waits,
    notices,
    random: () => 0.5,
    sleep: async (ms) => {
      waits.push(ms);
    },
    onNotice: (notice) => notices.push(notice),
    ...more,
  };
}

function failing(times: number, code: ErrorCode = 'unreachable', retryAfterMs?: number): () => Promise<string> {
  let left = times;
  return async () => {
    if (left-- > 0) throw error(code, retryAfterMs);
    return 'value';
  };
}

test('failures that may pass are tried again after a growing random time, with a notice each', async () => {
  const options = instant();
  assert.equal(await withRetry(failing(4), options), 'value');
  assert.deepEqual(options.waits, [50, 100, 200, 400]);
  assert.deepEqual(
    options.notices.map(({ code, retryInMs }) => [code, retryInMs]),
    [
      ['unreachable', 50],
      ['unreachable', 100],
      ['unreachable', 200],
      ['unreachable', 400],
    ],
  );
});

test('the server may ask for a longer wait', async () => {
  const options = instant();
  await withRetry(failing(1, 'busy', 7000), options);
  assert.deepEqual(options.waits, [7000]);
});

test('what nobody can cure by waiting is thrown at once', async () => {
  for (const code of [
    'token_invalid',
    'no_space',
    'path_invalid',
    'exists',
    'superseded',
    'transfer_cancelled',
    'interrupted',
  ] as const) {
    const options = instant();
    await assert.rejects(withRetry(failing(1, code), options), { code });
    assert.deepEqual(options.waits, [], code);
    assert.equal(canRetry(error(code)), false, code);
  }
  const defect = new TypeError('ours');
  await assert.rejects(
    withRetry(() => Promise.reject(defect), instant()),
    defect,
  );
});

test('a server that has never answered is given up after five more tries, one that has only after all', async () => {
  const first = instant({ retries: 60 });
  await assert.rejects(withRetry(failing(1000), first), { code: 'unreachable' });
  assert.equal(first.waits.length, 5);
  const headway = createHeadway();
  headway.reached();
  const second = instant({ retries: 60, headway });
  await assert.rejects(withRetry(failing(1000), second), { code: 'unreachable' });
  assert.equal(second.waits.length, 60);
});

test('an answer of any kind is contact', async () => {
  const options = instant({ retries: 20 });
  await assert.rejects(withRetry(failing(1000, 'busy'), options), { code: 'busy' });
  assert.equal(options.waits.length, 20);
});

test('headway anywhere forgives the failures of the network, and not those of this one request', async () => {
  for (const [code, tries] of [
    ['unreachable', 50],
    ['io_error', 3],
  ] as const) {
    const headway = createHeadway();
    const options = instant({ retries: 3, headway });
    const loop = createTries(options);
    let failed = 0;
    await assert.rejects(
      async () => {
        for (; failed < 50; failed++) {
          headway.moved();
          await loop.failed(error(code));
        }
        throw error('not_found');
      },
      { code: code === 'unreachable' ? 'not_found' : 'io_error' },
    );
    assert.equal(failed, tries);
  }
});

test('an aborted signal ends the waiting', async () => {
  const stop = new AbortController();
  const run = withRetry(failing(10), { signal: stop.signal, random: () => 1, onNotice: () => stop.abort() });
  await assert.rejects(run, { code: 'interrupted' });
  await assert.rejects(sleepMs(1000, AbortSignal.abort()), { code: 'interrupted' });
  let called = false;
  await assert.rejects(
    withRetry(
      async () => {
        called = true;
      },
      { signal: AbortSignal.abort() },
    ),
    { code: 'interrupted' },
  );
  assert.equal(called, false);
});

test('a pause is sat out once for all who meet it, through failures of the network', async () => {
  const states = ['paused', 'unreachable', 'paused', 'active'];
  let asked = 0;
  const api = {
    async getTransfer() {
      const state = states[asked++]!;
      if (state === 'unreachable') throw error('unreachable');
      return { state } as TransferInfo;
    },
  } as unknown as Api;
  const options = instant();
  const gate = createPauseGate(api, 't-1', options);
  const held = { ...options, whilePaused: gate };
  assert.deepEqual(
    await Promise.all([withRetry(failing(1, 'transfer_paused'), held), withRetry(failing(1, 'transfer_paused'), held)]),
    ['value', 'value'],
  );
  assert.equal(asked, 4);
  assert.deepEqual(
    options.notices.map(({ code }) => code),
    ['transfer_paused', 'unreachable', 'transfer_resumed'],
  );
});

test('a transfer that is cancelled or ended while paused does not go on', async () => {
  for (const [state, code] of [
    ['cancelled', 'transfer_cancelled'],
    ['failed', 'transfer_ended'],
  ] as const) {
    const api = { getTransfer: async () => ({ state }) } as unknown as Api;
    const options = instant();
    const held = { ...options, whilePaused: createPauseGate(api, 't-1', options) };
    await assert.rejects(withRetry(failing(1, 'transfer_paused'), held), { code });
  }
});

test('the same trouble on many streams at once is told once', () => {
  let now = 0;
  const told: string[] = [];
  const emit = quietNotices(
    ({ code }) => told.push(code),
    () => now,
  );
  const notice = (code: string, retryInMs?: number): Notice => ({
    type: 'notice',
    code,
    message: '',
    ...(retryInMs !== undefined && { retryInMs }),
  });
  for (let i = 0; i < 16; i++) emit(notice('unreachable', 5));
  assert.deepEqual(told, ['unreachable']);
  emit(notice('busy', 5));
  emit(notice('source_changed'));
  emit(notice('source_changed'));
  now = 500;
  emit(notice('unreachable', 5));
  now = 1600;
  emit(notice('unreachable', 5));
  assert.deepEqual(told, ['unreachable', 'busy', 'source_changed', 'source_changed', 'unreachable', 'unreachable']);
  assert.equal(interrupted().code, 'interrupted');
});
