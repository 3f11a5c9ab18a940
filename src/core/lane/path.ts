/**
 * One path of a lane, as its sender sees it: which packets are out, which arrived, which are lost, how fast the next may follow,
 * and whether the peer's address is proven.
 */
import type { AckView } from './ack-frame.ts';
import { Arrivals } from './arrivals.ts';
import type { BlocksOut, SymbolChoice } from './blocks-out.ts';
import { ClockUnwrap } from './clock-unwrap.ts';
import {
  DATA_PACKET_BYTES,
  IP_UDP_BYTES,
  type LanePolicy,
  PACKET_LOG_SIZE,
  type PathOptions,
  type PathState,
  type Us,
} from './contract.ts';
import { Pacer } from './pacer.ts';
import { PacketLog } from './packet-log.ts';
import { RateController } from './rate-controller.ts';

export interface PathEnvironment {
  readonly nowUs: Us;
  readonly wallClockUs: Us;
  readonly policy: LanePolicy;
  readonly capBytesPerSecond: number;
  readonly random: () => number;
  readonly decisionLog?: ((line: string) => void) | undefined;
}

/** An address that sent the newest packet and has not yet proven that it is the peer's (RFC 9000 section 9.3). */
interface Candidate {
  receivedBytes: number;
  sentBytes: number;
  readonly challengeHigh: number;
  readonly challengeLow: number;
  challengeDueUs: Us;
}

export class Path {
  readonly id: number;
  readonly log = new PacketLog();
  readonly controller: RateController;
  readonly pacer: Pacer;
  readonly arrivals: Arrivals;
  /** Carries data only while every path that is not standby has failed; the client says so, and the server is told. */
  standby: boolean;
  /** Of the path's address; without it no more than three times what came from it may be sent (RFC 9000 section 8). */
  validated: boolean;
  candidate: Candidate | null = null;
  state: PathState = 'opening';
  receivedBytes = 0;
  sentBytes = 0;
  receivedPackets = 0;
  lostPackets = 0;
  sentPackets = 0;
  nextControl = 0;
  lastHeardUs: Us;
  lastDataSentUs: Us = 0;
  lastTimeoutUs: Us = Number.NEGATIVE_INFINITY;
  /** When the first packet left after all before was known to have arrived: of older ones nothing is to be waited for. */
  anewUs: Us = Number.NEGATIVE_INFINITY;
  /** Sent, and neither acknowledged nor lost nor out of every acknowledgement's sight. */
  inFlightPackets = 0;
  /** Unanswered timeouts in a row. */
  timeouts = 0;
  probes = 0;
  /** Pings that left since anything was heard. */
  unheardPings = 0;
  /** While data is not acknowledged: answers to small pings of pairs since a full one was answered, and when the next pair is due. */
  smallPongs = 0;
  sizeProbeUs: Us = 0;
  /** Control comes through and full packets do not: it carries no data any more. */
  tooNarrow = false;
  /** It did not open, or the peer's address was not proven, in the time in which one that is open would have failed. */
  unopened = false;
  /** Everything in flight here was given up, so that other paths send it. */
  suspect = false;
  /** Largest lateness of a packet that still came (RFC 9002 section 6.1.2 has a fixed share of the RTT instead). */
  reorderUs: Us = MIN_REORDER_US;
  private reorderAtUs: Us;
  private readonly random: () => number;
  private readonly blocks = new Uint32Array(PACKET_LOG_SIZE);
  private readonly symbols = new Uint8Array(PACKET_LOG_SIZE);
  /** Every packet below it is acknowledged or lost. */
  private floor = 0;
  /** Acknowledgements have told of every packet up to here, or it was found that none will. */
  private covered = -1;
  /** Of the packets [doubtFrom, doubtEnd) those that no acknowledgement told of: their blocks count on them until STATE says more. */
  private doubtFrom = 0;
  private doubtEnd = 0;
  private doubtSinceUs: Us = 0;
  private readonly receiverClock = new ClockUnwrap();
  private nextSkip: number;

  constructor(id: number, options: PathOptions, environment: PathEnvironment) {
    const { nowUs, wallClockUs, policy, capBytesPerSecond, random, decisionLog } = environment;
    this.id = id;
    this.validated = options.validated;
    this.standby = options.standby === true;
    this.random = random;
    this.lastHeardUs = this.reorderAtUs = nowUs;
    this.controller = new RateController({
      nowUs,
      log: this.log,
      policy,
      packetBytes: DATA_PACKET_BYTES + IP_UDP_BYTES,
      rttUs: options.rttUs ?? INITIAL_RTT_US,
      rttIs: options.rttUs === undefined ? 'guessed' : options.opened ? 'measured' : 'told',
      capBytesPerSecond,
      wallClockUs,
      ...(options.cachedBytesPerSecond === undefined ? {} : { cachedBytesPerSecond: options.cachedBytesPerSecond }),
      ...(options.cachedRttUs === undefined ? {} : { cachedRttUs: options.cachedRttUs }),
      ...(decisionLog ? { decisionLog } : {}),
    });
    this.pacer = new Pacer(nowUs, this.controller.rateBytesPerSecond(nowUs));
    this.arrivals = new Arrivals();
    this.arrivals.minRttUs = options.rttUs ?? INITIAL_RTT_US;
    this.nextSkip = this.skipAfter();
  }

