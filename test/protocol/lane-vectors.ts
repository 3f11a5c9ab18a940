/**
 * The byte-exact examples of docs/protocol/lane.md. Keys and sealed packets are made here from the document alone, not by the
 * lane's own code; frames, heads and records are written by it. `node test/protocol/write-lane-vectors.ts` puts them into the
 * document, and lane-vectors.test.ts holds both against the code.
 */
import { createCipheriv, createHmac } from 'node:crypto';
import { writeRepairRow } from '../../src/core/fec/matrix.ts';
import type { AckSource } from '../../src/core/lane/ack-frame.ts';
import { MAX_CONTROL_BYTES } from '../../src/core/lane/contract.ts';
import { FrameWriter } from '../../src/core/lane/frame-writer.ts';
import { expandPacketNumber, type Header, writeHeader, writeSymbolHead } from '../../src/core/lane/wire.ts';
import { helloVectors } from './hello-vectors.ts';

export const SECRET = Uint8Array.from({ length: 32 }, (_, i) => i);
export const CLIENT_RANDOM = Uint8Array.from({ length: 32 }, (_, i) => 32 + i);

export interface FrameVector {
  readonly what: string;
  readonly write: (writer: FrameWriter) => boolean;
}

export interface PacketVector {
  readonly what: string;
  readonly direction: 'c2s' | 's2c';
  readonly pathId: number;
  readonly packetNumber: number;
  readonly keyPhase: number;
  readonly kind: 'data' | 'control';
  readonly ackNow: boolean;
  readonly plain: Uint8Array;
}

/** Arrived: 0 to 9 but for 2 and 7, the last two in one wake-up. */
const FEW: AckSource = account(
  9,
  0,
  8,
  [2, 7],
  [
    [6, 4_999_200],
    [9, 4_999_968],
  ],
);
/** Arrived: 4000 to 4999 but for 4500 to 4502. */
const MANY: AckSource = account(4_999, 4_000, 4_800, [4500, 4501, 4502], [[4_999, 5_000_000]]);

export const FRAMES: readonly FrameVector[] = [
  { what: 'ACK of packets 0 to 9 without 2 and 7, as a bitmap', write: (to) => to.ack(1, 7, 5_000_000, 3, FEW) },
  { what: 'ACK of packets 4000 to 4999 without 4500 to 4502, as runs', write: (to) => to.ack(0, 8, 5_000_000, 0, MANY) },
  {
    what: 'STATE: all below 300 complete; of 300 are 17 symbols held, of 301 none, 302 is complete',
    write: (to) => to.state(300, 300, Uint8Array.of(17, 0, 255), 0, 3),
  },
  { what: 'CREDIT: blocks below 364', write: (to) => to.credit(364) },
  { what: 'STREAM_CREDIT: stream 4 below offset 2^32 + 1', write: (to) => to.streamCredit(4, 2 ** 32 + 1) },
  { what: 'PATH_CHALLENGE', write: (to) => to.pathChallenge(0x0102_0304, 0x0506_0708) },
  { what: 'PATH_RESPONSE', write: (to) => to.pathResponse(0x0102_0304, 0x0506_0708) },
  { what: 'ACK_FREQUENCY: every 25 ms', write: (to) => to.ackFrequency(25_000) },
  { what: 'PING 9 at 5 s', write: (to) => to.ping(9, 5_000_000) },
  { what: 'PONG 9 after 150 microseconds', write: (to) => to.pong(9, 5_000_000, 150) },
  { what: 'RESET_STREAM 4 with code 2', write: (to) => to.resetStream(4, 2) },
  { what: 'PATH_STATUS: path 1 is standby', write: (to) => to.pathStatus(1, 'standby') },
  { what: 'CLOSE', write: (to) => to.close('done') },
];

export const PACKETS: readonly PacketVector[] = [
  {
    what: 'control, c2s, path 0, number 0: PING 0 at 1 s, padded to 16 bytes',
    direction: 'c2s',
    pathId: 0,
    packetNumber: 0,
    keyPhase: 0,
    kind: 'control',
    ackNow: false,
    plain: framesOf((to) => to.ping(0, 1_000_000) && to.padding(16)),
  },
  {
    what: 'data, s2c, path 1, number 2^32 + 5, key phase 1, ACK asked for: block 7 of one symbol with one record',
    direction: 's2c',
    pathId: 1,
    packetNumber: 2 ** 32 + 5,
    keyPhase: 1,
    kind: 'data',
    ackNow: true,
    plain: dataPlain(),
  },
];

/** Rows of the document's packet number table: largest, low half, number. */
const NUMBERS: readonly (readonly [number, number])[] = [
  [-1, 0],
  [4, 5],
  [2 ** 32 - 1, 0],
  [2 ** 32 + 2, 0xffff_fffe],
  [0x1234_5678_9abc, 0x0000_0001],
];

