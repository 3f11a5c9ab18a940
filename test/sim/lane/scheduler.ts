/** Virtual time: a heap of what happens when, and a seeded source of chance. The same seed gives the same run, event by event. */

/** A call to make at an instant. The argument is passed on, so that no closure is needed per packet. */
type Handler<T> = (argument: T) => void;

export class Scheduler {
  nowUs = 0;
  readonly random: () => number;
  #times: number[] = [];
  #orders: number[] = [];
  #handlers: Handler<unknown>[] = [];
  #arguments: unknown[] = [];
  #size = 0;
  #order = 0;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  at<T>(atUs: number, handler: Handler<T>, argument?: T): void {
    const order = this.#order++;
    const time = Math.max(atUs, this.nowUs);
    let i = this.#size++;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (this.#times[parent]! <= time) break;
      this.#move(parent, i);
      i = parent;
    }
    this.#place(i, time, order, handler as Handler<unknown>, argument);
  }

  after<T>(delayUs: number, handler: Handler<T>, argument?: T): void {
    this.at(this.nowUs + delayUs, handler, argument);
  }

  /** Runs everything up to and including the instant. */
  run(untilUs: number): void {
    while (this.#size > 0 && this.#times[0]! <= untilUs) {
      const handler = this.#handlers[0]!;
      const argument = this.#arguments[0];
      this.nowUs = this.#times[0]!;
      this.#removeFirst();
      handler(argument);
    }
    this.nowUs = untilUs;
  }

  /** The instant of the next event; Infinity when nothing is left. */
  get nextUs(): number {
    return this.#size > 0 ? this.#times[0]! : Number.POSITIVE_INFINITY;
  }

  #removeFirst(): void {
    const last = --this.#size;
    const time = this.#times[last]!;
    const order = this.#orders[last]!;
    const handler = this.#handlers[last]!;
    const argument = this.#arguments[last];
    this.#arguments[last] = undefined;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= last) break;
      if (child + 1 < last && this.#before(child + 1, child)) child++;
      const earlier = this.#times[child]! - time || this.#orders[child]! - order;
      if (earlier >= 0) break;
      this.#move(child, i);
      i = child;
    }
    this.#place(i, time, order, handler, argument);
  }

  #before(a: number, b: number): boolean {
    return (this.#times[a]! - this.#times[b]! || this.#orders[a]! - this.#orders[b]!) < 0;
  }

  #move(from: number, to: number): void {
    this.#place(to, this.#times[from]!, this.#orders[from]!, this.#handlers[from]!, this.#arguments[from]);
  }

  #place(i: number, time: number, order: number, handler: Handler<unknown>, argument: unknown): void {
    this.#times[i] = time;
    this.#orders[i] = order;
    this.#handlers[i] = handler;
    this.#arguments[i] = argument;
  }
}

/** Mulberry32: small, fast, and good enough to lose packets by. Numbers in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
