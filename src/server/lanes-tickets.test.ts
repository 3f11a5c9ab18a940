import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { describe, it } from 'node:test';
import { call, callWith, clock, createOther, DAY_MS, leave, log, open, tokens } from '../../test/server/lanes-fixture.ts';
import { createHello, setAttempt } from '../transport/lane/hello.ts';
import type { Suite } from '../transport/lane/keys.ts';
import { greetServer } from '../transport/lane/open.ts';
import { createLaneTransport } from '../transport/lane-transport.ts';

describe('tickets', () => {
  const endpoint = async () => ({
    host: '127.0.0.1',
    port: (await call('POST', 'lanes/tickets', 'write')).json.endpoints[0].port,
  });

  async function greet(ticket: { ticket: string; secret: string }, more: object = {}, timeoutMs = 5000) {
    const hello = createHello(Buffer.from(ticket.ticket, 'base64url'), Buffer.from(ticket.secret, 'hex'), {
      policy: 'fair',
      ...more,
    });
    let said: unknown;
    const link = await greetServer({
      endpoints: [await endpoint()],
      hello,
      maxPaths: 1,
      timeoutMs,
      parameters({ answer, laneSecret, clientRandom }) {
        said = answer;
        const { id, suite, paths, error } = answer as { id: string; suite: Suite; paths: number; error?: unknown };
        if (error) throw error;
        return { laneId: id, suite, secret: laneSecret, clientRandom, maxPaths: paths, policy: { kind: 'fair' } };
      },
    });
    return { link, said: said as { ticket: { ticket: string; secret: string; expires: string } } };
  }

  it('are for those with a token, and in no cache and no log', async () => {
    assert.equal((await call('POST', 'lanes/tickets', null)).status, 401);
    const { status, headers, json } = await call('POST', 'lanes/tickets', 'write');
    assert.deepEqual([status, headers['cache-control']], [201, 'no-store']);
    assert.ok(!log.includes(json.secret) && !log.includes(json.ticket));
    const life = Date.parse(json.expires) - clock.nowMs;
    assert.ok(life > 29 * DAY_MS && life <= 30 * DAY_MS);
  });

  it('open a lane over UDP alone, which carries requests, with a ticket for the next', async () => {
    const { json } = await call('POST', 'lanes/tickets', 'write');
    const { link, said } = await greet(json);
    assert.deepEqual(
      (await call('GET', 'lanes', 'write')).json.lanes.map(({ id }: { id: string }) => id),
      [link.laneId],
    );
    const transport = createLaneTransport(link, 'here');
    const request = { method: 'GET', target: '/api/v1/lanes' } as const;
    assert.equal((await transport.request(request)).status, 401, 'a ticket is no token');
    const headers = { authorization: `Bearer ${tokens.write}` };
    assert.equal((await transport.request({ ...request, headers })).status, 200);
    await transport.close();
    await leave((await greet(said.ticket)).link);
  });

  it('say what a request may tell of the lane before, and it may', async () => {
    const { json } = await call('POST', 'lanes/tickets', 'write');
    assert.deepEqual(json.takes, ['received']);
    const received = { bytesPerSecond: 12_500_000, rttUs: 100_000 };
    await leave((await greet(json, { received })).link);
    const { status, json: grant } = await open('write', { received });
    assert.deepEqual([status, grant.ticket.takes], [201, ['received']]);
    await call('DELETE', `lanes/${grant.id}`, 'write');
  });

  it('say why there is no lane to those who have one', async () => {
    const { json } = await call('POST', 'lanes/tickets', 'write');
    await assert.rejects(greet(json, { policy: 'high' }), { code: 'policy_forbidden' });
    await assert.rejects(greet(json, { policy: 'rude' }), { code: 'request_invalid' });
    await assert.rejects(greet(json, { paths: 100 }), { code: 'request_invalid' });
  });

  it('get no answer when they are forged, too old, or of a token that was revoked', async () => {
    const { json } = await call('POST', 'lanes/tickets', 'write');
    const { token, id } = await createOther();
    const revoked = (await callWith('POST', 'lanes/tickets', token)).json;
    assert.equal((await call('DELETE', `tokens/${id}`, 'admin')).status, 204);
    const other = (await call('POST', 'lanes/tickets', 'read')).json;
    const silence = { code: 'unreachable', message: /gave no answer over UDP/ };
    await assert.rejects(greet({ ...json, secret: other.secret }, {}, 300), silence);
    await assert.rejects(greet({ ...json, ticket: randomBytes(120).toString('base64url') }, {}, 300), silence);
    await assert.rejects(greet(revoked, {}, 300), silence);
    clock.nowMs += 31 * DAY_MS;
    await assert.rejects(greet(json, {}, 300), silence);
    clock.nowMs -= 31 * DAY_MS;
    await leave((await greet(json)).link);
  });

  it('lead to one lane however often the hello comes', async () => {
    // A hello of another test may be late.
    const { token } = await createOther();
    const { json } = await callWith('POST', 'lanes/tickets', token);
    const hello = createHello(Buffer.from(json.ticket, 'base64url'), Buffer.from(json.secret, 'hex'), {});
    const { port } = await endpoint();
    const socket = createSocket('udp4');
    const answers: Buffer[] = [];
    const three = new Promise<void>((resolve) => {
      socket.on('message', (message) => {
        answers.push(message);
        if (answers.length === 3) resolve();
      });
    });
    for (let i = 0; i < 3; i++) {
      setAttempt(hello.datagram, i);
      socket.send(Buffer.from(hello.datagram), port, '127.0.0.1');
    }
    await three;
    socket.close();
    const read = answers.map((bytes) => (hello.read(bytes).answer as { id: string }).id);
    assert.equal(new Set(read).size, 1);
    assert.deepEqual(answers.map((bytes) => bytes[1]).sort(), [0, 1, 2]);
    assert.deepEqual(
      (await callWith('GET', 'lanes', token)).json.lanes.map(({ id }: { id: string }) => id),
      [read[0]],
    );
    await call('DELETE', `lanes/${read[0]}`, 'admin');
  });
});
