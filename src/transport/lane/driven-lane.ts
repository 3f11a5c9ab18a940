/**
 * One end of a lane with its keys, its connection ids and its peer's addresses: turns datagrams into packets for the Lane, and
 * what the Lane wants to send into datagrams.
 */
import type { Lane, LaneEvent, PathOptions, PathState, ReceivedPacket, Us } from '../../core/lane/contract.ts';
import { DATA_PACKET_BYTES, HEADER_BYTES, TAG_BYTES } from '../../core/lane/contract.ts';
import { ReplayWindow } from '../../core/lane/replay-window.ts';
import { expandPacketNumber, type Header, newHeader, writeHeader } from '../../core/lane/wire.ts';
import type { PeerAddress } from './address.ts';
import type { ConnectionIds } from './connection-ids.ts';
import type { DatagramPort, OutgoingBatch, ReceivedDatagram } from './port.ts';
import { slotStart } from './port.ts';
import type { Protection, SealedPacket } from './protection.ts';
import { KIND_CONTROL, KIND_DATA } from './seal.ts';
import { StallWatch } from './stall-trace.ts';
import type { LaneTrace } from './trace.ts';

export interface DrivenPath {
  readonly id: number;
  port: DatagramPort;
  address: PeerAddress;
  /** A client's other ways to the server, until the first answer: what is sent, is sent on these too. */
  alternatives: { readonly port: DatagramPort; readonly address: PeerAddress }[];
  /** Where the newest packet came from that came from elsewhere; not yet proven. */
  candidate: PeerAddress | null;
  state: PathState;
  /** Highest number received of either kind; -1: none. */
  largestData: number;
  readonly control: ReplayWindow;
  readonly sendIdHigh: number;
  readonly sendIdLow: number;
}

export type RememberedRate = Pick<PathOptions, 'cachedBytesPerSecond' | 'cachedRttUs'>;

/** As messages have it. */
export function rememberedRate({
  cachedBytesPerSecond,
  cachedRttMs,
}: {
  readonly cachedBytesPerSecond: number | null;
  readonly cachedRttMs: number | null;
}): RememberedRate {
  return {
    ...(cachedBytesPerSecond === null ? {} : { cachedBytesPerSecond }),
    ...(cachedRttMs === null ? {} : { cachedRttUs: cachedRttMs * 1000 }),
  };
}

export interface DrivenLaneOptions {
  /** Names the lane between the threads. */
  readonly key: number;
  /** For people. */
  readonly laneId: string;
  readonly role: 'client' | 'server';
  readonly lane: Lane;
  readonly protection: Protection;
  readonly maxPaths: number;
  readonly ids: ConnectionIds<DrivenLane>;
  readonly trace: LaneTrace;
  /** Where a stall leaves its trace; null: nowhere. */
  readonly stallFolder?: string | null;
  readonly idleUs: Us;
  readonly nowUs: Us;
}

export class DrivenLane {
  readonly key: number;
  readonly laneId: string;
  readonly role: 'client' | 'server';
  readonly lane: Lane;
  readonly trace: LaneTrace;
  readonly stalls = new StallWatch();
  readonly stallFolder: string | null;
  readonly paths = new Map<number, DrivenPath>();
  /** Streams that nobody here reads any more. */
  readonly abandoned = new Set<number>();
  readonly idleUs: Us;
  /** When the last authentic packet came, or the lane was made. */
  heardUs: Us;
  /** Something authentic came at all. */
  heard = false;
  /** Its first path is open. */
  opened = false;
  /** A server's: the client has shown that it is there, before its first packet. */
  provenAddress: PeerAddress | null = null;
  /** A server's: what the client says of an earlier lane, for the first path alone. */
  remembered: RememberedRate = {};
  /** The Lane said that it is closed; what it still sends is its farewell. */
  closed = false;
  receivedDatagrams = 0;
  sentDatagrams = 0;
  replayedPackets = 0;
  readonly sendErrors: Record<string, number> = {};
  private readonly lag = { fromUs: 0, beforeUs: 0, nowUs: 0 };
  snapshotAtUs: Us = 0;
  figuresAtUs: Us = 0;
  private readonly maxPaths: number;
  private readonly protection: Protection;
  private readonly ids: ConnectionIds<DrivenLane>;
  /** The Lane's time, which does not go back: datagrams are as old as they are. */
  private timeUs: Us;
  private readonly header: Header = newHeader();
  private readonly sealed: SealedPacket;
  private readonly packet: ReceivedPacket;

