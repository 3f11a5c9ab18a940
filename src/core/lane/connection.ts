/**
 * One end of a lane: streams above, paths below, coding blocks between them. A driver gives it packets and the time and asks
 * what to send (contract.ts); nothing here waits, reads a clock or makes a random number.
 *
 * @example
 * const lane = createLane({ role: 'client', nowUs, wallClockUs, policy: { kind: 'fair' }, random });
 * lane.addPath(nowUs, 0, { validated: true });
 * const id = lane.openStream();
 * lane.write(id, bytes);
 * while (lane.pollTransmit(nowUs, out)) send(lane.transmit, out);
 */
import { type BlockEncoder, createBlockEncoder } from '../fec/codec.ts';
import type { AckView } from './ack-frame.ts';
import { BlocksIn } from './blocks-in.ts';
import { BlocksOut } from './blocks-out.ts';
import {
  DATA_PACKET_BYTES,
  HEADER_BYTES,
  type Lane,
  type LaneEvent,
  type LanePolicy,
  type LaneSnapshot,
  MAX_PATHS,
  MAX_SOURCE_SYMBOLS,
  type PathOptions,
  type ReceivedPacket,
  SYMBOL_BYTES,
  SYMBOL_HEAD_BYTES,
  TAG_BYTES,
  type Transmit,
  type Us,
} from './contract.ts';
import { Control } from './control.ts';
import { CreditWatch } from './credit-watch.ts';
import { Path } from './path.ts';
import { Scheduler } from './scheduler.ts';
import { snapshotOf } from './snapshot.ts';
import { StreamsIn } from './streams-in.ts';
import { type CopyBytes, StreamsOut } from './streams-out.ts';
import { newSymbolHead, readSymbolHead } from './wire.ts';

export interface LaneOptions {
  readonly role: 'client' | 'server';
  readonly nowUs: Us;
  /** UTC at `nowUs`: lanes that share a bottleneck empty its queue at the same instants. */
  readonly wallClockUs: Us;
  readonly policy: LanePolicy;
  /** Uniform 32-bit numbers. */
  readonly random: () => number;
  /** On the wire, over all paths. Default: no cap. */
  readonly capBytesPerSecond?: number;
  /** Most bytes of coding blocks that may be incomplete here, and again of all streams that wait for their readers. Default 64 MiB. */
  readonly receiveWindowBytes?: number;
  /** Most bytes of one stream that wait here for its reader. Default 16 MiB. */
  readonly streamWindowBytes?: number;
  /** Most streams that the peer may have open. Default 64. */
  readonly maxStreams?: number;
  /** Everything is sent so that the loss of any one path delays nothing, as far as the others can carry it. Default false. */
  readonly redundant?: boolean;
  /** Called with each decision of the rate control and with what happens to paths; for a trace, not for control. */
  readonly trace?: (event: LaneTraceEvent) => void;
  /** Copies what was written. Default: by TypedArray.set, which on shared memory takes ten times as long as memmove(3). */
  readonly copy?: CopyBytes;
}

export interface LaneTraceEvent {
  readonly name: string;
  readonly data: unknown;
}

export function createLane(options: LaneOptions): Lane {
  return new LaneMachine(options);
}

class LaneMachine implements Lane {
  readonly transmit: Transmit = {
    pathId: 0,
    kind: 'data',
    packetNumber: 0,
    bytes: 0,
    ackNow: false,
    probe: false,
    toCandidate: false,
  };
  private readonly options: LaneOptions;
  private readonly events: LaneEvent[] = [];
  private readonly paths: Path[] = [];
  private readonly usedPaths = new Set<number>();
  private readonly encoder: BlockEncoder = createBlockEncoder();
  private readonly blocksOut = new BlocksOut(this.encoder);
  private readonly blocksIn: BlocksIn;
  private readonly streamsIn: StreamsIn;
  private readonly streamsOut: StreamsOut;
  private readonly scheduler: Scheduler;
  private readonly control: Control;
  private readonly head = newSymbolHead();
  private readonly choice = { block: 0, symbol: 0 };
  private policy: LanePolicy;
  private capBytesPerSecond: number;
  private nextStream: number;
  private turn = 0;
  private readonly creditWatch = new CreditWatch();
  private closed = false;

