import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HawserError } from '../core/errors.ts';
import type { LaneSnapshot } from '../core/lane/contract.ts';
import type { PathInfo, TransportRequest, TransportResponse } from './contract.ts';
import type { LaneTransport } from './lane-transport.ts';
import { createSwitchingTransport } from './switching.ts';

type Asked = { over: string; request: TransportRequest; answer: PromiseWithResolvers<TransportResponse> };

/** Transports whose answers the test gives, and a clock that it moves. */
function world(
  context: TestContext,
  { rttMs = 50 as number | null, laneOnly = false, isNextDoor = false, expectedRttMs = null as number | null } = {},
) {
  context.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] });
  let now = 0;
  const asked: Asked[] = [];
  const openings: (PromiseWithResolvers<LaneTransport> & { signal: AbortSignal })[] = [];
  const ask = (over: string) => (request: TransportRequest) => {
    const answer = Promise.withResolvers<TransportResponse>();
    asked.push({ over, request, answer });
    request.signal?.addEventListener('abort', () => answer.reject(new HawserError('interrupted', 'It was asked to stop.')));
    return answer.promise;
  };
  let knownMs = rttMs;
  const info = (transport: string): PathInfo => ({ transport, remote: 'there', httpVersion: '1.1', rttMs: knownMs });
  const switching = createSwitchingTransport({
    https: { request: ask('https'), info: () => info('https'), close() {} },
    openLane: (signal) => {
      const opening = { ...Promise.withResolvers<LaneTransport>(), signal };
      openings.push(opening);
      return opening.promise;
    },
    laneOnly,
    isNextDoor,
    expectedRttMs,
    nowMs: () => now,
  });
  const transport = {
    ...switching,
    request(request: TransportRequest) {
      const response = switching.request(request);
      // Whoever cares looks later.
      response.catch(() => undefined);
      return response;
    },
  };
  context.after(() => {
    for (const { reject } of openings) reject(new HawserError('interrupted', 'The test is over.'));
    return transport.close();
  });
  return {
    transport,
    asked,
    openings,
    /** A connection came about. */
    connect(afterMs: number) {
      knownMs = afterMs;
    },
    /** Opens the newest lane that was asked for. */
    async grant() {
      let state = 'active';
      const gone = Promise.withResolvers<string>();
      const made = { pulses: 0, closedWith: undefined as HawserError | undefined, closes: 0 };
      const lane: LaneTransport = {
        request: ask('lane'),
        info: () => ({ ...info('lane'), lane: { paths: [{ state }] } as unknown as LaneSnapshot }),
        checkPulse: () => void made.pulses++,
        closed: gone.promise,
        async close(reason) {
          made.closes++;
          made.closedWith = reason;
        },
      };
      openings.at(-1)?.resolve(lane);
      await turn();
      return {
        made,
        setState: (next: string) => {
          state = next;
        },
        async lose(reason: string) {
          gone.resolve(reason);
          await turn();
        },
      };
    },
    async refuse(error: Error) {
      openings.at(-1)?.reject(error);
      await turn();
    },
    pass(ms: number) {
      for (let left = ms; left > 0; left -= 500) {
        now += Math.min(500, left);
        context.mock.timers.tick(Math.min(500, left));
      }
    },
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const GET: TransportRequest = { method: 'GET', target: '/' };
const stream = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) };
const PUT: TransportRequest = { method: 'PUT', target: '/', body: stream };

/** An answer whose body has so many bytes, and then waits for `end` if there is one. */
function answer(bytes = 0, end?: Promise<void>): TransportResponse {
  async function* body() {
    yield new Uint8Array(bytes);
    await end;
  }
  return { status: 200, headers: {}, body: body(), cancel() {} };
}

async function read(response: TransportResponse): Promise<number> {
  let bytes = 0;
  for await (const piece of response.body) bytes += piece.length;
  return bytes;
}

