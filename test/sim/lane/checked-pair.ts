/**
 * A pair of lanes whose every step is checked: what is delivered is what was written, no packet number is used twice, the accounts
 * of packets and symbols balance. A run is also reduced to one number, so that two runs can be compared.
 */
import type { BlocksOut } from '../../../src/core/lane/blocks-out.ts';
import type { LaneEvent } from '../../../src/core/lane/contract.ts';
import type { Path } from '../../../src/core/lane/path.ts';
import { type LaneEnd, LanePair, type PairOptions, type SimPacket } from './pair.ts';
import { Scheduler } from './scheduler.ts';

type Side = 'client' | 'server';

interface Sending {
  readonly bytes: number;
  written: number;
  queued: number;
  reset: boolean;
}

interface Receiving {
  received: number;
  ended: boolean;
  reset: boolean;
  /** Delivered and not yet taken. */
  pending: number;
}

export class CheckedPair {
  readonly pair: LanePair;
  readonly faults: string[] = [];
  /** Changes with every packet that leaves, its time and its bytes. */
  hash = 0x811c9dc5;
  packets = 0;
  private readonly sending: Record<Side, Map<number, Sending>> = { client: new Map(), server: new Map() };
  private readonly receiving: Record<Side, Map<number, Receiving>> = { client: new Map(), server: new Map() };
  private readonly numbers = new Map<string, number>();
  private readonly seed: number;
  private readonly net: Scheduler;

  constructor(options: PairOptions) {
    this.seed = options.seed;
    this.net = options.scheduler ?? new Scheduler(options.seed);
    this.pair = new LanePair({
      ...options,
      scheduler: this.net,
      tamper: (packet, side) => {
        this.note(packet, side);
        return options.tamper ? options.tamper(packet, side) : packet;
      },
    });
    for (const side of ['client', 'server'] as const) {
      const end = this.pair[side];
      end.keep = false;
      end.onEvent = (event) => this.handle(side, event);
    }
  }

  get nowUs(): number {
    return this.net.nowUs;
  }

  /** Opens a stream of the client on which each end sends so many bytes, the server once it hears of it. */
  exchange(upBytes: number, downBytes: number): number {
    const { client } = this.pair;
    const id = client.lane.openStream();
    this.receiving.client.set(id, { received: 0, ended: false, reset: false, pending: 0 });
    this.receiving.server.set(id, { received: 0, ended: false, reset: false, pending: 0 });
    this.sending.server.set(id, { bytes: downBytes, written: 0, queued: 0, reset: false });
    this.sending.client.set(id, { bytes: upBytes, written: 0, queued: 0, reset: false });
    this.feed('client', id);
    client.pump();
    return id;
  }

  reset(side: Side, id: number): void {
    const sending = this.sending[side].get(id);
    // One cannot give up what one has not heard of.
    if (!sending || (side === 'server' && !this.pair.server.opened.includes(id))) return;
    sending.reset = true;
    (this.receiving[side].get(id) as Receiving).reset = true;
    this.pair[side].lane.reset(id);
    this.pair[side].pump();
  }

  /** With autoConsume off: the reader takes what was delivered. */
  take(side: Side): void {
    for (const [id, receiving] of this.receiving[side]) {
      if (receiving.pending > 0) this.pair[side].lane.consumed(id, receiving.pending);
      receiving.pending = 0;
    }
    this.pair[side].pump();
  }

  received(side: Side, id: number): number {
    return this.receiving[side].get(id)?.received ?? 0;
  }

  get done(): boolean {
    if (this.faults.length > 0 || this.pair.client.closed !== null || this.pair.server.closed !== null) return true;
    for (const side of ['client', 'server'] as const)
      for (const { ended, reset } of this.receiving[side].values()) if (!ended && !reset) return false;
    return true;
  }

  /** Runs to the end of every stream; throws with all that is known when that does not come, or anything was wrong. */
  finish(limitUs: number): void {
    this.pair.until(() => this.done, this.nowUs + limitUs);
    this.checkAccounts();
    const { client, server } = this.pair;
    if (client.closed !== null || server.closed !== null) this.faults.push(`closed: ${client.closed} / ${server.closed}`);
    if (!this.done) this.faults.push(`not done after ${limitUs / 1e6} s: ${this.unfinished()}`);
    if (this.faults.length > 0) throw new Error(`seed ${this.seed}: ${this.faults.slice(0, 5).join('; ')}`);
  }