  constructor(options: LaneOptions) {
    this.options = options;
    this.policy = options.policy;
    this.capBytesPerSecond = options.capBytesPerSecond ?? Infinity;
    this.nextStream = options.role === 'client' ? 0 : 1;
    const emit = (event: LaneEvent): void => {
      this.events.push(event);
    };
    this.streamsOut = new StreamsOut(INITIAL_STREAM_CREDIT_BYTES, emit, options.copy);
    this.streamsIn = new StreamsIn({
      peerParity: options.role === 'client' ? 1 : 0,
      initialCreditBytes: INITIAL_STREAM_CREDIT_BYTES,
      windowBytes: options.streamWindowBytes ?? STREAM_WINDOW_BYTES,
      totalBytes: options.receiveWindowBytes ?? RECEIVE_WINDOW_BYTES,
      maxStreams: options.maxStreams ?? MAX_STREAMS,
      emit: (event) => {
        // What the peer opens can be answered on, and what it gives up cannot.
        if (event.type === 'stream') this.streamsOut.open(event.id);
        else if (event.type === 'reset') this.streamsOut.forget(event.id);
        emit(event);
      },
      isOpenOut: (id) => this.streamsOut.isOpen(id),
    });
    const windowBlocks = Math.floor((options.receiveWindowBytes ?? RECEIVE_WINDOW_BYTES) / (MAX_SOURCE_SYMBOLS * SYMBOL_BYTES));
    this.blocksIn = new BlocksIn({ windowBlocks, deliver: (content) => this.streamsIn.handleBlock(content) });
    this.scheduler = new Scheduler(this.blocksOut, this.streamsOut, options.redundant === true);
    this.control = new Control({
      blocksIn: this.blocksIn,
      blocksOut: this.blocksOut,
      streamsIn: this.streamsIn,
      streamsOut: this.streamsOut,
      path: (id) => this.path(id),
      random: options.random,
      handleAck: (nowUs, path, ack) => this.handleAck(nowUs, path, ack),
      handleState: () => {
        for (const path of this.paths) path.endDoubts(this.blocksOut);
      },
      handleMoved: (nowUs, path) => {
        path.controller.handleMoved(nowUs);
        this.events.push({ type: 'moved', pathId: path.id });
      },
      handleStandby: (path) => {
        if (path.standby) return;
        path.standby = true;
        if (path.state === 'active') this.setState(path, 'standby');
      },
      handleClose: (reason) => this.finish(reason, true),
      handleWrong: (nowUs, reason) => this.close(nowUs, reason),
    });
  }

  addPath(nowUs: Us, pathId: number, options: PathOptions): void {
    // Its packets would have the numbers of the path before, and so the nonces.
    if (pathId >= MAX_PATHS) throw new Error(`path ${pathId} is one too many`);
    if (this.usedPaths.has(pathId)) throw new Error(`path ${pathId} was used before`);
    this.usedPaths.add(pathId);
    const { wallClockUs, nowUs: startedUs, random, trace } = this.options;
    const path = new Path(pathId, options, {
      nowUs,
      wallClockUs: wallClockUs + (nowUs - startedUs),
      policy: this.policy,
      capBytesPerSecond: this.capBytesPerSecond,
      random,
      decisionLog: trace ? (line) => trace({ name: 'rate:decision', data: { path: pathId, line } }) : undefined,
    });
    this.paths.push(path);
    this.setCap(this.capBytesPerSecond);
    if (options.opened) this.setState(path, path.standby ? 'standby' : 'active');
    else if (this.options.role === 'client') this.control.greet(nowUs, path);
  }

  removePath(_nowUs: Us, pathId: number): void {
    const path = this.path(pathId);
    if (!path) return;
    path.giveUpInFlight(this.blocksOut);
    this.paths.splice(this.paths.indexOf(path), 1);
    this.control.forget(path);
    this.events.push({ type: 'path', pathId, state: 'failed' });
  }

