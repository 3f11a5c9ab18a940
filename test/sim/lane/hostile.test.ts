/** A peer that holds the keys and means no good: it may end its lane, and nothing else. Every case is a seed. */
import assert from 'node:assert/strict';
import test from 'node:test';
import type { AckSource } from '../../../src/core/lane/ack-frame.ts';
import { createLane } from '../../../src/core/lane/connection.ts';
import type { Lane, ReceivedPacket } from '../../../src/core/lane/contract.ts';
import { HEADER_BYTES, SYMBOL_BYTES, TAG_BYTES } from '../../../src/core/lane/contract.ts';
import { FrameWriter } from '../../../src/core/lane/frame-writer.ts';
import { writeU24, writeU32, writeU48 } from '../../../src/core/lane/integers.ts';
import { symbolBytes, writeSymbolHead } from '../../../src/core/lane/wire.ts';
import { CheckedPair } from './checked-pair.ts';
import { LanePair, type SimPacket } from './pair.ts';
import { seededRandom } from './scheduler.ts';

test('random frames, symbols and bytes never throw, hold no more memory than was allowed, and wake nobody for ever', () => {
  let given = 0;
  for (let seed = 1; seed <= SEEDS; seed++) given += new Attack(seed, seed % 3 > 0).run(2000);
  assert.ok(given / SEEDS > 100, `${given / SEEDS} packets until the lane was closed: most of it was never reached`);
});

test('what a peer changes in its own packets ends the lane at most', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = seededRandom(seed);
    const seen: SimPacket[] = [];
    const tamper = (packet: SimPacket): SimPacket | null => {
      if (random() < 0.1) seen[Math.floor(random() * 50)] = packet;
      if (random() < 0.97) return packet;
      const plain = new Uint8Array((random() < 0.3 && seen[Math.floor(random() * 50)]?.plain) || packet.plain);
      for (let i = 1 + Math.floor(random() * 4); i > 0; i--)
        plain[Math.floor(random() * plain.length)] = Math.floor(random() * 256);
      return { ...packet, plain: plain.subarray(0, random() < 0.2 ? Math.floor(random() * plain.length) : plain.length) };
    };
    const pair = new LanePair({ seed, paths: [{ up: { bitsPerSecond: 20e6, delayUs: 10_000, lossRate: 0.05 } }], tamper });
    pair.server.onEvent = (event) => {
      if (event.type === 'stream') pair.send(pair.server, event.id, 100_000);
    };
    for (let i = 0; i < 4; i++) pair.send(pair.client, pair.client.lane.openStream(), 100_000);
    pair.run(5e6);
    assert.ok(pair.client.wakes + pair.server.wakes < 30_000, `seed ${seed}: ${pair.client.wakes + pair.server.wakes} wakes`);
  }
});

test('packets sent again by somebody on the way change nothing', () => {
  const seen: (() => void)[] = [];
  const checked: CheckedPair = new CheckedPair({
    seed: 1,
    paths: [{ up: { bitsPerSecond: 20e6, delayUs: 10_000, lossRate: 0.05 } }],
    tamper: (packet, side) => {
      // The driver drops control packets it has seen; data packets are for the lane to know again.
      if (packet.kind === 'data' && seen.length < 3000) {
        const { host, lane } = side === 'client' ? checked.pair.server : checked.pair.client;
        const copy = {
          ...packet,
          datagramBytes: packet.plain.length + HEADER_BYTES + TAG_BYTES,
          moved: false,
          fromCandidate: false,
        };
        seen.push(() => lane.handlePacket(host.clockUs, copy));
      }
      return packet;
    },
  });
  checked.exchange(1_000_000, 1_000_000);
  checked.pair.run(600_000);
  for (const replay of seen) replay();
  checked.pair.run(1_000_000);
  for (const replay of seen) replay();
  checked.exchange(1_000_000, 1_000_000);
  checked.finish(20e6);
});

