import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type AckSource, AckView, MAX_ACK_SAMPLES, MAX_ACK_WINDOW, writeAck } from './ack-frame.ts';
import { ClockUnwrap } from './clock-unwrap.ts';

const NOW_US = 5_000_000;

test('an ACK says of each packet of its window whether it arrived', () => {
  const runs = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 30 });
  const dense = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 400 });
  fc.assert(
    fc.property(fc.oneof(runs, dense), fc.constantFrom(0, 1, 9, 2 ** 32, 2 ** 47), (lengths, below) => {
      const bits = lengths.flatMap((length, i) => new Array<boolean>(length).fill(i % 2 === 0)).slice(0, MAX_ACK_WINDOW);
      const largest = below + bits.length - 1;
      const received = bits.filter(Boolean).length;
      const source = ackOf({ largest, lowest: below, bits, receivedTotal: received + (below > 0 ? 1 : 0) });
      const { out, end } = write(source);
      const view = new AckView();
      assert.equal(view.read(out.subarray(0, end), 1), end);
      assert.equal(view.largest, largest);
      assert.equal(view.lowest, below);
      assert.equal(view.receivedInWindow, received);
      assert.equal(view.receivedTotal, source.receivedTotal);
      for (let i = -2; i < bits.length + 2; i++) assert.equal(view.has(largest - i), bits[i] ?? false, `bit ${i}`);
    }),
    { numRuns: 300 },
  );
});

test('the shorter form is taken: runs when little is lost, the bitmap when much is', () => {
  const bytesOf = (period: number) => {
    const bits = Array.from({ length: 800 }, (_, i) => period === 0 || i % period !== period - 1);
    const { end } = write(ackOf({ largest: 799, lowest: 0, bits }));
    return end - 27 - 3;
  };
  assert.equal(bytesOf(0), 2);
  assert.equal(bytesOf(100), 16);
  assert.equal(bytesOf(20), 80);
  assert.equal(bytesOf(10), 100);
  assert.equal(bytesOf(2), 100);
});

test('samples come out in order, to 16 microseconds, and as full clock values however often 32 bits have gone by', () => {
  for (const wraps of [0, 1, 3]) {
    const nowUs = wraps * 2 ** 32 + 300.7;
    const samples = Array.from({ length: MAX_ACK_SAMPLES }, (_, i) => ({ pn: 10 + 3 * i, us: nowUs - 40_000 + 1_500 * i }));
    const { out, end } = write(ackOf({ largest: 79, lowest: 0, bits: all(80), samples }), nowUs);
    const view = new AckView();
    assert.equal(view.read(out.subarray(0, end), 1), end);
    const clock = new ClockUnwrap();
    // The clock's last value was 10 s before; the receiver's and this end's have nothing in common.
    clock.expand(((((nowUs - 10e6) % 2 ** 32) + 2 ** 32) % 2 ** 32) >>> 0, 77e6);
    const before = clock.expand(view.ackTimeUs, 87e6);
    view.unwrap(clock, 87e6);
    assert.equal(view.ackTimeUs, before);
    assert.equal(view.sampleCount, samples.length);
    for (const [i, { pn, us }] of samples.entries()) {
      assert.equal(view.samplePn(i), pn);
      const agoUs = view.ackTimeUs - view.sampleUs(i);
      assert.ok(Math.abs(agoUs - (nowUs - us)) <= 9, `${agoUs} for ${nowUs - us}`);
    }
  }
});

test('a sample too old for its field is left out, and the newest 24 of more are told', () => {
  const samples = Array.from({ length: 40 }, (_, i) => ({ pn: i, us: NOW_US - 2_000 * (39 - i) }));
  const view = new AckView();
  let { out, end } = write(ackOf({ largest: 39, lowest: 0, bits: all(40), samples }));
  assert.equal(view.read(out.subarray(0, end), 1), end);
  assert.equal(view.sampleCount, 24);
  assert.equal(view.samplePn(0), 16);
  assert.equal(view.samplePn(23), 39);
  const old = [
    { pn: 3, us: NOW_US - 1_048_600 },
    { pn: 4, us: NOW_US - 1_048_500 },
  ];
  ({ out, end } = write(ackOf({ largest: 39, lowest: 0, bits: all(40), samples: old })));
  assert.equal(view.read(out.subarray(0, end), 1), end);
  assert.equal(view.sampleCount, 1);
  assert.equal(view.samplePn(0), 4);
});

