import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { HawserError } from '../core/errors.ts';
import { firstOf } from './beside.ts';

const EVERY_MS = 1000;

/** Connections that succeed and fail when the test says so. */
function setUp(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const attempts: {
    socket: Socket;
    signal: AbortSignal;
    succeed: () => void;
    fail: (code: 'unreachable' | 'certificate_changed') => void;
  }[] = [];
  const stop = new AbortController();
  const open = (signal: AbortSignal): Promise<Socket> => {
    const { promise, resolve, reject } = Promise.withResolvers<Socket>();
    const socket = new Socket();
    attempts.push({
      socket,
      signal,
      succeed: () => resolve(socket),
      fail: (code) => reject(new HawserError(code, `attempt ${attempts.length} failed`)),
    });
    return promise;
  };
  const result = firstOf(open, { everyMs: EVERY_MS, most: 3, signal: stop.signal });
  result.catch(() => undefined);
  return { attempts, result, stop, tick: (ms: number) => t.mock.timers.tick(ms) };
}

const turn = () => new Promise(setImmediate);

describe('a connection that is late', () => {
  it('gets others beside it, and the first that is there is taken', async (t) => {
    const { attempts, result, tick } = setUp(t);
    tick(EVERY_MS - 1);
    assert.equal(attempts.length, 1);
    tick(10 * EVERY_MS);
    assert.equal(attempts.length, 3, 'no more than the most');
    attempts[1]!.succeed();
    assert.equal(await result, attempts[1]!.socket);
    assert.ok(attempts[0]!.signal.aborted);
    attempts[0]!.succeed();
    await turn();
    assert.ok(attempts[0]!.socket.destroyed, 'one that comes too late is closed');
    assert.ok(!attempts[1]!.socket.destroyed);
    tick(10 * EVERY_MS);
    assert.equal(attempts.length, 3);
  });

  it('is no failure while another may succeed, and fails at once where none would', async (t) => {
    const { attempts, result, tick } = setUp(t);
    tick(EVERY_MS);
    attempts[0]!.fail('unreachable');
    await turn();
    attempts[1]!.succeed();
    assert.equal(await result, attempts[1]!.socket);
  });

  it('fails with what nobody can mend, and with the first failure when all failed', async (t) => {
    const mended = setUp(t);
    mended.tick(EVERY_MS);
    mended.attempts[1]!.fail('certificate_changed');
    await assert.rejects(mended.result, { code: 'certificate_changed' });
    assert.ok(mended.attempts[0]!.signal.aborted);
    t.mock.timers.reset();
    const alone = setUp(t);
    alone.attempts[0]!.fail('unreachable');
    await assert.rejects(alone.result, { code: 'unreachable' });
    alone.tick(10 * EVERY_MS);
    assert.equal(alone.attempts.length, 1);
  });

  it('is given up with the request', async (t) => {
    const { attempts, result, stop, tick } = setUp(t);
    stop.abort();
    await assert.rejects(result, { code: 'interrupted' });
    assert.ok(attempts[0]!.signal.aborted);
    tick(10 * EVERY_MS);
    assert.equal(attempts.length, 1);
  });
});
