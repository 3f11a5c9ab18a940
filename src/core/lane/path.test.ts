import assert from 'node:assert/strict';
import test from 'node:test';
import { createBlockEncoder } from '../fec/codec.ts';
import { type AckSource, AckView, writeAck } from './ack-frame.ts';
import { BlocksOut } from './blocks-out.ts';
import { DATA_PACKET_BYTES } from './contract.ts';
import { Path } from './path.ts';

test('lost is what three later packets overtook, one of them sent a reordering window later', () => {
  const { path, blocks, send, acknowledge } = sender();
  for (let i = 0; i < 10; i++) send();
  acknowledge((number) => number !== 2, 9);
  // All within 4 ms: it may come yet.
  assert.deepEqual([path.lostPackets, path.inFlightPackets], [0, 1]);
  for (let i = 0; i < 3; i++) send(2000);
  acknowledge((number) => number !== 2, 12);
  assert.deepEqual([path.lostPackets, path.inFlightPackets], [1, 0]);
  assert.equal(blocks.get(0)!.inFlight, 0);
});

test('what comes late after all is found again, and the window for the next grows', () => {
  const { path, send, acknowledge } = sender();
  for (let i = 0; i < 40; i++) send(1000);
  acknowledge((number) => number !== 20, 39);
  assert.equal(path.lostPackets, 1);
  acknowledge(() => true, 39);
  assert.deepEqual([path.lostPackets, path.inFlightPackets], [0, 0]);
  assert.ok(path.reorderUs > 19_000, `${path.reorderUs}`);
});

test('a packet that fell out of sight and is acknowledged after all leaves the network once', () => {
  const { path, blocks, send, acknowledge } = sender();
  for (let i = 0; i < 100; i++) send();
  // An ACK that tells of the last ten only: of the others nobody will say anything, it seems.
  acknowledge(() => true, 99, 90);
  assert.deepEqual([path.inFlightPackets, path.lostPackets], [0, 0]);
  // And then one comes that was overtaken.
  acknowledge(() => true, 89, 50);
  assert.deepEqual([path.inFlightPackets, path.lostPackets], [0, 0]);
  // The block counts on the rest until it is known what the receiver holds.
  assert.deepEqual([blocks.get(0)!.inFlight, blocks.get(0)!.acked], [50, 50]);
  blocks.handleRank(0, 80, false);
  path.endDoubts(blocks);
  assert.deepEqual([blocks.get(0)!.inFlight, blocks.get(0)!.rank], [0, 80]);
});

test('what nobody tells of is given up after a round trip, should the word about it be lost too', () => {
  const { path, blocks, send, acknowledge, now } = sender();
  for (let i = 0; i < 50; i++) send();
  acknowledge(() => true, 49, 40);
  assert.deepEqual([path.inFlightPackets, blocks.get(0)!.inFlight], [0, 40]);
  const timeoutAtUs = path.timeoutAtUs();
  assert.ok(timeoutAtUs > now() && timeoutAtUs < now() + 1e6, `${timeoutAtUs}`);
  assert.equal(path.giveUpOvertaken(blocks), true);
  assert.deepEqual([blocks.get(0)!.inFlight, path.timeouts, path.timeoutAtUs()], [0, 0, Infinity]);
  // Or as soon as a packet is acknowledged that was sent later.
  send(300_000);
  for (let i = 0; i < 49; i++) send();
  acknowledge(() => true, 99, 90);
  assert.equal(blocks.get(0)!.inFlight, 40);
  send(300_000);
  acknowledge(() => true, 100, 100);
  assert.equal(blocks.get(0)!.inFlight, 0);
});

test('what was overtaken by too few is given up after a round trip, without a word about the path', () => {
  const { path, blocks, send, acknowledge } = sender();
  for (let i = 0; i < 3; i++) send();
  acknowledge((number) => number > 0, 2);
  assert.equal(path.inFlightPackets, 1);
  const timeoutAtUs = path.timeoutAtUs();
  assert.ok(timeoutAtUs < 1e6, `${timeoutAtUs}`);
  assert.equal(path.giveUpOvertaken(blocks), true);
  assert.deepEqual([path.inFlightPackets, path.lostPackets, path.timeouts], [0, 1, 0]);
  assert.equal(path.timeoutAtUs(), Infinity);
});

test('silence about the newest is a timeout, a round trip after the first of them was sent', () => {
  const { path, blocks, send, acknowledge, now } = sender();
  send();
  acknowledge(() => true, 0);
  assert.equal(path.timeoutAtUs(), Infinity);
  const sentUs = now();
  for (let i = 0; i < 200; i++) send(1000);
  // That more was sent since puts nothing off.
  assert.equal(path.timeoutAtUs(), sentUs + path.timeoutUs);
  assert.equal(path.giveUpOvertaken(blocks), false);
});