  /** Whether a standby path need not wait for this one. */
  get isOut(): boolean {
    return this.standby || this.state === 'failed' || this.unopened;
  }

  /** When silence about what is in flight becomes a timeout; Infinity: nothing is in flight. A suspect path is asked for ever. */
  timeoutAtUs(): Us {
    if (this.suspect) return this.lastTimeoutUs + this.timeoutUs;
    if (this.inFlightPackets === 0)
      return this.hasDoubts ? Math.max(this.doubtSinceUs, this.lastTimeoutUs) + this.timeoutUs : Infinity;
    const oldest = this.oldestUnanswered();
    // What was overtaken waits for the reordering window only, and if too few packets follow, for a round trip.
    if (oldest < 0) return this.log.sentUs(this.advanceFloor()) + this.timeoutUs;
    return Math.max(this.log.sentUs(oldest), this.anewUs, this.lastTimeoutUs) + this.timeoutUs;
  }

  get timeoutUs(): Us {
    const { srttUs, rttVarUs, ackIntervalUs, usualGapUs } = this.controller;
    // Three acknowledgements may be lost in a row, and more where that is known to happen.
    const gapUs = Math.max(3 * ackIntervalUs, Math.min(1.25 * usualGapUs, MOST_GAP_US));
    return (srttUs + Math.max(4 * rttVarUs, 10_000) + gapUs) * 2 ** Math.min(this.timeouts, 6);
  }

  /** When it is to be asked whether full packets get through where small ones do; Infinity: there is no doubt. */
  sizeProbeAtUs(nowUs: Us): Us {
    const doubts = this.timeouts >= SIZE_TIMEOUTS && !this.tooNarrow && nowUs - this.lastHeardUs <= SIZE_SILENCE_US;
    return doubts ? Math.max(nowUs, this.sizeProbeUs) : Infinity;
  }

  /** The congestion side allows a data packet of so many bytes of payload now. */
  allowsData(nowUs: Us, bytes: number): boolean {
    if (!this.allowsBytes(bytes)) return false;
    if (this.isLogFull) return false;
    if (this.probes > 0) return true;
    if (this.suspect && this.controller.mode !== 'stalled') return false;
    this.pacer.setRate(nowUs, this.controller.rateBytesPerSecond(nowUs), this.controller.mostBurstUs);
    if (!this.pacer.canSend(nowUs, bytes + IP_UDP_BYTES)) return false;
    return this.controller.mode === 'stalled' || this.controller.pipeBytes() < this.controller.windowBytes();
  }

  /** The account of packets holds no more; it is larger than any window, so that only an hour of silence can fill it. */
  get isLogFull(): boolean {
    return this.log.next - this.floor >= PACKET_LOG_SIZE - 1;
  }

  /** The peer's address is proven, or what it sent pays for this (RFC 9000 section 8.1). */
  allowsBytes(bytes: number): boolean {
    return bytes <= this.allowance;
  }

  get allowance(): number {
    return this.validated ? Infinity : AMPLIFICATION * this.receivedBytes - this.sentBytes;
  }

  /** What may be sent to the candidate address. */
  get candidateAllowance(): number {
    return this.candidate ? AMPLIFICATION * this.candidate.receivedBytes - this.candidate.sentBytes : 0;
  }

  /** Whether the next packet goes to the candidate address, which must not get more than three times what came from it. */
  prefersCandidate(bytes: number): boolean {
    return bytes <= this.candidateAllowance;
  }

  /** When it is worth waking up to send, going by the pacer alone: a wake-up for every packet would be thousands in a second. */
  nextSendUs(nowUs: Us): Us {
    const rate = this.controller.rateBytesPerSecond(nowUs);
    this.pacer.setRate(nowUs, rate, this.controller.mostBurstUs);
    return this.pacer.nextUs(nowUs, Math.max(DATA_PACKET_BYTES + IP_UDP_BYTES, rate * SEND_TOGETHER_SECONDS));
  }

  /** For so long its packets may wait for others to leave with; Infinity, too, for a path that carries none just now. */
  mostGatherUs(nowUs: Us): Us {
    return nowUs - this.lastDataSentUs < SENDING_US ? this.controller.mostGatherUs : Infinity;
  }

