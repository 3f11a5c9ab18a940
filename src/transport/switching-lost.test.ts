import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answer, GET, PUT, read, turn, world } from '../../test/transport/switching-world.ts';
import { HawserError } from '../core/errors.ts';

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