  constructor(options: DrivenLaneOptions) {
    this.key = options.key;
    this.laneId = options.laneId;
    this.role = options.role;
    this.lane = options.lane;
    this.trace = options.trace;
    this.stallFolder = options.stallFolder ?? null;
    this.protection = options.protection;
    this.maxPaths = options.maxPaths;
    this.ids = options.ids;
    this.idleUs = options.idleUs;
    this.heardUs = this.timeUs = options.nowUs;
    this.sealed = { memory: NOTHING as never, at: 0, bytes: 0, keyPhase: false, pathId: 0, kind: 0, packetNumber: 0 };
    this.packet = {
      pathId: 0,
      kind: 'data',
      packetNumber: 0,
      plain: new Uint8Array(0),
      datagramBytes: 0,
      ackNow: false,
      moved: false,
      fromCandidate: false,
    };
    for (let pathId = 0; pathId < this.maxPaths; pathId++) {
      const { high, low } = this.protection.receiveId(pathId);
      this.ids.add(high, low, this, pathId);
    }
  }

  get forgedPackets(): number {
    return this.protection.failures;
  }

  addPath(nowUs: Us, pathId: number, port: DatagramPort, address: PeerAddress, options: PathOptions): DrivenPath {
    const { high, low } = this.protection.sendId(pathId);
    const path: DrivenPath = {
      id: pathId,
      port,
      address,
      alternatives: [],
      candidate: null,
      state: 'opening',
      largestData: -1,
      control: new ReplayWindow(),
      sendIdHigh: high,
      sendIdLow: low,
    };
    this.paths.set(pathId, path);
    const { cachedBytesPerSecond: bytesPerSecond, cachedRttUs: rttUs } = options;
    if (bytesPerSecond !== undefined)
      this.trace.add(nowUs, { name: 'path:remembered', data: { path: pathId, bytesPerSecond, rttUs } });
    this.lane.addPath(this.advance(nowUs), pathId, options);
    return path;
  }

  removePath(nowUs: Us, pathId: number): void {
    if (this.paths.delete(pathId)) this.lane.removePath(this.advance(nowUs), pathId);
  }

  /** A datagram with one of the lane's connection ids; the rest of it is anybody's. True: it was authentic. */
  handleDatagram(nowUs: Us, header: Header, pathId: number, datagram: ReceivedDatagram, port: DatagramPort): boolean {
    let path = this.paths.get(pathId);
    // A client's paths are those that it made; a server's begin with the first authentic packet.
    if (this.closed || (!path && this.role === 'client')) return false;
    const { sealed, packet } = this;
    const isControl = header.kind === 'control';
    const largest = path ? (isControl ? path.control.largest : path.largestData) : -1;
    const packetNumber = expandPacketNumber(largest, header.packetNumberLow);
    if (isControl && path && (path.control.has(packetNumber) || path.control.isOld(packetNumber))) {
      this.replayedPackets++;
      return false;
    }
    sealed.memory = datagram.memory;
    sealed.at = datagram.at;
    sealed.bytes = datagram.bytes;
    sealed.keyPhase = header.keyPhase;
    sealed.pathId = pathId;
    sealed.kind = isControl ? KIND_CONTROL : KIND_DATA;
    sealed.packetNumber = packetNumber;
    if (!this.protection.open(sealed, nowUs)) {
      if (this.protection.exhausted) this.lane.close(this.advance(nowUs), 'too many packets were not authentic');
      return false;
    }

    this.receivedDatagrams++;
    this.heard = true;
    this.heardUs = nowUs;
    const arrivedUs = this.advance(datagram.arrivedUs);
    path ??= this.addPath(arrivedUs, pathId, port, datagram.source, {
      validated: this.provenAddress?.equals(datagram.source) ?? false,
      ...(pathId === 0 ? this.remembered : {}),
    });
    const newest = packetNumber > largest;
    if (isControl) path.control.accept(packetNumber);
    else if (newest) path.largestData = packetNumber;
    // Small control packets also come by ways that swallow full ones.
    const decides = !isControl || datagram.bytes >= DATA_PACKET_BYTES;
    if (path.alternatives.length > 0 && decides) settleRoute(path, datagram.source, port);
    const elsewhere = path.alternatives.length === 0 && datagram.source !== path.address && !datagram.source.equals(path.address);
    packet.fromCandidate = elsewhere && path.candidate !== null && datagram.source.equals(path.candidate);
    packet.moved = newest && elsewhere && !packet.fromCandidate;
    if (packet.moved) path.candidate = datagram.source;
    packet.pathId = pathId;
    packet.kind = header.kind;
    packet.packetNumber = packetNumber;
    const start = datagram.at + HEADER_BYTES;
    packet.plain = datagram.memory.bytes.subarray(start, datagram.at + datagram.bytes - TAG_BYTES);
    packet.datagramBytes = datagram.bytes;
    packet.ackNow = header.ackNow;
    this.lane.handlePacket(arrivedUs, packet);
    return true;
  }

