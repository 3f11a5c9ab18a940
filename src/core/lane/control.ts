/**
 * Control packets: acknowledgements, what the receiver holds and takes, proofs of addresses, greetings and the last word. They are
 * neither acknowledged nor sent again: what they say is said anew while it matters.
 */
import type { AckView } from './ack-frame.ts';
import type { BlocksIn } from './blocks-in.ts';
import type { BlocksOut } from './blocks-out.ts';
import {
  DATA_PACKET_BYTES,
  FULL_PLAIN_BYTES,
  HEADER_BYTES,
  MAX_CONTROL_BYTES,
  TAG_BYTES,
  type Transmit,
  type Us,
} from './contract.ts';
import { readFrames } from './frame-reader.ts';
import { FrameWriter } from './frame-writer.ts';
import { type FrameHandler, RANK_COMPLETE, STATE_HEAD_BYTES } from './frames.ts';
import type { Path } from './path.ts';
import type { StreamsIn } from './streams-in.ts';
import type { StreamsOut } from './streams-out.ts';

export interface ControlEnvironment {
  readonly blocksIn: BlocksIn;
  readonly blocksOut: BlocksOut;
  readonly streamsIn: StreamsIn;
  readonly streamsOut: StreamsOut;
  readonly path: (id: number) => Path | undefined;
  readonly random: () => number;
  readonly handleAck: (nowUs: Us, path: Path, ack: AckView) => void;
  /** The peer has said what it holds of every block. */
  readonly handleState: () => void;
  readonly handleMoved: (nowUs: Us, path: Path) => void;
  /** The peer wants nothing sent by this path while there is another. */
  readonly handleStandby: (path: Path) => void;
  readonly handleClose: (reason: string) => void;
  /** The peer said what cannot be. */
  readonly handleWrong: (nowUs: Us, reason: string) => void;
}

/** What one path owes the peer. */
interface Dues {
  greetUs: Us;
  greetings: number;
  pingUs: Us;
  pingKind: number;
  keptAliveUs: Us;
  pongId: number;
  pongSentUs: number;
  pongReceivedUs: Us;
  /** The ping was of full size, and so shall its answer be. */
  pongFull: boolean;
  responseHigh: number;
  responseLow: number;
  /** Not told even once. */
  hasResponse: boolean;
  /** Packets that are still to carry it, for any of them may be lost. */
  responses: number;
  challengeHigh: number;
  challengeLow: number;
  challengeUs: Us;
}

export class Control {
  private readonly environment: ControlEnvironment;
  private readonly writer = new FrameWriter();
  private readonly dues = new Map<number, Dues>();
  private stateUs: Us = Infinity;
  private lastStateUs: Us = 0;
  private lagMs = 0;
  /** The number of a ping has its kind in the lowest two bits. */
  private pings = 0;
  private closing: { reason: string; left: number } | null = null;
  private readonly ranks = new Uint8Array(MAX_CONTROL_BYTES);
  private readonly handler: FrameHandler;
  private nowUs: Us = 0;
  private from: Path | null = null;
  private fromFull = false;

  constructor(environment: ControlEnvironment) {
    this.environment = environment;
    this.handler = this.makeHandler();
  }

  get hasClosing(): boolean {
    return this.closing !== null;
  }

  /** The client's first word on a path, of full size; said again until an answer of full size shows that such packets get through. */
  greet(nowUs: Us, path: Path): void {
    this.due(path).greetUs = nowUs;
  }

  ping(nowUs: Us, path: Path): void {
    this.due(path).pingUs = nowUs;
  }

  /** While data is not acknowledged: a small ping and a full one at the same instant tell a path that is bad from one that is too narrow. */
  probeSize(nowUs: Us, path: Path): void {
    const due = this.due(path);
    due.pingUs = nowUs;
    due.pingKind = PING_PAIRED;
  }

  sayClose(_nowUs: Us, reason: string): void {
    this.closing = { reason, left: CLOSE_REPEATS };
  }

  noteLag(lagUs: Us): void {
    this.lagMs = Math.max(this.lagMs, Math.min(255, Math.round(lagUs / 1000)));
  }

  /** A block became whole: the sender may stop caring for it. */
  noteCompleted(nowUs: Us): void {
    const { blocksIn } = this.environment;
    // With nothing left open the sender is at its end, and waits for this word; otherwise it can wait its turn.
    if (!blocksIn.hasIncomplete) this.stateUs = Math.min(this.stateUs, nowUs + LAST_STATE_US);
    else this.noteIncomplete(nowUs);
  }

  noteIncomplete(nowUs: Us): void {
    if (this.stateUs !== Infinity) return;
    this.stateUs = Math.max(nowUs, this.lastStateUs + this.stateIntervalUs(nowUs));
  }

