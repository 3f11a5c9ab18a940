import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { after, before, describe, it } from 'node:test';
import { createEngine } from '../engine/engine.ts';
import { createMemoryStore } from '../store/files/memory.ts';
import type { Role } from '../store/meta/contract.ts';
import { createMemoryMeta } from '../store/meta/memory.ts';
import { createHello, setAttempt } from '../transport/lane/hello.ts';
import type { Suite } from '../transport/lane/keys.ts';
import type { LaneLink } from '../transport/lane/lane-link.ts';
import { greetServer, openClientLane } from '../transport/lane/open.ts';
import { laneThread } from '../transport/lane/worker-host.ts';
import { createLaneTransport } from '../transport/lane-transport.ts';
import { type BuiltApp, createApp } from './app.ts';
import { type Auth, createAuth } from './auth.ts';
import { createLaneTickets, type TicketSource } from './lane-tickets.ts';
import { createLanes, type Lanes } from './lanes.ts';

let built: BuiltApp;
let auth: Auth;
let lanes: Lanes;
let http: Server;
let log = '';
/** The tickets' clock. */
let nowMs = Date.now();
const tickets = memoryTickets(() => nowMs);
const DAY_MS = 24 * 3600_000;
const tokens = {} as Record<Role | 'other', string>;
const ids = {} as Record<Role | 'other', string>;

before(async () => {
  const meta = createMemoryMeta();
  const engine = createEngine({ files: createMemoryStore(), meta });
  auth = createAuth({ meta, random: randomBytes, now: Date.now });
  http = createServer((request, response) => built.app.routing(request, response));
  lanes = createLanes({
    host: '127.0.0.1',
    port: 0,
    maxLanes: 5,
    maxLanesPerOwner: 3,
    forbid: ['high', 'fixed'],
    tickets,
    principalOf: auth.principalOf,
    random: randomBytes,
    now: Date.now,
    onStream: (socket) => http.emit('connection', socket),
  });
  const stream = new Writable({
    write(chunk, _encoding, done) {
      log += chunk;
      done();
    },
  });
  built = await createApp({
    engine,
    auth,
    lanes,
    health: { stopping: false },
    version: '1.2.3',
    now: Date.now,
    random: randomBytes,
    logger: { level: 'trace', stream },
  });
  for (const [name, role] of [
    ['read', 'read'],
    ['write', 'write'],
    ['admin', 'admin'],
    ['other', 'read'],
  ] as const) {
    const made = await auth.createToken({ name, role, expiresMs: null });
    tokens[name] = made.token;
    ids[name] = made.record.id;
  }
});
after(async () => {
  await lanes.stop();
  await built.app.close();
});

type Method = 'GET' | 'POST' | 'DELETE';

function call(method: Method, target: string, as: keyof typeof tokens | null, body?: unknown) {
  return callWith(method, target, as === null ? null : tokens[as], body);
}

async function callWith(method: Method, target: string, token: string | null, body?: unknown) {
  const answer = await built.app.inject({
    method,
    url: `/api/v1/${target}`,
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { payload: body as object }),
  });
  return { status: answer.statusCode, headers: answer.headers, json: answer.payload === '' ? null : answer.json() };
}

const clientRandom = randomBytes(32).toString('hex');
const open = (as: keyof typeof tokens | null, more: object = {}) => call('POST', 'lanes', as, { clientRandom, ...more });

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
    const life = Date.parse(json.expires) - nowMs;
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
    nowMs += 31 * DAY_MS;
    await assert.rejects(greet(json, {}, 300), silence);
    nowMs -= 31 * DAY_MS;
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

/** Closes it, and is sure that the server has it no more: its thread hears of that in its own time. */
async function leave(link: LaneLink): Promise<void> {
  await link.close();
  await call('DELETE', `lanes/${link.laneId}`, 'admin');
}

async function createOther(): Promise<{ token: string; id: string }> {
  const { token, record } = await auth.createToken({ name: 'short', role: 'read', expiresMs: null });
  return { token, id: record.id };
}

function memoryTickets(now: () => number): TicketSource {
  const current = createLaneTickets({ key: randomBytes(32), random: randomBytes, now });
  return { current, obtain: async () => current };
}

function enter(grant: { id: string; secret: string; endpoints: readonly { port: number }[] }) {
  return openClientLane({
    laneId: grant.id,
    suite: 'aes-128-gcm',
    secret: Buffer.from(grant.secret, 'hex'),
    clientRandom: Buffer.from(clientRandom, 'hex'),
    maxPaths: 1,
    policy: { kind: 'fair' },
    endpoints: grant.endpoints.map(({ port }) => ({ host: '127.0.0.1', port })),
  });
}