test('requests begin over HTTPS, a lane is opened beside it once much is to be moved, and new ones go over it', async (context) => {
  const { transport, asked, openings, grant } = world(context);
  void transport.request(GET);
  await turn();
  assert.equal(openings.length, 0, 'a question is not worth a lane');
  transport.prepare?.();
  assert.equal(openings.length, 1);
  void transport.request(GET);
  await grant();
  void transport.request(GET);
  await turn();
  assert.deepEqual(
    asked.map(({ over }) => over),
    ['https', 'https', 'lane'],
  );
  assert.equal(transport.info().transport, 'lane');
});

test('where a lane opened before, requests wait for the next one', async (context) => {
  const { transport, asked, openings, grant } = world(context, { rttMs: null, expectedRttMs: 100 });
  transport.prepare?.();
  assert.equal(openings.length, 1, 'it is opened before anything is asked');
  void transport.request(GET);
  await turn();
  assert.deepEqual(asked, []);
  await grant();
  await turn();
  assert.deepEqual(
    asked.map(({ over }) => over),
    ['lane'],
  );
});

test('for a lane that does not open they do not wait long', async (context) => {
  const other = world(context, { rttMs: null, expectedRttMs: 100 });
  other.transport.prepare?.();
  void other.transport.request(GET);
  await turn();
  other.pass(1200);
  await turn();
  assert.deepEqual(other.asked, []);
  other.pass(200);
  await turn();
  assert.deepEqual(
    other.asked.map(({ over }) => over),
    ['https'],
  );
});

test('where a lane opened before and is refused now, requests do not wait', async (context) => {
  const { transport, asked, refuse } = world(context, { rttMs: null, expectedRttMs: 100 });
  transport.prepare?.();
  void transport.request(GET);
  await refuse(new HawserError('too_many_lanes', 'There are too many.'));
  await turn();
  assert.deepEqual(
    asked.map(({ over }) => over),
    ['https'],
  );
});

test('an answer that can go straight into memory still can', async (context) => {
  const { transport, asked } = world(context);
  const response = transport.request(GET);
  await turn();
  const poured: unknown[] = [];
  const body = {
    ...answer().body,
    pour: (sink: { take(bytes: number): unknown }) => Promise.resolve(void poured.push(sink.take(7))),
  };
  asked[0]!.answer.resolve({ ...answer(), body });
  const { body: outer } = (await response) as unknown as { body: { pour(sink: unknown): Promise<void> } };
  const taken: number[] = [];
  await outer.pour({ room: () => new Uint8Array(7), take: (bytes: number) => void taken.push(bytes) });
  assert.deepEqual([taken, poured.length], [[7], 1]);
});

test('next door, and before anything is known of the way, no lane is asked for', async (context) => {
  for (const options of [{ rttMs: 2.9 }, { rttMs: null }, { isNextDoor: true }]) {
    const { transport, asked, openings } = world(context, options);
    transport.prepare?.();
    const first = transport.request(GET);
    await turn();
    asked[0]!.answer.resolve(answer());
    await read(await first);
    assert.equal(openings.length, 0, JSON.stringify(options));
    context.mock.timers.reset();
  }
});

test('what moves content over HTTPS is told to go another way when the lane opens, and questions are not', async (context) => {
  const { transport, asked, grant } = world(context);
  transport.prepare?.();
  const question = transport.request(GET);
  const upload = transport.request(PUT);
  const download = transport.request(GET);
  await turn();
  asked[2]!.answer.resolve(answer(10, new Promise(() => undefined)));
  const response = await download;
  const { signal } = asked[2]!.request;
  await grant();
  await assert.rejects(upload, { code: 'rerouted' });
  assert.equal(asked[0]!.request.signal?.aborted, false);
  assert.equal(signal?.aborted, true);
  asked[0]!.answer.resolve(answer());
  await question;
  assert.equal(response.status, 200);
});

test('a body that breaks because its request was rerouted says so, and one that the caller stopped says that', async (context) => {
  const { transport, asked, grant } = world(context);
  transport.prepare?.();
  const stop = new AbortController();
  const broken = Promise.withResolvers<void>();
  const bodies = [];
  for (const signal of [undefined, stop.signal]) {
    const response = transport.request({ ...GET, ...(signal ? { signal } : {}) });
    await turn();
    asked.at(-1)!.answer.resolve(answer(10, broken.promise));
    const body = read(await response);
    body.catch(() => undefined);
    bodies.push(body);
  }
  stop.abort();
  await grant();
  broken.reject(new HawserError('interrupted', 'It was asked to stop.'));
  await assert.rejects(bodies[0]!, { code: 'rerouted' });
  await assert.rejects(bodies[1]!, { code: 'interrupted' });
});

