import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AckView } from './ack-frame.ts';
import { Arrivals } from './arrivals.ts';
import { MAX_CONTROL_BYTES } from './contract.ts';
import { FrameWriter } from './frame-writer.ts';

const MS = 1_000;
const FULL = { ackNow: false };
const ASKING = { ackNow: true };

test('what an ACK says is what arrived, in any order, with any loss and duplication', () => {
  const packet = fc.record({
    lost: fc.integer({ min: 0, max: 99 }),
    lateBy: fc.oneof({ weight: 8, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 40 }) }),
    twice: fc.integer({ min: 0, max: 30 }).map((n) => n === 0),
    afterUs: fc.integer({ min: 0, max: 3_000 }),
  });
  fc.assert(
    fc.property(
      fc.array(packet, { minLength: 1, maxLength: 400 }),
      fc.constantFrom(0, 2, 10, 30, 60),
      fc.constantFrom(0, 1000, 2 ** 32 - 50, 2 ** 47),
      (packets, lossPercent, first) => {
        const order = packets
          .map((each, i) => ({ ...each, pn: first + i, at: i + each.lateBy }))
          .filter((each) => each.lost >= lossPercent)
          .sort((a, b) => a.at - b.at);
        const arrivals = new Arrivals();
        const truth = new Map<number, number>();
        let nowUs = 2 ** 32 - 50_000;
        for (const { pn, twice, afterUs } of order) {
          nowUs += afterUs;
          assert.equal(arrivals.add(pn, nowUs, FULL), 'new');
          truth.set(pn, nowUs);
          if (twice) assert.equal(arrivals.add(pn, nowUs + 1, ASKING), 'duplicate');
          if (nowUs < arrivals.nextAckUs()) continue;
          const view = ackFrom(arrivals, nowUs);
          assert.equal(view.receivedTotal, truth.size);
          assert.equal(view.largest, Math.max(...truth.keys()));
          for (let number = view.lowest; number <= view.largest; number++) assert.equal(view.has(number), truth.has(number));
          assert.equal(view.samplePn(view.sampleCount - 1), view.largest);
          for (let i = 0; i < view.sampleCount; i++) {
            const agoUs = view.ackTimeUs - view.sampleUs(i);
            assert.ok(Math.abs(agoUs - (nowUs - truth.get(view.samplePn(i))!)) <= 9);
          }
        }
      },
    ),
    { numRuns: 200 },
  );
});

test('each packet, late or not, and each gap is told of by eight ACKs', () => {
  const arrivals = new Arrivals();
  const told = new Map<number, number>();
  const toldMissing = new Map<number, number>();
  let nowUs = 0;
  let pn = 0;
  const late: number[] = [];
  for (let round = 0; round < 60; round++) {
    for (let i = 0; i < 12; i++, pn++) {
      nowUs += 500;
      if (pn % 9 === 4) continue;
      if (pn % 31 === 3) late.push(pn);
      else arrivals.add(pn, nowUs, FULL);
    }
    if (round % 3 === 0) for (const each of late.splice(0)) arrivals.add(each, nowUs, FULL);
    nowUs += 10 * MS;
    const view = ackFrom(arrivals, nowUs);
    for (let number = view.lowest; number <= view.largest; number++) {
      const counts = view.has(number) ? told : toldMissing;
      counts.set(number, (counts.get(number) ?? 0) + 1);
    }
  }
  for (let number = 0; number < pn - 12 * 12; number++) {
    const counts = number % 9 === 4 ? toldMissing : told;
    // Late packets keep the window open: then others are told of more often.
    assert.ok(counts.get(number)! >= 8, `${number}: ${counts.get(number)}`);
    assert.ok(counts.get(number)! <= 13, `${number}: ${counts.get(number)}`);
  }
});

test('an ACK that is sent again with nothing new tells the same', () => {
  const arrivals = new Arrivals();
  for (let i = 0; i < 90; i++) arrivals.add(i, i * MS, FULL);
  for (let again = 0; again < 12; again++) {
    const view = ackFrom(arrivals, 100 * MS + again);
    assert.equal(view.lowest, 0);
    assert.equal(view.receivedInWindow, 90);
  }
});

