/**
 * Hostile input over raw sockets, to a real server with real stores. Each case has the answer that it must get; after each one
 * the server still answers, and neither the served folder nor what lies beside it has changed.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { exchange } from './hostile-client.ts';
import { FILE_CASES } from './hostile-file-cases.ts';
import { FRAME_CASES } from './hostile-frame-cases.ts';
import { HTTP_CASES } from './hostile-http-cases.ts';
import { setUpWorld, snapshot, stillWell, target, tearDownWorld, world } from './hostile-world.ts';

before(setUpWorld);
after(tearDownWorld);

describe('hostile input', () => {
  const cases = [...FILE_CASES, ...FRAME_CASES, ...HTTP_CASES];
  it('is tried in at least 55 ways', () => assert.ok(cases.length >= 55, String(cases.length)));

  for (const { name, send, status, code, also } of cases) {
    it(name, async () => {
      const before = await snapshot();
      const answer = await exchange(target(), [send()]);
      assert.deepEqual({ status: answer.status, code: answer.code }, { status, code }, answer.body.slice(0, 300));
      also?.(answer);
      assert.ok(!answer.body.includes('not for you') && !answer.body.includes(world.home), 'tells of what lies outside');
      assert.ok(!/node_modules|\.ts:\d/.test(answer.body), 'shows a stack');
      await stillWell(before);
    });
  }
});
