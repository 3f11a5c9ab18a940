/**
 * How much of the loss is the path's own. Loss that does not fall when we send less, while the queue is empty, is random and must
 * not slow us; every other loss is a sign of congestion. So the baseline goes up only by proof (a passed packet train, or a loss
 * check with an empty queue) and is proven again every ten seconds.
 */
export class LossBaseline {
  /** Random loss, 0 to 1. */
  rate = 0;
  /** The last value that was proven; drift above it is bounded. */
  verified = 0;
  /** Packets that taught us. */
  samples = 0;
  #drainedLost = 0;
  #drainedPackets = 0;
  #lost = 1;
  #runs = 1;

  get known(): boolean {
    return this.samples >= KNOWN_SAMPLES;
  }

  /** Mean length of a run of losses. */
  get burst(): number {
    return Math.max(1, this.#lost / this.#runs);
  }

  /** How much larger than for independent losses the variance of a count of losses is. */
  get variance(): number {
    return 2 * this.burst - 1;
  }

  /** Standard deviation of the loss rate measured over so many packets. */
  sigma(packets: number): number {
    const p = Math.max(this.rate, LEAST_RATE);
    return Math.sqrt((p * (1 - p) * this.variance) / Math.max(packets, 1));
  }

  /** What a measured loss may exceed the baseline by and still be chance. */
  margin(packets: number): number {
    return Math.max(0.01, 3 * this.sigma(packets));
  }

  observeRuns(lost: number, runs: number): void {
    if (runs === 0) return;
    this.#lost = this.#lost * 0.98 + lost;
    this.#runs = this.#runs * 0.98 + runs;
    if (this.#runs > 200) {
      this.#lost *= 0.7;
      this.#runs *= 0.7;
    }
  }

  /** The loss test: the rate was lowered, the queue was empty, and this was still lost. */
  learnVerified(loss: number, packets: number): void {
    const weight = Math.max(packets / (packets + 200 * this.variance), 0.5);
    this.rate += weight * (loss - this.rate);
    this.verified = this.rate;
    this.samples += packets;
  }

  /** A packet train got through faster than before with an empty queue: what it lost is the path's own. */
  learnPassed(loss: number, packets: number): void {
    if (this.samples < 300 * this.variance) {
      this.rate = (this.rate * this.samples + loss * packets) / (this.samples + packets);
    } else {
      this.rate += this.#driftWeight(packets) * (loss - this.rate);
    }
    this.samples += packets;
    this.verified = this.rate;
  }

  /**
   * Lost in a deep drain, with hardly anything in the queue. On a slow path one drain has too few packets to tell, so they are
   * added up: a drain as long as it takes would cost several percent of the rate.
   */
  learnDrained(lost: number, packets: number): void {
    this.#drainedLost += lost;
    this.#drainedPackets += packets;
    if (this.#drainedPackets < 200) return;
    const loss = this.#drainedLost / this.#drainedPackets;
    if (loss < this.rate - 5 * this.sigma(this.#drainedPackets)) this.learnVerified(loss, this.#drainedPackets);
    else if (loss < this.rate) this.drift(loss, this.#drainedPackets);
    this.#drainedLost = 0;
    this.#drainedPackets = 0;
  }

  /** Nothing was proven: follow slowly, and hardly upwards. */
  drift(loss: number, packets: number): void {
    const moved = this.rate + this.#driftWeight(packets) * (loss - this.rate);
    this.rate = Math.min(moved, Math.max(this.verified + MAX_DRIFT, this.rate));
    this.samples += packets;
  }

  /** The queue was not empty when the first losses came: they prove nothing, and what comes is tested. */
  assumeNone(): void {
    this.rate = 0;
    this.verified = 0;
    this.samples = KNOWN_SAMPLES;
  }

  /** Another path: nothing is known of its losses. */
  reset(): void {
    this.rate = 0;
    this.verified = 0;
    this.samples = 0;
  }

  #driftWeight(packets: number): number {
    return packets / (packets + 1500 * this.variance);
  }
}

const KNOWN_SAMPLES = 64;
const LEAST_RATE = 0.002;
const MAX_DRIFT = 0.005;
