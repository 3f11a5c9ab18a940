import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { AckSource } from './ack-frame.ts';
import { MAX_CONTROL_BYTES } from './contract.ts';
import { readFrames } from './frame-reader.ts';
import { FrameWriter } from './frame-writer.ts';
import { FRAME, type FrameHandler, MAX_ACKS_PER_PACKET, PATH_STATES, RANK_COMPLETE, STATE_HEAD_BYTES } from './frames.ts';

type Told = readonly unknown[];
/** A frame to write, and what its reader has to be told. */
interface Given {
  readonly told: Told | null;
  readonly write: (writer: FrameWriter) => boolean;
}

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u48 = fc.oneof(fc.integer({ min: 0, max: 2 ** 48 - 1 }), fc.constantFrom(0, 2 ** 32, 2 ** 48 - 1));
const ranks = fc
  .uint8Array({ max: 104, maxLength: 300 })
  .map((bytes) => bytes.map((rank) => (rank === 104 ? RANK_COMPLETE : rank)));

const frame: fc.Arbitrary<Given> = fc.oneof(
  fc
    .tuple(u32, u32, u32, fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 300 }))
    .map(([path, sequence, now, count, lag]) => ({
      told: ['ack', path, sequence, now, count + 6, count, Math.min(lag, 255)],
      write: (writer: FrameWriter) => writer.ack(path, sequence, now, lag, every(count)),
    })),
  fc.tuple(fc.integer({ min: 0, max: 2 ** 31 }), fc.integer({ min: 0, max: 700 }), ranks).map(([below, further, held]) => ({
    told: ['state', below, below + further, [...held]],
    write: (writer: FrameWriter) => writer.state(below, below + further, Uint8Array.of(9, ...held), 1, held.length),
  })),
  u32.map((limit) => ({ told: ['credit', limit], write: (writer: FrameWriter) => writer.credit(limit) })),
  fc.tuple(u32, u48).map(([id, limit]) => ({
    told: ['streamCredit', id, limit],
    write: (writer: FrameWriter) => writer.streamCredit(id, limit),
  })),
  fc.tuple(u32, u32).map(([high, low]) => ({
    told: ['pathChallenge', high, low],
    write: (writer: FrameWriter) => writer.pathChallenge(high, low),
  })),
  fc.tuple(u32, u32).map(([high, low]) => ({
    told: ['pathResponse', high, low],
    write: (writer: FrameWriter) => writer.pathResponse(high, low),
  })),
  u32.map((us) => ({ told: ['ackFrequency', us], write: (writer: FrameWriter) => writer.ackFrequency(us) })),
  fc.tuple(u32, u48).map(([id, us]) => ({ told: ['ping', id, us], write: (writer: FrameWriter) => writer.ping(id, us + 0.25) })),
  fc.tuple(u32, u48, u32).map(([id, us, delay]) => ({
    told: ['pong', id, us, delay],
    write: (writer: FrameWriter) => writer.pong(id, us, delay),
  })),
  fc.tuple(u32, fc.integer({ min: 0, max: 0xffff })).map(([id, code]) => ({
    told: ['resetStream', id, code],
    write: (writer: FrameWriter) => writer.resetStream(id, code),
  })),
  fc.tuple(u32, fc.constantFrom(...PATH_STATES)).map(([id, state]) => ({
    told: ['pathStatus', id, state],
    write: (writer: FrameWriter) => writer.pathStatus(id, state),
  })),
  fc
    .string({ maxLength: 120 })
    .map((reason) => ({ told: ['close', reason], write: (writer: FrameWriter) => writer.close(reason) })),
  fc.integer({ min: 0, max: 9 }).map((bytes) => ({
    told: null,
    write: (writer: FrameWriter) => writer.padding(writer.length + bytes),
  })),
);

test('frames come out as they went in and in their order, as many as fit', () => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 30 }), fc.integer({ min: 1, max: MAX_CONTROL_BYTES }), (frames, limit) => {
      const out = new Uint8Array(MAX_CONTROL_BYTES + 50).fill(0xee);
      const writer = new FrameWriter();
      writer.reset(out, limit);
      const expected: Told[] = [];
      for (const { told, write } of frames) {
        const before = out.slice();
        const lengthBefore = writer.length;
        if (write(writer)) {
          if (told) expected.push(told);
        } else {
          assert.deepEqual(out, before, 'a frame that does not fit writes nothing');
          assert.equal(writer.length, lengthBefore);
        }
        assert.equal(writer.remaining, limit - writer.length);
        assert.ok(writer.remaining >= 0);
      }
      assert.ok(out.subarray(writer.length).every((byte) => byte === 0xee));
      const told: Told[] = [];
      assert.equal(readFrames(out.subarray(0, writer.length), recorder(told)), writer.length > 0);
      assert.deepEqual(told, expected);
    }),
    { numRuns: 500 },
  );
});

test('a packet that is cut within its last frame tells of none', () => {
  fc.assert(
    fc.property(fc.array(frame, { minLength: 1, maxLength: 5 }), (frames) => {
      const out = new Uint8Array(MAX_CONTROL_BYTES);
      const writer = new FrameWriter();
      writer.reset(out, out.length);
      let lastAt = 0;
      for (const { write } of frames) {
        const at = writer.length;
        if (write(writer) && writer.length > at) lastAt = at;
      }
      fc.pre(writer.length > 0 && out[lastAt] !== FRAME.padding);
      for (let length = lastAt + 1; length < writer.length; length++) {
        assert.ok(!readFrames(out.subarray(0, length), recorder(null)), `cut to ${length} of ${writer.length}`);
      }
    }),
    { numRuns: 200 },
  );
});

