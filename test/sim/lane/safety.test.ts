/** Whatever the network does, what arrives is what was sent, and the accounts balance. Every case is a seed. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { CheckedPair } from './checked-pair.ts';
import type { HostOptions } from './network.ts';
import { randomCase } from './random-case.ts';

test('what arrives is what was sent, on many streams both ways, whatever the network does', () => {
  for (let seed = 1; seed <= SEEDS; seed++) randomCase(seed).finish(600e6);
});

test('the same seed gives the same packets at the same instants', () => {
  const hashes = [1, 2].map(() => {
    const checked = randomCase(4);
    checked.finish(600e6);
    return `${checked.hash} ${checked.packets}`;
  });
  assert.equal(hashes[0], hashes[1]);
  const other = randomCase(5);
  other.finish(600e6);
  assert.notEqual(hashes[0], `${other.hash} ${other.packets}`);
});

test('clocks that disagree by any constant, or drift by 200 ppm, change hardly anything', () => {
  const run = (server: Partial<HostOptions>) => {
    const checked = new CheckedPair({ seed: 11, paths: [{ up: { bitsPerSecond: 20e6, delayUs: 40_000 } }], server });
    checked.exchange(6_000_000, 2_000_000);
    checked.finish(60e6);
    return checked.nowUs;
  };
  const alike = run({});
  for (const server of [
    { clockOffsetUs: 3e9 },
    { clockOffsetUs: 4_294_967_296 - 500_000 },
    { clockOffsetUs: 2 ** 45 },
    { clockSkewPpm: -200 },
    { clockSkewPpm: 200 },
  ]) {
    const apart = run(server);
    assert.ok(Math.abs(apart / alike - 1) < 0.02, `${JSON.stringify(server)}: ${apart} and ${alike}`);
  }
});

test('a reader that takes nothing stops its own stream only, and goes on when it takes', () => {
  const link = { bitsPerSecond: 100e6, delayUs: 5_000, lossRate: 0.1 };
  const checked = new CheckedPair({ seed: 3, paths: [{ up: link }], receiveWindowBytes: 32 << 20 });
  checked.pair.server.autoConsume = false;
  const slow = checked.exchange(30_000_000, 1000);
  checked.pair.run(5e6);
  const stopped = checked.received('server', slow);
  assert.ok(stopped >= 1 << 20 && stopped <= 17 << 20, `${stopped}`);
  const wakes = checked.pair.client.wakes + checked.pair.server.wakes;
  checked.pair.run(15e6);
  assert.equal(checked.received('server', slow), stopped);
  // A question now and then whether the credit was lost, no more.
  assert.ok(checked.pair.client.wakes + checked.pair.server.wakes - wakes < 100);
  const other = checked.exchange(500_000, 500_000);
  checked.pair.until(() => checked.received('server', other) === 500_000 && checked.received('client', other) === 500_000, 20e6);
  assert.equal(checked.received('server', other), 500_000);
  const timer = (): void => {
    checked.take('server');
    checked.pair.net.after(10_000, timer);
  };
  timer();
  checked.finish(60e6);
});

const SEEDS = 40;
