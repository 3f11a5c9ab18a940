import assert from 'node:assert/strict';
import test from 'node:test';
import type { LaneEvent } from './contract.ts';
import { readU24, readU32, readU48 } from './integers.ts';
import { FLAG_END, FLAG_RESET, RECORD_HEAD_BYTES, StreamsOut } from './streams-out.ts';

test('what is written goes out in order, and the end with the last of it', () => {
  const { streams, fill, events } = queue();
  streams.open(0);
  streams.write(0, bytes(1, 100));
  streams.write(0, bytes(2, 300));
  streams.end(0);
  assert.equal(streams.sendableBytes, 400);
  const records = [...fill(200), ...fill(1000)];
  assert.deepEqual(
    records.map(({ offset, length, flags }) => [offset, length, flags]),
    [
      [0, 186, 0],
      [186, 214, FLAG_END],
    ],
  );
  assert.equal(Buffer.concat(records.map(({ content }) => content)).toString('hex'), '01'.repeat(100) + '02'.repeat(300));
  assert.deepEqual([streams.sendableBytes, streams.queuedBytes, streams.hasWork], [0, 0, false]);
  assert.equal(events.filter(({ type }) => type === 'sent').length, 2);
  // Closed here: what comes later is nobody's.
  streams.write(0, bytes(3, 10));
  assert.equal(streams.hasWork, false);
});

test('a piece is given back when all of it is in blocks, and not before', () => {
  const { streams, fill, events } = queue();
  const freed = () => events.flatMap((event) => (event.type === 'free' ? [event.memory] : []));
  const pieces = [bytes(1, 1000), bytes(2, 1000)];
  streams.open(0);
  for (const piece of pieces) streams.write(0, piece);
  fill(1000);
  assert.deepEqual(freed(), []);
  fill(100);
  assert.equal(freed()[0], pieces[0]);
  assert.equal(freed().length, 1);
  fill(1000);
  assert.deepEqual(freed(), pieces);
});

test('an end without bytes, and one after everything was sent, go out as well', () => {
  const { streams, fill } = queue();
  streams.open(0);
  streams.end(0);
  streams.open(2);
  streams.write(2, bytes(1, 10));
  const first = fill(1000);
  assert.deepEqual(
    first.map(({ id, flags, length }) => [id, flags, length]),
    [
      [0, FLAG_END, 0],
      [2, 0, 10],
    ],
  );
  streams.end(2);
  assert.deepEqual(
    fill(1000).map(({ id, flags, offset }) => [id, flags, offset]),
    [[2, FLAG_END, 10]],
  );
});

test('a stream with much does not keep one with little waiting', () => {
  const { streams, fill } = queue();
  for (const id of [0, 2, 4]) streams.open(id);
  streams.write(0, bytes(0, 900_000));
  streams.write(2, bytes(2, 50));
  streams.write(4, bytes(4, 900_000));
  const block = fill(100_000);
  assert.deepEqual(
    block.map(({ id }) => id),
    [2, 0],
  );
  assert.equal(
    block.reduce((sum, { length }) => sum + length, 0),
    100_000 - 2 * RECORD_HEAD_BYTES,
  );
});

test('those with much go one after another, as they came, and keep their place while they wait for credit', () => {
  const { streams, fill } = queue();
  for (const id of [0, 2, 4]) streams.open(id);
  streams.write(2, bytes(2, 1_200_000));
  streams.write(0, bytes(0, 300_000));
  const next = () => fill(100_000).map(({ id }) => id);
  // Of stream 2 the peer takes 1 MiB for now.
  for (let i = 0; i < 10; i++) assert.deepEqual(next(), [2]);
  assert.deepEqual(next(), [2, 0]);
  streams.write(4, bytes(4, 300_000));
  assert.deepEqual(next(), [0]);
  streams.handleCredit(2, 2 << 20);
  assert.deepEqual([next(), next()], [[2], [2, 0]]);
  assert.deepEqual([next(), next()], [[0], [0, 4]]);
});

test('one that never ends leaves its place to others now and then', () => {
  const { streams, fill } = queue();
  for (const id of [0, 2]) {
    streams.open(id);
    streams.handleCredit(id, 1e9);
  }
  streams.write(0, bytes(0, 20 << 20));
  streams.write(2, bytes(2, 200_000));
  let before = 0;
  while (fill(100_000).every(({ id }) => id === 0)) before++;
  assert.ok(before > 100 && before < 180, `${before}`);
});

