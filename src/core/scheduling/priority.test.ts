import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type PriorityClass, PriorityGovernor } from './priority.ts';

const KIB = 1024;
const START_MS = 1.8e12;

test('a class alone never waits, however many transfers it has', () => {
  for (const priority of ['critical', 'high', 'normal'] as const) {
    const governor = new PriorityGovernor();
    for (let i = 0; i < 1000; i++) {
      assert.equal(governor.waitMs(START_MS + i, `t${i % 3}`, priority), 0);
      governor.handleBytes(START_MS + i, `t${i % 3}`, priority, 1e6);
    }
  }
});

test('the higher class never waits for the lower', () => {
  const governor = new PriorityGovernor();
  for (let i = 0; i < 1000; i++) {
    governor.handleBytes(START_MS + i, 'n', 'normal', 1e6);
    governor.handleBytes(START_MS + i, 'c', 'critical', 10);
    assert.equal(governor.waitMs(START_MS + i, 'c', 'critical'), 0);
  }
  assert.ok(governor.waitMs(START_MS + 1000, 'n', 'normal') > 0);
});

test('a lower class is free again, without debt, once the higher has been silent for 500 ms', () => {
  const governor = new PriorityGovernor();
  governor.handleBytes(START_MS, 'c', 'critical', 1e6);
  governor.handleBytes(START_MS, 'n', 'normal', 1e9);
  assert.equal(governor.waitMs(START_MS + 400, 'n', 'normal'), 250);
  assert.equal(governor.waitMs(START_MS + 500, 'n', 'normal'), 0);
  governor.handleBytes(START_MS + 500, 'n', 'normal', 1e6);
  governor.handleBytes(START_MS + 510, 'c', 'critical', 1e6);
  assert.equal(governor.waitMs(START_MS + 510, 'n', 'normal'), 0);
});

test('a trickle above still leaves 64 KiB/s below', () => {
  const rates = run({
    seed: 1,
    seconds: 20,
    linkBytesPerSecond: 10e6,
    senders: [sender('c', 'critical', 100), sender('n', 'normal')],
  });
  assert.ok(rates.n! > 60 * KIB && rates.n! < 72 * KIB, `${rates.n}`);
});

test('transfers of a held class share evenly, whatever the number of their connections', () => {
  const senders = [
    sender('c', 'critical'),
    ...Array.from({ length: 6 }, () => sender('many', 'normal')),
    sender('one', 'normal'),
  ];
  const rates = run({ seed: 1, seconds: 20, linkBytesPerSecond: 10e6, senders });
  assert.ok(rates.one! / rates.many! > 0.8 && rates.one! / rates.many! < 1.25, JSON.stringify(rates));
});

test('the wait is as long as a debt takes to pay at the share of one of two transfers', () => {
  const governor = new PriorityGovernor();
  governor.handleBytes(START_MS, 'c', 'critical', 500_000);
  governor.handleBytes(START_MS, 'a', 'normal', 1);
  governor.handleBytes(START_MS, 'b', 'normal', 5000);
  // 1 MB/s above, so 64 KiB/s for normal, the floor, and half of that for each.
  assert.equal(governor.waitMs(START_MS, 'b', 'normal'), Math.ceil(5_000_000 / (32 * KIB)));
});

test('a thousand short transfers leave nothing behind', () => {
  const governor = new PriorityGovernor();
  for (let i = 0; i < 5000; i++) {
    const nowMs = START_MS + i;
    governor.handleBytes(nowMs, 'c', 'critical', 1000);
    governor.handleBytes(nowMs, `n${i}`, 'normal', 1);
  }
  // Only those of the last 500 ms share what normal may have: one with a debt of half a second's share waits about that long.
  governor.handleBytes(START_MS + 5600, 'c', 'critical', 500_000);
  governor.handleBytes(START_MS + 5600, 'n', 'normal', 10_000);
  assert.equal(governor.waitMs(START_MS + 5600, 'n', 'normal'), Math.ceil(10_000_000 / (64 * KIB)));
});

