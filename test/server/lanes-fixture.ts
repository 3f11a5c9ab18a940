/** A server with lanes in this process, for those who have a token and those who have none. */
import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { Writable } from 'node:stream';
import { after, before } from 'node:test';
import { createEngine } from '../../src/engine/engine.ts';
import { type BuiltApp, createApp } from '../../src/server/app.ts';
import { type Auth, createAuth } from '../../src/server/auth.ts';
import { createLaneTickets, type TicketSource } from '../../src/server/lane-tickets.ts';
import { createLanes, type Lanes } from '../../src/server/lanes.ts';
import { createMemoryStore } from '../../src/store/files/memory.ts';
import type { Role } from '../../src/store/meta/contract.ts';
import { createMemoryMeta } from '../../src/store/meta/memory.ts';
import type { LaneLink } from '../../src/transport/lane/lane-link.ts';
import { openClientLane } from '../../src/transport/lane/open.ts';

let built: BuiltApp;
let auth: Auth;
export let lanes: Lanes;
export let http: Server;
export let log = '';
/** The tickets' clock. */
export const clock = { nowMs: Date.now() };
export const tickets = memoryTickets(() => clock.nowMs);
export const DAY_MS = 24 * 3600_000;
export const tokens = {} as Record<Role | 'other', string>;
export const ids = {} as Record<Role | 'other', string>;

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

export function call(method: Method, target: string, as: keyof typeof tokens | null, body?: unknown) {
  return callWith(method, target, as === null ? null : tokens[as], body);
}

export async function callWith(method: Method, target: string, token: string | null, body?: unknown) {
  const answer = await built.app.inject({
    method,
    url: `/api/v1/${target}`,
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { payload: body as object }),
  });
  return { status: answer.statusCode, headers: answer.headers, json: answer.payload === '' ? null : answer.json() };
}

export const clientRandom = randomBytes(32).toString('hex');
export const open = (as: keyof typeof tokens | null, more: object = {}) => call('POST', 'lanes', as, { clientRandom, ...more });

/** Closes it, and is sure that the server has it no more: its thread hears of that in its own time. */
export async function leave(link: LaneLink): Promise<void> {
  await link.close();
  await call('DELETE', `lanes/${link.laneId}`, 'admin');
}

export async function createOther(): Promise<{ token: string; id: string }> {
  const { token, record } = await auth.createToken({ name: 'short', role: 'read', expiresMs: null });
  return { token, id: record.id };
}

export function memoryTickets(now: () => number): TicketSource {
  const current = createLaneTickets({ key: randomBytes(32), random: randomBytes, now });
  return { current, obtain: async () => current };
}

export function enter(grant: { id: string; secret: string; endpoints: readonly { port: number }[] }) {
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