  handlePacket(nowUs: Us, packet: ReceivedPacket): void {
    const path = this.path(packet.pathId);
    if (this.closed || !path) return;
    path.receivedBytes += packet.datagramBytes;
    path.lastHeardUs = nowUs;
    path.unheardPings = 0;
    // A client's path is open when a packet of full size came back, in answer to one: what is smaller shows too little.
    const isOpen = path.state !== 'opening' || this.options.role === 'server' || packet.datagramBytes >= DATA_PACKET_BYTES;
    if (isOpen && (path.state === 'opening' || path.state === 'failed') && !path.tooNarrow)
      this.setState(path, path.standby ? 'standby' : 'active');
    if (packet.moved) this.control.handleMovedPacket(nowUs, path);
    if (path.candidate && (packet.moved || packet.fromCandidate)) path.candidate.receivedBytes += packet.datagramBytes;
    const wrong =
      packet.kind === 'data'
        ? this.handleSymbol(nowUs, path, packet)
        : this.control.handlePlain(nowUs, path, packet.plain, packet.datagramBytes)
          ? null
          : 'a control packet could not be read';
    if (wrong !== null) this.close(nowUs, wrong);
  }

  handleTimer(nowUs: Us): void {
    if (this.closed) return;
    for (const path of this.paths) {
      path.controller.handleTimer(nowUs);
      this.watch(nowUs, path);
      this.watchSize(nowUs, path);
    }
    if (nowUs >= this.creditWatch.dueUs) {
      this.ping(nowUs);
      this.creditWatch.handleAsked(nowUs);
    }
    this.control.handleTimer(nowUs, this.paths);
  }

  nextWakeUs(nowUs: Us): Us {
    if (this.closed) return this.control.hasClosing ? nowUs : Infinity;
    let next = this.control.nextUs(nowUs, this.paths);
    for (const path of this.paths) {
      next = Math.min(next, path.controller.nextTimerUs(), path.timeoutAtUs(), path.sizeProbeAtUs(nowUs));
      if (this.scheduler.hasWork(nowUs, this.paths, path)) next = Math.min(next, Math.max(nowUs, path.nextSendUs(nowUs)));
    }
    return Math.min(next, this.scheduler.tailUs(nowUs), this.creditWatch.dueUs);
  }

  mostGatherUs(nowUs: Us): Us {
    return this.paths.reduce((least, path) => Math.min(least, path.mostGatherUs(nowUs)), Infinity);
  }

  pollTransmit(nowUs: Us, out: Uint8Array): boolean {
    if (this.control.poll(nowUs, this.paths, this.transmit, out)) return true;
    if (this.closed) return false;
    for (let i = 0; i < this.paths.length; i++) {
      const path = this.paths[(this.turn + i) % this.paths.length] as Path;
      if (!this.scheduler.isUsable(this.paths, path) || !path.allowsData(nowUs, DATA_PACKET_BYTES)) continue;
      if (!this.scheduler.choose(nowUs, this.paths, path, this.choice)) {
        path.controller.handleAppLimited(nowUs);
        continue;
      }
      this.turn = (this.turn + i + 1) % this.paths.length;
      this.writeData(nowUs, path, out);
      return true;
    }
    this.creditWatch.watch(nowUs, this.streamsOut.blocked, this.paths);
    return false;
  }

  get expectsMore(): boolean {
    return this.blocksIn.hasIncomplete;
  }

  get sendableBytes(): number {
    return this.streamsOut.sendableBytes;
  }

  pollEvent(): LaneEvent | null {
    return this.events.shift() ?? null;
  }

  openStream(): number {
    const id = this.nextStream;
    this.nextStream += 2;
    this.streamsOut.open(id);
    this.streamsIn.open(id);
    return id;
  }

  write(streamId: number, bytes: Uint8Array): void {
    if (this.blocksOut.unsentSymbols === 0) this.scheduler.updateModel(this.paths);
    this.streamsOut.write(streamId, bytes);
  }