test('the largest possible ACK fits a control packet, and where there is less room the newest part is told', () => {
  const bits = Array.from({ length: MAX_ACK_WINDOW }, (_, i) => i % 2 === 0);
  const samples = Array.from({ length: MAX_ACK_SAMPLES }, (_, i) => ({ pn: MAX_ACK_WINDOW - 1 - 2 * (23 - i), us: NOW_US - 5 }));
  const source = ackOf({ largest: MAX_ACK_WINDOW - 1, lowest: 0, bits, samples });
  const { out, end } = write(source);
  assert.equal(end, 27 + 4 * 24 + 3 + 1024);
  const view = new AckView();
  assert.equal(view.read(out.subarray(0, end), 1), end);
  for (const room of [400, 300, 158, 157, 100, 30, 1, 0]) {
    out.fill(0xee);
    const cut = writeAck(out, 0, room, 1, 2, NOW_US, 0, source);
    if (room < 27 + 96 + 3 + 32) {
      assert.equal(cut, -1);
      assert.ok(out.every((byte) => byte === 0xee));
      continue;
    }
    assert.ok(cut <= room);
    assert.equal(view.read(out.subarray(0, cut), 1), cut);
    assert.equal(view.largest, MAX_ACK_WINDOW - 1);
    assert.equal(view.largest - view.lowest + 1, (room - 126) * 8);
    for (let pn = view.lowest; pn <= view.largest; pn++) assert.equal(view.has(pn), bits[view.largest - pn]);
  }
});

test('runs that do not fit are not written, a bitmap of the newest is if it is worth it', () => {
  const out = new Uint8Array(200).fill(0xee);
  const view = new AckView();
  const whole = ackOf({ largest: 999, lowest: 0, bits: all(1000) });
  assert.equal(writeAck(out, 0, 32, 1, 2, NOW_US, 0, whole), 32);
  assert.equal(writeAck(out.fill(0xee), 0, 31, 1, 2, NOW_US, 0, whole), -1);
  assert.ok(out.every((byte) => byte === 0xee));
  const bits = Array.from({ length: 1000 }, (_, i) => i % 50 !== 49);
  const holed = ackOf({ largest: 999, lowest: 0, bits });
  assert.equal(writeAck(out, 0, 200, 1, 2, NOW_US, 0, holed), 30 + 40);
  assert.equal(writeAck(out, 0, 30 + 39, 1, 2, NOW_US, 0, holed), 30 + 39);
  assert.equal(view.read(out.subarray(0, 69), 1), 69);
  assert.equal(view.lowest, 1000 - 39 * 8);
  for (let pn = view.lowest; pn <= 999; pn++) assert.equal(view.has(pn), bits[999 - pn]);
});

test('an ACK that cannot be true is malformed', () => {
  const bits = [true, false, true, true, false, false, true, true, true, true];
  const { out, end } = write(ackOf({ largest: 109, lowest: 100, bits, samples: [{ pn: 107, us: NOW_US }] }));
  const good = out.slice(0, end);
  const view = new AckView();
  assert.equal(view.read(good, 1), end);
  const windowAt = 27 + 4;
  const cases: Record<string, (bytes: Uint8Array) => unknown> = {
    'the largest is missing': (b) => (b[windowAt + 3] = 0b11001100),
    'a bit behind the window': (b) => (b[windowAt + 4] = 0b111),
    'an empty window': (b) => b.fill(0, windowAt + 1, windowAt + 3),
    'a window before the first packet': (b) => b.set([0, 0, 0, 0, 0, 8], 13),
    'an unknown form': (b) => (b[windowAt] = 2),
    'fewer received in all than in the window': (b) => b.set([0, 0, 0, 0, 0, 6], 19),
    'more received than numbered': (b) => b.set([0, 0, 0, 0, 0, 111], 19),
    'a sample of a missing packet': (b) => (b[28] = 1),
    'a sample before the first packet': (b) => b.set([0, 110], 27),
  };
  for (const [name, spoil] of Object.entries(cases)) {
    const bytes = good.slice();
    spoil(bytes);
    assert.equal(view.read(bytes, 1), -1, name);
  }
  for (let length = 1; length < end; length++) assert.equal(view.read(good.subarray(0, length), 1), -1, `cut to ${length}`);
});