test('a peer that acknowledges what it did not get loses its lane', () => {
  const optimist = new Attack(1);
  optimist.greet();
  optimist.writeMuch();
  optimist.send((writer) => optimist.ack(writer, 5, () => true));
  assert.match(optimist.closed ?? '', /acknowledged and never sent/);

  const lucky = new Attack(2, true);
  lucky.greet();
  lucky.writeMuch();
  lucky.lane.write(0, new Uint8Array(9_000_000));
  lucky.send((writer) => writer.credit(1000) && writer.streamCredit(0, 1e9));
  for (let i = 0; i < 4000 && lucky.closed === null; i++) {
    const largest = lucky.drain();
    // Everything up to the newest number seen: one that was left out is among them sooner or later.
    if (largest >= 0) lucky.send((writer) => lucky.ack(writer, largest, () => true));
    lucky.nowUs += 1000;
  }
  assert.match(lucky.closed ?? '', /acknowledged and never sent/);
});

test('blocks beyond the credit, of changing size or with records that cannot be end the lane', () => {
  const cases: Record<string, (attack: Attack) => void> = {
    'beyond the credit': (a) => a.symbol(64, 0, 10, 100),
    'changes its size': (a) => {
      a.symbol(0, 0, 10, 100);
      a.symbol(0, 1, 11, 100);
    },
    'complete below what was never sent': (a) => a.send((writer) => writer.state(1, 1, new Uint8Array(0), 0, 0)),
    'cut off': (a) => a.block(0, new Uint8Array(13)),
    'longer than its block': (a) => a.block(0, record(0, 0, 0, 10, 100)),
    'beyond its stream credit': (a) => a.block(0, record(0, 0, (1 << 20) - 5, 10)),
    'a giant offset': (a) => a.block(0, record(0, 0, 2 ** 48 - 1, 10)),
    'ends twice': (a) => a.block(0, concat(record(0, 1, 100, 10), record(0, 1, 120, 10))),
    'before its end': (a) => a.block(0, concat(record(0, 0, 200, 10), record(0, 1, 100, 10))),
    'behind its end': (a) => a.block(0, concat(record(0, 1, 100, 10), record(0, 0, 200, 10))),
    'overlaps what was delivered': (a) => a.block(0, concat(record(0, 0, 0, 10), record(0, 0, 5, 10))),
    'overlaps what waits': (a) => a.block(0, concat(record(0, 0, 10, 10), record(0, 0, 15, 10), record(0, 0, 0, 10))),
    'a stream far ahead': (a) => a.block(0, record(100_000, 0, 0, 10)),
    'too many streams': (a) => a.block(0, concat(...Array.from({ length: 200 }, (_, i) => record(2 * i, 0, 0, 10)))),
  };
  for (const [name, does] of Object.entries(cases)) {
    const attack = new Attack(1);
    attack.greet();
    assert.equal(attack.closed, null);
    does(attack);
    assert.notEqual(attack.closed, null, name);
  }
});

test('streams the peer has no say in are not opened by it, and nothing answers', () => {
  const attack = new Attack(1);
  attack.greet();
  attack.block(0, record(1, 0, 0, 10));
  attack.block(1, record(7, 2, 0, 0));
  assert.equal(attack.closed, null);
  assert.deepEqual(attack.events, []);
});

test('no more than three times what came from an address goes to it before it is proven', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = seededRandom(seed);
    const attack = new Attack(seed);
    attack.writeMuch();
    for (let i = 0; i < 500; i++) {
      const bytes = 2 + Math.floor(random() * 300);
      attack.send((writer) => {
        writer.ping(i, attack.nowUs);
        writer.pathChallenge(1, 2);
        if (attack.largest >= 0) attack.ack(writer, attack.largest, () => true);
        writer.padding(Math.max(writer.length, bytes));
      });
      attack.drain();
      attack.lane.handleTimer(attack.nowUs);
      assert.ok(attack.sentBytes <= 3 * attack.receivedBytes, `seed ${seed}: ${attack.sentBytes} for ${attack.receivedBytes}`);
      attack.nowUs += random() * 100_000;
    }
    assert.equal(attack.closed, null);
    assert.ok(attack.sentBytes > attack.receivedBytes, 'nothing is answered');
  }
});