  forget(path: Path): void {
    this.dues.delete(path.id);
  }

  handleMovedPacket(nowUs: Us, path: Path): void {
    const { random } = this.environment;
    path.candidate = {
      receivedBytes: 0,
      sentBytes: 0,
      challengeHigh: random(),
      challengeLow: random(),
      challengeDueUs: nowUs,
    };
  }

  handlePlain(nowUs: Us, path: Path, plain: Uint8Array, datagramBytes: number): boolean {
    this.nowUs = nowUs;
    this.from = path;
    this.fromFull = datagramBytes >= DATA_PACKET_BYTES;
    return readFrames(plain, this.handler);
  }

  handleTimer(nowUs: Us, paths: readonly Path[]): void {
    for (const path of paths) {
      const due = this.due(path);
      if (nowUs >= this.keepAliveUs(path)) due.pingUs = due.keptAliveUs = nowUs;
      if (!path.validated && path.receivedBytes > 0 && due.challengeUs === Infinity) due.challengeUs = nowUs;
    }
  }

  nextUs(nowUs: Us, paths: readonly Path[]): Us {
    if (this.closing) return nowUs;
    let next = Infinity;
    for (const path of paths) next = Math.min(next, this.pathDueUs(path), this.keepAliveUs(path));
    if (bestOf(paths)) next = Math.min(next, this.stateUs, this.streamCreditUs(nowUs));
    return Math.max(next, nowUs);
  }

  /** Writes one control packet when something is due. */
  poll(nowUs: Us, paths: readonly Path[], transmit: Transmit, out: Uint8Array): boolean {
    if (paths.length === 0) return false;
    if (this.closing) return this.pollClose(paths, transmit, out);
    const common = nowUs >= Math.min(this.stateUs, this.streamCreditUs(nowUs));
    for (const path of paths) if (nowUs >= this.pathDueUs(path)) return this.write(nowUs, path, transmit, out);
    const best = common ? bestOf(paths) : null;
    return best !== null && this.write(nowUs, best, transmit, out);
  }

  private write(nowUs: Us, path: Path, transmit: Transmit, out: Uint8Array): boolean {
    const { writer } = this;
    const { blocksIn, streamsIn } = this.environment;
    const due = this.due(path);
    const toCandidate = path.prefersCandidate(CHALLENGE_BYTES);
    const allowance = Math.min(path.allowance, toCandidate ? path.candidateAllowance : Infinity);
    const greets = nowUs >= greetUs(path, due);
    const pings = greets || nowUs >= due.pingUs;
    const isFull = greets || (pings && due.pingKind === PING_FULL) || (due.pongId >= 0 && due.pongFull);
    const budget = Math.min(isFull ? FULL_PLAIN_BYTES : MAX_CONTROL_BYTES, allowance - OVERHEAD);
    writer.reset(out, budget);
    if (due.responses > 0 && writer.pathResponse(due.responseHigh, due.responseLow)) {
      due.responses--;
      due.hasResponse = false;
    }
    if (toCandidate && path.candidate && nowUs >= path.candidate.challengeDueUs) {
      writer.pathChallenge(path.candidate.challengeHigh, path.candidate.challengeLow);
      path.candidate.challengeDueUs = nowUs + Math.max(path.controller.srttUs, MIN_CHALLENGE_US);
    }
    if (due.challengeUs < Infinity && writer.pathChallenge(due.challengeHigh, due.challengeLow))
      due.challengeUs = nowUs + Math.max(path.controller.srttUs, MIN_CHALLENGE_US);
    if (due.pongId >= 0 && writer.pong(due.pongId, due.pongSentUs, nowUs - due.pongReceivedUs)) due.pongId = -1;
    if (pings) this.writePing(nowUs, path, due, greets ? PING_FULL : due.pingKind);
    // In every packet, so that the peer knows it from the first one on.
    if (path.standby) writer.pathStatus(path.id, 'standby');
    // Also when it has nothing new: the one before may be lost, and on a path that is hardly ever up so are all after the news.
    if (path.arrivals.writeAck(writer, path.id, nowUs, this.lagMs)) this.lagMs = 0;
    // It only rises when data comes, and of that an ACK tells soon.
    if (blocksIn.credit > 0) writer.credit(blocksIn.credit);
    streamsIn.tellCredits((id, offset) => writer.streamCredit(id, offset));
    if (nowUs >= this.stateUs) this.writeState(nowUs);
    // A greeting also pays for what the server may answer before the address is proven.
    if (isFull) writer.padding(budget);
    if (writer.length === 0) return false;
    transmit.pathId = path.id;
    transmit.kind = 'control';
    transmit.packetNumber = path.nextControl++;
    transmit.bytes = writer.length;
    transmit.ackNow = false;
    transmit.probe = false;
    transmit.toCandidate = toCandidate;
    path.sentBytes += writer.length + OVERHEAD;
    if (toCandidate && path.candidate) path.candidate.sentBytes += writer.length + OVERHEAD;
    return true;
  }

