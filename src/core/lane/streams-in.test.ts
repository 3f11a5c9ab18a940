import assert from 'node:assert/strict';
import test from 'node:test';
import type { LaneEvent } from './contract.ts';
import { writeU24, writeU32, writeU48 } from './integers.ts';
import { StreamsIn } from './streams-in.ts';
import { FLAG_END, FLAG_RESET } from './streams-out.ts';

test('pieces come out in order however they come in, each byte once, and then the end', () => {
  let state = 5;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  for (let round = 0; round < 50; round++) {
    const { give, text, events } = reader();
    const pieces: [number, number][] = [];
    for (let offset = 0; offset < 2000; ) {
      const length = Math.min(1 + below(200), 2000 - offset);
      pieces.push([offset, length]);
      offset += length;
    }
    const last = pieces[pieces.length - 1] as [number, number];
    pieces.sort(() => below(2) - 0.5);
    for (const piece of pieces) assert.equal(give(record(0, piece === last ? FLAG_END : 0, ...piece)), null);
    assert.equal(text(0).length, 2000);
    for (let i = 0; i < 2000; i++) assert.equal(text(0)[i], i & 0xff);
    assert.deepEqual(events[events.length - 1], { type: 'end', id: 0 });
    assert.equal(events.filter(({ type }) => type === 'stream').length, 1);
  }
});

test('what is alone in its block is the reader’s to keep, what is little does not hold a block', () => {
  const { give, events } = reader();
  give(record(0, 0, 0, 50_000));
  give(record(0, 0, 50_000, 100), record(2, 0, 0, 50_000), record(2, 0, 100_000, 100));
  give(record(2, 0, 50_000, 50_000));
  const data = events.filter((event) => event.type === 'data');
  assert.equal(data[0]!.exclusive, true);
  for (const { bytes } of data)
    assert.ok(bytes.length * 8 >= bytes.buffer.byteLength, `${bytes.length} of ${bytes.buffer.byteLength}`);
});

test('the largest of a block may take its memory along: nobody else’s bytes are in it', () => {
  const { give, events } = reader();
  give(record(2, 0, 0, 1000), record(0, 0, 0, 90_000), record(4, 0, 500, 1000), record(6, 0, 0, 1000));
  const data = events.filter((event) => event.type === 'data');
  const large = data.find(({ id }) => id === 0)!;
  assert.equal(large.exclusive, true);
  structuredClone(large.bytes.buffer, { transfer: [large.bytes.buffer as ArrayBuffer] });
  give(record(4, 0, 0, 500));
  for (const event of events)
    if (event.type === 'data' && event.id !== 0) assert.ok(event.bytes.length > 0, `stream ${event.id}`);
  // Of two that are alike neither may.
  give(record(8, 0, 0, 40_000), record(10, 0, 0, 40_000));
  const alike = events.filter((event) => event.type === 'data').slice(-2);
  assert.ok(
    alike.every(
      ({ exclusive, bytes }) => !exclusive || bytes.buffer !== alike.find((other) => other.bytes !== bytes)?.bytes.buffer,
    ),
  );
});

test('64 streams that nobody reads hold no more than was allowed for all of them', () => {
  const initialCreditBytes = 1 << 20;
  const totalBytes = 64 << 20;
  const { streams, give, credits } = reader({ initialCreditBytes, totalBytes });
  const offsets = new Map<number, number>();
  let held = 0;
  for (let round = 0; round < 40; round++) {
    for (let id = 0; id < 128; id += 2) {
      const credit = credits.get(id) ?? initialCreditBytes;
      for (let offset = offsets.get(id) ?? 0; offset < credit; offset += 100_000) {
        const length = Math.min(100_000, credit - offset);
        assert.equal(give(record(id, 0, offset, length)), null);
        held += length;
        offsets.set(id, offset + length);
      }
      // One byte taken, so that credit is thought of.
      streams.consumed(id, 1);
      held--;
    }
    streams.tellCredits((id, offset) => credits.set(id, offset) !== undefined);
  }
  assert.ok(held <= totalBytes + 64 * initialCreditBytes, `${held}`);
  assert.ok(held > totalBytes / 2, `${held}`);
});

test('credit comes back when what was lent is taken', () => {
  const { streams, give, credits } = reader({ totalBytes: 32 << 20 });
  for (let id = 0; id < 8; id += 2) {
    give(record(id, 0, 0, 1000));
    streams.consumed(id, 1000);
  }
  const told = tell(streams, credits);
  assert.ok(told > 0);
  const before = credits.get(0) as number;
  for (let offset = 1000; offset < before; offset += 100_000) give(record(0, 0, offset, Math.min(100_000, before - offset)));
  streams.consumed(0, before - 1000);
  tell(streams, credits);
  assert.ok((credits.get(0) as number) >= before + (4 << 20), `${credits.get(0)} after ${before}`);
  // A stream that ends gives back all that it had.
  for (let id = 2; id < 8; id += 2) give(record(id, FLAG_RESET, 0, 0));
  give(record(20, 0, 0, 10));
  streams.consumed(20, 10);
  tell(streams, credits);
  assert.ok((credits.get(20) as number) > 3 << 20, `${credits.get(20)}`);
});

