import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { it } from 'node:test';
import type { Principal } from '../engine/contract.ts';
import { openClientLane } from '../transport/lane/open.ts';
import { laneThread, startThread, type ThreadHost } from '../transport/lane/worker-host.ts';
import { createLaneTransport } from '../transport/lane-transport.ts';
import { createLaneTickets } from './lane-tickets.ts';
import { createLanes, type LaneGrant } from './lanes.ts';

const clientRandom = randomBytes(32);
const somebody = { id: 'x', role: 'admin' } as Principal;

it('a server that stops closes the lanes whose clients are gone, and those alone', async () => {
  const http = createServer((_request, response) => response.end());
  const current = createLaneTickets({ key: randomBytes(32), random: randomBytes, now: Date.now });
  const lanes = createLanes({
    host: '127.0.0.1',
    port: 0,
    maxLanes: 2,
    maxLanesPerOwner: 2,
    forbid: [],
    tickets: { current, obtain: async () => current },
    principalOf: async () => null,
    random: randomBytes,
    now: Date.now,
    onStream: (socket) => http.emit('connection', socket),
  });
  try {
    const there = createLaneTransport(await enter(await grant(), laneThread()), 'there');
    // Its thread ends as a process does that is killed: without a farewell.
    const killed = startThread();
    const gone = await enter(await grant(), killed);
    const opened = once(http, 'connection');
    const stream = gone.connect();
    stream.on('error', () => undefined).write('PUT /');
    const [socket] = await opened;
    await killed.stop();

    lanes.dropSilent();
    await assert.rejects(once(socket, 'end'), /the server is stopping/);
    assert.equal(lanes.list(somebody).length, 1);
    const { status } = await there.request({ method: 'GET', target: '/' });
    assert.equal(status, 200, 'whoever answers keeps its lane');
    await there.close();
  } finally {
    await lanes.stop();
  }

  function grant(): Promise<LaneGrant> {
    return lanes.open(somebody, { clientRandom, suites: ['aes-128-gcm'], policy: { kind: 'fair' }, paths: 1 });
  }
});

function enter({ id, secret, endpoints }: LaneGrant, thread: ThreadHost) {
  return openClientLane({
    laneId: id,
    suite: 'aes-128-gcm',
    secret: Uint8Array.from(secret),
    clientRandom: Uint8Array.from(clientRandom),
    maxPaths: 1,
    policy: { kind: 'fair' },
    endpoints: endpoints.map(({ port }) => ({ host: '127.0.0.1', port })),
    thread,
  });
}