test('a path that may be dead takes nothing with it', () => {
  const { path, blocks, send, acknowledge } = sender();
  for (let i = 0; i < 20; i++) send();
  path.giveUpInFlight(blocks);
  assert.deepEqual([path.inFlightPackets, path.lostPackets, path.suspect], [0, 20, true]);
  send();
  path.giveUpNewest(blocks);
  assert.equal(blocks.get(0)!.inFlight, 0);
  assert.ok(path.timeoutAtUs() < Infinity);
  acknowledge((number) => number === 20, 20);
  assert.equal(path.suspect, false);
  assert.equal(blocks.get(0)!.acked, 1);
});

test('after hours of silence there is still a number for the next packet', () => {
  const { path, blocks, send } = sender(60);
  for (let i = 0; i < 65_535; i++) if (!path.isLogFull) send();
  assert.ok(path.isLogFull);
  path.giveUpOldest(blocks);
  assert.ok(!path.isLogFull);
  assert.ok(path.inFlightPackets > 30_000 && path.inFlightPackets < 33_000);
  assert.equal(blocks.get(0)!.inFlight, path.inFlightPackets);
});

test('packets that were left out or never sent cannot be acknowledged', () => {
  const { send, acknowledge } = sender();
  send();
  assert.match(acknowledge(() => true, 5) ?? '', /never sent/);
  const honest = sender();
  let wrong: string | null = null;
  let sent = 0;
  for (; sent < 2000 && wrong === null; sent++) wrong = honest.acknowledge(() => true, honest.send());
  assert.match(wrong ?? '', /never sent/);
  assert.ok(sent >= 500 && sent <= 1500, `${sent}`);
});

test('an address that is not proven gets three times what came from it', () => {
  const { path } = sender(1, false);
  assert.equal(path.allowsBytes(1), false);
  path.receivedBytes = 1000;
  path.sentBytes = 2000;
  assert.equal(path.allowsBytes(1000), true);
  assert.equal(path.allowsBytes(1001), false);
  path.validated = true;
  path.candidate = { receivedBytes: 100, sentBytes: 250, challengeHigh: 1, challengeLow: 2, challengeDueUs: 0 };
  assert.equal(path.prefersCandidate(50), true);
  assert.equal(path.prefersCandidate(51), false);
  assert.equal(path.allowsBytes(1e9), true);
});

/** A path with packets of one large block; a receiver whose clock is ours. */
test('a path has what leaves together be little while it looks for its rate, and has no say while it carries nothing', () => {
  const { path, send, now } = sender();
  assert.equal(path.mostGatherUs(now() + 1e6), Infinity);
  send();
  assert.equal(path.mostGatherUs(now()), 1000);
  assert.equal(path.mostGatherUs(now() + 1e6), Infinity);
});

function sender(symbols = 103, validated = true) {
  let nowUs = 1000;
  const blocks = new BlocksOut(createBlockEncoder());
  blocks.make(symbols, (out, limit) => out.subarray(0, limit).length);
  const path = new Path(
    0,
    { validated, rttUs: 50_000 },
    {
      nowUs,
      wallClockUs: 0,
      policy: { kind: 'fair' },
      capBytesPerSecond: Infinity,
      // The first number to be left out is far away.
      random: () => 999,
    },
  );
  const view = new AckView();
  let sequence = 0;
  const plain = new Uint8Array(1200);
  const out = new Uint8Array(1400);
  return {
    path,
    blocks,
    now: () => nowUs,
    send(laterUs = 10): number {
      const choice = { block: 0, symbol: path.sentPackets % 255 };
      if (blocks.get(0)) blocks.write(choice, out);
      const number = path.handleSent(nowUs, DATA_PACKET_BYTES, choice);
      nowUs += laterUs;
      return number;
    },
    acknowledge(has: (number: number) => boolean, largest: number, lowest = Math.max(0, largest - 200)): string | null {
      nowUs += 50_000;
      let received = 0;
      for (let i = lowest; i <= largest; i++) if (has(i)) received++;
      const source: AckSource = {
        largest,
        lowest,
        receivedTotal: received,
        sampleCount: 1,
        samplePn: () => largest,
        sampleUs: () => nowUs - 25_000,
        copyBitmap(into, window) {
          into.fill(0, 0, (window + 7) >>> 3);
          for (let i = 0; i < window; i++) if (has(largest - i)) into[i >>> 3]! |= 1 << (i & 7);
        },
      };
      const end = writeAck(plain, 0, plain.length, 0, sequence++, nowUs - 25_000, 0, source);
      assert.equal(view.read(plain, 1), end);
      return path.handleAck(nowUs, view, blocks);
    },
  };
}
