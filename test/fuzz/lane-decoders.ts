/**
 * Hostile bytes against the lane's decoders. Each input is made from its own seed, so one that fails is replayed alone. Checked
 * of each: nothing is thrown, nothing outside of the input is read, the input stays as it is, a malformed packet tells of
 * nothing, and what a well-formed one tells is within the protocol's bounds and comes back when it is written and read again.
 */
import assert from 'node:assert/strict';
import { type AckSource, type AckView, MAX_ACK_SAMPLES, MAX_ACK_WINDOW } from '../../src/core/lane/ack-frame.ts';
import { MAX_CONTROL_BYTES } from '../../src/core/lane/contract.ts';
import { readFrames } from '../../src/core/lane/frame-reader.ts';
import { FrameWriter } from '../../src/core/lane/frame-writer.ts';
import { type FrameHandler, MAX_REASON_BYTES, PATH_STATES, type StateView } from '../../src/core/lane/frames.ts';
import {
  newHeader,
  newSymbolHead,
  readHeader,
  readSymbolHead,
  symbolBytes,
  writeHeader,
  writeSymbolHead,
} from '../../src/core/lane/wire.ts';
import { type Random, randomFrom } from '../e2e/seed.ts';
import { randomPacket } from './lane-packets.ts';

export interface FuzzResult {
  inputs: number;
  wellFormed: number;
  frames: number;
  headers: number;
  symbols: number;
}

/** Inputs of the seeds `first` to `first + count - 1`. Throws at the first that fails, naming its seed. */
export function fuzzLaneDecoders(first: number, count: number): FuzzResult {
  const result: FuzzResult = { inputs: 0, wellFormed: 0, frames: 0, headers: 0, symbols: 0 };
  for (let seed = first; seed < first + count; seed++) {
    try {
      tryOne(seed, result);
    } catch (cause) {
      throw new Error(`input ${seed} failed: npm run fuzz:lane -- ${seed} 1`, { cause });
    }
  }
  return result;
}

function tryOne(seed: number, result: FuzzResult): void {
  const random = randomFrom(seed * 0x9e37_79b1);
  const input = hostileBytes(random);
  const before = input.slice();
  // One in sixteen behind a guard that notices reads beyond the end, which typed arrays forgive.
  const bytes = seed % 16 === 0 ? guarded(input) : input;
  result.inputs++;
  checkFrames(bytes, result);
  checkHeader(bytes, result);
  checkSymbolHead(bytes, result);
  assert.deepEqual(input, before, 'a decoder changed its input');
}

function checkFrames(bytes: Uint8Array, result: FuzzResult): void {
  const told: unknown[][] = [];
  const wellFormed = readFrames(bytes, checkingHandler(told));
  if (!wellFormed) {
    assert.equal(told.length, 0, 'a malformed packet told of something');
    return;
  }
  result.wellFormed++;
  result.frames += told.length;
  const writer = new FrameWriter();
  const out = new Uint8Array(MAX_CONTROL_BYTES * 2);
  writer.reset(out, out.length);
  readFrames(bytes, rewritingHandler(writer));
  if (told.length === 0) return;
  const again: unknown[][] = [];
  assert.ok(readFrames(out.subarray(0, writer.length), checkingHandler(again)), 'what was read cannot be written');
  assert.deepEqual(again, told);
}

function checkHeader(bytes: Uint8Array, result: FuzzResult): void {
  const header = newHeader();
  if (!readHeader(bytes, header)) {
    assert.deepEqual(header, newHeader());
    return;
  }
  result.headers++;
  const out = new Uint8Array(13);
  writeHeader(out, header);
  for (let i = 0; i < out.length; i++) assert.equal(out[i], bytes[i]);
}

function checkSymbolHead(bytes: Uint8Array, result: FuzzResult): void {
  const head = newSymbolHead();
  if (!readSymbolHead(bytes, head)) {
    assert.deepEqual(head, newSymbolHead());
    return;
  }
  result.symbols++;
  assert.equal(bytes.length, 8 + symbolBytes(head.symbol, head.sourceSymbols, head.lastBytes));
  const out = new Uint8Array(8);
  writeSymbolHead(out, 0, head.block, head.symbol, head.sourceSymbols, head.lastBytes);
  for (let i = 0; i < out.length; i++) assert.equal(out[i], bytes[i]);
}