test('many with little do not keep one with much waiting either', () => {
  const { streams, fill } = queue();
  streams.open(0);
  streams.write(0, bytes(0, 900_000));
  for (let id = 2; id < 400; id += 2) {
    streams.open(id);
    streams.write(id, bytes(id, 1000));
  }
  const of = (block: Sent[], id: number): number => block.find((each) => each.id === id)?.length ?? 0;
  for (let i = 0; i < 3; i++) {
    const block = fill(100_000);
    assert.ok(of(block, 0) > 45_000, `${of(block, 0)}`);
    assert.ok(block.length > 45);
  }
});

test('no byte beyond the credit is sent, credit is not taken back, and a stream without it is blocked', () => {
  const { streams, fill } = queue();
  streams.open(0);
  streams.write(0, bytes(1, 3 << 20));
  assert.equal(streams.sendableBytes, 1 << 20);
  let sent = 0;
  while (streams.hasWork) for (const { length } of fill(100_000)) sent += length;
  assert.equal(sent, 1 << 20);
  assert.ok(streams.blocked);
  streams.handleCredit(0, 100);
  assert.ok(streams.blocked);
  streams.handleCredit(0, (1 << 20) + 5);
  assert.equal(streams.sendableBytes, 5);
  assert.deepEqual(
    fill(1000).map(({ offset, length }) => [offset, length]),
    [[1 << 20, 5]],
  );
  // Another stream with work does not hide it.
  streams.open(2);
  streams.write(2, bytes(1, 10));
  assert.ok(streams.blocked);
  streams.handleCredit(8, 1e9);
  streams.handleCredit(0, 2 ** 48 - 1);
  assert.ok(!streams.blocked);
});

test('a reset drops what is queued and is told, also when the stream had ended, and nothing follows', () => {
  const { streams, fill } = queue();
  streams.open(0);
  streams.write(0, bytes(1, 500));
  streams.reset(0);
  streams.write(0, bytes(1, 500));
  streams.end(0);
  assert.deepEqual(
    fill(1000).map(({ flags, length }) => [flags, length]),
    [[FLAG_RESET, 0]],
  );
  assert.deepEqual([streams.hasWork, streams.queuedBytes, streams.sendableBytes, streams.blocked], [false, 0, 0, false]);

  streams.open(2);
  streams.end(2);
  fill(1000);
  streams.reset(2);
  assert.deepEqual(
    fill(1000).map(({ id, flags }) => [id, flags]),
    [[2, FLAG_RESET]],
  );
});

test('what the peer gave up is forgotten without a word', () => {
  const { streams, fill } = queue();
  streams.open(0);
  streams.write(0, bytes(1, 3 << 20));
  streams.forget(0);
  streams.forget(8);
  assert.deepEqual([streams.hasWork, streams.queuedBytes, streams.sendableBytes, streams.blocked], [false, 0, 0, false]);
  assert.equal(fill(1000).length, 0);
});

test('many streams, whatever is done with them: sums stay sums', () => {
  let state = 1;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const { streams, fill } = queue();
  for (let step = 0; step < 5000; step++) {
    const id = 2 * below(20);
    const what = below(10);
    if (what < 2) streams.open(id);
    else if (what < 6) streams.write(id, bytes(id, below(200_000)));
    else if (what === 6) streams.handleCredit(id, below(10_000_000));
    else if (what === 7 && below(4) === 0) streams.end(id);
    else if (what === 8 && below(8) === 0) streams.reset(id);
    else if (what === 9 && below(8) === 0) streams.forget(id);
    if (below(3) === 0) fill(1 + below(130_000));
    assert.ok(streams.sendableBytes >= 0 && streams.sendableBytes <= streams.queuedBytes, `step ${step}`);
  }
  for (let id = 0; id < 40; id += 2) streams.forget(id);
  assert.deepEqual([streams.hasWork, streams.queuedBytes, streams.sendableBytes], [false, 0, 0]);
});

interface Sent {
  id: number;
  flags: number;
  offset: number;
  length: number;
  content: Uint8Array;
}

function queue(): { streams: StreamsOut; fill: (limit: number) => Sent[]; events: LaneEvent[] } {
  const events: LaneEvent[] = [];
  const streams = new StreamsOut(1 << 20, (event) => events.push(event));
  const out = new Uint8Array(103 * 1280);
  const fill = (limit: number): Sent[] => {
    const end = streams.fill(out, limit);
    assert.ok(end <= limit);
    const records: Sent[] = [];
    for (let at = 0; at < end; ) {
      const length = readU24(out, at + 11);
      const content = out.slice(at + RECORD_HEAD_BYTES, at + RECORD_HEAD_BYTES + length);
      records.push({ id: readU32(out, at), flags: out[at + 4] as number, offset: readU48(out, at + 5), length, content });
      at += RECORD_HEAD_BYTES + length;
    }
    return records;
  };
  return { streams, fill, events };
}

function bytes(value: number, length: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}
