/** A lane that is told what an earlier one reached: sooner at its rate when that is still true, and no worse off when it is not. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { PathOptions } from '../../../src/core/lane/contract.ts';
import type { LinkOptions } from './network.ts';
import { LanePair } from './pair.ts';
import type { RateFlowOptions } from './rate-flow.ts';
import { type Outcome, runScenario } from './rate-scenario.ts';

const SECONDS = 8;

for (const { mbit, rttMs } of [
  { mbit: 100, rttMs: 200 },
  { mbit: 100, rttMs: 600 },
  { mbit: 500, rttMs: 100 },
]) {
  test(`what is still true saves round trips: ${mbit} Mbit/s, ${rttMs} ms`, () => {
    for (const loss of [0, 0.1]) {
      const without = runs(mbit, rttMs, loss, {});
      const remembered = runs(mbit, rttMs, loss, { cachedBytesPerSecond: (mbit * 1e6) / 8 });
      const [before, after] = [without, remembered].map((each) => median(each, (o) => o.efficiency)) as [number, number];
      assert.ok(after > before + 0.008, `of the first ${SECONDS} s ${after} instead of ${before}, a loss of ${loss}`);
      const peakMs = Math.max(...remembered.map((o) => o.startPeakMs));
      assert.ok(peakMs <= 60, `a queue of ${peakMs} ms at the start, a loss of ${loss}`);
    }
  });
}

for (const { factor, peakMs } of [
  { factor: 10, peakMs: 70 },
  { factor: 100, peakMs: 150 },
]) {
  test(`what was ${factor} times more makes a short queue, and no lasting harm`, () => {
    for (const rttMs of [100, 200]) {
      for (const loss of [0, 0.1, 0.3]) {
        const [without, stale] = [
          runs(10, rttMs, loss, {}),
          runs(10, rttMs, loss, { cachedBytesPerSecond: (factor * 10e6) / 8 }),
        ] as const;
        const least = 0.95 * median(without, (o) => o.efficiency);
        const share = median(stale, (o) => o.efficiency);
        assert.ok(share >= least, `${rttMs} ms, a loss of ${loss}: ${share} where ${least} is asked`);
        const queueMs = Math.max(...stale.map((o) => o.startPeakMs));
        assert.ok(queueMs <= peakMs, `${rttMs} ms, a loss of ${loss}: a queue of ${queueMs} ms at the start`);
        // It is over with the start. Of one seed this says little: a run of chance losses slows a lane that remembers nothing, too.
        const last = median(stale, ({ series }) => series[0]!.slice(4).reduce((sum, each) => sum + each, 0) / (SECONDS - 4));
        assert.ok(last >= 0.85 * 10 * (1 - loss), `${rttMs} ms, a loss of ${loss}: ${last} Mbit/s after 4 s`);
      }
    }
  });
}

test('what was reached with another round trip was another path', () => {
  const without = runs(100, 200, 0.1, {});
  for (const cachedRttUs of [20_000, 900_000]) {
    const other = runs(100, 200, 0.1, { cachedBytesPerSecond: 100e6 / 8, cachedRttUs });
    assert.deepEqual(
      other.map((o) => o.series),
      without.map((o) => o.series),
    );
  }
});

test('what is remembered waits until there is something to send', () => {
  for (const lossRate of [0, 0.1]) {
    const mean = (of: Partial<PathOptions>): number => meanUs(2, lossRate, of);
    const [without, remembered] = [mean({}), mean(remembers(100, 100))];
    // Content begins the ramp, whatever was asked before: four round trips, and the way there of 3 MB at the rate.
    assert.ok(without < 750_000, `${without} us, a loss of ${lossRate}`);
    assert.ok(remembered < without - 40_000, `${remembered} us instead of ${without}, a loss of ${lossRate}`);
  }
});

test('content that leaves with the first question begins with what is remembered', () => {
  for (const [lossRate, mostUs, leastGainUs] of [
    [0, 480_000, 80_000],
    [0.1, 630_000, 20_000],
  ] as const) {
    const [without, remembered] = [meanUs(0, lossRate, {}), meanUs(0, lossRate, remembers(100, 100))];
    // The greeting has measured the round trip: of two more the second fills the link, and then there is the way of 3 MB.
    assert.ok(remembered < mostUs, `${remembered} us, a loss of ${lossRate}`);
    assert.ok(remembered < without - leastGainUs, `${remembered} us instead of ${without}, a loss of ${lossRate}`);
  }
});

test('a question that leaves together with content is there with the first packets, whatever was remembered', () => {
  for (const memory of [{}, remembers(100, 100)]) {
    const up = { bitsPerSecond: 100e6, delayUs: 50_000 };
    const pair = new LanePair({ seed: 1, paths: [{ up }], clientPath: { opened: true, ...memory } });
    const { client, server, net } = pair;
    client.keep = server.keep = false;
    const [question, content] = [client.lane.openStream(), client.lane.openStream()];
    client.lane.write(question, new Uint8Array(300));
    pair.send(client, content, 1e6);
    assert.ok(pair.until(() => server.receivedBytes.get(question) === 300, 10e6));
    assert.ok(net.nowUs < 75_000, `${net.nowUs} us`);
  }
});

/** How long 3 MB take at 100 Mbit/s and 100 ms, after `questions` of a round trip each; of twelve seeds. */
function meanUs(questions: number, lossRate: number, memory: Partial<PathOptions>): number {
  const took = (seed: number): number => {
    const up = { bitsPerSecond: 100e6, delayUs: 50_000, lossRate };
    const pair = new LanePair({ seed, paths: [{ up }], clientPath: { opened: true, ...memory } });
    const { client, server, net } = pair;
    client.keep = server.keep = false;
    for (let asked = 0; asked < questions; asked++) {
      const id = client.lane.openStream();
      client.lane.write(id, new Uint8Array(300));
      client.pump();
      pair.until(() => server.receivedBytes.get(id) === 300, net.nowUs + 10e6);
      pair.run(net.nowUs + 50_000);
    }
    const startUs = net.nowUs;
    const id = client.lane.openStream();
    pair.send(client, id, 3e6);
    assert.ok(pair.until(() => server.ended.has(id), startUs + 60e6));
    return net.nowUs - startUs;
  };
  return [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].reduce((sum, seed) => sum + took(seed) / 12, 0);
}

