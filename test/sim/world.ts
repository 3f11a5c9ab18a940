/**
 * A small world for simulations: seeded chance, virtual time, and a scheduler that decides which of the operations under way
 * finishes next, or that the power goes out. A run depends on its seed alone.
 */

export type Random = () => number;

/** mulberry32: enough for choosing, and the same everywhere. */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export const between = (random: Random, low: number, high: number): number => low + Math.floor(random() * (high - low + 1));

interface Parked {
  readonly name: string;
  readonly release: () => void;
}

export class World {
  readonly random: Random;
  nowMs = 1_700_000_000_000;
  steps = 0;
  crashes = 0;
  /** Rejects when the power goes out: whoever waits for an answer then knows that none will come. */
  outage = Promise.withResolvers<never>();
  #parked: Parked[] = [];
  #timers: { readonly atMs: number; readonly release: () => void }[] = [];

  constructor(seed: number) {
    this.random = seeded(seed);
    this.outage.promise.catch(() => undefined);
  }

  /** Waits until the scheduler lets this operation finish; never, when the power goes out first. */
  step(name: string): Promise<void> {
    return new Promise((resolve) => this.#parked.push({ name, release: resolve }));
  }

  readonly clock = {
    now: () => Math.floor(this.nowMs),
    after: (ms: number, callback: () => void) => {
      const timer = { atMs: this.nowMs + ms, release: callback };
      this.#timers.push(timer);
      return () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      };
    },
    sleep: (ms: number) => new Promise<void>((resolve) => this.#timers.push({ atMs: this.nowMs + ms, release: resolve })),
  };

  /** Runs until `done`. `crash`, called with probability `crashChance` a step, turns the power off and on. */
  async run(
    done: () => boolean,
    options: { crashChance: () => number; crash: () => Promise<void>; maxSteps: number },
  ): Promise<void> {
    for (;;) {
      await new Promise(setImmediate);
      if (done()) return;
      if (++this.steps > options.maxSteps)
        throw new Error(`did not finish in ${options.maxSteps} steps (waiting: ${this.#parked.map((p) => p.name)})`);
      if (this.random() < options.crashChance()) {
        this.crashes++;
        this.#parked = [];
        this.#timers = [];
        const { reject } = this.outage;
        this.outage = Promise.withResolvers<never>();
        this.outage.promise.catch(() => undefined);
        await options.crash();
        reject(new Error('the power went out'));
        continue;
      }
      const chosen = this.#parked.splice(Math.floor(this.random() * this.#parked.length), 1)[0];
      if (chosen) {
        this.nowMs += this.random() * 3;
        chosen.release();
        continue;
      }
      this.#timers.sort((a, b) => a.atMs - b.atMs);
      const timer = this.#timers.shift();
      if (!timer) throw new Error('everybody waits and nothing is under way');
      this.nowMs = Math.max(this.nowMs, timer.atMs);
      timer.release();
    }
  }
}