test('a lane that is refused leaves HTTPS to it, with the reason, and is asked for again only after a while', async (context) => {
  const { transport, openings, refuse, pass } = world(context);
  transport.prepare?.();
  await refuse(new HawserError('lane_unreachable', 'UDP does not get through.'));
  assert.deepEqual([transport.info().transport, transport.info().laneRefused], ['https', 'UDP does not get through.']);
  void transport.request(GET);
  pass(59_000);
  void transport.request(GET);
  assert.equal(openings.length, 1);
  pass(2_000);
  void transport.request(GET);
  assert.equal(openings.length, 2);
  await refuse(new HawserError('lane_unavailable', 'There is none.'));
  pass(10_000_000);
  void transport.request(GET);
  assert.equal(openings.length, 2, 'a server without lanes is not asked again');
});

test('a lane that was closed is opened again with growing pauses while there are requests', async (context) => {
  const { transport, asked, openings, grant, refuse, pass } = world(context);
  transport.prepare?.();
  const first = await grant();
  await first.lose('the server is stopping');
  assert.equal(first.made.closedWith?.code, 'unreachable', 'what was under way may be tried again');
  assert.match(transport.info().laneRefused ?? '', /the server is stopping/);
  void transport.request(GET);
  await turn();
  assert.equal(asked.at(-1)?.over, 'https');
  const waits: number[] = [];
  for (let times = 0; times < 5; times++) {
    const before = openings.length;
    let waitedMs = 0;
    while (openings.length === before) {
      pass(500);
      waitedMs += 500;
      void transport.request(GET);
    }
    waits.push(waitedMs);
    await refuse(new HawserError('lane_unreachable', 'UDP does not get through.'));
  }
  assert.deepEqual(waits, [500, 1000, 2000, 4000, 8000]);
  pass(30_000);
  void transport.request(GET);
  await grant();
  void transport.request(GET);
  await turn();
  assert.equal(asked.at(-1)?.over, 'lane');
});

test('over a lane that dies in the middle, requests are told to go another way, and after a while it is given up', async (context) => {
  const { transport, asked, grant, openings, pass } = world(context);
  transport.prepare?.();
  const { made, setState } = await grant();
  const upload = transport.request(PUT);
  await turn();
  assert.equal(asked[0]!.over, 'lane');
  pass(500);
  assert.equal(made.pulses, 1, 'while an answer is waited for the lane is felt for its pulse');
  setState('failed');
  pass(500);
  await assert.rejects(upload, { code: 'rerouted', message: /HTTPS/ });
  void transport.request(GET);
  await turn();
  assert.equal(asked[1]!.over, 'https');
  setState('active');
  void transport.request(GET);
  await turn();
  assert.equal(asked[2]!.over, 'lane', 'one that comes to life again is used again');
  setState('failed');
  pass(6_000);
  await turn();
  assert.equal(made.closes, 1);
  pass(1_000);
  void transport.request(GET);
  assert.equal(openings.length, 2);
});

test('a lane that was lost is opened again though nothing is asked: what hangs over HTTPS goes over it', async (context) => {
  const { transport, asked, grant, openings, pass } = world(context, { rttMs: null, expectedRttMs: 50 });
  transport.prepare?.();
  const { setState } = await grant();
  setState('failed');
  const question = transport.request(GET);
  await turn();
  assert.equal(asked[0]!.over, 'https');
  for (let times = 0; times < 20 && openings.length === 1; times++) pass(500);
  assert.equal(openings.length, 2);
  await grant();
  await assert.rejects(question, { code: 'rerouted' });
});

