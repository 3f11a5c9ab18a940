/**
 * The ACK frame: which data packets of one path arrived, and when some of them did by the receiver's clock. Rate control and
 * loss detection read it; that bytes arrive at all hangs on STATE, so an ACK may be lost for ever.
 *
 * The newest `window` packet numbers are a bitmap, bit 0 the largest number, or the lengths of its runs, whichever is shorter.
 * Runs are shorter below about 5 % of loss.
 */
import type { ClockUnwrap } from './clock-unwrap.ts';
import type { Us } from './contract.ts';
import { FRAME } from './frames.ts';
import { readU16, readU32, readU48, writeU16, writeU32, writeU48 } from './integers.ts';

/** What an ACK is written from: an account of arrivals. */
export interface AckSource {
  readonly largest: number;
  /** Packets received since the path began, each counted once. */
  readonly receivedTotal: number;
  /** Whether a packet arrived is told from here up to `largest`. */
  readonly lowest: number;
  /** Arrival samples, oldest first; packet numbers ascend and times do not descend. */
  readonly sampleCount: number;
  samplePn(index: number): number;
  sampleUs(index: number): Us;
  /** Which of the `window` packets up to the largest arrived: bit i of octet i / 8 is packet `largest - i`; bits behind are zero. */
  copyBitmap(into: Uint8Array, window: number): void;
}

/** A received ACK. One object is used again: valid during the call only. */
export class AckView {
  pathId = 0;
  /** Counts the ACKs of the path modulo 2^32: gaps are lost ACKs. */
  sequence = 0;
  /** The receiver's clock as the ACK was written: 32 bits of it until `unwrap` was called. */
  ackTimeUs: Us = 0;
  largest = 0;
  receivedTotal = 0;
  lowest = 0;
  /** How late the receiver's event loop was since the ACK before, at worst; 255 is that or more. */
  lagMs = 0;
  sampleCount = 0;
  /** Of the packets from `lowest` to `largest`. */
  receivedInWindow = 0;
  private plain: Uint8Array = NOTHING;
  private samplesAt = 0;
  /** Where the bitmap lies: in the packet, or expanded from runs. */
  private bits: Uint8Array = NOTHING;
  private bitsAt = 0;
  private readonly expanded = new Uint8Array(MAX_ACK_WINDOW / 8);

  /** Makes `ackTimeUs`, and with it the samples' times, full values of the path's receiver clock. To be called once. */
  unwrap(clock: ClockUnwrap, nowUs: Us): void {
    this.ackTimeUs = clock.expand(this.ackTimeUs, nowUs);
  }

  samplePn(index: number): number {
    return this.largest - readU16(this.plain, this.samplesAt + 4 * index);
  }

  /** To 16 microseconds. */
  sampleUs(index: number): Us {
    return this.ackTimeUs - readU16(this.plain, this.samplesAt + 4 * index + 2) * SAMPLE_UNIT_US;
  }

  /** Whether the packet arrived, as far as this ACK knows: false for every number below `lowest` or above `largest`. */
  has(packetNumber: number): boolean {
    if (!(packetNumber >= this.lowest && packetNumber <= this.largest)) return false;
    const bit = this.largest - packetNumber;
    return (((this.bits[this.bitsAt + (bit >>> 3)] as number) >>> (bit & 7)) & 1) === 1;
  }

  /** Reads the frame whose code is at `at` - 1. Returns where it ends, or -1 when it is malformed; the view then means nothing. */
  read(plain: Uint8Array, at: number): number {
    if (plain.length - at < FIXED_BYTES - 1) return -1;
    this.plain = plain;
    this.pathId = readU32(plain, at);
    this.sequence = readU32(plain, at + 4);
    this.ackTimeUs = readU32(plain, at + 8);
    this.largest = readU48(plain, at + 12);
    this.receivedTotal = readU48(plain, at + 18);
    this.lagMs = plain[at + 24] as number;
    this.sampleCount = plain[at + 25] as number;
    this.samplesAt = at + 26;
    const windowAt = this.samplesAt + 4 * this.sampleCount;
    if (this.sampleCount > MAX_ACK_SAMPLES || plain.length - windowAt < WINDOW_HEAD_BYTES) return -1;
    const form = plain[windowAt] as number;
    const window = readU16(plain, windowAt + 1);
    if (window < 1 || window > MAX_ACK_WINDOW || window > this.largest + 1) return -1;
    this.lowest = this.largest - window + 1;
    const bitsAt = windowAt + WINDOW_HEAD_BYTES;
    let end = -1;
    if (form === FORM_BITMAP) end = this.readBitmap(bitsAt, window);
    else if (form === FORM_RUNS) end = this.readRuns(bitsAt, window);
    if (end < 0 || !this.has(this.largest)) return -1;
    if (this.receivedTotal < this.receivedInWindow || this.receivedTotal > this.largest + 1) return -1;
    return this.samplesAreSound() ? end : -1;
  }

