import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { call, clientRandom, enter, ids, log, memoryTickets, open, tokens } from '../../test/server/lanes-fixture.ts';
import { laneThread } from '../transport/lane/worker-host.ts';
import { createLaneTransport } from '../transport/lane-transport.ts';
import { createLanes, type Lanes } from './lanes.ts';

describe('lanes over the API', () => {
  it('are for those with a token, and their secrets are in no cache and no log', async () => {
    assert.equal((await open(null)).status, 401);
    const { status, headers, json } = await open('read');
    assert.equal(status, 201);
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(headers.location, `lanes/${json.id}`);
    assert.match(json.secret, /^[0-9a-f]{64}$/);
    assert.deepEqual([json.suite, json.policy, json.paths], ['aes-128-gcm', 'fair', 1]);
    assert.equal(json.endpoints[0].host, null);
    assert.ok(json.endpoints[0].port > 0);
    assert.ok(log.includes('/api/v1/lanes'), 'requests are logged');
    for (const text of [json.secret, clientRandom]) assert.ok(!log.includes(text));
    const { json: listed } = await call('GET', 'lanes', 'admin');
    assert.ok(!JSON.stringify(listed).includes(json.secret));
    assert.equal((await call('DELETE', `lanes/${json.id}`, 'read')).status, 204);
  });

  it('take what is well-formed only', async () => {
    for (const body of [
      {},
      { clientRandom: 'ab' },
      { clientRandom, policy: 'fast' },
      { clientRandom, suites: [] },
      { clientRandom, paths: 0 },
      { clientRandom, received: 1e6 },
      { clientRandom, received: { bytesPerSecond: 1e6 } },
      { clientRandom, received: { bytesPerSecond: 1e6, rttUs: 0 } },
      { clientRandom, received: { bytesPerSecond: 1e12, rttUs: 1000 } },
    ])
      assert.equal((await call('POST', 'lanes', 'read', body)).status, 400, JSON.stringify(body));
  });

  it('have no policy that the operator forbids', async () => {
    for (const more of [{ policy: 'high' }, { policy: 'fixed', bytesPerSecond: 1000 }]) {
      const { status, json } = await open('admin', more);
      assert.deepEqual([status, json.code], [403, 'policy_forbidden']);
    }
    assert.equal((await open('admin', { policy: 'fixed' })).json.code, 'request_invalid');
    const { json } = await open('read', { policy: 'background' });
    assert.equal(json.policy, 'background');
    await call('DELETE', `lanes/${json.id}`, 'read');
  });

  it('are seen and closed by their owner and by administrators', async () => {
    const { json } = await open('write');
    const seen = async (as: keyof typeof tokens) =>
      (await call('GET', 'lanes', as)).json.lanes.map(({ id }: { id: string }) => id);
    assert.deepEqual([await seen('read'), await seen('write'), await seen('admin')], [[], [json.id], [json.id]]);
    assert.deepEqual((await call('DELETE', `lanes/${json.id}`, 'read')).json.code, 'lane_not_found');
    assert.equal((await call('DELETE', `lanes/${json.id}`, 'admin')).status, 204);
    assert.deepEqual(await seen('write'), []);
    assert.equal((await call('DELETE', `lanes/${json.id}`, 'write')).json.code, 'lane_not_found');
  });

  it('tell their paths and where the client is on each, to their owner and to administrators', async () => {
    const { json } = await open('write');
    const link = await enter(json);
    const transport = createLaneTransport(link, 'here');
    const headers = { authorization: `Bearer ${tokens.write}` };
    let [listed] = (await call('GET', 'lanes', 'write')).json.lanes;
    // The thread tells of it some four times a second.
    while (!listed.paths[0]?.address || listed.paths[0].receivedBytes === 0) {
      assert.equal((await transport.request({ method: 'GET', target: '/api/v1/whoami', headers })).status, 200);
      [listed] = (await call('GET', 'lanes', 'write')).json.lanes;
    }
    assert.match(listed.paths[0].address, /^127\.0\.0\.1:\d+$/);
    assert.ok(listed.paths[0].sentBytes > 0 && listed.paths[0].rttUs > 0);
    assert.equal((await call('GET', 'lanes', 'admin')).json.lanes.length, 1);
    assert.deepEqual((await call('GET', 'lanes', 'read')).json.lanes, []);
    await transport.close();
    await call('DELETE', `lanes/${json.id}`, 'write');
  });

  it('are limited for each token and in all, also for those who ask at once', async () => {
    const asked = await Promise.all(Array.from({ length: 6 }, () => open('read')));
    assert.deepEqual(asked.map(({ status }) => status).sort(), [201, 201, 201, 429, 429, 429]);
    assert.equal(asked.find(({ status }) => status === 429)?.json.code, 'too_many_lanes');
    const others = await Promise.all([open('write'), open('write'), open('write')]);
    assert.deepEqual(others.map(({ status }) => status).sort(), [201, 201, 429]);
    for (const { status, json } of [...asked, ...others])
      if (status === 201) assert.equal((await call('DELETE', `lanes/${json.id}`, 'admin')).status, 204);
    const { status, json } = await open('read');
    assert.equal(status, 201, 'a place is free as soon as its lane was closed');
    await call('DELETE', `lanes/${json.id}`, 'read');
  });

  it('carry requests, end with their token, and their clients hear of it', async () => {
    const { json } = await open('other');
    const link = await enter(json);
    const transport = createLaneTransport(link, 'here');
    const headers = { authorization: `Bearer ${tokens.other}` };
    assert.equal((await transport.request({ method: 'GET', target: '/api/v1/lanes', headers })).status, 200);
    const refused = await transport.request({ method: 'GET', target: '/api/v1/lanes' });
    assert.equal(refused.status, 401, 'a lane is no token');
    const closed = new Promise<string>((resolve) => link.once('closed', resolve));
    assert.equal((await call('DELETE', `tokens/${ids.other}`, 'admin')).status, 204);
    assert.equal(await closed, 'removed');
    assert.deepEqual((await call('GET', 'lanes', 'admin')).json.lanes, []);
  });

  it('leave a trace each in the folder that was given, and say how late their thread was', async () => {
    const traceFolder = mkdtempSync(join(tmpdir(), 'hawser-lane-traces-'));
    const traced = createLanes({
      host: '127.0.0.1',
      port: 0,
      maxLanes: 2,
      maxLanesPerOwner: 2,
      forbid: [],
      traceFolder,
      tickets: memoryTickets(Date.now),
      principalOf: async () => null,
      random: randomBytes,
      now: Date.now,
      onStream: (socket) => socket.end(),
    });
    const principal = { id: 'x', role: 'admin' } as Parameters<Lanes['open']>[0];
    const request = {
      clientRandom: Buffer.from(clientRandom, 'hex'),
      suites: ['aes-128-gcm'],
      policy: { kind: 'fair' },
      paths: 1,
    } as const;
    try {
      const grants = [await traced.open(principal, request), await traced.open(principal, request)];
      for (const { id, secret, endpoints } of grants) {
        const link = await enter({ id, secret: Buffer.from(secret).toString('hex'), endpoints });
        await link.close();
      }
      assert.ok(traced.list(principal).every(({ lagUs }) => lagUs >= 0));
      await traced.stop();
      const names = readdirSync(traceFolder);
      assert.equal(names.length, 2);
      for (const { id } of grants) {
        const name = names.find((each) => each.endsWith(`-${id}.sqlog`));
        assert.ok(name, `${names}`);
        assert.equal(statSync(join(traceFolder, name)).mode & 0o777, 0o600);
        assert.match(readFileSync(join(traceFolder, name), 'utf8'), /"type":"server".*path:state/s);
      }
    } finally {
      await traced.stop();
      rmSync(traceFolder, { recursive: true });
    }
  });

  it('are opened on a new thread when theirs has died', async () => {
    const { json } = await open('read');
    const link = await enter(json);
    const closed = new Promise<string>((resolve) => link.once('closed', resolve));
    await (laneThread() as ReturnType<typeof laneThread> & { stop(): Promise<void> }).stop();
    assert.match(await closed, /thread that carries lanes stopped/);
    assert.deepEqual((await call('GET', 'lanes', 'admin')).json.lanes, []);
    const again = await open('read');
    assert.equal(again.status, 201);
    await (await enter(again.json)).close();
  });

  it('cannot be had where the port is taken: the reason is told, and HTTPS goes on', async () => {
    const { port } = (await open('read')).json.endpoints[0];
    const second = createLanes({
      host: '127.0.0.1',
      port,
      maxLanes: 1,
      maxLanesPerOwner: 1,
      forbid: [],
      tickets: memoryTickets(Date.now),
      principalOf: async () => null,
      random: randomBytes,
      now: Date.now,
      onStream: () => undefined,
    });
    const principal = { id: 'x', role: 'read' } as Parameters<Lanes['open']>[0];
    const request = { clientRandom: randomBytes(32), suites: ['aes-128-gcm'], policy: { kind: 'fair' }, paths: 1 } as const;
    await assert.rejects(second.open(principal, request), { code: 'lane_unavailable', message: /something else listens there/ });
    await second.stop();
  });
});