  private writePing(nowUs: Us, path: Path, due: Dues, kind: number): void {
    this.pings += (kind - this.pings) & 3;
    this.writer.ping(this.pings++, nowUs);
    path.unheardPings++;
    due.pingUs = kind === PING_PAIRED ? nowUs : Infinity;
    due.pingKind = kind === PING_PAIRED ? PING_FULL : PING_PLAIN;
    if (greetUs(path, due) < Infinity) {
      due.greetings++;
      due.greetUs = nowUs + greetAgainUs(due.greetings) * (0.75 + 0.5 * (this.environment.random() / 2 ** 32));
    }
  }

  private writeState(nowUs: Us): void {
    const { blocksIn } = this.environment;
    const room = Math.max(0, Math.min(this.ranks.length, this.writer.remaining - STATE_HEAD_BYTES));
    const open = blocksIn.highest - blocksIn.lowest;
    const count = Math.min(room, open);
    for (let i = 0; i < count; i++) this.ranks[i] = blocksIn.rank(blocksIn.lowest + i);
    if (!this.writer.state(blocksIn.lowest, blocksIn.lowest, this.ranks, 0, count)) return;
    this.lastStateUs = nowUs;
    this.stateUs = blocksIn.hasIncomplete ? nowUs + this.stateIntervalUs(nowUs) : Infinity;
  }

  private pollClose(paths: readonly Path[], transmit: Transmit, out: Uint8Array): boolean {
    const closing = this.closing as { reason: string; left: number };
    const path = paths.find((each) => each.allowsBytes(MIN_CONTROL_BUDGET));
    if (!path || closing.left-- <= 0) {
      this.closing = null;
      return false;
    }
    this.writer.reset(out, MAX_CONTROL_BYTES);
    this.writer.close(closing.reason);
    transmit.pathId = path.id;
    transmit.kind = 'control';
    transmit.packetNumber = path.nextControl++;
    transmit.bytes = this.writer.length;
    transmit.ackNow = transmit.probe = transmit.toCandidate = false;
    path.sentBytes += this.writer.length + OVERHEAD;
    return true;
  }

  private pathDueUs(path: Path): Us {
    if (!path.allowsBytes(MIN_CONTROL_BUDGET)) return Infinity;
    const due = this.due(path);
    if (due.hasResponse || due.pongId >= 0) return 0;
    const { candidate } = path;
    const challengeUs = candidate && path.prefersCandidate(CHALLENGE_BYTES) ? candidate.challengeDueUs : Infinity;
    return Math.min(path.arrivals.nextAckUs(), greetUs(path, due), due.pingUs, due.challengeUs, challengeUs);
  }

  private keepAliveUs(path: Path): Us {
    if (path.state === 'opening') return Infinity;
    return Math.max(path.lastHeardUs, this.due(path).keptAliveUs) + KEEP_ALIVE_US;
  }

  private streamCreditUs(nowUs: Us): Us {
    return this.environment.streamsIn.hasCreditToTell ? nowUs : Infinity;
  }

  /** Twice in a round trip; less often while nothing is heard, though never so rarely that a new address stays unknown for long. */
  private stateIntervalUs(nowUs: Us): Us {
    if (!this.from) return MIN_STATE_US;
    const { controller, lastHeardUs } = this.from;
    return Math.max(MIN_STATE_US, controller.srttUs / 2, Math.min(MAX_SILENT_STATE_US, (nowUs - lastHeardUs) / 8));
  }

  private due(path: Path): Dues {
    let due = this.dues.get(path.id);
    if (!due) {
      const { random } = this.environment;
      due = {
        greetUs: Infinity,
        greetings: 0,
        pingUs: Infinity,
        pingKind: PING_PLAIN,
        keptAliveUs: 0,
        pongId: -1,
        pongSentUs: 0,
        pongReceivedUs: 0,
        pongFull: false,
        responseHigh: 0,
        responseLow: 0,
        hasResponse: false,
        responses: 0,
        challengeHigh: random(),
        challengeLow: random(),
        challengeUs: Infinity,
      };
      this.dues.set(path.id, due);
    }
    return due;
  }