test('a server that is told what its client received at saves a round trip of 2 to 5 MB, knowing nothing of the way itself', () => {
  for (const lossRate of [0, 0.02, 0.1]) {
    for (const bytes of [2e6, 5e6]) {
      const link = { bitsPerSecond: 100e6, delayUs: 50_000, lossRate };
      const [without, told] = [downloads(link, bytes, {}), downloads(link, bytes, remembers(100, 100))];
      const [before, after] = [mean(without, ({ ms }) => ms), mean(told, ({ ms }) => ms)];
      assert.ok(after <= before - 60, `${after} ms instead of ${before}, ${bytes} bytes at a loss of ${lossRate}`);
      assert.ok(mean(told, ({ lost }) => lost) <= mean(without, ({ lost }) => lost) + 8);
    }
  }
});

test('a client that says too much costs a short buffer no more than a train, its own download little, and a liar gains nothing', () => {
  for (const [factor, packets] of [
    [10, 30],
    [1000, 110],
  ] as const) {
    for (const rttMs of [100, 200]) {
      for (const lossRate of [0, 0.1]) {
        const link = { bitsPerSecond: 10e6, delayUs: rttMs * 500, queueUs: 30_000, lossRate };
        const [without, told] = [downloads(link, 3e6, {}), downloads(link, 3e6, remembers(factor * 10, rttMs))];
        const about = `${factor} times, ${rttMs} ms, a loss of ${lossRate}`;
        const more = mean(told, ({ lost }) => lost) - mean(without, ({ lost }) => lost);
        assert.ok(more <= packets, `${more} packets more are lost: ${about}`);
        const [before, after] = [mean(without, ({ ms }) => ms), mean(told, ({ ms }) => ms)];
        // Who says nothing has the first train judged, and goes on from there; who does has it followed by what he said.
        assert.ok(after <= 1.06 * before, `${after} ms instead of ${before}: ${about}`);
        assert.ok(after >= 0.9 * before, `a lie pays: ${after} ms instead of ${before}, ${about}`);
      }
    }
  }
});

const remembers = (mbit: number, rttMs: number): Partial<PathOptions> => ({
  cachedBytesPerSecond: (mbit * 1e6) / 8,
  cachedRttUs: rttMs * 1000,
});

/** Of a lane that a hello opened: how long an answer of so many bytes takes, and what is lost of it. */
function downloads(link: Partial<LinkOptions>, bytes: number, serverPath: Partial<PathOptions>): { ms: number; lost: number }[] {
  return Array.from({ length: 12 }, (_, at) => at + 1).map((seed) => {
    const pair = new LanePair({
      seed,
      paths: [{ up: link }],
      clientPath: { opened: true },
      serverPath: { validated: true, ...serverPath },
      serverGuesses: true,
    });
    const { client, server, net } = pair;
    client.keep = server.keep = false;
    server.onEvent = (event) => {
      if (event.type === 'end') pair.send(server, event.id, bytes);
    };
    const id = client.lane.openStream();
    client.lane.write(id, new Uint8Array(300));
    client.lane.end(id);
    client.pump();
    assert.ok(pair.until(() => client.ended.has(id), 60e6));
    return { ms: net.nowUs / 1000, lost: server.lane.snapshot(server.host.clockUs).paths[0]!.lostPackets };
  });
}

function mean<T>(of: readonly T[], value: (one: T) => number): number {
  return of.reduce((sum, one) => sum + value(one), 0) / of.length;
}

function runs(mbit: number, rttMs: number, loss: number, lane: Partial<RateFlowOptions>): Outcome[] {
  return [1, 2, 3, 4, 5].map((seed) =>
    runScenario({ seed, mbit, rttMs, loss, queueMs: 400, seconds: SECONDS, fromS: 0, flows: [{ kind: 'lane', lane }] }),
  );
}

function median(outcomes: readonly Outcome[], of: (outcome: Outcome) => number): number {
  return outcomes.map(of).sort((a, b) => a - b)[outcomes.length >> 1] as number;
}