  private readBitmap(at: number, window: number): number {
    const plain = this.plain;
    const end = at + ((window + 7) >>> 3);
    if (end > plain.length) return -1;
    // Bits behind the window are zero, so that a bitmap can be counted and written in one way only.
    if ((window & 7) !== 0 && (plain[end - 1] as number) >>> (window & 7) !== 0) return -1;
    let received = 0;
    for (let i = at; i < end; i++) received += BITS_IN[plain[i] as number] as number;
    this.receivedInWindow = received;
    this.bits = plain;
    this.bitsAt = at;
    return end;
  }

  /** Runs of received and missing packets by turns, newest first, that fill the window exactly. */
  private readRuns(at: number, window: number): number {
    const plain = this.plain;
    this.expanded.fill(0, 0, (window + 7) >>> 3);
    this.bits = this.expanded;
    this.bitsAt = 0;
    let end = at;
    let filled = 0;
    let received = 0;
    for (let present = true; filled < window; present = !present) {
      if (end >= plain.length) return -1;
      let run = plain[end++] as number;
      if (run >= 0x80) {
        if (end >= plain.length) return -1;
        run = ((run & 0x7f) << 8) | (plain[end++] as number);
        if (run < 0x80) return -1;
      }
      if (run === 0 || run > window - filled) return -1;
      if (present) {
        setBits(this.expanded, filled, filled + run);
        received += run;
      }
      filled += run;
    }
    this.receivedInWindow = received;
    return end;
  }

  /** In order, of packets that may exist, and of none that the same ACK says is missing. */
  private samplesAreSound(): boolean {
    let behind = 0x10000;
    let ago = 0xffff;
    for (let i = 0; i < this.sampleCount; i++) {
      const nextBehind = readU16(this.plain, this.samplesAt + 4 * i);
      const nextAgo = readU16(this.plain, this.samplesAt + 4 * i + 2);
      if (nextBehind >= behind || nextAgo > ago || nextBehind > this.largest) return false;
      const packetNumber = this.largest - nextBehind;
      if (packetNumber >= this.lowest && !this.has(packetNumber)) return false;
      behind = nextBehind;
      ago = nextAgo;
    }
    return true;
  }
}

/**
 * Writes an ACK at `at`, up to `end` at most, and returns where it ends; -1 when there is no room, and then nothing was
 * written. Samples too old for their field (1.05 s) are left out; when the whole window does not fit, the newest part of it is
 * written, if that is at least 256 packets.
 */
export function writeAck(
  out: Uint8Array,
  at: number,
  end: number,
  pathId: number,
  sequence: number,
  nowUs: Us,
  lagMs: number,
  source: AckSource,
): number {
  const largest = source.largest;
  const first = firstSample(source, nowUs);
  const samples = source.sampleCount - first;
  const room = end - at - FIXED_BYTES - 4 * samples - WINDOW_HEAD_BYTES;
  let window = Math.min(largest - source.lowest + 1, MAX_ACK_WINDOW);
  source.copyBitmap(collected, window);
  const runBytes = bytesAsRuns(window);
  const asRuns = runBytes < (window + 7) >>> 3 && runBytes <= room;
  if (!asRuns && (window + 7) >>> 3 > room) {
    // To whole octets, so that nothing lies behind it.
    window = Math.min(window, room * 8);
    if (window < SMALLEST_CUT_WINDOW) return -1;
  }
  out[at] = FRAME.ack;
  writeU32(out, at + 1, pathId);
  writeU32(out, at + 5, sequence);
  writeU32(out, at + 9, Math.floor(nowUs));
  writeU48(out, at + 13, largest);
  writeU48(out, at + 19, source.receivedTotal);
  out[at + 25] = Math.max(0, Math.min(Math.ceil(lagMs), 255));
  out[at + 26] = samples;
  let next = at + FIXED_BYTES;
  for (let i = first; i < source.sampleCount; i++, next += 4) {
    writeU16(out, next, largest - source.samplePn(i));
    writeU16(out, next + 2, unitsAgo(nowUs, source.sampleUs(i)));
  }
  out[next] = asRuns ? FORM_RUNS : FORM_BITMAP;
  writeU16(out, next + 1, window);
  next += WINDOW_HEAD_BYTES;
  return asRuns ? writeRuns(out, next, window) : writeBitmap(out, next, window);
}