  end(streamId: number): void {
    this.streamsOut.end(streamId);
  }

  reset(streamId: number): void {
    if (this.streamsOut.isOpen(streamId) || this.streamsIn.has(streamId)) this.streamsOut.reset(streamId);
    this.streamsIn.forget(streamId);
  }

  consumed(streamId: number, bytes: number): void {
    this.streamsIn.consumed(streamId, bytes);
  }

  recycle(memory: Uint8Array): void {
    this.blocksIn.recycle(memory);
  }

  close(nowUs: Us, reason: string): void {
    if (this.closed) return;
    this.control.sayClose(nowUs, reason);
    this.finish(reason, false);
  }

  ping(nowUs: Us): void {
    for (const path of this.paths) this.control.ping(nowUs, path);
  }

  handleLag(nowUs: Us, lagUs: Us, isStampedLate = true): void {
    if (isStampedLate) this.control.noteLag(lagUs);
    for (const path of this.paths) path.controller.handleLag(nowUs, lagUs);
  }

  setPolicy(policy: LanePolicy): void {
    this.policy = policy;
    for (const path of this.paths) path.controller.setPolicy(policy);
  }

  setCap(bytesPerSecond: number): void {
    this.capBytesPerSecond = bytesPerSecond;
    for (const path of this.paths) path.controller.setCap(bytesPerSecond / this.paths.length);
  }

  snapshot(nowUs: Us): LaneSnapshot {
    return snapshotOf(nowUs, {
      paths: this.paths,
      blocksIn: this.blocksIn,
      blocksOut: this.blocksOut,
      streamsIn: this.streamsIn,
      streamsOut: this.streamsOut,
      capBytesPerSecond: this.capBytesPerSecond,
    });
  }

  private path(id: number): Path | undefined {
    for (const path of this.paths) if (path.id === id) return path;
    return undefined;
  }

  private handleSymbol(nowUs: Us, path: Path, packet: ReceivedPacket): string | null {
    if (path.arrivals.add(packet.packetNumber, nowUs, packet) !== 'new') return null;
    path.receivedPackets++;
    if (!readSymbolHead(packet.plain, this.head)) return 'a data packet could not be read';
    const completed = this.blocksIn.completed;
    const wrong = this.blocksIn.handleSymbol(this.head, packet.plain.subarray(SYMBOL_HEAD_BYTES));
    if (this.blocksIn.completed !== completed) this.control.noteCompleted(nowUs);
    else this.control.noteIncomplete(nowUs);
    return wrong;
  }

  private handleAck(nowUs: Us, path: Path, ack: AckView): void {
    const wrong = path.handleAck(nowUs, ack, this.blocksOut);
    if (wrong !== null) {
      this.close(nowUs, wrong);
      return;
    }
    if (path.state === 'degraded') {
      this.setState(path, path.standby ? 'standby' : 'active');
      for (const other of this.paths) if (other.timeouts > 0 && !other.suspect) other.giveUpInFlight(this.blocksOut);
    }
    this.scheduler.updateModel(this.paths);
  }

  private writeData(nowUs: Us, path: Path, out: Uint8Array): void {
    const { transmit } = this;
    const probe = path.probes > 0;
    if (this.blocksOut.beginsAnew(this.choice)) for (const each of this.paths) each.anewUs = nowUs;
    const bytes = this.blocksOut.write(this.choice, out, path.id);
    const datagramBytes = HEADER_BYTES + bytes + TAG_BYTES;
    transmit.pathId = path.id;
    transmit.kind = 'data';
    transmit.bytes = bytes;
    transmit.toCandidate = path.prefersCandidate(datagramBytes);
    transmit.packetNumber = path.handleSent(nowUs, datagramBytes, this.choice);
    if (path.suspect) path.giveUpNewest(this.blocksOut);
    transmit.probe = probe;
    // The last packet for now: the sooner its fate is known, the sooner a loss is made good.
    const last = this.blocksOut.unsentSymbols === 0 && !this.streamsOut.hasWork;
    transmit.ackNow = probe || last || path.controller.wantsAckNow(transmit.packetNumber);
    path.sentBytes += datagramBytes;
    if (transmit.toCandidate && path.candidate) path.candidate.sentBytes += datagramBytes;
  }