  /** Records a data packet that is about to leave; returns its number. */
  handleSent(nowUs: Us, datagramBytes: number, choice: SymbolChoice): number {
    if (--this.nextSkip === 0) {
      // A number that is left out catches a receiver that acknowledges what it has not got.
      this.log.skip();
      this.nextSkip = this.skipAfter();
    }
    const number = this.log.add(nowUs, datagramBytes + IP_UDP_BYTES);
    const at = number % PACKET_LOG_SIZE;
    this.blocks[at] = choice.block;
    this.symbols[at] = choice.symbol;
    this.pacer.handleSent(nowUs, datagramBytes + IP_UDP_BYTES);
    this.controller.handleSent(number, nowUs);
    this.sentPackets++;
    this.inFlightPackets++;
    this.lastDataSentUs = nowUs;
    if (this.probes > 0) this.probes--;
    return number;
  }

  /** Null: well; otherwise why the peer cannot be honest. */
  handleAck(nowUs: Us, ack: AckView, blocks: BlocksOut): string | null {
    const { log } = this;
    ack.unwrap(this.receiverClock, nowUs);
    if (ack.largest >= log.next) return `packet ${ack.largest} was acknowledged and never sent`;
    const from = Math.max(ack.lowest, log.next - PACKET_LOG_SIZE, 0);
    let progress = false;
    for (let number = from; number <= ack.largest; number++) {
      if (!ack.has(number) || log.isAcked(number)) continue;
      if (log.isSkipped(number)) return `packet ${number} was acknowledged and never sent`;
      const wasInFlight = log.isOutstanding(number);
      const wasCounted = wasInFlight || this.isDoubtful(number);
      if (wasInFlight) this.inFlightPackets--;
      else if (log.isLost(number)) this.handleSpurious(nowUs, number);
      log.setAcked(number);
      progress = true;
      const at = number % PACKET_LOG_SIZE;
      blocks.handleAcked(this.blocks[at] as number, this.symbols[at] as number, wasCounted, this.id);
    }
    for (let i = 0; i < ack.sampleCount; i++) {
      const number = ack.samplePn(i);
      if (number >= from && number <= ack.largest && log.isAcked(number)) log.setArrival(number, ack.sampleUs(i));
    }
    this.noteCoverage(nowUs, ack, blocks);
    if (progress) {
      this.timeouts = 0;
      this.smallPongs = 0;
      this.suspect = false;
    }
    this.detectLosses(blocks);
    this.controller.handleAck(nowUs, { largest: ack.largest, ackTimeUs: ack.ackTimeUs, lagMs: ack.lagMs });
    return null;
  }

  /** Gives up all that is in flight: other paths send it. What arrives all the same is counted when it is acknowledged. */
  giveUpInFlight(blocks: BlocksOut): void {
    this.suspect = true;
    this.endDoubts(blocks);
    for (let number = this.floor; number < this.log.next; number++) this.giveUp(number, blocks);
    this.floor = this.log.next;
  }

  /** A packet on a path that may be dead is a probe: no block counts on it. */
  giveUpNewest(blocks: BlocksOut): void {
    this.giveUp(this.log.next - 1, blocks);
    this.advanceFloor();
  }

  /** Everything was delivered though not every packet was told of: what was not overtaken, nobody will say what became of. */
  forgetInFlight(blocks: BlocksOut): void {
    const { log } = this;
    this.endDoubts(blocks);
    if (this.inFlightPackets > 0) {
      for (let number = this.floor; number < log.next; number++) {
        if (number < log.largestAcked) this.giveUp(number, blocks);
        else if (log.isOutstanding(number)) {
          this.forget(number);
          blocks.handleUnknown(this.blocks[number % PACKET_LOG_SIZE] as number, this.id);
        }
      }
    }
    this.floor = log.next;
    this.controller.handleDelivered();
  }

  /** Makes room in a full account, so that a path of which nothing was heard for hours is still asked. */
  giveUpOldest(blocks: BlocksOut): void {
    for (let i = 0; i < PACKET_LOG_SIZE / 2; i++) this.giveUp(this.floor + i, blocks);
    this.advanceFloor();
  }

  /** Gives up what was overtaken too long ago. False: there is none, and the timeout is one of silence. */
  giveUpOvertaken(blocks: BlocksOut): boolean {
    if (this.hasDoubts) {
      this.endDoubts(blocks);
      return true;
    }
    if (this.inFlightPackets === 0 || this.oldestUnanswered() >= 0) return false;
    for (let number = this.floor; number < this.log.largestAcked; number++) this.giveUp(number, blocks);
    this.advanceFloor();
    return true;
  }

  /** The oldest packet in flight after the newest that was acknowledged; -1: none. */
  private oldestUnanswered(): number {
    const { log } = this;
    for (let number = Math.max(this.floor, log.largestAcked + 1); number < log.next; number++)
      if (log.isOutstanding(number)) return number;
    return -1;
  }