/** The oldest sample that can be told. */
function firstSample(source: AckSource, nowUs: Us): number {
  let first = Math.max(0, source.sampleCount - MAX_ACK_SAMPLES);
  while (
    first < source.sampleCount &&
    (source.largest - source.samplePn(first) > 0xffff || unitsAgo(nowUs, source.sampleUs(first)) > 0xffff)
  ) {
    first++;
  }
  return first;
}

function unitsAgo(nowUs: Us, sampleUs: Us): number {
  return Math.max(0, Math.round((Math.floor(nowUs) - sampleUs) / SAMPLE_UNIT_US));
}

/** Bytes that `collected` has as runs. */
function bytesAsRuns(window: number): number {
  let bytes = 0;
  for (let from = 0, present = true; from < window; present = !present) {
    const to = runEnd(from, window, present);
    bytes += to - from < 0x80 ? 1 : 2;
    from = to;
  }
  return bytes;
}

function writeRuns(out: Uint8Array, at: number, window: number): number {
  for (let from = 0, present = true; from < window; present = !present) {
    const to = runEnd(from, window, present);
    const run = to - from;
    if (run >= 0x80) out[at++] = 0x80 | (run >>> 8);
    out[at++] = run;
    from = to;
  }
  return at;
}

/** Where the run of received or missing packets that begins at bit `from` of `collected` ends. */
function runEnd(from: number, window: number, present: boolean): number {
  const same = present ? 0xff : 0;
  let to = from + 1;
  while (to < window) {
    const octet = collected[to >>> 3] as number;
    if (octet === same) {
      to = (to | 7) + 1;
      continue;
    }
    // The first bit from here on that differs, within this octet or not.
    const differing = (octet ^ same) >>> (to & 7);
    if (differing !== 0) return to + 31 - Math.clz32(differing & -differing);
    to = (to | 7) + 1;
  }
  return window;
}

function writeBitmap(out: Uint8Array, at: number, window: number): number {
  const octets = (window + 7) >>> 3;
  for (let i = 0; i < octets; i++) out[at + i] = collected[i] as number;
  return at + octets;
}

function setBits(bits: Uint8Array, from: number, to: number): void {
  while (from < to) {
    const bit = from & 7;
    const count = Math.min(8 - bit, to - from);
    bits[from >>> 3] = (bits[from >>> 3] as number) | (((1 << count) - 1) << bit);
    from += count;
  }
}

/** Most packets that an ACK tells of. */
export const MAX_ACK_WINDOW = 8192;
export const MAX_ACK_SAMPLES = 24;
/** Code, path, sequence, time, largest, total, lag and the number of samples. */
const FIXED_BYTES = 27;
/** Form and window. */
const WINDOW_HEAD_BYTES = 3;
const FORM_BITMAP = 0;
const FORM_RUNS = 1;
const SAMPLE_UNIT_US = 16;
/** Less would leave out packets that no ACK before told of. */
const SMALLEST_CUT_WINDOW = 256;
const NOTHING = new Uint8Array(0);
const BITS_IN = Uint8Array.from({ length: 256 }, (_, octet) => {
  let bits = 0;
  for (let left = octet; left !== 0; left &= left - 1) bits++;
  return bits;
});
/** The window of the ACK that is being written: one for all, since nothing is written in between. */
const collected = new Uint8Array(MAX_ACK_WINDOW / 8);