test('a lane that is slower than HTTPS was is not used for a minute', async (context) => {
  const { transport, asked, grant, pass } = world(context);
  const move = async (bytes: number, ms: number) => {
    const end = Promise.withResolvers<void>();
    const response = transport.request(GET);
    await turn();
    const { over, answer: reply } = asked.at(-1)!;
    reply.resolve(answer(bytes, end.promise));
    const done = read(await response);
    await turn();
    pass(ms);
    end.resolve();
    await done;
    return over;
  };
  transport.prepare?.();
  assert.equal(await move(10_000_000, 5_000), 'https');
  await grant();
  assert.equal(await move(6_000_000, 5_000), 'lane');
  pass(500);
  assert.equal(await move(1000, 500), 'https');
  pass(60_000);
  assert.equal(await move(1000, 500), 'lane');
});

test('lane alone: requests wait for it and do without HTTPS, and say what is wrong with it', async (context) => {
  const { transport, asked, openings, refuse } = world(context, { laneOnly: true, rttMs: null });
  const first = transport.request(GET);
  const second = transport.request(GET);
  assert.equal(openings.length, 1);
  await refuse(new HawserError('lane_unreachable', 'UDP does not get through.'));
  await assert.rejects(first, { code: 'lane_unreachable' });
  await assert.rejects(second, { code: 'lane_unreachable' });
  await assert.rejects(transport.request(GET), { code: 'lane_unreachable' });
  assert.equal(openings.length, 1, 'and not by asking each time');
  assert.equal(asked.length, 0);
});

test('lane alone: a lane that was lost is worth waiting for', async (context) => {
  const other = world(context, { laneOnly: true });
  const stop = new AbortController();
  const stopped = other.transport.request({ ...GET, signal: stop.signal });
  stop.abort();
  await assert.rejects(stopped, { code: 'interrupted' });
  void other.transport.request(GET);
  const { lose } = await other.grant();
  await turn();
  assert.equal(other.asked[0]?.over, 'lane');
  await lose('the server is stopping');
  await assert.rejects(other.transport.request(GET), { code: 'unreachable' }, 'which is tried again');
  other.pass(1_000);
  void other.transport.request(GET);
  assert.equal(other.openings.length, 2);
  await other.refuse(new HawserError('lane_unreachable', 'UDP does not get through.'));
  await assert.rejects(other.transport.request(GET), { code: 'unreachable' }, 'it did once, so that waiting may help');
});

test('closing gives up an opening that is under way, and closes a lane that comes of it all the same', async (context) => {
  const { transport, openings, grant } = world(context);
  transport.prepare?.();
  const closing = transport.close();
  assert.equal(openings[0]!.signal.aborted, true);
  const { made } = await grant();
  await closing;
  assert.equal(made.closes, 1);
});

test('where no connection comes about for long a lane is asked for, though nothing is known of the way', async (context) => {
  for (const [isNextDoor, expected] of [
    [false, 1],
    [true, 0],
  ] as const) {
    const { transport, openings } = world(context, { rttMs: null, isNextDoor });
    transport.prepare?.();
    void transport.request({ method: 'GET', target: '/health' });
    await turn();
    assert.equal(openings.length, 0);
    context.mock.timers.tick(1000);
    assert.equal(openings.length, expected);
    context.mock.timers.reset();
  }
});

test('a lane is asked for as soon as a connection shows how far the server is, before anything is answered', async (context) => {
  for (const [rttMs, expected] of [
    [100, 1],
    [3, 0],
  ] as const) {
    const { transport, openings, connect } = world(context, { rttMs: null });
    transport.prepare?.();
    void transport.request({ method: 'GET', target: '/health' });
    context.mock.timers.tick(100);
    assert.equal(openings.length, 0);
    connect(rttMs);
    context.mock.timers.tick(10);
    assert.equal(openings.length, expected);
    context.mock.timers.tick(2000);
    assert.equal(openings.length, expected);
    context.mock.timers.reset();
  }
});

test('a question that was asked over HTTPS just before the lane opened goes over it when no answer comes', async (context) => {
  const { transport, asked, grant, pass } = world(context);
  transport.prepare?.();
  const question = transport.request(GET);
  await turn();
  assert.equal(asked[0]!.over, 'https');
  await grant();
  assert.ok(!asked[0]!.request.signal?.aborted);
  await pass(1500);
  await assert.rejects(question, { code: 'rerouted' });
});