  private advanceFloor(): number {
    while (this.floor < this.log.next && !this.log.isOutstanding(this.floor)) this.floor++;
    return this.floor;
  }

  /** What no acknowledgement told of and none will is not in flight any more; what became of it, the ranks of STATE say. */
  private noteCoverage(nowUs: Us, ack: AckView, blocks: BlocksOut): void {
    const { log } = this;
    // A round trip without STATE: it was lost too.
    if (this.hasDoubts && log.sentUs(log.largestAcked) >= this.doubtSinceUs) this.endDoubts(blocks);
    const from = Math.max(this.covered + 1, log.next - PACKET_LOG_SIZE);
    for (let number = from; number < ack.lowest; number++) {
      if (!log.isOutstanding(number)) continue;
      this.forget(number);
      if (!this.hasDoubts) {
        this.doubtFrom = number;
        this.doubtSinceUs = nowUs;
      }
      this.doubtEnd = number + 1;
    }
    this.covered = Math.max(this.covered, ack.largest);
    if (this.hasDoubts && log.next - this.doubtFrom > PACKET_LOG_SIZE / 2) this.endDoubts(blocks);
  }

  /** The receiver has said what it holds, or will not: what else was doubtful did not arrive. */
  endDoubts(blocks: BlocksOut): void {
    for (let number = this.doubtFrom; number < this.doubtEnd; number++)
      if (this.log.isUnknown(number)) blocks.handleUnknown(this.blocks[number % PACKET_LOG_SIZE] as number, this.id);
    this.doubtFrom = this.doubtEnd = 0;
  }

  private get hasDoubts(): boolean {
    return this.doubtEnd > 0;
  }

  /** No acknowledgement told of it, and its block still counts on it. */
  isDoubtful(number: number): boolean {
    return number >= this.doubtFrom && number < this.doubtEnd && this.log.isUnknown(number);
  }

  private detectLosses(blocks: BlocksOut): void {
    const { log } = this;
    const newest = log.largestAcked;
    if (newest < 0) return;
    const newestSentUs = log.sentUs(newest);
    let contiguous = true;
    // Lost: three later ones arrived, and one that was sent a reordering window later.
    for (let number = this.floor; number < newest; number++) {
      if (log.isOutstanding(number)) {
        if (newest - number < REORDER_PACKETS || newestSentUs - log.sentUs(number) < this.reorderUs) {
          contiguous = false;
          if (newestSentUs - log.sentUs(number) < this.reorderUs) break;
          continue;
        }
        this.giveUp(number, blocks);
      }
      if (contiguous) this.floor = number + 1;
    }
  }

  private forget(number: number): void {
    this.log.setUnknown(number);
    this.inFlightPackets--;
  }

  private giveUp(number: number, blocks: BlocksOut): void {
    if (!this.log.isOutstanding(number)) return;
    this.log.setLost(number);
    this.inFlightPackets--;
    this.lostPackets++;
    const at = number % PACKET_LOG_SIZE;
    blocks.handleLost(this.blocks[at] as number, this.symbols[at] as number, this.id);
  }

  private handleSpurious(nowUs: Us, number: number): void {
    this.lostPackets--;
    if (this.log.largestAcked <= number) return;
    const latenessUs = this.log.sentUs(this.log.largestAcked) - this.log.sentUs(number);
    // After an outage everything is late; that says nothing about the order of packets.
    const mostUs = Math.max(MIN_REORDER_US, this.controller.srttUs / 2);
    if (latenessUs > mostUs) return;
    this.decayReorder(nowUs);
    this.reorderUs = Math.max(this.reorderUs, Math.min(mostUs, 1.25 * latenessUs));
  }

  private decayReorder(nowUs: Us): void {
    const seconds = (nowUs - this.reorderAtUs) / 1e6;
    this.reorderAtUs = nowUs;
    this.reorderUs = Math.max(MIN_REORDER_US, this.reorderUs * 0.9 ** seconds);
  }

  private skipAfter(): number {
    return 500 + (this.random() % 1000);
  }
}

/** Before anything is known: RFC 9002 section 6.2.2 has 333 ms; the TLS connection nearly always knows better. */
const INITIAL_RTT_US = 200_000;
/** Packets of so long a time leave in one wake-up; timers are no finer on most machines. */
const SEND_TOGETHER_SECONDS = 0.00075;
const SENDING_US = 10_000;
const SIZE_TIMEOUTS = 2;
const SIZE_SILENCE_US = 2_000_000;
const MIN_REORDER_US = 4_000;
const MOST_GAP_US = 200_000;
const REORDER_PACKETS = 3;
const AMPLIFICATION = 3;