function checkingHandler(told: unknown[][]): FrameHandler {
  return {
    onAck: (ack) => told.push(['ack', ...checkedAck(ack)]),
    onState: (state) => told.push(['state', ...checkedState(state)]),
    onCredit: (limit) => told.push(['credit', inBits(32, limit)]),
    onStreamCredit: (id, limit) => told.push(['streamCredit', inBits(32, id), inBits(48, limit)]),
    onPathChallenge: (high, low) => told.push(['pathChallenge', inBits(32, high), inBits(32, low)]),
    onPathResponse: (high, low) => told.push(['pathResponse', inBits(32, high), inBits(32, low)]),
    onAckFrequency: (us) => told.push(['ackFrequency', inBits(32, us)]),
    onPing: (id, us) => told.push(['ping', inBits(32, id), inBits(48, us)]),
    onPong: (id, us, delay) => told.push(['pong', inBits(32, id), inBits(48, us), inBits(32, delay)]),
    onResetStream: (id, code) => told.push(['resetStream', inBits(32, id), inBits(16, code)]),
    onPathStatus: (id, state) => {
      assert.ok(PATH_STATES.includes(state));
      told.push(['pathStatus', inBits(32, id), state]);
    },
    onClose: (reason) => {
      assert.match(reason, /^[ -~]*$/);
      assert.ok(reason.length <= MAX_REASON_BYTES);
      told.push(['close', reason]);
    },
  };
}

function checkedAck(ack: AckView): unknown[] {
  inBits(32, ack.pathId);
  inBits(32, ack.sequence);
  inBits(32, ack.ackTimeUs);
  inBits(8, ack.lagMs);
  inBits(48, ack.largest);
  inBits(48, ack.lowest);
  const window = ack.largest - ack.lowest + 1;
  assert.ok(window >= 1 && window <= MAX_ACK_WINDOW);
  assert.ok(ack.has(ack.largest));
  assert.ok(!ack.has(ack.largest + 1) && !ack.has(ack.lowest - 1) && !ack.has(-1) && !ack.has(Number.NaN));
  let bits = '';
  let received = 0;
  for (let pn = ack.lowest; pn <= ack.largest; pn++) {
    const has = ack.has(pn);
    if (has) received++;
    bits += has ? '1' : '0';
  }
  assert.equal(ack.receivedInWindow, received);
  assert.ok(ack.receivedTotal >= received && ack.receivedTotal <= ack.largest + 1);
  assert.ok(ack.sampleCount <= MAX_ACK_SAMPLES);
  const samples: number[] = [];
  for (let i = 0; i < ack.sampleCount; i++) {
    const pn = ack.samplePn(i);
    const us = ack.sampleUs(i);
    assert.ok(pn >= 0 && pn <= ack.largest && (pn < ack.lowest || ack.has(pn)));
    assert.ok(us <= ack.ackTimeUs && us > ack.ackTimeUs - 1_048_576);
    if (i > 0) assert.ok(pn > ack.samplePn(i - 1) && us >= ack.sampleUs(i - 1));
    samples.push(pn, us);
  }
  return [ack.pathId, ack.sequence, ack.ackTimeUs, ack.lagMs, ack.largest, ack.receivedTotal, bits, samples];
}

function checkedState(state: StateView): unknown[] {
  inBits(32, state.completeBelow);
  assert.ok(state.start >= state.completeBelow && state.start + state.count <= 2 ** 32);
  const ranks: number[] = [];
  for (let i = 0; i < state.count; i++) {
    const rank = state.rank(i);
    assert.ok(rank <= 103 || rank === 255, `rank ${rank}`);
    ranks.push(rank);
  }
  return [state.completeBelow, state.start, ranks];
}

