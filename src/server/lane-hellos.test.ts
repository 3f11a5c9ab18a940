import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { HawserError } from '../core/errors.ts';
import { createHello, HELLO_BYTES } from '../transport/lane/hello.ts';
import { createHelloAnswers, type LaneKeys } from './lane-hellos.ts';
import { createLaneTickets, type ticketForm } from './lane-tickets.ts';
import type { LaneRequest } from './lanes.ts';

const FROM = new Uint32Array(4);

function world() {
  const clock = { ms: 1_000_000 };
  const tickets = createLaneTickets({ key: randomBytes(32), random: randomBytes, now: () => clock.ms });
  const opened: { owner: string; request: LaneRequest; keys: LaneKeys }[] = [];
  const hellos = createHelloAnswers({
    tickets: () => tickets,
    principalOf: async (id) => ({ id, name: id, role: 'write' }),
    now: () => clock.ms,
    async open({ id: owner }, request, keys) {
      if (request.policy.kind === 'high') throw new HawserError('policy_forbidden', 'Not here.');
      opened.push({ owner, request, keys });
      const [suite] = request.suites as ['aes-128-gcm'];
      const { policy, paths } = request;
      return {
        id: `lane${opened.length}`,
        suite,
        secret: keys.secret,
        policy,
        paths,
        endpoints: [],
        ticket: tickets.issue(owner),
      };
    },
  });
  const hello = (owner: string, request: unknown) => {
    const { ticket, secret } = tickets.issue(owner);
    return createHello(ticket, secret, request);
  };
  return { clock, hellos, opened, hello };
}

describe('hellos', () => {
  it('open a lane for the owner of the ticket, with a secret that both have', async () => {
    const { hellos, opened, hello } = world();
    const mine = hello('me', { policy: 'background', paths: 3 });
    const welcome = await hellos.answer(mine.datagram, FROM);
    const { answer, laneSecret } = mine.read(welcome!);
    const [{ owner, request, keys } = assert.fail()] = opened;
    assert.deepEqual([owner, request.policy.kind, request.paths], ['me', 'background', 3]);
    assert.deepEqual([Buffer.from(keys.secret), keys.from], [Buffer.from(laneSecret), FROM]);
    const { ticket } = answer as { ticket: ReturnType<typeof ticketForm> };
    assert.ok(ticket.ticket.length > 0 && /^[0-9a-f]{64}$/.test(ticket.secret));
  });

  it('that come again get the same lane, for a while, and not for ever', async () => {
    const { clock, hellos, opened, hello } = world();
    const { datagram } = hello('me', {});
    const [first, second] = await Promise.all([hellos.answer(datagram, FROM), hellos.answer(datagram, FROM)]);
    assert.deepEqual(first, second);
    assert.equal(opened.length, 1);
    let answers = 2;
    while ((await hellos.answer(datagram, FROM)) !== null) assert.ok(++answers < 100);
    clock.ms += 31_000;
    assert.notDeepEqual(await hellos.answer(datagram, FROM), first, 'another lane, whose keys whoever repeats it does not have');
    assert.equal(opened.length, 2);
  });

  it('are told why not', async () => {
    const { hellos, hello } = world();
    for (const [request, code] of [
      [{ policy: 'high' }, 'policy_forbidden'],
      [{ policy: 'fixed' }, 'request_invalid'],
      [{ paths: 0 }, 'request_invalid'],
      [{ more: 1 }, 'request_invalid'],
      ['words', 'request_invalid'],
    ] as const) {
      const mine = hello('me', request);
      const { answer } = mine.read((await hellos.answer(mine.datagram, FROM))!);
      assert.equal((answer as { error: { code: string } }).error.code, code, JSON.stringify(request));
    }
  });

  it('of strangers get no answer, whatever they are', async () => {
    const { hellos, opened, hello } = world();
    const { datagram } = hello('me', {});
    const bytes = fc.uint8Array({ minLength: HELLO_BYTES, maxLength: HELLO_BYTES });
    const mutated = fc.tuple(fc.integer({ min: 2, max: HELLO_BYTES - 1 }), fc.integer({ min: 1, max: 255 })).map(([at, flip]) => {
      const changed = new Uint8Array(datagram);
      changed[at] = (changed[at] as number) ^ flip;
      return changed;
    });
    const random = bytes.map((any) => {
      any[0] = 0x81;
      return any;
    });
    await fc.assert(
      fc.asyncProperty(fc.oneof(mutated, random, fc.uint8Array({ maxLength: 1400 })), async (any) => {
        assert.equal(await hellos.answer(any, FROM), null);
      }),
      { numRuns: 500 },
    );
    assert.equal(opened.length, 0);
  });
});
