/** Two ends of a lane over simulated links: what a driver does, in virtual time, without sockets, keys or threads. */

import { createLane } from '../../../src/core/lane/connection.ts';
import type { Lane, LaneEvent, LanePolicy, PacketKind, PathOptions } from '../../../src/core/lane/contract.ts';
import { HEADER_BYTES, IP_UDP_BYTES, TAG_BYTES } from '../../../src/core/lane/contract.ts';
import { type HostOptions, type LinkOptions, SimHost, SimLink } from './network.ts';
import { Scheduler, seededRandom } from './scheduler.ts';

export interface PairOptions {
  readonly seed: number;
  /** One for each path: both directions alike, or each its own. */
  readonly paths: readonly PathLinks[];
  readonly client?: Partial<HostOptions>;
  readonly server?: Partial<HostOptions>;
  readonly policy?: LanePolicy;
  readonly capBytesPerSecond?: number;
  readonly receiveWindowBytes?: number;
  readonly redundant?: boolean;
  readonly trace?: (side: 'client' | 'server', line: string) => void;
  /** Changes packets on their way (or drops them: null): a hostile network or peer, behind the seal. */
  readonly tamper?: (packet: SimPacket, side: 'client' | 'server') => SimPacket | null;
  readonly scheduler?: Scheduler;
  /** Of the client's end of each path. */
  readonly clientPath?: Partial<PathOptions>;
  readonly serverPath?: Partial<PathOptions>;
  /** The server begins as real ones do, who know nothing of the round trip. */
  readonly serverGuesses?: boolean;
}

export interface PathLinks {
  readonly up: Partial<LinkOptions> | SimLink;
  readonly down?: Partial<LinkOptions> | SimLink;
}

export interface SimPacket {
  readonly pathId: number;
  readonly kind: PacketKind;
  readonly packetNumber: number;
  readonly plain: Uint8Array;
  readonly ackNow: boolean;
  readonly address: number;
}

export class LaneEnd {
  readonly lane: Lane;
  readonly host: SimHost;
  /** Content of each stream, if it is kept; otherwise only its length is counted. */
  readonly received = new Map<number, Uint8Array[]>();
  readonly receivedBytes = new Map<number, number>();
  readonly ended = new Set<number>();
  readonly opened: number[] = [];
  closed: string | null = null;
  wakes = 0;
  sentPackets = 0;
  keep = true;
  autoConsume = true;
  address = 1;
  onEvent: ((event: LaneEvent) => void) | null = null;
  peer!: LaneEnd;
  readonly out: SimLink[] = [];
  private readonly net: Scheduler;
  private readonly side: 'client' | 'server';
  private readonly pair: PairOptions;
  private readonly buffer = new Uint8Array(1400);
  private wakeAtUs = Number.POSITIVE_INFINITY;
  private wakeSerial = 0;
  private peerAddress = 1;
  private candidate = 0;
  private readonly largest = new Map<number, number>();

  constructor(net: Scheduler, side: 'client' | 'server', pair: PairOptions) {
    this.net = net;
    this.side = side;
    this.pair = pair;
    this.host = new SimHost(net, side === 'client' ? pair.client : pair.server);
    const random = seededRandom(pair.seed * 7 + (side === 'client' ? 1 : 2));
    const { trace } = pair;
    this.lane = createLane({
      role: side,
      nowUs: this.host.clockUs,
      wallClockUs: net.nowUs,
      policy: pair.policy ?? { kind: 'fair' },
      random: () => Math.floor(random() * 2 ** 32),
      ...(pair.capBytesPerSecond === undefined ? {} : { capBytesPerSecond: pair.capBytesPerSecond }),
      ...(pair.redundant ? { redundant: true } : {}),
      ...(pair.receiveWindowBytes === undefined ? {} : { receiveWindowBytes: pair.receiveWindowBytes }),
      ...(trace ? { trace: (event) => trace(side, `${event.name} ${JSON.stringify(event.data)}`) } : {}),
    });
    this.host.onLag = (lagUs) => this.lane.handleLag(this.host.clockUs, lagUs);
    this.host.onWake = () => this.pump();
  }

  /** Sends what may be sent, tells the events, and plans the next wake-up. */
  pump(): void {
    const { lane } = this;
    const now = this.host.clockUs;
    lane.handleTimer(now);
    this.drain();
    while (lane.pollTransmit(now, this.buffer)) {
      this.sentPackets++;
      const { pathId, kind, packetNumber, bytes, ackNow, toCandidate } = lane.transmit;
      let packet: SimPacket | null = {
        pathId,
        kind,
        packetNumber,
        plain: new Uint8Array(this.buffer.subarray(0, bytes)),
        ackNow,
        address: this.address,
      };
      if (this.pair.tamper) packet = this.pair.tamper(packet, this.side);
      const to = toCandidate ? this.candidate : this.peerAddress;
      if (packet && to === this.peer.address) this.transmit(packet);
    }
    this.drain();
    const next = lane.nextWakeUs(now);
    if (next < Number.POSITIVE_INFINITY) this.wakeAt(Math.max(this.net.nowUs + 50, this.net.nowUs + (next - now)));
  }