test('credit is told in eight packets, once in each, the first of them at once and the last beyond a burst of losses', () => {
  const { streams, give } = reader();
  give(record(0, 0, 0, 1000), record(2, 0, 0, 1000));
  for (const id of [0, 2]) streams.consumed(id, 1000);
  assert.ok(streams.hasCreditToTell);
  const packets: number[][] = [];
  for (let i = 0; i < 40; i++) {
    const told: number[] = [];
    streams.tellCredits((id) => told.push(id) > 0);
    packets.push(told);
    assert.ok(!streams.hasCreditToTell);
  }
  assert.ok(packets.every((told) => told.length === 0 || told.length === 2));
  assert.deepEqual(
    packets.flatMap((told, i) => (told.length > 0 ? [i + 1] : [])),
    [1, 2, 3, 4, 5, 6, 14, 30],
  );
  // A packet without room tells in the next one.
  give(record(4, 0, 0, 1000));
  streams.consumed(4, 1000);
  streams.tellCredits(() => false);
  assert.ok(streams.hasCreditToTell);
});

test('a reset ends the stream, is told once, and what still comes of it is dropped', () => {
  const { give, events, text } = reader();
  give(record(0, 0, 0, 100));
  give(record(0, FLAG_RESET, 100, 0));
  assert.equal(give(record(0, 0, 100, 100)), null);
  assert.equal(give(record(0, FLAG_RESET, 100, 0)), null);
  assert.equal(text(0).length, 100);
  assert.deepEqual(
    events.map(({ type }) => type),
    ['stream', 'data', 'reset'],
  );
});

test('a reset after the end is news only while there is something left to give up', () => {
  const open = new Set([0]);
  const { give, events } = reader({ isOpenOut: (id) => open.has(id) });
  give(record(0, FLAG_END, 0, 10));
  give(record(0, FLAG_RESET, 10, 0));
  open.clear();
  give(record(0, FLAG_RESET, 10, 0));
  assert.deepEqual(
    events.map(({ type }) => type),
    ['stream', 'data', 'end', 'reset'],
  );
});

test('one stream that lives long does not use up the numbers of the others', () => {
  const { give, events } = reader();
  assert.equal(give(record(0, 0, 0, 1)), null);
  for (let id = 2; id < 100_000; id += 2) assert.equal(give(record(id, FLAG_END, 0, 1)), null);
  assert.equal(events.filter(({ type }) => type === 'stream').length, 50_000);
  // In whatever order they come, within reason.
  for (let id = 102_000; id > 101_000; id -= 2) assert.equal(give(record(id, FLAG_END, 0, 1)), null);
  assert.match(give(record(110_000, FLAG_END, 0, 1)) ?? '', /may not be opened/);
});

test('streams of our own are not the peer’s to count or to open', () => {
  const { streams, give, events } = reader({ maxStreams: 2 });
  for (let id = 1; id < 21; id += 2) streams.open(id);
  for (const id of [0, 2, 4, 6]) assert.equal(give(record(id, 0, 0, 1)), null);
  assert.match(give(record(8, 0, 0, 1)) ?? '', /may not be opened/);
  assert.equal(give(record(3, FLAG_END, 0, 5)), null);
  assert.equal(give(record(99, 0, 0, 5)), null);
  assert.ok(!events.some(({ id }) => id === 99));
});

function reader(options: Partial<ConstructorParameters<typeof StreamsIn>[0]> = {}) {
  const events: Extract<LaneEvent, { readonly id: number }>[] = [];
  const streams = new StreamsIn({
    peerParity: 0,
    initialCreditBytes: 1 << 20,
    windowBytes: 16 << 20,
    totalBytes: 64 << 20,
    maxStreams: 64,
    isOpenOut: () => false,
    emit: (event) => {
      if ('id' in event) events.push(event);
    },
    ...options,
  });
  const give = (...records: Uint8Array[]): string | null => streams.handleBlock(new Uint8Array(Buffer.concat(records)));
  const text = (id: number): Buffer =>
    Buffer.concat(events.flatMap((event) => (event.type === 'data' && event.id === id ? [event.bytes] : [])));
  return { streams, give, events, text, credits: new Map<number, number>() };
}

function tell(streams: StreamsIn, credits: Map<number, number>): number {
  let told = 0;
  streams.tellCredits((id, offset) => {
    told++;
    credits.set(id, offset);
    return true;
  });
  return told;
}

/** Every byte of a stream is its offset's lowest byte. */
function record(id: number, flags: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(14 + length);
  writeU32(bytes, 0, id);
  bytes[4] = flags;
  writeU48(bytes, 5, offset);
  writeU24(bytes, 11, length);
  for (let i = 0; i < length; i++) bytes[14 + i] = (offset + i) & 0xff;
  return bytes;
}
