import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { HawserError } from '../core/errors.ts';
import type { Api } from './api-contract.ts';
import { openLane } from './lane.ts';
import type { KnownLane, LaneMemory } from './lane-memory.ts';

describe('what a client says of the lane before', () => {
  /** What was asked over HTTPS, in a world in which no UDP port answers, until there was no lane. */
  async function asked(news: Partial<KnownLane>, refusal: (request: object) => HawserError) {
    const requests: Record<string, unknown>[] = [];
    const memory = remembers(await closedPort(), news);
    const api = {
      async openLane({ clientRandom: _, ...request }: Parameters<Api['openLane']>[0]) {
        requests.push(request);
        throw refusal(request);
      },
    } as unknown as Api;
    await assert.rejects(openLane(api, { host: '127.0.0.1', where: '127.0.0.1:1' }, {}, memory), { code: 'lane_unavailable' });
    return { memory, requests };
  }
  const none = (): HawserError => new HawserError('lane_unavailable', 'There is none.');
  const received = (atMs: number) => ({ bytesPerSecond: 12.5e6, rttMs: 100.4, atMs });

  it('is at which rate it received, if that was lately and the server wants to know', async () => {
    const now = received(Date.now());
    const said = async (news: Partial<KnownLane>) => (await asked(news, none)).requests.map((request) => request.received);
    assert.deepEqual(await said({ received: now }), [{ bytesPerSecond: 12_500_000, rttUs: 100_400 }]);
    assert.deepEqual(await said({ received: now, takesReceived: false }), [undefined]);
    assert.deepEqual(await said({ received: received(Date.now() - 2 * 3600_000) }), [undefined]);
    assert.deepEqual(await said({ received: null }), [undefined]);
  });

  it('is not said again to a server that has become too old for it', async () => {
    const { memory, requests } = await asked({ received: received(Date.now()) }, (request) =>
      'received' in request ? new HawserError('request_invalid', 'The body has the unknown field "received".') : none(),
    );
    assert.deepEqual(
      requests.map((request) => 'received' in request),
      [true, false],
    );
    assert.equal(memory.known?.takesReceived, false);
  });
});

function remembers(port: number, news: Partial<KnownLane>): LaneMemory {
  let known: KnownLane = {
    ticket: 'dGlja2V0',
    secret: 'ab'.repeat(32),
    expiresMs: Date.now() + 1e9,
    takesReceived: true,
    endpoints: [{ host: null, port }],
    rttMs: 1,
    reached: null,
    received: null,
    worked: true,
    ...news,
  };
  return {
    get known() {
      return known;
    },
    learn(more) {
      known = { ...known, ...more };
    },
    forget() {},
  };
}

/** Where nobody listens. */
async function closedPort(): Promise<number> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return port;
}
