/** A redundant lane: what one path loses, or a path that dies, delays nothing, for the other path carries enough as well. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { CheckedPair } from './checked-pair.ts';
import { LanePair } from './pair.ts';

const way = (mbit: number, rttMs: number, lossRate: number) => ({
  up: { bitsPerSecond: mbit * 1e6, delayUs: rttMs * 500, queueUs: 100_000, lossRate },
});

/** Delays of messages of so many bytes, one every 20 ms, of which path 0 dies after 2 s. */
function delays(options: { seed: number; redundant: boolean; bytes: number; loss: number; oneWay: boolean }): number[] {
  const { seed, redundant, bytes, loss, oneWay } = options;
  const pair = new LanePair({ seed, redundant, paths: [way(50, 60, loss), way(50, 60, loss)] });
  const { client, server, net } = pair;
  const sentUs: number[] = [];
  const delaysUs: number[] = [];
  const id = client.lane.openStream();
  let received = 0;
  server.onEvent = (event) => {
    if (event.type !== 'data') return;
    received += event.bytes.length;
    while ((delaysUs.length + 1) * bytes <= received) delaysUs.push(net.nowUs - sentUs[delaysUs.length]!);
  };
  const send = (): void => {
    if (sentUs.length === 200) return;
    sentUs.push(net.nowUs);
    client.lane.write(id, new Uint8Array(bytes));
    client.pump();
    net.after(20_000, send);
  };
  net.after(200_000, send);
  net.after(2_005_000, () => {
    client.out[0]!.options.up = false;
    if (!oneWay) server.out[0]!.options.up = false;
  });
  pair.run(10e6);
  assert.equal(delaysUs.length, 200, `seed ${seed}`);
  // The first ones are those of a lane that does not know its rate yet.
  return delaysUs.slice(50);
}

const SEEDS = [1, 2, 3, 4, 5];

for (const oneWay of [false, true]) {
  for (const bytes of [1000, 30_000]) {
    test(`no message of ${bytes} bytes is late when a path dies${oneWay ? ', were it one way only' : ''}`, () => {
      let plain = 0;
      for (const seed of SEEDS) {
        const shared = { seed, bytes, loss: 0, oneWay };
        const worst = Math.max(...delays({ ...shared, redundant: true }));
        assert.ok(worst < 45_000, `seed ${seed}: ${worst} us, where the way takes 30 ms`);
        plain = Math.max(plain, ...delays({ ...shared, redundant: false }));
      }
      // Without, one that was on the dead path waits until that is found out.
      assert.ok(plain > 90_000, `${plain}`);
    });
  }
}

test('nor, but for one in a hundred, when both lose 10 % besides', () => {
  const all = SEEDS.flatMap((seed) => delays({ seed, redundant: true, bytes: 1000, loss: 0.1, oneWay: false }));
  all.sort((a, b) => a - b);
  // While two paths are there.
  const p99 = all[Math.floor(all.length * 0.99)]!;
  assert.ok(p99 < 60_000, `${p99}`);
});

for (const dead of [0, 1]) {
  test(`a file goes on without a pause when path ${dead} dies, and costs twice what it is`, () => {
    for (const seed of SEEDS) {
      const checked = new CheckedPair({ seed, redundant: true, paths: [way(50, 60, 0.01), way(50, 60, 0.01)] });
      const { client, server, net } = checked.pair;
      const id = checked.exchange(20_000_000, 0);
      checked.pair.run(1.5e6);
      const { source, repair, again } = client.lane.snapshot(net.nowUs).symbols;
      const cost = (source + repair + again) / source;
      assert.ok(cost > 1.7 && cost < 2.5, `seed ${seed}: ${cost}`);
      for (const end of [client, server]) end.out[dead]!.options.up = false;
      let [longestUs, atUs, received] = [0, net.nowUs, checked.received('server', id)];
      while (net.nowUs < 2.5e6) {
        checked.pair.run(net.nowUs + 1000);
        const now = checked.received('server', id);
        if (now > received) [received, atUs] = [now, net.nowUs];
        longestUs = Math.max(longestUs, net.nowUs - atUs);
      }
      assert.ok(longestUs < 100_000, `seed ${seed}: nothing for ${longestUs} us`);
      checked.finish(30e6);
    }
  });
}

test('a far thinner second path does not hold the first one back', () => {
  for (const seed of [1, 2]) {
    const speed = (paths: ReturnType<typeof way>[], redundant: boolean): number => {
      const pair = new LanePair({ seed, redundant, paths });
      pair.server.keep = false;
      const id = pair.client.lane.openStream();
      pair.send(pair.client, id, 4e9);
      pair.run(4e6);
      const before = pair.server.receivedBytes.get(id)!;
      pair.run(10e6);
      return (pair.server.receivedBytes.get(id)! - before) / 6;
    };
    const alone = speed([way(50, 60, 0.01)], false);
    const both = speed([way(50, 60, 0.01), way(2, 100, 0.05)], true);
    assert.ok(both > 0.9 * alone, `seed ${seed}: ${both / alone}`);
  }
});

test('everything arrives whatever comes and goes', () => {
  for (const seed of SEEDS) {
    const checked = new CheckedPair({ seed, redundant: true, paths: [way(20, 60, 0.1), way(10, 150, 0.2), way(50, 30, 0.02)] });
    const { client, server, net } = checked.pair;
    const flip = (): void => {
      const link = (net.random() < 0.5 ? client : server).out[Math.floor(net.random() * 3)];
      link!.options.up = !link!.options.up;
      net.after(50_000 + net.random() * 1e6, flip);
    };
    flip();
    checked.exchange(3_000_000, 3_000_000);
    checked.finish(300e6);
  }
});
