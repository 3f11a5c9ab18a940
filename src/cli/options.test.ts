import assert from 'node:assert/strict';
import { test } from 'node:test';
import { laneOptions, parsePolicy } from './options.ts';

test('--policy: the four, and what is none of them is refused with the list', () => {
  for (const kind of ['fair', 'background', 'high'] as const) assert.deepEqual(parsePolicy(kind), { kind });
  assert.deepEqual(parsePolicy('fixed=80mbit'), { kind: 'fixed', bytesPerSecond: 10_000_000 });
  for (const text of ['fixed', 'fixed=', 'Fair', 'polite', '']) assert.throws(() => parsePolicy(text), { code: 'usage' }, text);
  assert.throws(() => parsePolicy('polite'), /fair, background, high or fixed=RATE/);
});

test('what is critical makes its lane redundant', () => {
  assert.deepEqual(laneOptions({ priority: 'critical' }), { lane: { redundant: true } });
  assert.deepEqual(laneOptions({ priority: 'high' }), {});
});

test('what is not said is not passed on, so that the client has its own defaults', () => {
  assert.deepEqual(laneOptions({}), {});
  assert.deepEqual(laneOptions({ transport: 'lane' }), { transport: 'lane' });
  assert.deepEqual(laneOptions({ policy: { kind: 'high' }, path: ['eth0', '!lo'], laneTrace: 'f' }), {
    paths: ['eth0', '!lo'],
    lane: { policy: { kind: 'high' }, traceFile: 'f' },
  });
});