test('a number that the window has left is old, and changes nothing', () => {
  const arrivals = new Arrivals();
  arrivals.add(70_000, 0, FULL);
  assert.equal(arrivals.add(70_000 - 65_536, 1, FULL), 'old');
  assert.equal(arrivals.add(70_000 - 65_535, 1, FULL), 'new');
  assert.equal(arrivals.add(70_000 - 65_535, 1, FULL), 'duplicate');
  assert.equal(arrivals.receivedTotal, 2);
  assert.equal(arrivals.largest, 70_000);
});

test('the first packet, one after 200 ms of silence, and one that asks are acknowledged at once', () => {
  const arrivals = new Arrivals();
  assert.equal(arrivals.nextAckUs(), Number.POSITIVE_INFINITY);
  arrivals.add(0, 5 * MS, FULL);
  assert.equal(arrivals.nextAckUs(), 5 * MS);
  ackFrom(arrivals, 5 * MS);
  assert.equal(arrivals.nextAckUs(), Number.POSITIVE_INFINITY);
  arrivals.add(1, 6 * MS, FULL);
  assert.ok(arrivals.nextAckUs() > 6 * MS);
  arrivals.add(2, 7 * MS, ASKING);
  assert.ok(arrivals.nextAckUs() <= 7 * MS);
  ackFrom(arrivals, 7 * MS);
  arrivals.add(3, 206 * MS, FULL);
  ackFrom(arrivals, 206 * MS);
  arrivals.add(4, 406 * MS, FULL);
  assert.equal(arrivals.nextAckUs(), 406 * MS);
});

test('a peer that asks with every packet gets an ACK a millisecond at most', () => {
  const arrivals = new Arrivals();
  let acks = 0;
  for (let i = 0; i < 1000; i++) {
    const nowUs = 100 * i;
    arrivals.add(i, nowUs, ASKING);
    if (arrivals.nextAckUs() > nowUs) continue;
    ackFrom(arrivals, nowUs);
    acks++;
  }
  assert.equal(acks, 100);
});

test('the interval is an eighth of the round trip between 5 and 16 ms, or what the peer asked for within bounds', () => {
  const arrivals = new Arrivals();
  const interval = (set: () => void) => {
    set();
    return arrivals.ackIntervalUs;
  };
  assert.equal(
    interval(() => (arrivals.minRttUs = 20 * MS)),
    5 * MS,
  );
  assert.equal(
    interval(() => (arrivals.minRttUs = 80 * MS)),
    10 * MS,
  );
  assert.equal(
    interval(() => (arrivals.minRttUs = 600 * MS)),
    16 * MS,
  );
  assert.equal(
    interval(() => arrivals.handleAckFrequency(25 * MS)),
    25 * MS,
  );
  assert.equal(
    interval(() => arrivals.handleAckFrequency(1)),
    1 * MS,
  );
  assert.equal(
    interval(() => arrivals.handleAckFrequency(0xffff_ffff)),
    250 * MS,
  );
  assert.equal(
    interval(() => arrivals.handleAckFrequency(0)),
    16 * MS,
  );
});

test('a fast flow is acknowledged every interval, a thin one four times in a round trip', () => {
  const acksIn1s = (packetEveryUs: number, datagramBytes: number) => {
    const arrivals = new Arrivals();
    arrivals.minRttUs = 200 * MS;
    let acks = 0;
    for (let i = 0; i * packetEveryUs < 1_000 * MS; i++) {
      const nowUs = i * packetEveryUs;
      arrivals.add(i, nowUs, { ackNow: false, datagramBytes });
      if (nowUs < arrivals.nextAckUs()) continue;
      ackFrom(arrivals, nowUs);
      acks++;
    }
    return acks;
  };
  assert.equal(acksIn1s(100, 1317), 63);
  // 1.3 MB/s: 2 % of it pay for an ACK in 16 ms; 80 kB/s do not.
  assert.equal(acksIn1s(1_000, 1317), 63);
  assert.equal(acksIn1s(5_000, 400), 20);
});

