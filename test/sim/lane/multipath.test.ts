/** Several paths carry what they can together, and one that dies takes nothing with it. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { CheckedPair, insides } from './checked-pair.ts';
import { SimLink } from './network.ts';
import { LanePair } from './pair.ts';

interface Way {
  readonly mbit: number;
  readonly rttMs: number;
  readonly loss: number;
}

const FAST: Way = { mbit: 50, rttMs: 40, loss: 0.02 };
const FAR: Way = { mbit: 50, rttMs: 200, loss: 0.1 };
const POOR: Way = { mbit: 20, rttMs: 100, loss: 0.3 };

test('two paths carry the sum of what they carry alone, and three do', () => {
  for (const ways of [
    [FAST, FAR],
    [FAST, FAR, POOR],
  ]) {
    for (const seed of [1, 2]) {
      const pair = new LanePair({ seed, paths: links(ways) });
      const { client, server } = pair;
      server.keep = false;
      const id = client.lane.openStream();
      pair.send(client, id, 4e9);
      pair.run(8e6);
      const before = server.receivedBytes.get(id) as number;
      pair.run(16e6);
      const share = ((server.receivedBytes.get(id) as number) - before) / 8 / limit(ways);
      assert.ok(share >= 0.93, `seed ${seed}, ${ways.length} paths: ${share}`);
      const { source } = client.lane.snapshot(client.host.clockUs).symbols;
      const useless = receiverDuplicates(pair) / source;
      assert.ok(useless <= 0.03, `seed ${seed}, ${ways.length} paths: ${useless} of what was sent was of no use`);
    }
  }
});

for (const dead of [0, 1]) {
  test(`when the ${dead === 0 ? 'nearer' : 'farther'} of two paths dies, the other goes on within a second, with no byte lost`, () => {
    for (const seed of [1, 2, 3]) {
      const checked = new CheckedPair({ seed, paths: links([FAST, FAR]) });
      const { client, server } = checked.pair;
      const id = checked.exchange(40_000_000, 0);
      checked.pair.run(2.5e6);
      for (const end of [client, server]) end.out[dead]!.options.up = false;
      const stallUs = longestStall(checked, id, 2e6);
      assert.ok(stallUs < 1e6, `seed ${seed}: nothing came for ${stallUs / 1e3} ms`);
      const [atUs, before] = [checked.nowUs, checked.received('server', id)];
      checked.finish(60e6);
      // To the last byte, so the tail counts as well.
      const rate = ((40_000_000 - before) / (checked.nowUs - atUs)) * 1e6;
      const share = rate / limit([dead === 0 ? FAR : FAST]);
      assert.ok(share > 0.85, `seed ${seed}: ${share} of what is left`);
    }
  });
}

test('a path that dies while the other is silent takes nothing with it once the other is back', () => {
  for (const seed of [1, 2, 3]) {
    const checked = new CheckedPair({ seed, paths: links([FAST, FAR]) });
    const { client, server, net } = checked.pair;
    const set = (path: number, up: boolean): void => {
      for (const end of [client, server]) end.out[path]!.options.up = up;
    };
    const id = checked.exchange(60_000_000, 0);
    checked.pair.run(2e6);
    set(0, false);
    // What was in flight on path 0 is given to path 1, which dies with it.
    net.after(250_000, () => set(1, false));
    net.after(900_000, () => set(0, true));
    checked.pair.run(net.nowUs + 900_000);
    const stallUs = longestStall(checked, id, 3e6);
    assert.ok(stallUs < 1e6, `seed ${seed}: nothing came for ${stallUs / 1e3} ms`);
    checked.finish(60e6);
  }
});

test('what is left of two paths carries what it can', () => {
  const pair = new LanePair({ seed: 1, paths: links([FAST, FAR]) });
  pair.server.keep = false;
  const id = pair.client.lane.openStream();
  pair.send(pair.client, id, 4e9);
  pair.run(4e6);
  for (const end of [pair.client, pair.server]) end.out[0]!.options.up = false;
  pair.run(8e6);
  const before = pair.server.receivedBytes.get(id) as number;
  pair.run(18e6);
  const share = ((pair.server.receivedBytes.get(id) as number) - before) / 10 / limit([FAR]);
  assert.ok(share >= 0.93, `${share}`);
});

test('a path that comes back carries again', () => {
  const checked = new CheckedPair({ seed: 1, paths: links([FAST, FAR]) });
  const { client, server, net } = checked.pair;
  const set = (up: boolean): void => {
    for (const end of [client, server]) end.out[0]!.options.up = up;
  };
  checked.exchange(60_000_000, 0);
  checked.pair.run(2e6);
  set(false);
  checked.pair.run(5e6);
  assert.notEqual(client.lane.snapshot(net.nowUs).paths[0]!.state, 'active');
  set(true);
  const before = client.out[0]!.counters.delivered;
  checked.pair.run(7e6);
  assert.equal(client.lane.snapshot(net.nowUs).paths[0]!.state, 'active');
  assert.ok(client.out[0]!.counters.delivered - before > 2000);
  checked.finish(30e6);
});

test('a path that goes again and again, and one whose way back alone is dead, lose nothing', () => {
  for (const seed of [1, 2, 3]) {
    const checked = new CheckedPair({ seed, paths: links([FAST, FAR]) });
    const { client, server, net } = checked.pair;
    const flip = (): void => {
      const link = (net.random() < 0.5 ? client : server).out[net.random() < 0.5 ? 0 : 1];
      link!.options.up = !link!.options.up;
      net.after(50_000 + net.random() * 1e6, flip);
    };
    flip();
    checked.exchange(5_000_000, 5_000_000);
    checked.finish(300e6);
  }
});

for (const direction of ['up', 'down'] as const) {
  test(`a standby path carries nothing ${direction} until all others are dead, and then everything`, () => {
    const checked = new CheckedPair({ seed: 1, paths: links([FAST]) });
    const { client, server } = checked.pair;
    // A second path that is added later, and only to be there: the server learns that from the client.
    for (const end of [client, server]) {
      end.out.push(new SimLink(checked.pair.net, { bitsPerSecond: 20e6, delayUs: 50_000, lossRate: 0.1 }));
      const standby = end === client ? { standby: true } : {};
      end.lane.addPath(end.host.clockUs, 1, { validated: end === client, rttUs: 100_000, ...standby });
    }
    client.pump();
    const [sender, receiver] = direction === 'up' ? [client, server] : [server, client];
    const id = direction === 'up' ? checked.exchange(30_000_000, 0) : checked.exchange(1000, 30_000_000);
    checked.pair.run(3e6);
    const idle = insides(sender).paths[1]!;
    assert.equal(idle.state, 'standby');
    assert.equal(idle.sentPackets, 0);
    assert.equal(sender.lane.snapshot(sender.host.clockUs).paths[1]!.state, 'standby');
    client.out[0]!.options.up = server.out[0]!.options.up = false;
    const stallUs = longestStall(checked, id, 6e6, receiver === client ? 'client' : 'server');
    assert.ok(stallUs < 4e6, `${stallUs}`);
    assert.ok(idle.sentPackets > 0);
    assert.equal(sender.lane.snapshot(sender.host.clockUs).paths[1]!.state, 'active');
    // When the other is back, this one rests again.
    client.out[0]!.options.up = server.out[0]!.options.up = true;
    checked.pair.run(checked.nowUs + 3e6);
    const before = idle.sentPackets;
    checked.pair.run(checked.nowUs + 1e6);
    assert.equal(idle.sentPackets, before);
    checked.finish(60e6);
  });
}

test('a standby path steps in for one that never opens', () => {
  const checked = new CheckedPair({ seed: 1, paths: links([FAST]) });
  const { client, server } = checked.pair;
  for (const end of [client, server]) {
    end.out[0]!.options.up = false;
    end.out.push(new SimLink(checked.pair.net, { bitsPerSecond: 20e6, delayUs: 50_000 }));
    const standby = end === client ? { standby: true } : {};
    end.lane.addPath(end.host.clockUs, 1, { validated: end === client, rttUs: 100_000, ...standby });
  }
  client.pump();
  const id = checked.exchange(1_000_000, 1_000_000);
  checked.pair.run(1.9e6);
  assert.equal(checked.received('server', id), 0);
  checked.finish(10e6);
});

/** The longest time without a byte delivered, within so much time. */
function longestStall(checked: CheckedPair, id: number, withinUs: number, side: 'client' | 'server' = 'server'): number {
  let [longestUs, atUs, received] = [0, checked.nowUs, checked.received(side, id)];
  const untilUs = checked.nowUs + withinUs;
  while (checked.nowUs < untilUs) {
    checked.pair.run(checked.nowUs + 5000);
    if (checked.received(side, id) > received) {
      received = checked.received(side, id);
      atUs = checked.nowUs;
    }
    longestUs = Math.max(longestUs, checked.nowUs - atUs);
  }
  return longestUs;
}

function links(ways: readonly Way[]): { up: { bitsPerSecond: number; delayUs: number; queueUs: number; lossRate: number } }[] {
  return ways.map(({ mbit, rttMs, loss }) => ({
    up: { bitsPerSecond: mbit * 1e6, delayUs: rttMs * 500, queueUs: 100_000, lossRate: loss },
  }));
}

/** Bytes a second of content that the paths can carry: losses and heads are what they cost. */
function limit(ways: readonly Way[]): number {
  return ways.reduce((sum, { mbit, loss }) => sum + ((mbit * 1e6) / 8) * (1 - loss) * (1280 / 1345), 0);
}

function receiverDuplicates(pair: LanePair): number {
  return (pair.server.lane as unknown as { blocksIn: { duplicates: number } }).blocksIn.duplicates;
}
