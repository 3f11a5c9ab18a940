/**
 * The receiver's account of one path's data packets: which arrived, when, and when the next ACK of them is due. It is also the
 * replay window of those packets.
 */
import { type AckSource, MAX_ACK_SAMPLES } from './ack-frame.ts';
import { ArrivalRate } from './arrival-rate.ts';
import { DATA_PACKET_BYTES, IP_UDP_BYTES, PACKET_LOG_SIZE, type Us } from './contract.ts';
import type { FrameWriter } from './frame-writer.ts';
import { CONTROL_OVERHEAD_BYTES } from './frames.ts';
import { LAG_US } from './rate-reports.ts';
import { ReplayWindow } from './replay-window.ts';

/** What `add` looks at; a `ReceivedPacket` has it. */
export interface ArrivedPacket {
  readonly ackNow: boolean;
  /** UDP payload; a full data packet when it is not given. */
  readonly datagramBytes?: number;
}

export class Arrivals implements AckSource {
  /** Packets received since the path began, each counted once. */
  receivedTotal = 0;
  /** The path's least round trip, as far as this end knows it. Sets the pace of ACKs. */
  minRttUs: Us = 100_000;
  readonly rate = new ArrivalRate();
  private readonly window = new ReplayWindow(PACKET_LOG_SIZE);
  private requestedIntervalUs: Us = 0;
  private sequence = 0;

  private newPackets = 0;
  private newBytes = 0;
  /** When the first packet arrived that no ACK has told of. */
  private firstNewUs: Us = 0;
  private atOnce = false;
  private lastArrivalUs: Us = Number.NEGATIVE_INFINITY;
  private largestArrivalUs: Us = 0;
  private lastAckUs: Us = Number.NEGATIVE_INFINITY;
  private lastAckWireBytes = TYPICAL_ACK_WIRE_BYTES;

  /** The lowest number that is news in this ACK interval, and in those of the last ACKs: a packet is in the next eight ACKs. */
  private newsFrom = 0;
  private readonly newsFromOfAcks = new Float64Array(ACKS_THAT_TELL).fill(Number.POSITIVE_INFINITY);
  private newsAt = 0;

  private readonly samplePns = new Float64Array(MAX_NEW_SAMPLES);
  private readonly sampleTimes = new Float64Array(MAX_NEW_SAMPLES);
  private samples = 0;
  private sampleBeganUs: Us = 0;
  private sampleSpacingUs: Us = SAMPLE_SPACING_US;
  /** Samples of the ACK before, for it may be lost: without them a short packet train says nothing. */
  private readonly againPns = new Float64Array(MAX_AGAIN);
  private readonly againTimes = new Float64Array(MAX_AGAIN);
  private again = 0;

  /** The largest packet number received; -1: none. */
  get largest(): number {
    return this.window.largest;
  }

  /** Share of the peer's packets that did not arrive, since the path began. */
  get lossRate(): number {
    return this.largest < LEAST_LOSS_PACKETS ? 0 : 1 - this.receivedTotal / (this.largest + 1);
  }

  /** What the peer asked for, or else an eighth of the round trip between 5 and 16 ms. */
  get ackIntervalUs(): Us {
    return this.requestedIntervalUs > 0 ? this.requestedIntervalUs : ownIntervalUs(this.minRttUs);
  }

  /** The peer's ACK_FREQUENCY, held between 1 and 250 ms; 0 goes back to this end's own rule. */
  handleAckFrequency(intervalUs: Us): void {
    this.requestedIntervalUs = intervalUs > 0 ? Math.max(ACK_SPACING_US, Math.min(intervalUs, MOST_REQUESTED_US)) : 0;
  }

  /** Accounts for a packet that was authenticated. Only a `new` one may have any further effect. */
  add(packetNumber: number, nowUs: Us, packet: ArrivedPacket): 'new' | 'duplicate' | 'old' {
    const largestBefore = this.window.largest;
    if (!this.window.accept(packetNumber)) return this.window.isOld(packetNumber) ? 'old' : 'duplicate';
    this.receivedTotal++;
    if (this.newPackets++ === 0) this.firstNewUs = nowUs;
    const wireBytes = (packet.datagramBytes ?? DATA_PACKET_BYTES) + IP_UDP_BYTES;
    this.newBytes += wireBytes;
    this.rate.handleArrival(nowUs, wireBytes);
    if (packetNumber < this.newsFrom) this.newsFrom = packetNumber;
    if (packetNumber > largestBefore) this.sample(packetNumber, nowUs);
    if (packet.ackNow || nowUs - this.lastArrivalUs >= SILENCE_US) this.atOnce = true;
    this.lastArrivalUs = nowUs;
    return 'new';
  }

  /**
   * When the next ACK is due; Infinity when there is nothing new to tell. At once after 200 ms of silence and when a packet
   * asked for it, though never within 1 ms of the ACK before. Otherwise an interval after the ACK before; where ACKs would be
   * more than 2 % of what was received, four in a round trip have to do.
   */
  nextAckUs(): Us {
    if (this.newPackets === 0) return Number.POSITIVE_INFINITY;
    if (this.atOnce) return Math.max(this.firstNewUs, this.lastAckUs + ACK_SPACING_US);
    const intervalUs = this.isTooDear ? Math.max(this.ackIntervalUs, this.minRttUs / 4) : this.ackIntervalUs;
    return Math.max(this.firstNewUs, this.lastAckUs + intervalUs);
  }