test('the last packet of each millisecond is a sample; those that were overtaken are none', () => {
  const arrivals = new Arrivals();
  // Three packets read in one wake-up, then one every 400 us, and one that was late.
  const times = [0, 4, 8, 5_000, 5_400, 5_800, 6_200, 6_600, 7_000];
  for (const [i, at] of times.entries()) arrivals.add(i < 8 ? i : 20, at, FULL);
  arrivals.add(12, 9_000, FULL);
  const view = ackFrom(arrivals, 9_500);
  const samples = Array.from({ length: view.sampleCount }, (_, i) => view.samplePn(i));
  assert.deepEqual(samples, [2, 5, 20]);
  arrivals.add(13, 9_900, FULL);
  const next = ackFrom(arrivals, 12_000);
  assert.equal(next.sampleCount, 1);
  assert.equal(next.samplePn(0), 20);
  assert.ok(Math.abs(next.ackTimeUs - next.sampleUs(0) - 5_000) <= 9);
});

test('when an ACK was long in coming its samples are further apart, and never more than 24', () => {
  const arrivals = new Arrivals();
  for (let i = 0; i < 2_000; i++) arrivals.add(i, 100 * i, FULL);
  const view = ackFrom(arrivals, 200 * MS);
  assert.ok(view.sampleCount >= 12 && view.sampleCount <= 24);
  assert.equal(view.samplePn(view.sampleCount - 1), 1_999);
  for (let i = 1; i < view.sampleCount; i++) {
    const apartUs = view.sampleUs(i) - view.sampleUs(i - 1);
    assert.ok(apartUs >= 1 * MS && apartUs <= 20 * MS, `${apartUs}`);
  }
  // After that a millisecond is enough again.
  for (let i = 0; i < 100; i++) arrivals.add(2_000 + i, 200 * MS + 100 * i, FULL);
  const next = ackFrom(arrivals, 210 * MS);
  const news = Array.from({ length: next.sampleCount }, (_, i) => next.samplePn(i)).filter((number) => number >= 2_000);
  assert.equal(news.length, 10);
});

test('samples are told once more, for the ACK that told them first may be lost', () => {
  const arrivals = new Arrivals();
  for (let i = 0; i < 100; i++) arrivals.add(i, 100 * i, FULL);
  const first = ackFrom(arrivals, 10 * MS);
  const told = new Map(Array.from({ length: first.sampleCount }, (_, i) => [first.samplePn(i), first.sampleUs(i)]));
  for (let i = 100; i < 120; i++) arrivals.add(i, 100 * i, FULL);
  const second = ackFrom(arrivals, 20 * MS);
  const again = Array.from({ length: second.sampleCount }, (_, i) => i).filter((i) => second.samplePn(i) < 100);
  assert.equal(again.length, 8);
  for (const i of again) assert.ok(Math.abs((told.get(second.samplePn(i)) as number) - second.sampleUs(i)) <= 16);
  assert.equal(second.samplePn(second.sampleCount - 1), 119);
  // And not a third time.
  arrivals.add(120, 21 * MS, FULL);
  assert.ok(ackFrom(arrivals, 30 * MS).samplePn(0) >= 100);
});

test('the ACK of 8192 packets with every other lost fits one packet', () => {
  const arrivals = new Arrivals();
  for (let i = 0; i < 20_000; i++) if (i % 2 === 0) arrivals.add(i, 50 * i, FULL);
  const view = ackFrom(arrivals, 1_000 * MS);
  assert.equal(view.largest - view.lowest + 1, 8192);
  assert.equal(view.receivedInWindow, 4096);
});

test('nothing is written when nothing arrived or nothing fits, and it is told in the next packet', () => {
  const arrivals = new Arrivals();
  const writer = new FrameWriter();
  const out = new Uint8Array(MAX_CONTROL_BYTES);
  writer.reset(out, MAX_CONTROL_BYTES);
  assert.ok(!arrivals.writeAck(writer, 1, 0, 0));
  arrivals.add(0, 0, FULL);
  writer.reset(out, 20);
  assert.ok(!arrivals.writeAck(writer, 1, 0, 0));
  assert.equal(writer.length, 0);
  assert.equal(arrivals.nextAckUs(), 0);
  assert.equal(ackFrom(arrivals, 3).sequence, 0);
  assert.equal(ackFrom(arrivals, 4).sequence, 1);
});

function ackFrom(arrivals: Arrivals, nowUs: number): AckView {
  const writer = new FrameWriter();
  const out = new Uint8Array(MAX_CONTROL_BYTES);
  writer.reset(out, MAX_CONTROL_BYTES);
  assert.ok(arrivals.writeAck(writer, 1, nowUs, 0));
  const view = new AckView();
  assert.equal(view.read(out.subarray(0, writer.length), 1), writer.length);
  return view;
}
