import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { HawserError } from '../core/errors.ts';
import { createMemoryMeta } from '../store/meta/memory.ts';
import { createAuth, makeToken, parseToken, roleIncludes } from './auth.ts';

function setUp() {
  const clock = { ms: 1_000_000 };
  const meta = createMemoryMeta();
  return { clock, meta, auth: createAuth({ meta, random: randomBytes, now: () => clock.ms }) };
}

const code = (expected: string) => (error: unknown) => error instanceof HawserError && error.code === expected;

describe('tokens', () => {
  it('let in whoever they were made for, in the documented form', async () => {
    const { auth } = setUp();
    const { token, record } = await auth.createToken({ name: 'camera', role: 'write', expiresMs: null });
    assert.match(token, /^hws_[a-z2-7]{12}_[a-z2-7]{52}$/);
    assert.deepEqual(await auth.authenticate(`Bearer ${token}`), { id: record.id, name: 'camera', role: 'write' });
    assert.deepEqual(await auth.authenticate(`bearer   ${token} `), { id: record.id, name: 'camera', role: 'write' });
  });

  it('are stored as the SHA-256 of their secret only', async () => {
    const { auth, meta } = setUp();
    const { token, record } = await auth.createToken({ name: 'x', role: 'read', expiresMs: null });
    const { secret } = parseToken(token)!;
    const stored = await meta.getToken(record.id);
    assert.deepEqual(Buffer.from(stored!.secretHash), createHash('sha256').update(secret).digest());
    assert.ok(!JSON.stringify(stored).includes(secret));
  });

  it('stop at the very millisecond of their expiry, and say so only to who has the secret', async () => {
    const { auth, clock } = setUp();
    const { token, record } = await auth.createToken({ name: 'x', role: 'read', expiresMs: 2_000_000 });
    clock.ms = 1_999_999;
    await auth.authenticate(`Bearer ${token}`);
    clock.ms = 2_000_000;
    await assert.rejects(auth.authenticate(`Bearer ${token}`), code('token_expired'));
    await assert.rejects(auth.authenticate(`Bearer hws_${record.id}_${'a'.repeat(52)}`), code('token_invalid'));
  });

  it('stop with the next request once revoked', async () => {
    const { auth } = setUp();
    const { token, record } = await auth.createToken({ name: 'x', role: 'read', expiresMs: null });
    await auth.authenticate(`Bearer ${token}`);
    await auth.removeToken(record.id);
    await assert.rejects(auth.authenticate(`Bearer ${token}`), code('token_invalid'));
    await assert.rejects(auth.removeToken(record.id), code('token_not_found'));
  });

  it('are refused when anything about them is changed', async () => {
    const { auth } = setUp();
    const { token } = await auth.createToken({ name: 'x', role: 'admin', expiresMs: null });
    const seed = Date.now();
    await fc.assert(
      fc.asyncProperty(fc.nat(token.length - 1), fc.constantFrom(...'abcz237_A '), async (at, letter) => {
        fc.pre(token[at] !== letter);
        const changed = token.slice(0, at) + letter + token.slice(at + 1);
        await assert.rejects(auth.authenticate(`Bearer ${changed}`), code('token_invalid'));
      }),
      { seed, numRuns: 200 },
    );
    for (const header of [
      token,
      `Basic ${token}`,
      `Bearer ${token.slice(0, -1)}`,
      `Bearer ${token}x`,
      `Bearer ${'x'.repeat(70_000)}`,
    ]) {
      await assert.rejects(auth.authenticate(header), code('token_invalid'));
    }
    await assert.rejects(auth.authenticate(undefined), code('token_missing'));
    await assert.rejects(auth.authenticate(''), code('token_missing'));
  });

  it('are never quoted in an error', async () => {
    const { auth } = setUp();
    const { token } = makeToken(randomBytes);
    const error = await auth.authenticate(`Bearer ${token}`).catch((thrown: HawserError) => thrown);
    assert.ok(error instanceof HawserError);
    assert.ok(!`${error.message} ${error.value}`.includes(parseToken(token)!.secret));
  });

  it('differ from each other', () => {
    const made = new Set(Array.from({ length: 500 }, () => makeToken(randomBytes).token));
    assert.equal(made.size, 500);
  });

  it('have roles that include the ones before', () => {
    const roles = ['read', 'write', 'admin'] as const;
    for (const [i, has] of roles.entries())
      for (const [j, needs] of roles.entries()) assert.equal(roleIncludes(has, needs), i >= j);
  });
});