  /** Sends what the Lane has to send now, at most `limit` packets; returns how many. */
  transmit(nowUs: Us, batch: OutgoingBatch, limit: number): number {
    const { lane, header, protection } = this;
    const timeUs = this.advance(nowUs);
    let sent = 0;
    while (sent < limit) {
      const slot = batch.count;
      if (!lane.pollTransmit(timeUs, batch.plain[slot] as Uint8Array)) break;
      sent++;
      const { pathId, kind, packetNumber, bytes, ackNow, probe, toCandidate } = lane.transmit;
      const path = this.paths.get(pathId);
      if (!path) continue;
      header.kind = kind;
      header.ackNow = ackNow;
      header.probe = probe;
      header.keyPhase = protection.sendPhase(nowUs);
      header.idHigh = path.sendIdHigh;
      header.idLow = path.sendIdLow;
      header.packetNumberLow = packetNumber;
      writeHeader(batch.packets[slot] as Uint8Array, header);
      protection.seal(batch.memory, slotStart(slot), bytes, pathId, kind === 'control' ? KIND_CONTROL : KIND_DATA, packetNumber);
      const address = toCandidate && path.candidate ? path.candidate : path.address;
      batch.add(path.port, address, HEADER_BYTES + bytes + TAG_BYTES);
      for (const { port, address } of path.alternatives) {
        if (batch.full) break;
        batch.repeat(port, address);
      }
      if (batch.full) batch.flush();
    }
    this.sentDatagrams += sent;
    return sent;
  }

  handleTimer(nowUs: Us): void {
    this.lane.handleTimer(this.advance(nowUs));
  }

  handleLag(nowUs: Us, lagUs: Us): void {
    this.lag.nowUs = Math.max(this.lag.nowUs, lagUs);
    if (lagUs < LEAST_LAG_US) return;
    // The kernel stamps what arrives, however late it is read.
    const isStampedLate = [...this.paths.values()].some(({ port }) => port.method === 'dgram');
    this.lane.handleLag(this.advance(nowUs), lagUs, isStampedLate);
  }

  /** The longest that the thread was late, of the last ten seconds or a little more. */
  worstLagUs(nowUs: Us): Us {
    const { lag } = this;
    if (nowUs - lag.fromUs >= LAG_PERIOD_US) {
      lag.beforeUs = lag.nowUs;
      lag.nowUs = 0;
      lag.fromUs = nowUs;
    }
    return Math.max(lag.beforeUs, lag.nowUs);
  }

  nextWakeUs(nowUs: Us): Us {
    return this.lane.nextWakeUs(this.advance(nowUs));
  }

  mostGatherUs(nowUs: Us): Us {
    return this.lane.mostGatherUs(this.advance(nowUs));
  }

  /** The next event of the Lane that others want to know of. */
  pollEvent(): LaneEvent | null {
    const event = this.lane.pollEvent();
    if (event?.type === 'moved') {
      const path = this.paths.get(event.pathId);
      if (path?.candidate) {
        path.address = path.candidate;
        path.candidate = null;
      }
    } else if (event?.type === 'path') {
      const path = this.paths.get(event.pathId);
      if (path) path.state = event.state;
    } else if (event?.type === 'closed') this.closed = true;
    return event;
  }

  noteSendError(code: string): void {
    this.sendErrors[code] = (this.sendErrors[code] ?? 0) + 1;
  }

  /** The peer's address: that of the path heard last. */
  get remote(): PeerAddress | null {
    for (const path of this.paths.values()) if (path.state === 'active') return path.address;
    return this.paths.values().next().value?.address ?? null;
  }

  /** After the farewell: keys and ids are given up. */
  free(): void {
    for (let pathId = 0; pathId < this.maxPaths; pathId++) {
      const { high, low } = this.protection.receiveId(pathId);
      this.ids.remove(high, low);
    }
    this.protection.free();
    this.trace.close();
  }

  private advance(nowUs: Us): Us {
    if (nowUs > this.timeUs) this.timeUs = nowUs;
    return this.timeUs;
  }
}

/** The first answer of full size decides which way the path takes. */
function settleRoute(path: DrivenPath, source: PeerAddress, port: DatagramPort): void {
  const taken = path.alternatives.find((route) => route.port === port && route.address.equals(source));
  if (taken) {
    path.port = taken.port;
    path.address = taken.address;
  }
  path.alternatives = [];
}

const NOTHING = null;
/** Less is no news: the scheduler of any system does that. */
const LEAST_LAG_US = 2000;
const LAG_PERIOD_US = 10e6;