test('no more than three times what came from a candidate address goes to it, whatever comes from the old one', () => {
  for (let seed = 1; seed <= 20; seed++) {
    const rebound = new Map<string, number>();
    const pair = new LanePair({ seed, paths: [{ up: { bitsPerSecond: 20e6, delayUs: 20_000, lossRate: 0.05 } }] });
    const { client, server } = pair;
    server.onEvent = (event) => {
      if (event.type === 'stream') pair.send(server, event.id, 10_000_000);
    };
    pair.send(client, client.lane.openStream(), 10_000_000);
    pair.run(500_000 + seed * 1000);
    // Somebody on the way sends one packet on from another address; the client stays where it was.
    let received = 0;
    const handle = server.lane.handlePacket.bind(server.lane);
    server.lane.handlePacket = (nowUs, packet) => {
      const moved = received === 0;
      if (moved) received = packet.datagramBytes;
      handle(nowUs, { ...packet, moved, fromCandidate: false });
    };
    const poll = server.lane.pollTransmit.bind(server.lane);
    let sent = 0;
    server.lane.pollTransmit = (nowUs, out) => {
      const more = poll(nowUs, out);
      const { toCandidate, bytes, kind } = server.lane.transmit;
      if (more && toCandidate) sent += bytes + HEADER_BYTES + TAG_BYTES;
      if (more && toCandidate) rebound.set(kind, (rebound.get(kind) ?? 0) + 1);
      return more;
    };
    pair.run(3e6);
    assert.ok(received > 0 && sent > 0 && sent <= 3 * received, `seed ${seed}: ${sent} for ${received}`);
    assert.equal(server.closed, null);
  }
});

test('a path that is added again under its old number is a mistake of ours', () => {
  const attack = new Attack(1);
  attack.lane.removePath(0, 0);
  assert.throws(() => attack.lane.addPath(0, 0, { validated: true }), /used before/);
});

/** A server's end of a lane, and whoever has the client's keys. */
class Attack {
  readonly lane: Lane;
  nowUs = 1e6;
  closed: string | null = null;
  readonly events: string[] = [];
  sentBytes = 0;
  receivedBytes = 0;
  largest = -1;
  private readonly random: () => number;
  private readonly numbers = { data: 0, control: 0 };
  private readonly out = new Uint8Array(1400);
  private ackSequence = 0;
  private held = 0;
  private skips = false;
  private nextBlock = 0;
  private readonly begun = new Set<number>();
  private readonly offsets = new Map<number, { offset: number; gap: number }>();

  constructor(seed: number, validated = false) {
    this.random = seededRandom(seed);
    this.lane = createLane({
      role: 'server',
      nowUs: this.nowUs,
      wallClockUs: 0,
      policy: { kind: 'fair' },
      random: () => Math.floor(this.random() * 2 ** 32),
    });
    this.lane.addPath(this.nowUs, 0, { validated, rttUs: 20_000 });
  }

  greet(): void {
    this.send((writer) => writer.ping(0, 0) && writer.padding(1200));
    this.drain();
  }

  /** The server has much to send, on a stream that the client opened, and the client's address is proven by what comes. */
  writeMuch(): void {
    this.block(0, record(0, 0, 0, 10));
    this.lane.write(0, new Uint8Array(900_000));
  }

  send(fill: (writer: FrameWriter) => unknown): void {
    const plain = new Uint8Array(1200);
    const writer = new FrameWriter();
    writer.reset(plain, plain.length);
    fill(writer);
    this.give('control', plain.subarray(0, writer.length));
  }

  symbol(block: number, symbol: number, sourceSymbols: number, lastBytes: number): void {
    const plain = new Uint8Array(8 + symbolBytes(symbol, sourceSymbols, lastBytes));
    writeSymbolHead(plain, 0, block, symbol, sourceSymbols, lastBytes);
    this.give('data', plain);
  }