  private transmit(packet: SimPacket): void {
    const bytes = HEADER_BYTES + packet.plain.length + TAG_BYTES;
    const link = this.out[packet.pathId] as SimLink;
    link.send(bytes + IP_UDP_BYTES, () => this.peer.host.receive(bytes, () => this.peer.handle(packet, bytes)));
  }

  private handle(packet: SimPacket, datagramBytes: number): void {
    const key = packet.pathId * 2 + (packet.kind === 'data' ? 0 : 1);
    const newest = packet.packetNumber > (this.largest.get(key) ?? -1);
    if (newest) this.largest.set(key, packet.packetNumber);
    const elsewhere = packet.address !== this.peerAddress;
    const fromCandidate = elsewhere && packet.address === this.candidate;
    const moved = newest && elsewhere && !fromCandidate;
    if (moved) this.candidate = packet.address;
    this.lane.handlePacket(this.host.clockUs, { ...packet, datagramBytes, moved, fromCandidate });
  }

  private wakeAt(atUs: number): void {
    if (this.wakeAtUs <= atUs && this.wakeAtUs > this.net.nowUs) return;
    this.wakeAtUs = atUs;
    const serial = ++this.wakeSerial;
    this.host.timer(atUs, () => {
      if (serial !== this.wakeSerial) return;
      this.wakes++;
      this.wakeAtUs = Number.POSITIVE_INFINITY;
      this.pump();
    });
  }

  private drain(): void {
    for (let event = this.lane.pollEvent(); event; event = this.lane.pollEvent()) {
      if (event.type === 'data') {
        this.receivedBytes.set(event.id, (this.receivedBytes.get(event.id) ?? 0) + event.bytes.length);
        if (this.keep) {
          const pieces = this.received.get(event.id) ?? [];
          this.received.set(event.id, pieces);
          pieces.push(event.bytes);
        }
        if (this.autoConsume) this.lane.consumed(event.id, event.bytes.length);
      } else if (event.type === 'end') this.ended.add(event.id);
      else if (event.type === 'stream') this.opened.push(event.id);
      else if (event.type === 'closed') this.closed = event.reason;
      else if (event.type === 'moved') this.peerAddress = this.candidate;
      this.onEvent?.(event);
    }
  }
}

export class LanePair {
  readonly net: Scheduler;
  readonly client: LaneEnd;
  readonly server: LaneEnd;

  constructor(options: PairOptions) {
    this.net = options.scheduler ?? new Scheduler(options.seed);
    this.client = new LaneEnd(this.net, 'client', options);
    this.server = new LaneEnd(this.net, 'server', options);
    this.client.peer = this.server;
    this.server.peer = this.client;
    for (const { up, down } of options.paths) {
      this.client.out.push(up instanceof SimLink ? up : new SimLink(this.net, up));
      const back = down ?? (up instanceof SimLink ? up.options : up);
      this.server.out.push(back instanceof SimLink ? back : new SimLink(this.net, back));
    }
    for (let id = 0; id < options.paths.length; id++) {
      const rttUs = this.client.out[id]!.options.delayUs + this.server.out[id]!.options.delayUs;
      const known = options.serverGuesses ? {} : { rttUs };
      this.client.lane.addPath(this.client.host.clockUs, id, { validated: true, rttUs, ...options.clientPath });
      this.server.lane.addPath(this.server.host.clockUs, id, { validated: false, ...known, ...options.serverPath });
    }
    this.client.pump();
  }

  run(untilUs: number): void {
    this.net.run(untilUs);
  }

  /** Runs until `done` or the instant; true when done. */
  until(done: () => boolean, limitUs: number): boolean {
    while (!done() && this.net.nowUs < limitUs) {
      const next = Math.min(limitUs, Math.max(this.net.nextUs, this.net.nowUs));
      this.net.run(next);
    }
    return done();
  }

  /** Sends so many bytes on a stream of one end, as fast as its queue takes them, and ends the stream. */
  send(from: LaneEnd, id: number, bytes: number, fill: (offset: number, length: number) => Uint8Array = blank): void {
    let written = 0;
    let queued = 0;
    const feed = (): void => {
      while (written < bytes && queued < QUEUE_BYTES) {
        const length = Math.min(PIECE_BYTES, bytes - written);
        from.lane.write(id, fill(written, length));
        written += length;
        queued += length;
        if (written === bytes) from.lane.end(id);
      }
    };
    const before = from.onEvent;
    from.onEvent = (event) => {
      before?.(event);
      if (event.type !== 'sent' || event.id !== id) return;
      queued -= event.bytes;
      feed();
    };
    feed();
    from.pump();
  }
}

function blank(_offset: number, length: number): Uint8Array {
  return new Uint8Array(length);
}

const PIECE_BYTES = 256 * 1024;
const QUEUE_BYTES = 4 << 20;
