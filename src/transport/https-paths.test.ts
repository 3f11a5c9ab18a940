import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { HawserError } from '../core/errors.ts';
import type { PathInfo, Transport, TransportRequest, TransportResponse } from './contract.ts';
import { createHttpsPaths } from './https-paths.ts';
import type { LocalPath } from './local-paths.ts';

interface Asked {
  readonly over: string;
  readonly request: TransportRequest;
  readonly answer: PromiseWithResolvers<TransportResponse>;
}

/** Networks whose answers the test gives, and a clock that it moves. */
function world(context: TestContext, names: readonly string[]) {
  context.mock.timers.enable({ apis: ['setInterval'] });
  let now = 0;
  const asked: Asked[] = [];
  const closed: string[] = [];
  const addresses = new Map(names.map((name) => [name, [`address of ${name}`]]));
  const make = ({ name }: LocalPath): Transport => ({
    request(request) {
      const answer = Promise.withResolvers<TransportResponse>();
      asked.push({ over: name, request, answer });
      const stop = () => answer.reject(new HawserError('interrupted', 'It was asked to stop.'));
      request.signal?.addEventListener('abort', stop);
      if (request.signal?.aborted) stop();
      return answer.promise;
    },
    info: (): PathInfo => ({ transport: 'https', remote: 'there', httpVersion: '1.1', rttMs: 50 }),
    close: () => void closed.push(name),
  });
  const paths = names.map((text) => {
    const metered = text.endsWith('$');
    return { name: text, device: null, addresses: ['-'], metered };
  });
  const transport = createHttpsPaths({
    paths,
    make,
    target: '/health',
    nowMs: () => now,
    addresses: ({ name }) => addresses.get(name) ?? [],
  });
  context.after(() => transport.close());
  return {
    asked,
    closed,
    addresses,
    /** Begins one; `ended` says what became of it. */
    begin(target: string, more: Partial<TransportRequest> = {}) {
      const ended = transport.request({ method: 'GET', target, ...more });
      ended.catch(() => undefined);
      return ended;
    },
    over: (target: string) => asked.filter(({ request }) => request.target === target).map(({ over }) => over),
    greetings: () => asked.filter(({ request }) => request.target === '/health'),
    states: () => transport.info().paths!.map(({ state }) => state),
    info: () => transport.info(),
    async pass(ms: number) {
      for (let left = ms; left > 0; left -= 250) {
        now += Math.min(250, left);
        context.mock.timers.tick(Math.min(250, left));
        await turn();
      }
    },
  };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function answer({ answer }: Asked, bytes = 0): void {
  async function* body() {
    if (bytes > 0) yield new Uint8Array(bytes);
  }
  answer.resolve({ status: 200, headers: {}, body: body(), cancel: () => undefined });
}

async function read(response: Promise<TransportResponse>): Promise<number> {
  let bytes = 0;
  for await (const piece of (await response).body) bytes += piece.length;
  return bytes;
}

test('what is asked for is spread by what is already under way', async (context) => {
  const { begin, over } = world(context, ['a', 'b']);
  for (let i = 0; i < 6; i++) void begin('/file', { answerBytes: 4e6 });
  assert.deepEqual(over('/file'), ['a', 'b', 'a', 'b', 'a', 'b']);
});

test('a network that does not answer while another does is given up: what it had is to be made again', async (context) => {
  const { begin, pass, greetings, asked, states, closed } = world(context, ['a', 'b']);
  const lost = begin('/file', { answerBytes: 4e6 });
  await pass(1250);
  assert.deepEqual(
    greetings().map(({ over }) => over),
    ['a', 'b'],
    'the other one shows whether it is the server',
  );
  answer(greetings()[1]!);
  await pass(500);
  assert.deepEqual(states(), ['degraded', 'active']);
  void begin('/question');
  assert.equal(asked.at(-1)!.over, 'b', 'a doubtful one gets nothing new');
  greetings()[0]!.answer.reject(new HawserError('stalled', 'No answer.'));
  await turn();
  await assert.rejects(lost, { code: 'rerouted', message: /over a: going on over the others/ });
  assert.deepEqual(states(), ['failed', 'active']);
  assert.ok(closed.includes('a'), 'its connections are dropped');
});

test('a network that failed is asked again, and used when it answers', async (context) => {
  const { begin, pass, greetings, addresses, states, asked } = world(context, ['a', 'b']);
  void begin('/long');
  addresses.set('a', []);
  await pass(250);
  assert.deepEqual(states(), ['failed', 'active'], 'without an address nobody has to wait');
  void begin('/other');
  assert.equal(asked.at(-1)!.over, 'b');
  addresses.set('a', ['another address']);
  await pass(250);
  const greeting = greetings().findLast(({ over }) => over === 'a')!;
  answer(greeting);
  await turn();
  assert.deepEqual(states(), ['active', 'active']);
});

test('silence of all is a matter of the server: nothing is given up, and the watchdog decides', async (context) => {
  const { begin, pass, greetings, states } = world(context, ['a', 'b']);
  const waiting = begin('/file', { answerBytes: 4e6 });
  await pass(1250);
  for (const greeting of greetings()) greeting.answer.reject(new HawserError('unreachable', 'Refused.'));
  await pass(500);
  assert.deepEqual(states(), ['degraded', 'degraded']);
  // Until one of them answers, which takes a greeting more.
  assert.equal(await Promise.race([waiting.then(() => 'ended'), turn().then(() => 'waits')]), 'waits');
  await pass(3000);
  const [a, b] = greetings().slice(-2);
  a!.answer.reject(new HawserError('unreachable', 'Refused.'));
  await turn();
  assert.deepEqual(states(), ['degraded', 'degraded']);
  answer(b!);
  await assert.rejects(waiting, { code: 'rerouted' });
  assert.deepEqual(states(), ['failed', 'active']);
});

test('a server that thinks for long is waited for: its greeting is answered', async (context) => {
  const { begin, pass, greetings, states, asked } = world(context, ['a', 'b']);
  const thinking = begin('/digest');
  for (let times = 0; times < 4; times++) {
    await pass(3250);
    for (const greeting of greetings()) answer(greeting);
    await turn();
  }
  assert.deepEqual(states(), ['active', 'active']);
  answer(asked.find(({ request }) => request.target === '/digest')!, 10);
  assert.equal(await read(thinking), 10);
});

test('a request that fails on one network is to be made again on another, though not for ever', async (context) => {
  const { begin, asked, greetings, states } = world(context, ['a', 'b']);
  const reset = () => new HawserError('unreachable', 'Reset.');
  const first = begin('/one');
  asked[0]!.answer.reject(reset());
  await assert.rejects(first, { code: 'rerouted' });
  assert.deepEqual(states(), ['degraded', 'active']);
  // It answers, so it is used again, and fails again.
  answer(greetings()[0]!);
  await turn();
  assert.deepEqual(states(), ['active', 'active']);
  const second = begin('/two');
  asked.at(-1)!.answer.reject(reset());
  await assert.rejects(second, { code: 'unreachable' }, 'so soon after, whoever asked is to wait');
});

test('refusals, and being asked to stop, are the caller’s own', async (context) => {
  const { begin, asked, states } = world(context, ['a', 'b']);
  const refused = begin('/one');
  asked[0]!.answer.reject(new HawserError('certificate_changed', 'Another.'));
  await assert.rejects(refused, { code: 'certificate_changed' });
  const stop = new AbortController();
  const stopped = begin('/two', { signal: stop.signal });
  stop.abort();
  await assert.rejects(stopped, { code: 'interrupted' });
  assert.deepEqual(states(), ['active', 'active']);
});

test('bytes and rates are counted by network, and the faster one gets more', async (context) => {
  const { begin, asked, pass, info, over } = world(context, ['a', 'b']);
  const [slow, fast] = [begin('/x', { answerBytes: 1e6 }), begin('/x', { answerBytes: 1e6 })];
  const reads = [read(slow), read(fast)];
  await pass(1000);
  answer(asked[1]!, 8e6);
  await reads[1];
  await pass(1000);
  answer(asked[0]!, 2e6);
  await reads[0];
  const [a, b] = info().paths!;
  assert.equal(a!.receivedBytes, 2e6);
  assert.equal(b!.receivedBytes, 8e6);
  assert.equal(a!.bytesPerSecond, 1e6);
  assert.equal(b!.bytesPerSecond, 8e6);
  for (let i = 0; i < 9; i++) void begin('/y', { answerBytes: 1e6 });
  assert.equal(over('/y').filter((name) => name === 'b').length, 8);
});

test('what is sent counts when it is answered, for a slow network’s buffers take seconds of it', async (context) => {
  const { begin, asked, pass, info } = world(context, ['a', 'b']);
  async function* content() {
    yield new Uint8Array(2e6);
  }
  const sending = begin('/blocks', { method: 'PUT', body: content(), contentLength: 2e6 });
  for await (const _ of asked[0]!.request.body as AsyncIterable<Uint8Array>);
  await pass(2000);
  assert.equal(info().paths![0]!.sentBytes, 2e6);
  assert.equal(info().paths![0]!.bytesPerSecond, null);
  answer(asked[0]!);
  await read(sending);
  assert.equal(info().paths![0]!.bytesPerSecond, 1e6);
});
