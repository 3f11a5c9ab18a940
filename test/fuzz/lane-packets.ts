/** Packets as the lane writes them, of random frames, headers and symbols: what a fuzzer starts from. */
import type { AckSource } from '../../src/core/lane/ack-frame.ts';
import { MAX_CONTROL_BYTES } from '../../src/core/lane/contract.ts';
import { FrameWriter } from '../../src/core/lane/frame-writer.ts';
import { PATH_STATES, RANK_COMPLETE } from '../../src/core/lane/frames.ts';
import { newHeader, symbolBytes, writeHeader, writeSymbolHead } from '../../src/core/lane/wire.ts';
import type { Random } from '../e2e/seed.ts';

/** Mostly a control packet's plaintext; sometimes a data packet's, or a whole datagram with its header. */
export function randomPacket(random: Random): Uint8Array {
  const kind = random.between(0, 8);
  if (kind === 0) return symbol(random);
  if (kind === 1) return datagram(random);
  const out = new Uint8Array(MAX_CONTROL_BYTES);
  const writer = new FrameWriter();
  writer.reset(out, MAX_CONTROL_BYTES);
  for (let left = random.between(1, 5); left > 0; left--) writeFrame(random, writer);
  return out.slice(0, writer.length);
}

function writeFrame(random: Random, writer: FrameWriter): void {
  const u32 = () => random.between(0, 2 ** 32);
  const u48 = () => random.between(0, 2 ** random.between(1, 49));
  const nowUs = u32();
  const frames = [
    () => writer.credit(u32()),
    () => writer.streamCredit(u32(), u48()),
    () => writer.pathChallenge(u32(), u32()),
    () => writer.pathResponse(u32(), u32()),
    () => writer.ackFrequency(u32()),
    () => writer.ping(u32(), u48()),
    () => writer.pong(u32(), u48(), u32()),
    () => writer.resetStream(u32(), random.between(0, 65536)),
    () => writer.pathStatus(u32(), PATH_STATES[random.between(0, PATH_STATES.length)] ?? 'failed'),
    () => writer.close('gone'.repeat(random.between(0, 30))),
    () => writer.padding(Math.min(MAX_CONTROL_BYTES, writer.length + random.between(0, 50))),
    () => writeState(random, writer),
    () => writer.ack(u32(), u32(), nowUs, random.between(0, 300), randomAck(random, nowUs)),
  ];
  // ACKs have the most to go wrong.
  frames[Math.min(random.between(0, frames.length + 4), frames.length - 1)]?.();
}

function writeState(random: Random, writer: FrameWriter): void {
  const completeBelow = random.between(0, 2 ** 32 - 2000);
  const ranks = new Uint8Array(random.between(0, 100));
  for (let i = 0; i < ranks.length; i++) ranks[i] = random.between(0, 3) === 0 ? RANK_COMPLETE : random.between(0, 104);
  writer.state(completeBelow, completeBelow + random.between(0, 700), ranks, 0, ranks.length);
}

function randomAck(random: Random, nowUs: number): AckSource {
  const window = random.between(1, 2 ** random.between(1, random.between(0, 20) === 0 ? 13 : 10));
  const lowest = random.between(0, 2 ** random.between(1, 47));
  const largest = lowest + window - 1;
  const lossPercent = [0, 1, 10, 30, 60][random.between(0, 5)] as number;
  const bits = Uint8Array.from({ length: window }, (_, i) => (i === 0 || random.between(0, 100) >= lossPercent ? 1 : 0));
  const received: number[] = [];
  for (let i = window - 1; i >= 0; i--) if (bits[i] === 1) received.push(largest - i);
  const step = random.between(1, 9);
  const samples = received.filter((_, i) => i % step === 0).slice(-24);
  return {
    largest,
    lowest,
    receivedTotal: random.between(received.length, largest + 2),
    sampleCount: samples.length,
    samplePn: (i) => samples[i] as number,
    sampleUs: (i) => nowUs - 800 * (samples.length - i),
    copyBitmap: (into, count) => {
      into.fill(0, 0, (count + 7) >>> 3);
      for (let i = 0; i < count; i++) if (bits[i] === 1) into[i >>> 3] = (into[i >>> 3] as number) | (1 << (i & 7));
    },
  };
}

function symbol(random: Random): Uint8Array {
  const sourceSymbols = random.between(1, 104);
  const lastBytes = random.between(1, 1281);
  const which = random.between(0, 3) === 0 ? sourceSymbols - 1 : random.between(0, 255);
  const plain = new Uint8Array(8 + symbolBytes(which, sourceSymbols, lastBytes));
  writeSymbolHead(plain, 0, random.between(0, 2 ** 32), which, sourceSymbols, lastBytes);
  return plain;
}

function datagram(random: Random): Uint8Array {
  const bytes = new Uint8Array(random.between(30, 1400));
  const header = newHeader();
  header.kind = random.between(0, 2) === 0 ? 'data' : 'control';
  header.probe = random.between(0, 2) === 0;
  header.packetNumberLow = random.between(0, 2 ** 32);
  writeHeader(bytes, header);
  return bytes;
}