function rewritingHandler(writer: FrameWriter): FrameHandler {
  return {
    onAck: (ack) => assert.ok(writer.ack(ack.pathId, ack.sequence, ack.ackTimeUs, ack.lagMs, sourceOf(ack))),
    onState: (state) => {
      const ranks = Uint8Array.from({ length: state.count }, (_, i) => state.rank(i));
      assert.ok(writer.state(state.completeBelow, state.start, ranks, 0, state.count));
    },
    onCredit: (limit) => writer.credit(limit),
    onStreamCredit: (id, limit) => writer.streamCredit(id, limit),
    onPathChallenge: (high, low) => writer.pathChallenge(high, low),
    onPathResponse: (high, low) => writer.pathResponse(high, low),
    onAckFrequency: (us) => writer.ackFrequency(us),
    onPing: (id, us) => writer.ping(id, us),
    onPong: (id, us, delay) => writer.pong(id, us, delay),
    onResetStream: (id, code) => writer.resetStream(id, code),
    onPathStatus: (id, state) => writer.pathStatus(id, state),
    onClose: (reason) => writer.close(reason),
  };
}

function sourceOf(ack: AckView): AckSource {
  return {
    largest: ack.largest,
    lowest: ack.lowest,
    receivedTotal: ack.receivedTotal,
    sampleCount: ack.sampleCount,
    samplePn: (i) => ack.samplePn(i),
    sampleUs: (i) => ack.sampleUs(i),
    copyBitmap(into, window) {
      into.fill(0, 0, (window + 7) >>> 3);
      for (let i = 0; i < window; i++) if (ack.has(ack.largest - i)) into[i >>> 3] = (into[i >>> 3] as number) | (1 << (i & 7));
    },
  };
}

/** A sound packet, mutated or not, or noise. */
function hostileBytes(random: Random): Uint8Array {
  const kind = random.between(0, 10);
  if (kind === 0) return noise(random, random.between(0, 1400));
  if (kind === 1) {
    // Noise that begins like a frame.
    const bytes = noise(random, random.between(1, 200));
    bytes[0] = random.between(0, 13);
    return bytes;
  }
  const packet = randomPacket(random);
  if (kind === 2) return packet;
  return mutated(random, packet, random.between(1, 5));
}

function mutated(random: Random, packet: Uint8Array, times: number): Uint8Array {
  let bytes = packet.slice();
  for (let i = 0; i < times && bytes.length > 0; i++) {
    const at = random.between(0, bytes.length);
    switch (random.between(0, 7)) {
      case 0:
        bytes[at] = (bytes[at] as number) ^ (1 << random.between(0, 8));
        break;
      case 1:
        bytes[at] = random.between(0, 256);
        break;
      case 2:
        bytes[at] = EXTREMES[random.between(0, EXTREMES.length)] as number;
        break;
      case 3:
        bytes.fill(random.between(0, 2) * 255, at, Math.min(bytes.length, at + random.between(1, 7)));
        break;
      case 4:
        bytes = bytes.slice(0, at);
        break;
      case 5:
        bytes = Uint8Array.from([...bytes, ...noise(random, random.between(1, 20))]);
        break;
      default: {
        // A piece taken out, or doubled.
        const to = Math.min(bytes.length, at + random.between(1, 40));
        bytes = Uint8Array.from([...bytes.subarray(0, random.between(0, 2) === 0 ? at : to), ...bytes.subarray(at + 1)]);
      }
    }
  }
  return bytes;
}

function noise(random: Random, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = random.between(0, 256);
  return bytes;
}

function guarded(bytes: Uint8Array): Uint8Array {
  return new Proxy(bytes, {
    get(target, key) {
      if (typeof key === 'string' && /^-?\d/.test(key)) {
        const index = Number(key);
        assert.ok(index >= 0 && index < target.length, `byte ${key} of ${target.length} was read`);
      }
      return Reflect.get(target, key, target);
    },
  });
}

function inBits(bits: number, value: number): number {
  assert.ok(Number.isInteger(value) && value >= 0 && value < 2 ** bits, `${value} in ${bits} bits`);
  return value;
}

const EXTREMES = [0, 1, 0x1f, 0x20, 0x40, 0x67, 0x68, 0x7f, 0x80, 0xfe, 0xff];