/** The document's part between its two marks. */
export function laneVectors(): string {
  const out: string[] = [];
  const block = (lines: string[]) => out.push('```', ...lines, '```', '');
  out.push('### Keys and ids', '');
  block([
    `secret            ${hex(SECRET)}`,
    `client random     ${hex(CLIENT_RANDOM)}`,
    `PRK, phase 0      ${hex(prk(0))}`,
    `PRK, phase 1      ${hex(prk(1))}`,
    ...(['c2s', 's2c'] as const).flatMap((direction) => [
      `${direction} key, phase 0  ${hex(expand(prk(0), `${direction} key`, 16))}  (aes-128-gcm)`,
      `${direction} iv, phase 0   ${hex(expand(prk(0), `${direction} iv`, 12))}`,
    ]),
    `s2c key, phase 1  ${hex(expand(prk(1), 's2c key', 16))}  (aes-128-gcm)`,
    `s2c iv, phase 1   ${hex(expand(prk(1), 's2c iv', 12))}`,
    `c2s key, phase 0  ${hex(expand(prk(0), 'c2s key', 32))}  (aes-256-gcm, chacha20-poly1305)`,
    ...[0, 1].flatMap((path) => [
      `c2s id, path ${path}    ${hex(expand(prk(0), `cid c2s ${path}`, 8))}`,
      `s2c id, path ${path}    ${hex(expand(prk(0), `cid s2c ${path}`, 8))}`,
    ]),
  ]);
  out.push('### Hello and welcome', '');
  block(helloVectors());
  out.push('### Packets (aes-128-gcm)', '');
  for (const packet of PACKETS) {
    const header = headerOf(packet);
    out.push(`${packet.what}:`, '');
    block([
      `header  ${hex(header)}`,
      `plain   ${hex(packet.plain)}`,
      `nonce   ${hex(nonceOf(packet))}`,
      `sealed  ${hex(sealedPacket(packet))}`,
    ]);
  }
  out.push('### Frames', '');
  for (const { what, write } of FRAMES) {
    out.push(`${what}:`, '');
    block([hex(framesOf(write))]);
  }
  out.push('### Packet numbers', '', '| largest so far | low 32 bits | number |', '|---|---|---|');
  for (const [largest, low] of NUMBERS) {
    out.push(
      `| ${largest < 0 ? 'none' : `0x${largest.toString(16)}`} | 0x${low.toString(16)} | 0x${expandPacketNumber(largest, low).toString(16)} |`,
    );
  }
  out.push('', '### Coefficients', '', 'Repair symbols 3, 4 and 254 of a block of three source symbols:', '');
  block(
    [3, 4, 254].map((symbol) => {
      const row = new Uint8Array(3);
      writeRepairRow(row, 0, 3, symbol);
      return `${symbol}: ${[...row].map((each) => each.toString(16).padStart(2, '0')).join(' ')}`;
    }),
  );
  return out.join('\n');
}

export function headerOf({ direction, pathId, packetNumber, keyPhase, kind, ackNow }: PacketVector): Uint8Array {
  const id = expand(prk(0), `cid ${direction} ${pathId}`, 8);
  const header: Header = {
    kind,
    ackNow,
    probe: false,
    keyPhase: keyPhase % 2 === 1,
    idHigh: id.readUInt32BE(0),
    idLow: id.readUInt32BE(4),
    packetNumberLow: packetNumber,
  };
  const out = new Uint8Array(13);
  writeHeader(out, header);
  return out;
}

export function sealedPacket(packet: PacketVector): Uint8Array {
  const header = headerOf(packet);
  const key = expand(prk(packet.keyPhase), `${packet.direction} key`, 16);
  const cipher = createCipheriv('aes-128-gcm', key, nonceOf(packet));
  cipher.setAAD(header);
  return Buffer.concat([header, cipher.update(packet.plain), cipher.final(), cipher.getAuthTag()]);
}

export function framesOf(write: (writer: FrameWriter) => boolean): Uint8Array {
  const out = new Uint8Array(MAX_CONTROL_BYTES);
  const writer = new FrameWriter();
  writer.reset(out, out.length);
  if (!write(writer)) throw new Error('a vector does not fit');
  return out.slice(0, writer.length);
}

function nonceOf({ direction, pathId, packetNumber, keyPhase, kind }: PacketVector): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32BE(pathId, 0);
  nonce[4] = kind === 'data' ? 0 : 1;
  nonce.writeUIntBE(packetNumber, 6, 6);
  const iv = expand(prk(keyPhase), `${direction} iv`, 12);
  return nonce.map((byte, i) => byte ^ (iv[i] as number));
}

function prk(phase: number): Buffer {
  let secret: Buffer = createHmac('sha256', CLIENT_RANDOM).update(SECRET).digest();
  for (let i = 0; i < phase; i++) secret = expand(secret, 'next', 32);
  return secret;
}

function expand(secret: Uint8Array, label: string, bytes: number): Buffer {
  return createHmac('sha256', secret).update(`hawser lane v1 ${label}`).update(Uint8Array.of(1)).digest().subarray(0, bytes);
}

/** Block 7: one record, the end of stream 0 with "hello" at its offset 0. */
function dataPlain(): Uint8Array {
  const record = Buffer.from(`00000000${'01'}${'000000000000'}${'000005'}${Buffer.from('hello').toString('hex')}`, 'hex');
  const plain = new Uint8Array(8 + record.length);
  writeSymbolHead(plain, 0, 7, 0, 1, record.length);
  plain.set(record, 8);
  return plain;
}

function account(
  largest: number,
  lowest: number,
  receivedTotal: number,
  missing: readonly number[],
  samples: readonly (readonly [number, number])[],
): AckSource {
  return {
    largest,
    lowest,
    receivedTotal,
    sampleCount: samples.length,
    samplePn: (i) => samples[i]?.[0] ?? 0,
    sampleUs: (i) => samples[i]?.[1] ?? 0,
    copyBitmap(into, window) {
      into.fill(0, 0, (window + 7) >>> 3);
      for (let i = 0; i < window; i++) {
        if (!missing.includes(largest - i)) into[i >>> 3] = (into[i >>> 3] as number) | (1 << (i & 7));
      }
    },
  };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
