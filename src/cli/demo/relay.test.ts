import assert from 'node:assert/strict';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, it } from 'node:test';
import { openRelay, type Relay } from './relay.ts';
import { startRelayThread } from './relay-thread.ts';
import type { Weather } from './weather.ts';

const FAIR: Weather = { lossShare: 0, delayMs: 5, bitsPerSecond: 1e9, queueMs: 1000, seed: 42 };

describe('the relay', () => {
  const opened: { close(): unknown }[] = [];
  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close();
  });
  const keep = <T extends { close(): unknown }>(one: T): T => {
    opened.push(one);
    return one;
  };

  async function socketOf(): Promise<Socket> {
    const socket = keep(createSocket('udp4'));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return socket;
  }

  async function echoThrough(weather: Weather): Promise<{ relay: Relay; echo: Socket }> {
    const echo = await socketOf();
    echo.on('message', (message, from) => echo.send(message, from.port, from.address));
    const relay = keep(await openRelay({ target: { host: '127.0.0.1', port: echo.address().port }, weather }));
    return { relay, echo };
  }

  it('carries datagrams there and back, to whoever sent them', async () => {
    const { relay } = await echoThrough(FAIR);
    const [one, two] = [await socketOf(), await socketOf()];
    const answers = Promise.all([once(one, 'message'), once(two, 'message')]);
    one.send('of one', relay.port, '127.0.0.1');
    two.send('of two', relay.port, '127.0.0.1');
    const texts = (await answers).map(([message]) => String(message));
    assert.deepEqual(texts, ['of one', 'of two']);
    assert.deepEqual([relay.report().up.packets, relay.report().down.packets, relay.report().recent], [2, 2, '##']);
  });

  it('keeps them no shorter than the delay, each way', async () => {
    const times: number[] = [];
    let now = 0;
    const echo = await socketOf();
    echo.on('message', () => times.push(now));
    const target = { host: '127.0.0.1', port: echo.address().port };
    // The clock is ours: nothing leaves before it says so.
    const relay = keep(await openRelay({ target, weather: { ...FAIR, delayMs: 40 }, nowMs: () => now }));
    const client = await socketOf();
    client.send('x', relay.port, '127.0.0.1');
    while (relay.report().recent.length === 0) await turn();
    now = 39;
    for (let i = 0; i < 20; i++) await turn();
    assert.deepEqual([relay.report().up.packets, times], [0, []]);
    now = 41;
    await once(echo, 'message');
    assert.equal(relay.report().up.packets, 1);
  });

  it('loses what the seed says, and tells what became of each', async () => {
    const sink = await socketOf();
    const target = { host: '127.0.0.1', port: sink.address().port };
    const relay = keep(await openRelay({ target, weather: { ...FAIR, lossShare: 0.3 } }));
    const client = await socketOf();
    for (let i = 0; i < 200; i++) {
      client.send(Buffer.alloc(10), relay.port, '127.0.0.1');
      while (relay.report().recent.length < i + 1) await turn();
    }
    const { recent, up } = relay.report();
    const lost = [...recent].filter((sign) => sign === '.').length;
    assert.equal(recent.length, 200);
    assert.equal(up.lost, lost);
    assert.ok(lost > 35 && lost < 85, `seed ${FAIR.seed}: ${lost} of 200 are lost`);
    assert.equal(up.dropped, 0);
  });

  it('also runs in a thread of its own', async () => {
    const echo = await socketOf();
    echo.on('message', (message, from) => echo.send(message, from.port, from.address));
    const target = { host: '127.0.0.1', port: echo.address().port };
    const relay = keep(await startRelayThread({ target, weather: FAIR }));
    const client = await socketOf();
    const answer = once(client, 'message');
    client.send('hello', relay.port, '127.0.0.1');
    assert.equal(String((await answer)[0]), 'hello');
    while (relay.report().down.packets === 0) await turn();
    assert.equal(relay.report().up.bytes, 5);
  });
});

/** Lets the event loop go round. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