test('an unknown frame at the end undoes the sound ones before it', () => {
  for (let code = FRAME.close + 1; code < 256; code++) {
    assert.ok(!readFrames(Uint8Array.of(FRAME.credit, 0, 0, 0, 1, code), recorder(null)));
  }
});

test('values that cannot be are malformed', () => {
  const state = (below: number, start: number, ...held: number[]) => {
    const bytes = new Uint8Array(STATE_HEAD_BYTES + held.length);
    const writer = new FrameWriter();
    writer.reset(bytes, bytes.length);
    assert.ok(writer.state(below, start, Uint8Array.from(held), 0, held.length));
    return bytes;
  };
  const cases: Record<string, Uint8Array> = {
    'no frame': new Uint8Array(0),
    'a rank between the largest and complete': state(0, 0, 5, 104),
    'a rank one below complete': state(0, 0, 254),
    'ranks of blocks below the mark': state(8, 7, 1),
    'blocks beyond the last': state(0, 0xffff_ffff, 1, 1),
    'an unknown path state': Uint8Array.of(FRAME.pathStatus, 0, 0, 0, 1, 5),
    'a reason of 121 bytes': Uint8Array.from([FRAME.close, 121, ...new Array(121).fill(0x61)]),
    'a reason with a line feed': Uint8Array.of(FRAME.close, 1, 0x0a),
    'a reason beyond ASCII': Uint8Array.of(FRAME.close, 1, 0x80),
  };
  for (const [name, bytes] of Object.entries(cases)) assert.ok(!readFrames(bytes, recorder(null)), name);
  assert.ok(readFrames(state(8, 8, 0, 103, 255), recorder([])));
  assert.ok(readFrames(state(0, 0xffff_ffff, 1), recorder([])));
});

test('one packet has eight ACKs at most', () => {
  const out = new Uint8Array(MAX_CONTROL_BYTES);
  const writer = new FrameWriter();
  writer.reset(out, out.length);
  for (let i = 0; i < MAX_ACKS_PER_PACKET; i++) assert.ok(writer.ack(i, 0, 0, 0, every(1)));
  assert.ok(!writer.ack(9, 0, 0, 0, every(1)));
  const bytes = out.slice(0, writer.length);
  assert.ok(readFrames(bytes, recorder([])));
  const more = Uint8Array.from([...bytes, ...bytes.subarray(0, bytes.length / MAX_ACKS_PER_PACKET)]);
  assert.ok(!readFrames(more, recorder(null)));
});

test('a reason is cut to 120 characters and made printable ASCII', () => {
  const writer = new FrameWriter();
  const out = new Uint8Array(MAX_CONTROL_BYTES);
  writer.reset(out, out.length);
  assert.ok(writer.close(`né\n\ud83d\ude00 ${'x'.repeat(200)}`));
  const told: Told[] = [];
  assert.ok(readFrames(out.subarray(0, writer.length), recorder(told)));
  assert.deepEqual(told, [['close', `n???? ${'x'.repeat(114)}`]]);
});

test('padding fills to the length asked for, which may be all there is', () => {
  const out = new Uint8Array(100).fill(0xee);
  const writer = new FrameWriter();
  writer.reset(out, 100);
  assert.ok(writer.credit(7));
  assert.ok(!writer.padding(101));
  assert.ok(writer.padding(3));
  assert.equal(writer.length, 5);
  assert.ok(writer.padding(100));
  assert.equal(writer.remaining, 0);
  const told: Told[] = [];
  assert.ok(readFrames(out, recorder(told)));
  assert.deepEqual(told, [['credit', 7]]);
});

/** Packets 7 to count + 6, all of them there. */
function every(count: number): AckSource {
  return {
    largest: count + 6,
    lowest: 7,
    receivedTotal: count,
    sampleCount: 0,
    samplePn: () => 0,
    sampleUs: () => 0,
    copyBitmap: (into, window) => {
      into.fill(0xff, 0, window >>> 3);
      if (window % 8 > 0) into[window >>> 3] = (1 << (window % 8)) - 1;
    },
  };
}

/** Keeps what a handler is told; null: it must not be told anything. */
function recorder(told: Told[] | null): FrameHandler {
  const keep = (...what: unknown[]) => {
    if (told === null) assert.fail(`told of ${what[0]}`);
    told.push(what);
  };
  return {
    onAck: (a) => keep('ack', a.pathId, a.sequence, a.ackTimeUs, a.largest, a.receivedInWindow, a.lagMs),
    onState: (s) => {
      keep(
        'state',
        s.completeBelow,
        s.start,
        Array.from({ length: s.count }, (_, i) => s.rank(i)),
      );
    },
    onCredit: (limit) => keep('credit', limit),
    onStreamCredit: (id, limit) => keep('streamCredit', id, limit),
    onPathChallenge: (high, low) => keep('pathChallenge', high, low),
    onPathResponse: (high, low) => keep('pathResponse', high, low),
    onAckFrequency: (us) => keep('ackFrequency', us),
    onPing: (id, us) => keep('ping', id, us),
    onPong: (id, us, delay) => keep('pong', id, us, delay),
    onResetStream: (id, code) => keep('resetStream', id, code),
    onPathStatus: (id, state) => keep('pathStatus', id, state),
    onClose: (reason) => keep('close', reason),
  };
}
