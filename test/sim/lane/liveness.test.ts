/** A lane never gives up by itself, comes back when the network does, and does nothing while there is nothing to do. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { CheckedPair } from './checked-pair.ts';
import type { LinkOptions } from './network.ts';

test('with one packet of fifty arriving, each way, everything arrives in the end', () => {
  for (const seed of [1, 2, 3]) {
    const sent = { client: 0, server: 0 };
    const checked = new CheckedPair({
      seed,
      paths: [{ up: { bitsPerSecond: 50e6, delayUs: 20_000 } }],
      tamper: (packet, side) => (++sent[side] % 50 === seed ? packet : null),
    });
    checked.exchange(60_000, 60_000);
    checked.finish(3600e6);
  }
});

test('a link that is up for 60 ms of every second carries everything in the end', () => {
  for (const seed of [1, 2, 3]) {
    const checked = begin(seed, { bitsPerSecond: 20e6, delayUs: 15_000, lossRate: 0.1 });
    flap(checked, 940_000, 60_000);
    checked.exchange(1_000_000, 1_000_000);
    checked.finish(600e6);
  }
});

for (const outageS of [0.1, 1, 10, 60, 600]) {
  test(`an outage of ${outageS} s is over within a second and two round trips of its end`, () => {
    for (const [up, down] of [
      [20_000_000, 0],
      [0, 20_000_000],
      [10_000_000, 10_000_000],
    ] as const) {
      const checked = begin(7, { bitsPerSecond: 20e6, delayUs: 50_000, lossRate: 0.02 });
      const id = checked.exchange(up, down);
      checked.pair.run(2e6);
      setUp(checked, false);
      checked.pair.run(2e6 + outageS * 1e6);
      const before = [checked.received('server', id), checked.received('client', id)];
      setUp(checked, true);
      checked.pair.run(checked.nowUs + 1.2e6);
      if (up > 0) assert.ok(checked.received('server', id) > (before[0] as number), `up stays at ${before[0]}`);
      if (down > 0) assert.ok(checked.received('client', id) > (before[1] as number), `down stays at ${before[1]}`);
      checked.finish(60e6);
    }
  });
}

test('an outage that begins with the last packets of a request or an answer is over as soon', () => {
  for (let startMs = 0; startMs < 400; startMs += 20) {
    const checked = begin(startMs, { bitsPerSecond: 20e6, delayUs: 50_000, lossRate: 0.02 });
    checked.exchange(50_000, 50_000);
    checked.pair.run(startMs * 1000);
    setUp(checked, false);
    checked.pair.run(checked.nowUs + 30e6);
    setUp(checked, true);
    checked.finish(1.2e6 + 0.6e6);
  }
});

for (const serverGuesses of [false, true]) {
  const knowing = serverGuesses ? 'that knows nothing of the way' : 'that was told the round trip';
  test(`a new address, during an upload or a download, costs a round trip and 100 ms with a server ${knowing}`, () => {
    for (const [up, down] of [
      [20_000_000, 0],
      [0, 20_000_000],
    ] as const) {
      // Six instants of what is being measured, which takes a fifth of a second.
      for (let seed = 1; seed <= 6; seed++) {
        const rttUs = 100_000;
        const checked = begin(seed, { bitsPerSecond: 20e6, delayUs: rttUs / 2 }, serverGuesses);
        const { client, server } = checked.pair;
        const id = checked.exchange(up, down);
        checked.pair.run(2e6 + seed * 33_322);
        client.address = 2;
        const at = checked.nowUs;
        const receiver = up > 0 ? 'server' : 'client';
        const before = checked.received(receiver, id);
        // The peer hears of it half a round trip later, and half of one it takes until what it then sends arrives.
        checked.pair.run(at + rttUs + rttUs + 100_000);
        const got = checked.received(receiver, id) - before;
        assert.ok(got > 0, `seed ${seed}: nothing arrived at the ${receiver}`);
        checked.pair.run(at + 3e6);
        const rate = (checked.received(receiver, id) - before) / 3;
        assert.ok(rate > 0.9 * 2.37e6, `seed ${seed}: ${Math.round(rate)} bytes a second`);
        checked.finish(30e6);
        assert.equal(server.closed, null);
      }
    }
  });

  test(`a new address while a server ${knowing} still looks for the rate does not end the looking`, () => {
    for (let atMs = 500; atMs <= 1200; atMs += 100) {
      const checked = begin(1, { bitsPerSecond: 20e6, delayUs: 150_000 }, serverGuesses);
      const id = checked.exchange(0, 20_000_000);
      checked.pair.run(atMs * 1000);
      checked.pair.client.address = 2;
      checked.pair.run(atMs * 1000 + 3e6);
      assert.ok(checked.received('client', id) > 3_000_000, `at ${atMs} ms: ${checked.received('client', id)} bytes`);
    }
  });
}

test('a server that knows nothing of a long way does not take its first round trip for silence', () => {
  for (const rttMs of [320, 400, 600, 800]) {
    const tookMs = [false, true].map((serverGuesses) => {
      const stalls: string[] = [];
      const checked = new CheckedPair({
        seed: 1,
        paths: [{ up: { bitsPerSecond: 20e6, delayUs: rttMs * 500 } }],
        clientPath: { opened: true },
        serverPath: { validated: true },
        serverGuesses,
        trace: (side, line) => void (side === 'server' && line.includes('stalled') && stalls.push(line)),
      });
      checked.exchange(0, 2_000_000);
      checked.finish(20e6);
      assert.deepEqual(stalls, [], `${rttMs} ms`);
      return checked.nowUs / 1000;
    });
    assert.ok(tookMs[1]! <= tookMs[0]!, `${tookMs[1]} ms instead of ${tookMs[0]} at a round trip of ${rttMs} ms`);
  }
});

test('a peer that has a new address all the time is judged by its losses like any other', () => {
  for (const everyMs of [150, 400, 1000]) {
    const checked = begin(1, { bitsPerSecond: 20e6, delayUs: 50_000 });
    const { client, server, net } = checked.pair;
    checked.exchange(0, 40_000_000);
    checked.pair.run(3e6);
    for (const end of [client, server]) for (const link of end.out) link.options.bitsPerSecond = 2e6;
    const move = (): void => {
      client.address++;
      net.after(everyMs * 1000, move);
    };
    move();
    checked.pair.run(6e6);
    const before = server.sentPackets;
    checked.pair.run(12e6);
    // 2 Mbit/s are 182 packets a second.
    const packets = (server.sentPackets - before) / 6;
    assert.ok(packets < 1.3 * 182, `every ${everyMs} ms: ${packets} packets a second`);
  }
});

test('an idle lane wakes less than five times in ten seconds, and stays alive', () => {
  const checked = begin(1, { bitsPerSecond: 20e6, delayUs: 50_000, lossRate: 0.3 });
  checked.exchange(300_000, 300_000);
  checked.finish(20e6);
  checked.pair.run(checked.nowUs + 5e6);
  const { client, server } = checked.pair;
  const wakes = client.wakes + server.wakes;
  const sent = client.sentPackets + server.sentPackets;
  checked.pair.run(checked.nowUs + 300e6);
  assert.ok(client.wakes + server.wakes - wakes < 2 * 5 * 30, `${client.wakes + server.wakes - wakes} wakes in 300 s`);
  assert.ok(client.sentPackets + server.sentPackets - sent > 20, 'nothing keeps the address alive');
  checked.exchange(300_000, 300_000);
  checked.finish(20e6);
});

test('with an open stream and nobody writing, an idle lane is as quiet', () => {
  const checked = begin(1, { bitsPerSecond: 20e6, delayUs: 50_000, lossRate: 0.3 });
  const { client, server } = checked.pair;
  const id = client.lane.openStream();
  client.lane.write(id, new Uint8Array(1000));
  client.onEvent = server.onEvent = null;
  client.pump();
  checked.pair.run(10e6);
  const wakes = client.wakes + server.wakes;
  checked.pair.run(checked.nowUs + 100e6);
  assert.ok(client.wakes + server.wakes - wakes < 2 * 5 * 10, `${client.wakes + server.wakes - wakes} wakes in 100 s`);
});

test('no end wakes more than 2000 times a second, whatever happens', () => {
  const cases: Partial<LinkOptions>[] = [
    { bitsPerSecond: 300e6, delayUs: 1_000 },
    { bitsPerSecond: 100e6, delayUs: 50_000, lossRate: 0.5, reorderRate: 0.3, reorderUs: 20_000 },
    { bitsPerSecond: 1e6, delayUs: 300_000, lossRate: 0.3 },
    { bitsPerSecond: 100e6, delayUs: 5_000, up: false },
  ];
  for (const link of cases) {
    const checked = begin(5, link);
    checked.exchange(40_000_000, 0);
    const { client, server } = checked.pair;
    for (let second = 1; second <= 3; second++) {
      const wakes = [client.wakes, server.wakes];
      checked.pair.run(second * 1e6);
      assert.ok(client.wakes - (wakes[0] as number) <= 2000, `client: ${client.wakes - (wakes[0] as number)}`);
      assert.ok(server.wakes - (wakes[1] as number) <= 2000, `server: ${server.wakes - (wakes[1] as number)}`);
    }
  }
});

test('what was closed says so and is quiet', () => {
  const checked = begin(1, { bitsPerSecond: 20e6, delayUs: 10_000 });
  checked.exchange(1_000_000, 1_000_000);
  checked.pair.run(200_000);
  const { client, server, net } = checked.pair;
  client.lane.close(client.host.clockUs, 'enough');
  client.pump();
  checked.pair.run(400_000);
  assert.equal(client.closed, 'enough');
  assert.equal(server.closed, 'enough');
  assert.equal(client.lane.nextWakeUs(client.host.clockUs), Number.POSITIVE_INFINITY);
  assert.equal(server.lane.nextWakeUs(server.host.clockUs), Number.POSITIVE_INFINITY);
  assert.equal(net.nextUs, Number.POSITIVE_INFINITY);
});

function begin(seed: number, link: Partial<LinkOptions>, serverGuesses = false): CheckedPair {
  return new CheckedPair({ seed, paths: [{ up: link }], serverGuesses });
}

function setUp(checked: CheckedPair, up: boolean): void {
  for (const end of [checked.pair.client, checked.pair.server]) for (const link of end.out) link.options.up = up;
}

function flap(checked: CheckedPair, downUs: number, upUs: number): void {
  const { net } = checked.pair;
  const down = (): void => {
    setUp(checked, false);
    net.after(downUs, up);
  };
  const up = (): void => {
    setUp(checked, true);
    net.after(upUs, down);
  };
  down();
}
