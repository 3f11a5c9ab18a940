import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer, GET, PUT, read, turn, world } from '../../test/transport/switching-world.ts';
import { HawserError } from '../core/errors.ts';

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

test('closing gives up an opening that is under way, and closes a lane that comes of it all the same', async (context) => {
  const { transport, openings, grant } = world(context);
  transport.prepare?.();
  const closing = transport.close();
  assert.equal(openings[0]!.signal.aborted, true);
  const { made } = await grant();
  await closing;
  assert.equal(made.closes, 1);
});

test('where no connection comes about in two looks a lane is asked for, though nothing is known of the way', async (context) => {
  for (const [isNextDoor, expected] of [
    [false, 1],
    [true, 0],
  ] as const) {
    const { transport, openings } = world(context, { rttMs: null, isNextDoor });
    transport.prepare?.();
    void transport.request({ method: 'GET', target: '/health' });
    await turn();
    context.mock.timers.tick(19);
    assert.equal(openings.length, 0);
    context.mock.timers.tick(1);
    assert.equal(openings.length, expected);
    context.mock.timers.reset();
  }
});

test('a lane is asked for as soon as a connection shows how far the server is, before anything is answered', async (context) => {
  for (const [rttMs, expected] of [
    [9, 1],
    [3, 0],
  ] as const) {
    const { transport, openings, connect } = world(context, { rttMs: null });
    transport.prepare?.();
    void transport.request({ method: 'GET', target: '/health' });
    context.mock.timers.tick(rttMs);
    assert.equal(openings.length, 0);
    connect(rttMs);
    context.mock.timers.tick(10);
    assert.equal(openings.length, expected);
    context.mock.timers.tick(2000);
    assert.equal(openings.length, expected);
    context.mock.timers.reset();
  }
});

test('where a lane opened before, what else there is to do waits until the next one is asked for, and no longer', async (context) => {
  for (const happens of ['asked', 'refused', 'nothing'] as const) {
    const { transport, openings, refuse } = world(context, { rttMs: null, expectedRttMs: 100 });
    let waits = true;
    const prepared = Promise.resolve(transport.prepare?.()).then(() => {
      waits = false;
    });
    await turn();
    assert.ok(waits);
    if (happens === 'asked') openings[0]!.onAsked?.();
    else if (happens === 'refused') await refuse(new Error('There is no lane today.'));
    else context.mock.timers.tick(1300);
    await prepared;
    context.mock.timers.reset();
  }
});

test('a lane that was asked for too soon is not wanted where the server is near after all, and may be later', async (context) => {
  const { transport, openings, connect, refuse } = world(context, { rttMs: null });
  transport.prepare?.();
  void transport.request(GET);
  context.mock.timers.tick(20);
  assert.equal(openings.length, 1);
  connect(3);
  context.mock.timers.tick(10);
  assert.ok(openings[0]!.signal.aborted);
  await refuse(new Error('It was asked to stop.'));
  assert.equal(transport.info().laneRefused, undefined);
  connect(50);
  void transport.request(GET);
  assert.equal(openings.length, 2);
  assert.ok(!openings[1]!.signal.aborted);
});

test('where a lane was near before, a first connection that is late is waited for longer', async (context) => {
  const { transport, openings } = world(context, { rttMs: null, expectedRttMs: 2 });
  transport.prepare?.();
  void transport.request(GET);
  context.mock.timers.tick(690);
  assert.equal(openings.length, 0);
  context.mock.timers.tick(10);
  assert.equal(openings.length, 1);
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
