/** Objects on an open lane, where a third of all packets is lost and a round trip takes 200 ms: how long they take, and what it costs. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { LanePair } from './pair.ts';

const RTT_S = 0.2;
const KIB = 1024;

for (const idleS of [0, 1, 10, 60]) {
  test(`a request and its answer of 64 KiB take 1.5 round trips at most, nearly always 2.5, ${idleS} s after the one before`, () => {
    const tookS = requests(64 * KIB, idleS).map(({ answeredS }) => answeredS);
    assert.ok(quantile(tookS, 0.5) <= 1.5 * RTT_S, `median ${quantile(tookS, 0.5)}`);
    assert.ok(quantile(tookS, 0.95) <= 2.5 * RTT_S, `p95 ${quantile(tookS, 0.95)}`);
  });

  test(`an answer of 256 KiB takes a quarter of a second, ${idleS} s after the one before`, () => {
    const tookS = requests(256 * KIB, idleS).map(({ arrivedS, answeredS }) => answeredS - arrivedS);
    assert.ok(quantile(tookS, 0.5) <= 0.25, `median ${quantile(tookS, 0.5)}`);
    assert.ok(quantile(tookS, 0.95) <= 0.5, `p95 ${quantile(tookS, 0.95)}`);
  });
}

test('what is sent for nothing is 15 % of 2.5 MB at most, and 3 % of 50 MB', () => {
  for (const [bytes, times, most] of [
    [2.5e6, 8, 0.15],
    [50e6, 1, 0.03],
  ] as const) {
    for (const lossRate of [0.02, 0.1, 0.3]) {
      const { pair, id, push } = openLane(1, lossRate);
      push(10e6);
      const sources = (): number => pair.server.lane.snapshot(pair.server.host.clockUs).symbols.source;
      const duplicates = (): number => (pair.client.lane as unknown as { blocksIn: { duplicates: number } }).blocksIn.duplicates;
      const before = [sources(), duplicates()] as const;
      for (let i = 0; i < times; i++) {
        push(bytes);
        pair.run(pair.net.nowUs + 1e6);
      }
      const share = (duplicates() - before[1]) / (sources() - before[0]);
      assert.ok(share <= most, `${share} of ${bytes} bytes at a loss of ${lossRate}, stream ${id}`);
    }
  }
});

test('small answers near by do not wait for a pacer that takes the way to be long', () => {
  const pair = new LanePair({ seed: 1, paths: [{ up: { bitsPerSecond: 1e9, delayUs: 1000 } }], serverGuesses: true });
  const { client, server, net } = pair;
  server.onEvent = (event) => {
    if (event.type !== 'end') return;
    server.lane.write(event.id, new Uint8Array(600));
    server.lane.end(event.id);
  };
  pair.run(1e5);
  const tookMs: number[] = [];
  for (let round = 0; round < 50; round++) {
    const startUs = net.nowUs;
    const ids = Array.from({ length: 24 }, () => client.lane.openStream());
    for (const id of ids) {
      client.lane.write(id, new Uint8Array(300));
      client.lane.end(id);
    }
    client.pump();
    assert.ok(pair.until(() => ids.every((id) => client.ended.has(id)), startUs + 1e6));
    tookMs.push((net.nowUs - startUs) / 1000);
  }
  // Two milliseconds for the way; 24 requests and answers are some twenty packets.
  assert.ok(quantile(tookMs, 0.5) <= 12, `median ${quantile(tookMs, 0.5)} ms`);
  assert.ok(quantile(tookMs, 0.95) <= 20, `p95 ${quantile(tookMs, 0.95)} ms`);
});

test('the first questions of a lane are answered in a round trip, though nothing is known yet of its losses', () => {
  for (const [lossRate, most] of [
    [0, 30],
    [0.1, 40],
    [0.3, 60],
  ] as const) {
    const tookS: number[] = [];
    let packets = 0;
    for (let seed = 1; seed <= 60; seed++) {
      const up = { bitsPerSecond: 100e6, delayUs: (RTT_S / 2) * 1e6, lossRate };
      const { client, server, ...pair } = askAtOnce(new LanePair({ seed, paths: [{ up }], clientPath: { opened: true } }));
      tookS.push(pair.answeredS);
      packets += client.sentPackets + server.sentPackets;
    }
    assert.ok(quantile(tookS, 0.5) <= 1.1 * RTT_S, `median ${quantile(tookS, 0.5)} at a loss of ${lossRate}`);
    assert.ok(quantile(tookS, 0.9) <= 1.5 * RTT_S, `p90 ${quantile(tookS, 0.9)} at a loss of ${lossRate}`);
    assert.ok(packets / 60 <= most, `${packets / 60} packets at a loss of ${lossRate}`);
  }
});

/** Three small questions that leave together, as a put begins. */
function askAtOnce(pair: LanePair): { client: LanePair['client']; server: LanePair['server']; answeredS: number } {
  const { client, server, net } = pair;
  client.keep = server.keep = false;
  server.onEvent = (event) => {
    if (event.type !== 'end') return;
    server.lane.write(event.id, new Uint8Array(800));
    server.lane.end(event.id);
  };
  const ids = [0, 1, 2].map(() => client.lane.openStream());
  for (const id of ids) {
    client.lane.write(id, new Uint8Array(500));
    client.lane.end(id);
  }
  client.pump();
  assert.ok(pair.until(() => ids.every((id) => client.ended.has(id)), 60e6));
  return { client, server, answeredS: net.nowUs / 1e6 };
}