  private makeHandler(): FrameHandler {
    const { environment } = this;
    return {
      onAck: (ack) => {
        const path = environment.path(ack.pathId);
        if (path) environment.handleAck(this.nowUs, path, ack);
      },
      onState: (state) => {
        const { blocksOut } = environment;
        if (!blocksOut.handleCompleteBelow(state.completeBelow))
          return environment.handleWrong(this.nowUs, 'blocks were acknowledged and never sent');
        for (let i = 0; i < state.count; i++)
          blocksOut.handleRank(state.start + i, state.rank(i), state.rank(i) === RANK_COMPLETE);
        environment.handleState();
      },
      onCredit: (block) => {
        if (block > environment.blocksOut.credit) environment.blocksOut.credit = block;
      },
      onStreamCredit: (id, offset) => environment.streamsOut.handleCredit(id, offset),
      onPathChallenge: (high, low) => {
        const due = this.due(this.from as Path);
        due.responseHigh = high;
        due.responseLow = low;
        due.hasResponse = true;
        due.responses = RESPONSE_REPEATS;
      },
      onPathResponse: (high, low) => this.handleResponse(this.from as Path, high, low),
      onAckFrequency: (intervalUs) => {
        this.from?.arrivals.handleAckFrequency(intervalUs);
      },
      onPing: (id, sentUs) => {
        const due = this.due(this.from as Path);
        due.pongId = id;
        due.pongSentUs = sentUs;
        due.pongReceivedUs = this.nowUs;
        due.pongFull = this.fromFull;
        if (!(this.from as Path).validated && due.challengeUs === Infinity) due.challengeUs = this.nowUs;
        // Whoever asks may have missed what was said before.
        this.stateUs = this.nowUs;
        environment.streamsIn.repeatCredits();
      },
      onPong: (id, pingSentUs, delayUs) => {
        const rttUs = this.nowUs - pingSentUs - delayUs;
        const path = this.from as Path;
        const { arrivals } = path;
        if ((id & 3) === PING_FULL) path.smallPongs = 0;
        else if ((id & 3) === PING_PAIRED) path.smallPongs++;
        if (rttUs > 0) arrivals.minRttUs = Math.min(arrivals.minRttUs, rttUs);
      },
      onResetStream: () => undefined,
      onPathStatus: (id, state) => {
        const path = environment.path(id);
        if (path && state === 'standby') environment.handleStandby(path);
      },
      onClose: (reason) => environment.handleClose(reason),
    };
  }

  private handleResponse(path: Path, high: number, low: number): void {
    const due = this.due(path);
    if (high === due.challengeHigh && low === due.challengeLow) {
      path.validated = true;
      due.challengeUs = Infinity;
    }
    const { candidate } = path;
    if (candidate && high === candidate.challengeHigh && low === candidate.challengeLow) {
      path.candidate = null;
      path.validated = true;
      this.environment.handleMoved(this.nowUs, path);
    }
  }
}

/** What concerns no path goes the shortest way that is alive. */
function bestOf(paths: readonly Path[]): Path | null {
  let best: Path | null = null;
  for (const path of paths) {
    if (path.state === 'opening' || !path.allowsBytes(MIN_CONTROL_BUDGET)) continue;
    if (!best || rank(path) < rank(best)) best = path;
  }
  return best;
}

function rank(path: Path): number {
  const dead = path.state === 'failed' ? 2e9 : path.state === 'degraded' ? 1e9 : 0;
  return dead + path.controller.srttUs;
}

function greetUs(path: Path, due: Dues): Us {
  return path.state === 'opening' ? due.greetUs : Infinity;
}

/**
 * Close together at first, for on a bad link one in three is lost and everything waits for this; about once a second in the end, and
 * not by a beat, for links that come and go have one too.
 */
function greetAgainUs(greetings: number): Us {
  if (greetings < CLOSE_GREETINGS) return Math.min(20_000, 10_000 * greetings);
  return greetings < OFTEN_GREETINGS ? 100_000 : 800_000;
}

const OVERHEAD = HEADER_BYTES + TAG_BYTES;
const MIN_CONTROL_BUDGET = 256;
/** A packet with a challenge and little more. */
const CHALLENGE_BYTES = 64;
const MIN_STATE_US = 25_000;
const MAX_SILENT_STATE_US = 233_000;
const LAST_STATE_US = 2_000;
const MIN_CHALLENGE_US = 50_000;
const KEEP_ALIVE_US = 15_000_000;
/** Bursts of loss that are counted in packets only end when some are sent. */
const CLOSE_GREETINGS = 60;
const OFTEN_GREETINGS = 120;
const CLOSE_REPEATS = 2;
const PING_PLAIN = 0;
const PING_FULL = 1;
/** Small, and followed by a full one. */
const PING_PAIRED = 2;
const RESPONSE_REPEATS = 16;
