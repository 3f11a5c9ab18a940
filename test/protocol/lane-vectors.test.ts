import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { readFrames } from '../../src/core/lane/frame-reader.ts';
import type { FrameHandler } from '../../src/core/lane/frames.ts';
import { expandPacketNumber, newHeader, newSymbolHead, readHeader, readSymbolHead } from '../../src/core/lane/wire.ts';
import {
  attemptOf,
  createHello,
  createWelcome,
  heldUs,
  readHello,
  readHelloFrame,
  setAttempt,
  setHeldUs,
} from '../../src/transport/lane/hello.ts';
import { createKeySchedule } from '../../src/transport/lane/keys.ts';
import { NativeMemory } from '../../src/transport/lane/native.ts';
import { createOpen, KIND_CONTROL, KIND_DATA } from '../../src/transport/lane/seal.ts';
import {
  CLIENT,
  HELLO,
  HELLO_REQUEST,
  LANE_SECRET,
  SERVER,
  TICKET,
  TICKET_SECRET,
  WELCOME,
  WELCOME_ANSWER,
} from './hello-vectors.ts';
import { LANE_DOCUMENT, withVectors } from './lane-document.ts';
import { CLIENT_RANDOM, FRAMES, framesOf, PACKETS, SECRET, sealedPacket } from './lane-vectors.ts';

test('the vectors in docs/protocol/lane.md are what the code writes', () => {
  const document = readFileSync(LANE_DOCUMENT, 'utf8');
  assert.equal(document, withVectors(document), 'the wire format changed, or: node test/protocol/write-lane-vectors.ts');
});

test("the driver's keys open the packets that are sealed after the document", () => {
  const schedule = createKeySchedule({ suite: 'aes-128-gcm', secret: SECRET, clientRandom: CLIENT_RANDOM });
  for (const packet of PACKETS) {
    const sealed = sealedPacket(packet);
    const header = newHeader();
    assert.ok(readHeader(sealed, header));
    const { high, low } = schedule.connectionId(packet.direction, packet.pathId);
    assert.deepEqual([header.idHigh, header.idLow], [high, low]);
    assert.equal(header.kind, packet.kind);
    assert.equal(expandPacketNumber(packet.packetNumber - 1, header.packetNumberLow), packet.packetNumber);
    const opener = createOpen('aes-128-gcm', schedule.keys(packet.direction, packet.keyPhase));
    const memory = new NativeMemory(2048);
    memory.bytes.set(sealed, 5);
    const kind = packet.kind === 'data' ? KIND_DATA : KIND_CONTROL;
    assert.ok(opener.open(memory, 5, sealed.length, packet.pathId, kind, packet.packetNumber), packet.what);
    assert.deepEqual(memory.bytes.slice(5 + 13, 5 + 13 + packet.plain.length), packet.plain);
    opener.free();
    if (packet.kind === 'data') assert.ok(readSymbolHead(packet.plain, newSymbolHead()));
    else assert.ok(readFrames(packet.plain, recorder([])));
  }
});

test('hello and welcome of the document are understood by those who have the keys', () => {
  const hello = createHello(TICKET, TICKET_SECRET, HELLO_REQUEST, CLIENT);
  setAttempt(hello.datagram, attemptOf(HELLO));
  assert.deepEqual(Buffer.from(hello.datagram), HELLO);
  const { answer, laneSecret } = hello.read(WELCOME);
  assert.deepEqual([answer, Buffer.from(laneSecret)], [WELCOME_ANSWER, LANE_SECRET]);
  const frame = readHelloFrame(HELLO);
  assert.ok(frame);
  assert.deepEqual(readHello(HELLO, frame, TICKET_SECRET), HELLO_REQUEST);
  const welcome = createWelcome(frame, TICKET_SECRET, SERVER).seal(WELCOME_ANSWER);
  setAttempt(welcome, attemptOf(HELLO));
  setHeldUs(welcome, heldUs(WELCOME));
  assert.equal(heldUs(WELCOME), 1600);
  assert.deepEqual(Buffer.from(welcome), WELCOME);
});

test('the frames of the document say what stands beside them', () => {
  const told: unknown[][] = [];
  for (const { what, write } of FRAMES) assert.ok(readFrames(framesOf(write), recorder(told)), what);
  const [few, many, ...others] = told;
  assert.deepEqual(few, ['ack', 1, 7, 5_000_000, 3, 9, 8, [0, 1, 3, 4, 5, 6, 8, 9], [6, 4_999_200, 9, 4_999_968]]);
  const expected = Array.from({ length: 1000 }, (_, i) => 4_000 + i).filter((pn) => pn < 4_500 || pn > 4_502);
  assert.deepEqual(many, ['ack', 0, 8, 5_000_000, 0, 4_999, 4_800, expected, [4_999, 5_000_000]]);
  assert.deepEqual(others, [
    ['state', 300, 300, [17, 0, 255]],
    ['credit', 364],
    ['streamCredit', 4, 2 ** 32 + 1],
    ['pathChallenge', 0x0102_0304, 0x0506_0708],
    ['pathResponse', 0x0102_0304, 0x0506_0708],
    ['ackFrequency', 25_000],
    ['ping', 9, 5_000_000],
    ['pong', 9, 5_000_000, 150],
    ['resetStream', 4, 2],
    ['pathStatus', 1, 'standby'],
    ['close', 'done'],
  ]);
});

function recorder(told: unknown[][]): FrameHandler {
  return {
    onAck: (ack) => {
      const received: number[] = [];
      for (let pn = ack.lowest; pn <= ack.largest; pn++) if (ack.has(pn)) received.push(pn);
      const samples = Array.from({ length: ack.sampleCount }, (_, i) => [ack.samplePn(i), ack.sampleUs(i)]).flat();
      told.push(['ack', ack.pathId, ack.sequence, ack.ackTimeUs, ack.lagMs, ack.largest, ack.receivedTotal, received, samples]);
    },
    onState: (state) => {
      const ranks = Array.from({ length: state.count }, (_, i) => state.rank(i));
      told.push(['state', state.completeBelow, state.start, ranks]);
    },
    onCredit: (...values) => told.push(['credit', ...values]),
    onStreamCredit: (...values) => told.push(['streamCredit', ...values]),
    onPathChallenge: (...values) => told.push(['pathChallenge', ...values]),
    onPathResponse: (...values) => told.push(['pathResponse', ...values]),
    onAckFrequency: (...values) => told.push(['ackFrequency', ...values]),
    onPing: (...values) => told.push(['ping', ...values]),
    onPong: (...values) => told.push(['pong', ...values]),
    onResetStream: (...values) => told.push(['resetStream', ...values]),
    onPathStatus: (...values) => told.push(['pathStatus', ...values]),
    onClose: (...values) => told.push(['close', ...values]),
  };
}