  /** A whole block with this content. */
  block(id: number, content: Uint8Array): void {
    const k = Math.ceil(content.length / SYMBOL_BYTES);
    const last = content.length - (k - 1) * SYMBOL_BYTES;
    for (let i = 0; i < k; i++) {
      const symbol = content.subarray(i * SYMBOL_BYTES, (i + 1) * SYMBOL_BYTES);
      const plain = new Uint8Array(8 + symbol.length);
      writeSymbolHead(plain, 0, id, i, k, last);
      plain.set(symbol, 8);
      this.give('data', plain);
    }
  }

  ack(writer: FrameWriter, largest: number, has: (packetNumber: number) => boolean): boolean {
    const lowest = Math.max(0, largest - 1000);
    const source: AckSource = {
      largest,
      lowest,
      receivedTotal: largest + 1,
      sampleCount: 1,
      samplePn: () => largest,
      sampleUs: () => this.nowUs - 100,
      copyBitmap: (into, window) => {
        into.fill(0, 0, (window + 7) >>> 3);
        for (let i = 0; i < window; i++)
          if (i === 0 || has(largest - i)) into[i >>> 3] = (into[i >>> 3] as number) | (1 << (i & 7));
      },
    };
    return writer.ack(0, this.ackSequence++, this.nowUs, 0, source);
  }

  /** Takes what the server sends; the largest number of its data packets, -1 when none was sent now. */
  drain(): number {
    let largest = -1;
    for (let i = 0; this.lane.pollTransmit(this.nowUs, this.out); i++) {
      assert.ok(i < 5000, 'it sends for ever');
      const { kind, packetNumber, bytes } = this.lane.transmit;
      if (kind === 'data') this.largest = largest = packetNumber;
      this.sentBytes += bytes + HEADER_BYTES + TAG_BYTES;
    }
    this.poll();
    return largest;
  }

  /** Returns how many packets it took until the lane was closed. */
  run(packets: number): number {
    this.skips = true;
    if (this.random() < 0.8) this.greet();
    if (this.random() < 0.8) this.writeMuch();
    let given = 0;
    for (; given < packets && this.closed === null; given++) {
      this.nowUs += this.random() < 0.9 ? this.random() * 5000 : this.random() * 2e6;
      this.attack();
      if (this.random() < 0.5) {
        this.lane.handleTimer(this.nowUs);
        this.drain();
        const next = this.lane.nextWakeUs(this.nowUs);
        assert.ok(!Number.isNaN(next));
      }
      // Everything that is in memory was paid for by credit: blocks once as sources and once as repair, streams by theirs.
      assert.ok(this.held <= (64 + 64) << 20, `${this.held} bytes wait for the reader`);
    }
    this.rest();
    return given;
  }

  /** After the last packet it comes to rest: either it is closed, or it asks now and then. */
  private rest(): void {
    const until = this.nowUs + 60e6;
    let wakes = 0;
    while (this.nowUs < until) {
      this.lane.handleTimer(this.nowUs);
      this.drain();
      const next = this.lane.nextWakeUs(this.nowUs);
      if (next === Number.POSITIVE_INFINITY) break;
      this.nowUs = Math.max(next, this.nowUs + 50);
      assert.ok(++wakes < 60 * 200, 'it does not come to rest');
    }
  }

  /** Mostly what could be, in an order that could be; the longer the lane lives the more of it is reached. */
  private attack(): void {
    const choice = this.random();
    if (choice < 0.5) this.send((writer) => this.frames(writer));
    else if (choice < 0.501) this.give('control', this.bytes(this.below(100)));
    else if (choice < 0.502) this.give('data', this.bytes(this.below(1400)));
    else if (choice < 0.7) {
      // Blocks that hardly ever become whole, each of its own size.
      const block = this.random() < 0.999 ? this.nextBlock + this.below(50) : this.number(32);
      const k = this.random() < 0.999 ? 60 + (block % 40) : 1 + this.below(103);
      this.begun.add(block);
      this.symbol(block, this.below(255), k, 1 + ((block * 7) % 1280));
    } else {
      const records = Array.from({ length: 1 + this.below(5) }, () => this.record());
      while (this.begun.has(this.nextBlock)) this.nextBlock++;
      this.block(this.nextBlock, concat(...records));
    }
  }