  /** What was sent is acknowledged, lost, unknown or in flight, and no block has more of anything than there is. */
  checkAccounts(): void {
    for (const side of ['client', 'server'] as const) {
      const { paths, blocksOut } = insides(this.pair[side]);
      const inFlight = new Map<number, number>();
      for (const path of paths) {
        const { log } = path;
        const rings = path as unknown as { blocks: Uint32Array; symbols: Uint8Array };
        let outstanding = 0;
        for (let number = Math.max(0, log.next - rings.blocks.length); number < log.next; number++) {
          if (log.isOutstanding(number)) outstanding++;
          else if (!path.isDoubtful(number)) continue;
          const block = rings.blocks[number % rings.blocks.length] as number;
          inFlight.set(block, (inFlight.get(block) ?? 0) + 1);
        }
        if (outstanding !== path.inFlightPackets)
          this.faults.push(`${side} path ${path.id}: ${path.inFlightPackets} in flight, ${outstanding} in the log`);
        const rate = path.controller.rateBytesPerSecond(this.pair[side].host.clockUs);
        if (!(rate > 0)) this.faults.push(`${side} path ${path.id}: a rate of ${rate}`);
        if (path.lostPackets < 0) this.faults.push(`${side}: ${path.lostPackets} lost`);
      }
      for (let id = blocksOut.lowest; id < blocksOut.next; id++) {
        const block = blocksOut.get(id);
        if (!block) continue;
        if (block.inFlight !== (inFlight.get(id) ?? 0))
          this.faults.push(`${side} block ${id}: ${block.inFlight} in flight, ${inFlight.get(id) ?? 0} in the logs`);
        if (block.rank > block.sourceSymbols || block.acked > block.rank)
          this.faults.push(`${side} block ${id}: rank ${block.rank}`);
      }
    }
  }

  private unfinished(): string {
    const parts: string[] = [];
    for (const side of ['client', 'server'] as const)
      for (const [id, { received, ended, reset }] of this.receiving[side]) {
        const other = side === 'client' ? 'server' : 'client';
        if (!ended && !reset) parts.push(`${side} ${id} has ${received} of ${this.sending[other].get(id)?.bytes}`);
      }
    return parts.join(', ');
  }

  private note(packet: SimPacket, side: Side): void {
    const key = `${side} ${packet.pathId} ${packet.kind}`;
    if (packet.packetNumber <= (this.numbers.get(key) ?? -1)) this.faults.push(`${key}: ${packet.packetNumber} is used again`);
    this.numbers.set(key, packet.packetNumber);
    this.packets++;
    this.mix(Math.round(this.nowUs));
    this.mix(packet.packetNumber);
    for (let i = 0; i < packet.plain.length; i += 97) this.mix(packet.plain[i] as number);
  }

  private mix(value: number): void {
    this.hash = Math.imul(this.hash ^ value, 0x01000193) >>> 0;
  }

  private handle(side: Side, event: LaneEvent): void {
    if (event.type === 'stream') this.feed(side, event.id);
    else if (event.type === 'sent') {
      const sending = this.sending[side].get(event.id);
      if (sending) sending.queued -= event.bytes;
      this.feed(side, event.id);
    } else if (event.type === 'data') this.handleData(side, event.id, event.bytes);
    else if (event.type === 'end') this.handleEnd(side, event.id);
    else if (event.type === 'reset') {
      (this.receiving[side].get(event.id) as Receiving).reset = true;
      (this.sending[side].get(event.id) as Sending).reset = true;
    }
  }

  private feed(side: Side, id: number): void {
    const sending = this.sending[side].get(id);
    if (!sending || sending.reset) return;
    const { lane } = this.pair[side];
    if (sending.bytes === 0 && sending.written === 0) lane.end(id);
    while (sending.written < sending.bytes && sending.queued < QUEUE_BYTES) {
      const length = Math.min(PIECE_BYTES + (id % 7) * 1000, sending.bytes - sending.written);
      lane.write(id, content(side, id, sending.written, length));
      sending.written += length;
      sending.queued += length;
      if (sending.written === sending.bytes) lane.end(id);
    }
  }

  private handleData(side: Side, id: number, bytes: Uint8Array): void {
    const receiving = this.receiving[side].get(id);
    if (!receiving || receiving.ended) {
      this.faults.push(`${side} ${id}: data before the beginning or after the end`);
      return;
    }
    const from = side === 'client' ? 'server' : 'client';
    const wrongAt = firstDifference(bytes, from, id, receiving.received);
    if (wrongAt >= 0) this.faults.push(`${side} ${id}: other bytes at ${receiving.received + wrongAt}`);
    receiving.received += bytes.length;
    receiving.pending += bytes.length;
    if (this.pair[side].autoConsume) receiving.pending = 0;
  }

  private handleEnd(side: Side, id: number): void {
    const receiving = this.receiving[side].get(id) as Receiving;
    const bytes = this.sending[side === 'client' ? 'server' : 'client'].get(id)?.bytes;
    if (receiving.ended || receiving.received !== bytes)
      this.faults.push(`${side} ${id}: ends at ${receiving.received} of ${bytes}`);
    receiving.ended = true;
  }
}

/** What a test may look at of a lane, which nobody else does. */
export function insides(end: LaneEnd): { paths: Path[]; blocksOut: BlocksOut } {
  return end.lane as unknown as { paths: Path[]; blocksOut: BlocksOut };
}

/** The bytes of a stream of one end, from an offset on. */
function content(side: Side, id: number, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const salt = id * 167 + (side === 'client' ? 1 : 2);
  for (let i = 0; i < length; i++) bytes[i] = contentAt(salt, offset + i);
  return bytes;
}

function firstDifference(bytes: Uint8Array, side: Side, id: number, offset: number): number {
  const salt = id * 167 + (side === 'client' ? 1 : 2);
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== contentAt(salt, offset + i)) return i;
  return -1;
}

function contentAt(salt: number, offset: number): number {
  return (offset * 31 + (offset >>> 8) * 17 + (offset >>> 16) * 5 + salt) & 0xff;
}

const QUEUE_BYTES = 1 << 20;
const PIECE_BYTES = 40_000;