  /** Timeouts, and what they say about the path. */
  private watch(nowUs: Us, path: Path): void {
    if (path.isLogFull && path.controller.mode === 'stalled') path.giveUpOldest(this.blocksOut);
    const isLate = nowUs >= path.timeoutAtUs();
    if (isLate && !path.suspect && !this.blocksOut.hasUnfinished) path.forgetInFlight(this.blocksOut);
    else if (isLate && !path.giveUpOvertaken(this.blocksOut)) {
      path.timeouts++;
      path.probes = PROBES;
      path.lastTimeoutUs = nowUs;
      this.control.ping(nowUs, path);
      // What is in flight may only be late, and is sent anew where there is another way, or as soon as there is one.
      const others = this.paths.filter((other) => other !== path && !other.suspect);
      const hasOther = others.some(({ state }) => state === 'active' || state === 'standby');
      if (hasOther && !path.suspect) path.giveUpInFlight(this.blocksOut);
      if (path.timeouts === 1 && this.paths.length > 1) this.setState(path, 'degraded');
    }
    if (path.controller.failed) {
      // Circuit breaker (RFC 8084): hardly anything of what was sent has arrived for long.
      this.setState(path, 'failed');
      if (this.paths.every(({ controller }) => controller.failed)) this.close(nowUs, 'next to nothing arrives');
      return;
    }
    const silentUs = nowUs - path.lastHeardUs;
    path.unopened = (path.state === 'opening' || !path.validated) && silentUs > FAILED_AFTER_US;
    const isUnheard = path.timeouts >= 3 || (path.unheardPings >= UNHEARD_PINGS && path.state !== 'opening');
    if (isUnheard && silentUs > FAILED_AFTER_US) this.setState(path, 'failed');
    else if (path.timeouts >= 2) this.setState(path, 'degraded');
  }

  /** Data is not acknowledged though the peer is heard: do full packets get lost, and small ones not? */
  private watchSize(nowUs: Us, path: Path): void {
    if (nowUs < path.sizeProbeAtUs(nowUs)) return;
    if (path.smallPongs >= NARROW_PONGS) {
      path.tooNarrow = true;
      path.giveUpInFlight(this.blocksOut);
      this.setState(path, 'failed');
      if (this.paths.every(({ tooNarrow }) => tooNarrow)) this.close(nowUs, 'packets of full size do not get through any more');
      return;
    }
    path.sizeProbeUs = nowUs + SIZE_PROBE_US;
    this.control.probeSize(nowUs, path);
  }

  private setState(path: Path, state: Path['state']): void {
    if (path.state === state || (path.state === 'failed' && state === 'degraded')) return;
    path.state = state;
    this.events.push({ type: 'path', pathId: path.id, state });
    this.options.trace?.({ name: 'path:state', data: { path: path.id, state } });
  }

  private finish(reason: string, byPeer: boolean): void {
    if (this.closed) return;
    this.closed = true;
    this.events.push({ type: 'closed', reason, byPeer });
  }
}

/** One stream may send so much before the other end has said anything about it. */
const INITIAL_STREAM_CREDIT_BYTES = 1 << 20;
const STREAM_WINDOW_BYTES = 16 << 20;
const RECEIVE_WINDOW_BYTES = 64 << 20;
const MAX_STREAMS = 64;
const PROBES = 2;
const FAILED_AFTER_US = 2_000_000;
/** On a path that loses a third of all packets each way, one time in sixty all of them or their answers are lost. */
const UNHEARD_PINGS = 6;
const SIZE_PROBE_US = 150_000;
/** Were sizes alike, one of so many full pings between them would have been answered too, but for one time in a thousand. */
const NARROW_PONGS = 10;