  private get isTooDear(): boolean {
    return this.newBytes * MOST_ACK_SHARE < this.lastAckWireBytes;
  }

  /**
   * Writes an ACK of what is known now and counts it as sent. False: nothing has arrived yet, or it does not fit. `lagMs`: the
   * worst lateness of the event loop since the ACK before.
   */
  writeAck(writer: FrameWriter, pathId: number, nowUs: Us, lagMs: number): boolean {
    if (this.largest < 0) return false;
    const lengthBefore = writer.length;
    if (!writer.ack(pathId, this.sequence, nowUs, lagMs, this)) return false;
    this.sequence = (this.sequence + 1) >>> 0;
    this.lastAckUs = nowUs;
    this.lastAckWireBytes = writer.length - lengthBefore + CONTROL_OVERHEAD_BYTES;
    if (this.newPackets > 0) {
      this.newsFromOfAcks[this.newsAt] = this.newsFrom;
      this.newsAt = (this.newsAt + 1) % ACKS_THAT_TELL;
      this.newsFrom = this.largest + 1;
    }
    // What was stamped by a late process is not believed, and need not be said again.
    const isWorthIt = lagMs * 1000 <= LAG_US && !this.isTooDear;
    this.keepSamples(isWorthIt ? Math.min(this.samples, MAX_AGAIN) : 0);
    this.newPackets = 0;
    this.newBytes = 0;
    this.atOnce = false;
    this.samples = 0;
    this.sampleSpacingUs = SAMPLE_SPACING_US;
    return true;
  }

  private keepSamples(count: number): void {
    for (let i = 0; i < count; i++) {
      const from = Math.ceil(((i + 1) * this.samples) / count) - 1;
      this.againPns[i] = this.samplePns[from] as number;
      this.againTimes[i] = this.sampleTimes[from] as number;
    }
    this.again = count;
  }

  /** An ACK's window reaches back to here, if it is not too far. */
  get lowest(): number {
    let lowest = Math.min(this.newsFrom, this.largest);
    for (let i = 0; i < ACKS_THAT_TELL; i++) lowest = Math.min(lowest, this.newsFromOfAcks[i] as number);
    return lowest;
  }

  copyBitmap(into: Uint8Array, window: number): void {
    this.window.copyNewestFirst(into, window);
  }

  /** At least one: the largest packet's is given again when no larger one came since the ACK before. */
  get sampleCount(): number {
    return this.samples === 0 ? 1 : this.again + this.samples;
  }

  samplePn(index: number): number {
    if (this.samples === 0) return this.largest;
    return (index < this.again ? this.againPns[index] : this.samplePns[index - this.again]) as number;
  }

  sampleUs(index: number): Us {
    if (this.samples === 0) return this.largestArrivalUs;
    return (index < this.again ? this.againTimes[index] : this.sampleTimes[index - this.again]) as number;
  }

  /**
   * The last packet of each millisecond is a sample: of packets that were read in one wake-up it waited least. Packets that
   * were overtaken are none, their lateness is not the queue's.
   */
  private sample(packetNumber: number, nowUs: Us): void {
    this.largestArrivalUs = nowUs;
    if (this.samples === 0 || nowUs - this.sampleBeganUs >= this.sampleSpacingUs) {
      if (this.samples === MAX_NEW_SAMPLES) this.dropEverySecondSample();
      this.samples++;
      this.sampleBeganUs = nowUs;
    }
    this.samplePns[this.samples - 1] = packetNumber;
    this.sampleTimes[this.samples - 1] = nowUs;
  }

  /** More milliseconds than samples since the ACK before: they get twice as far apart. */
  private dropEverySecondSample(): void {
    this.samples = MAX_NEW_SAMPLES / 2;
    this.sampleSpacingUs *= 2;
    for (let i = 0; i < this.samples; i++) {
      this.samplePns[i] = this.samplePns[2 * i + 1] as number;
      this.sampleTimes[i] = this.sampleTimes[2 * i + 1] as number;
    }
  }
}

/** How often a receiver acknowledges that was not asked for more or less. */
export function ownIntervalUs(minRttUs: Us): Us {
  return Math.max(LEAST_INTERVAL_US, Math.min(minRttUs / 8, MOST_INTERVAL_US));
}

/** How many ACKs tell of a packet: at 30 % loss of ACKs, all of eight are lost in 7 of 100 000 cases. Seven before the present one. */
const ACKS_THAT_TELL = 7;
const LEAST_LOSS_PACKETS = 50;
const LEAST_INTERVAL_US = 5_000;
/** As many milliseconds as an ACK has new samples. */
const MOST_INTERVAL_US = 16_000;
const MOST_REQUESTED_US = 250_000;
/** No two ACKs closer than this, whatever the peer asks for. */
const ACK_SPACING_US = 1_000;
const SILENCE_US = 200_000;
const SAMPLE_SPACING_US = 1_000;
const MAX_AGAIN = 8;
const MAX_NEW_SAMPLES = MAX_ACK_SAMPLES - MAX_AGAIN;
/** Of the bytes received (draft-li-tcpm-tack's idea: few ACKs, but enough in a round trip). */
const MOST_ACK_SHARE = 0.02;
const TYPICAL_ACK_WIRE_BYTES = 120;
