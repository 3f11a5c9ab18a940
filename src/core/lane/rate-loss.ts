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
  /** It went up, and no drain has confirmed it yet. */
  doubtful = false;
  readonly #drained = new LossPool();
  #packets = 200;
  #lost = 2;
  #runs = 1.7;

  get known(): boolean {
    return this.samples >= KNOWN_SAMPLES;
  }

  /**
   * How much larger than for independent losses the variance of a count of losses is. Losses follow each other with a correlation
   * that the lengths of their runs tell (a Markov chain of two states); at a high rate runs of some length are mere chance.
   */
  get variance(): number {
    const after = 1 - this.#runs / this.#lost;
    const rate = Math.min(this.#lost / this.#packets, 0.9);
    const correlation = Math.min(Math.max((after - rate) / (1 - rate), 0), MAX_CORRELATION);
    return (1 + correlation) / (1 - correlation);
  }

  /** Mean length of a run of losses that would vary as much, were losses rare; 1: independent. */
  get burst(): number {
    return (this.variance + 1) / 2;
  }

  /** Standard deviation of the difference between the baseline and the loss measured over so many packets. */
  sigma(packets: number): number {
    const learned = this.#learned;
    // Of few packets none may be lost by chance: as if one more run of losses had been.
    const p = Math.max((this.rate * learned + this.burst) / (learned + this.burst), LEAST_RATE);
    const variance = p * (1 - p) * this.variance;
    return Math.sqrt(variance * (1 / Math.max(packets, 1) + 1 / learned));
  }

  /** What a measured loss may exceed the baseline by and still be chance. */
  margin(packets: number): number {
    return Math.max(0.01, Math.min(MOST_MARGIN, 3 * this.sigma(packets)));
  }

  observeRuns(packets: number, lost: number, runs: number): void {
    if (runs === 0) return;
    this.#packets = this.#packets * RUN_MEMORY + packets;
    this.#lost = this.#lost * RUN_MEMORY + lost;
    this.#runs = this.#runs * RUN_MEMORY + runs;
  }

  /** The loss test: all lanes slowed down, the queue was empty, and this was still lost. */
  learnVerified(loss: number, packets: number): void {
    if (packets === 0) return;
    const weight = packets / (packets + 100 * this.variance);
    if (loss > this.rate) this.doubtful = true;
    this.#set(this.rate + weight * (loss - this.rate));
    this.verified = this.rate;
    this.samples += packets;
  }

  /** Lost while the queue was far from full. */
  learnClear(loss: number, packets: number): void {
    if (packets === 0) return;
    const weight = packets / (packets + Math.min(this.samples, 600 * this.variance));
    this.#set(this.rate + weight * (loss - this.rate));
    this.verified = this.rate;
    this.samples += packets;
  }

  /** Losses were proven to be congestion: what is left when all slow down is random. */
  learnFallen(loss: number): void {
    this.#set(Math.min(this.rate, loss));
    this.verified = this.rate;
  }

  /** A packet train got through faster than before with an empty queue: what it lost is the path's own, until a drain says otherwise. */
  learnPassed(loss: number, packets: number): void {
    if (packets === 0) return;
    const before = this.rate;
    if (this.samples < 300 * this.variance) this.#set((this.rate * this.samples + loss * packets) / (this.samples + packets));
    else this.#set(this.rate + (packets / (packets + 1500 * this.variance)) * (loss - this.rate));
    if (this.rate > before + 0.005) this.doubtful = true;
    this.samples += packets;
    this.verified = this.rate;
  }

  /**
   * Lost in a deep drain, with hardly anything in the queue. On a slow path one drain has too few packets to tell, so they are
   * added up: a drain as long as it takes would cost several percent of the rate.
   */
  learnDrained(lost: number, packets: number): void {
    this.#drained.add(packets, lost);
    if (this.#drained.packets < 200) return;
    const { loss } = this.#drained;
    const weight = this.#drained.packets / (this.#drained.packets + 400 * this.variance);
    this.#set(this.rate + weight * (loss - this.rate));
    this.verified = this.rate;
    this.doubtful = false;
    this.#drained.clear();
  }

  /** Nothing was proven: follow slowly, and upwards hardly further than what was proven may be wrong by. */
  drift(loss: number, packets: number): void {
    if (packets === 0) return;
    const before = this.rate;
    const moved = this.rate + (packets / (packets + this.#learned)) * (loss - this.rate);
    const unsure = 2 * Math.sqrt((moved * (1 - moved) * this.variance) / this.#learned);
    this.#set(Math.min(moved, Math.max(this.verified + Math.max(MAX_DRIFT, unsure), this.rate)));
    if (this.rate > before + MAX_DRIFT) this.doubtful = true;
    this.samples += packets;
  }

  /** The queue was not empty when the first losses came: they prove nothing, and what comes is tested. */
  assumeNone(): void {
    this.rate = 0;
    this.verified = 0;
    this.samples = KNOWN_SAMPLES;
  }

  /** Packets that the baseline rests on; older ones are forgotten. */
  get #learned(): number {
    return Math.min(Math.max(this.samples, 1), 1500 * this.variance);
  }

  #set(rate: number): void {
    this.rate = Math.min(MAX_RATE, Math.max(0, rate));
  }
}

/** Losses added up over several intervals. */
export class LossPool {
  packets = 0;
  lost = 0;

  get loss(): number {
    return this.packets > 0 ? this.lost / this.packets : 0;
  }

  add(packets: number, lost: number): void {
    this.packets += packets;
    this.lost += lost;
  }

  /** What is older counts less. */
  age(share: number): void {
    this.packets *= share;
    this.lost *= share;
  }

  clear(): void {
    this.packets = 0;
    this.lost = 0;
  }
}

const KNOWN_SAMPLES = 24;
/** A path that loses more is not worth its packets, and whoever believes in more can be kept at any overload. */
const MAX_RATE = 0.5;
const RUN_MEMORY = 0.98;
const MAX_CORRELATION = 0.995;
const LEAST_RATE = 0.002;
const MAX_DRIFT = 0.005;
/** A queue that overflows loses in runs as well: however bursty the path is, so much more is not taken for chance. */
const MOST_MARGIN = 0.4;