  private frames(writer: FrameWriter): void {
    for (let i = 1 + this.below(4); i > 0; i--) {
      const choice = this.below(10);
      if (choice === 0 && this.largest >= 0)
        this.ack(writer, Math.max(0, this.largest - this.below(50)), () => this.random() < 0.5);
      else if (choice === 1 && this.random() < 0.01) this.ack(writer, this.number(48), () => true);
      else if (choice <= 2) {
        const ranks = this.bytes(20).map((rank) => (rank > 103 ? 255 : rank));
        const below = this.random() < 0.998 ? 0 : this.number(32);
        writer.state(below, below + this.below(3), ranks, 0, this.below(20));
      } else if (choice === 3) writer.credit(this.number(32));
      else if (choice === 4) writer.streamCredit(this.near(4), this.number(48));
      else if (choice === 5) writer.pathChallenge(this.number(32), this.number(32));
      else if (choice === 6) writer.pathResponse(this.number(32), this.number(32));
      else if (choice === 7) writer.ackFrequency(this.number(32));
      else if (choice === 8) writer.ping(this.number(32), this.number(48));
      else writer.pong(this.number(32), this.number(48), this.number(32));
    }
  }

  private record(): Uint8Array {
    const id = this.random() < 0.995 ? 2 * this.below(6) : this.near(500);
    const length = this.below(4) * 500;
    const { offset, gap } = this.offsets.get(id) ?? { offset: 0, gap: -1 };
    if (this.random() < 0.002)
      return record(id, this.below(256), this.number(48), length, this.random() < 0.5 ? this.number(24) : length);
    // Sometimes a piece is left out, to come later.
    if (gap >= 0 && this.random() < 0.5) {
      this.offsets.set(id, { offset, gap: -1 });
      return record(id, 0, gap, 500);
    }
    const skips = gap < 0 && this.random() < 0.3;
    this.offsets.set(id, { offset: offset + length + (skips ? 500 : 0), gap: skips ? offset : gap });
    const flags = this.random() < 0.01 ? 1 + this.below(3) : 0;
    return record(id, flags, offset + (skips ? 500 : 0), length);
  }

  private give(kind: 'data' | 'control', plain: Uint8Array): void {
    const number = this.numbers[kind];
    this.numbers[kind] += this.skips && this.random() < 0.05 ? this.below(40) - 10 : 1;
    const datagramBytes = HEADER_BYTES + plain.length + TAG_BYTES;
    const packet: ReceivedPacket = {
      pathId: 0,
      kind,
      packetNumber: Math.max(0, number),
      plain,
      datagramBytes,
      ackNow: this.random() < 0.1,
      moved: false,
      fromCandidate: false,
    };
    this.receivedBytes += datagramBytes;
    this.lane.handlePacket(this.nowUs, packet);
    this.poll();
  }

  private poll(): void {
    for (let event = this.lane.pollEvent(); event; event = this.lane.pollEvent()) {
      if (event.type === 'closed') this.closed = event.reason;
      else if (event.type === 'data') {
        this.held += event.bytes.length;
        if (this.random() < 0.3) {
          this.lane.consumed(event.id, event.bytes.length);
          this.held -= event.bytes.length;
        }
      } else if (event.type !== 'path' && event.type !== 'sent') this.events.push(event.type);
    }
  }

  private below(limit: number): number {
    return Math.floor(this.random() * limit);
  }

  /** Mostly small; seldom anything. */
  private near(limit: number): number {
    return this.random() < 0.995 ? this.below(limit) : this.number(32);
  }

  private number(bits: number): number {
    return Math.floor(2 ** (this.random() * bits)) - 1;
  }

  private bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

function record(id: number, flags: number, offset: number, length: number, saidLength = length): Uint8Array {
  const bytes = new Uint8Array(14 + Math.min(length, saidLength));
  writeU32(bytes, 0, id);
  bytes[4] = flags;
  writeU48(bytes, 5, offset);
  writeU24(bytes, 11, saidLength);
  return bytes;
}

function concat(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const SEEDS = 60;