/** Seconds from the question until it arrived and until its answer had, of several lanes that were in use before. */
function requests(bytes: number, idleS: number): { arrivedS: number; answeredS: number }[] {
  const took: { arrivedS: number; answeredS: number }[] = [];
  for (let seed = 1; seed <= 6; seed++) {
    const { pair, push } = openLane(seed, 0.3);
    push(5e6);
    const { client, server, net } = pair;
    let arrivedUs = 0;
    server.onEvent = (event) => {
      if (event.type !== 'end') return;
      arrivedUs = net.nowUs;
      server.lane.write(event.id, new Uint8Array(bytes));
      server.lane.end(event.id);
    };
    for (let i = 0; i < 10; i++) {
      pair.run(net.nowUs + idleS * 1e6 + 1000);
      const startUs = net.nowUs;
      const id = client.lane.openStream();
      client.lane.write(id, new Uint8Array(300));
      client.lane.end(id);
      client.pump();
      assert.ok(
        pair.until(() => client.ended.has(id), startUs + 30e6),
        `seed ${seed}: no answer`,
      );
      took.push({ arrivedS: (arrivedUs - startUs) / 1e6, answeredS: (net.nowUs - startUs) / 1e6 });
    }
  }
  return took;
}

/** A lane with a stream on which the server sends, after a first word from the client. */
function openLane(seed: number, lossRate: number): { pair: LanePair; id: number; push: (bytes: number) => void } {
  const pair = new LanePair({ seed, paths: [{ up: { bitsPerSecond: 100e6, delayUs: (RTT_S / 2) * 1e6, lossRate } }] });
  const { client, server, net } = pair;
  client.keep = server.keep = false;
  const id = client.lane.openStream();
  client.lane.write(id, new Uint8Array(300));
  client.pump();
  pair.run(2e6);
  let pushed = 0;
  const push = (bytes: number): void => {
    pushed += bytes;
    for (let left = bytes; left > 0; left -= 256 * KIB) server.lane.write(id, new Uint8Array(Math.min(left, 256 * KIB)));
    server.pump();
    assert.ok(
      pair.until(() => client.receivedBytes.get(id) === pushed, net.nowUs + 60e6),
      `seed ${seed}: not all arrived`,
    );
  };
  return { pair, id, push };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
}