test('24 samples are sound and 25 are not, nor are 8193 packets', () => {
  const { out } = write(ackOf({ largest: 9_999, lowest: 0, bits: all(8192), receivedTotal: 10_000 }));
  const view = new AckView();
  const reads = (samples: number, window: number) => {
    const list = Array.from({ length: samples }, (_, i) => [0, samples - i, 0, samples - i]).flat();
    const bytes = Uint8Array.from([
      ...out.subarray(0, 26),
      samples,
      ...list,
      1,
      window >>> 8,
      window,
      0x80 | (window >>> 8),
      window,
    ]);
    return view.read(bytes, 1) === bytes.length;
  };
  assert.ok(reads(24, 8192));
  assert.ok(!reads(25, 8192));
  assert.ok(!reads(24, 8193));
  assert.ok(!reads(24, 9_999));
});

test('runs that do not fill the window exactly, or are written in a longer way, are malformed', () => {
  const { out } = write(ackOf({ largest: 999, lowest: 0, bits: all(1000) }));
  const view = new AckView();
  const reads = (window: number, ...runs: number[]) => {
    const bytes = Uint8Array.from([...out.subarray(0, 27), 1, window >>> 8, window & 0xff, ...runs]);
    return view.read(bytes, 1) === bytes.length;
  };
  assert.ok(reads(1000, 0x83, 0xe8));
  assert.ok(reads(6, 1, 2, 3));
  assert.ok(!reads(6, 1, 2, 4), 'too long');
  assert.ok(!reads(6, 1, 2), 'too short');
  assert.ok(!reads(6, 1, 0, 2, 3), 'an empty run');
  assert.ok(!reads(6, 0, 6), 'the largest is missing');
  assert.ok(!reads(6, 0x80, 6), 'a long form of a short run');
  assert.ok(!reads(1000, 0x83), 'half a run');
});

test('a clock of 32 bits goes on after any pause, and may be told of out of order', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 45 }),
      fc.array(fc.tuple(fc.integer({ min: 0, max: 2 ** 40 }), fc.integer({ min: -1e9, max: 1e9 })), { maxLength: 20 }),
      (startUs, steps) => {
        const clock = new ClockUnwrap();
        let nowUs = 1e6;
        const first = clock.expand(startUs % 2 ** 32, nowUs);
        let remoteUs = startUs;
        let elapsedUs = 0;
        for (const [pauseUs, delayUs] of steps) {
          nowUs += pauseUs;
          elapsedUs += pauseUs + delayUs;
          remoteUs = startUs + elapsedUs;
          const low = ((remoteUs % 2 ** 32) + 2 ** 32) % 2 ** 32;
          assert.equal(clock.expand(low, nowUs) - first, elapsedUs);
        }
      },
    ),
  );
});

interface Given {
  largest: number;
  lowest: number;
  /** Newest first. */
  bits: boolean[];
  receivedTotal?: number;
  samples?: { pn: number; us: number }[];
}

function ackOf(given: Given): AckSource {
  const samples = given.samples ?? [];
  return {
    largest: given.largest,
    lowest: given.lowest,
    receivedTotal: given.receivedTotal ?? given.bits.filter(Boolean).length,
    sampleCount: samples.length,
    samplePn: (i) => samples[i]!.pn,
    sampleUs: (i) => samples[i]!.us,
    copyBitmap: (into, window) => {
      for (let i = 0; i < window; i++) {
        if (i % 8 === 0) into[i / 8] = 0;
        if (given.bits[i]) into[i >>> 3]! |= 1 << (i & 7);
      }
    },
  };
}

function write(source: AckSource, nowUs = NOW_US): { out: Uint8Array; end: number } {
  const out = new Uint8Array(1200).fill(0xee);
  const end = writeAck(out, 0, out.length, 3, 4, nowUs, 5, source);
  assert.ok(end > 0);
  assert.ok(out.subarray(end).every((byte) => byte === 0xee));
  return { out, end };
}

function all(count: number): boolean[] {
  return new Array<boolean>(count).fill(true);
}