for (const seed of process.env.HAWSER_SEED === undefined ? [1, 2, 3] : [Number(process.env.HAWSER_SEED)]) {
  test(`on a shared 10 MB/s link critical gets at least 75 % and normal does not starve (seed ${seed})`, () => {
    const senders = [sender('c', 'critical'), sender('n', 'normal'), sender('n', 'normal'), sender('n', 'normal')];
    const rates = run({ seed, seconds: 30, linkBytesPerSecond: 10e6, senders });
    const total = rates.c! + rates.n!;
    assert.ok(rates.c! >= 0.75 * total, `seed ${seed}: ${JSON.stringify(rates)}`);
    assert.ok(total >= 9e6, `seed ${seed}: the link is used: ${JSON.stringify(rates)}`);
    assert.ok(rates.n! >= 64 * KIB, `seed ${seed}: ${JSON.stringify(rates)}`);
  });

  test(`with three classes critical still gets 75 %, and high more than normal (seed ${seed})`, () => {
    const senders = [
      sender('c', 'critical'),
      sender('h', 'high'),
      sender('h', 'high'),
      sender('n', 'normal'),
      sender('n', 'normal'),
    ];
    const rates = run({ seed, seconds: 30, linkBytesPerSecond: 10e6, senders });
    assert.ok(rates.c! >= 0.75 * (rates.c! + rates.h! + rates.n!), `seed ${seed}: ${JSON.stringify(rates)}`);
    assert.ok(rates.h! > 1.5 * rates.n! && rates.n! >= 60 * KIB, `seed ${seed}: ${JSON.stringify(rates)}`);
  });
}

interface Sender {
  readonly transfer: string;
  readonly priority: PriorityClass;
  /** What it has to send, bytes a second. */
  readonly offered: number;
}

function sender(transfer: string, priority: PriorityClass, offered = Number.POSITIVE_INFINITY): Sender {
  return { transfer, priority, offered };
}

/**
 * Connections share a link evenly in steps of 1 ms. Each delivers pieces of up to 64 KiB; the server reads a piece when the
 * governor lets it, and an unread piece keeps the connection's window closed. Gives bytes a second for each transfer.
 */
function run(options: { seed: number; seconds: number; linkBytesPerSecond: number; senders: Sender[] }): Record<string, number> {
  const governor = new PriorityGovernor();
  const random = mulberry32(options.seed);
  const connections = options.senders.map((one) => ({ ...one, arrived: 0, waitsUntilMs: 0, piece: 32 * KIB }));
  const totals: Record<string, number> = {};
  for (let ms = 0; ms < options.seconds * 1000; ms++) {
    const nowMs = START_MS + ms;
    const open = connections.filter((one) => one.arrived < one.piece);
    const noise = 0.9 + 0.2 * random();
    for (const one of open) {
      one.arrived += Math.min(one.offered / 1000, (noise * options.linkBytesPerSecond) / 1000 / open.length);
    }
    for (const one of connections) {
      // What trickles is read as it comes.
      if ((one.arrived < one.piece && Number.isFinite(one.offered) === false) || one.arrived === 0 || nowMs < one.waitsUntilMs)
        continue;
      const waitMs = governor.waitMs(nowMs, one.transfer, one.priority);
      one.waitsUntilMs = nowMs + waitMs;
      if (waitMs > 0) continue;
      governor.handleBytes(nowMs, one.transfer, one.priority, one.arrived);
      totals[one.transfer] = (totals[one.transfer] ?? 0) + one.arrived;
      one.arrived = 0;
      one.piece = 64 * KIB * (0.25 + 0.75 * random());
    }
  }
  for (const transfer of Object.keys(totals)) totals[transfer]! /= options.seconds;
  return totals;
}

/** Small seeded generator, numbers in [0, 1). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
