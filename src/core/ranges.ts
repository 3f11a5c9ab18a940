/**
 * A set of integers kept as runs: which bytes, or which blocks, are safe, wanted or in flight.
 */

/**
 * Half-open integer ranges [start, end), merged where they touch. Looking up costs the logarithm of the number of runs;
 * adding and removing also moves the runs behind. Empty ranges (end <= start) change nothing.
 *
 * @example
 * const safe = new RangeSet();
 * safe.add(0, 4);
 * safe.add(4, 8);
 * safe.entries(); // [[0, 8]]
 */
export class RangeSet {
  // Boundaries in ascending order: even indices start a run, odd ones end it. One array searches faster than pairs.
  #edges: number[] = [];
  #total = 0;

  static from(pairs: Iterable<readonly [number, number]>): RangeSet {
    const set = new RangeSet();
    for (const [start, end] of pairs) set.add(start, end);
    return set;
  }

  /** How many integers are in it. */
  get total(): number {
    return this.#total;
  }

  /** How many runs it is made of: what it costs in memory. */
  get runs(): number {
    return this.#edges.length / 2;
  }

  add(start: number, end: number): void {
    this.#replace(start, end, true);
  }

  remove(start: number, end: number): void {
    this.#replace(start, end, false);
  }

  /** True when every integer of [start, end) is in it; an empty range always is. */
  covers(start: number, end: number): boolean {
    return end <= start || this.runEnd(start) >= end;
  }

  /** Runs in ascending order. */
  entries(): [number, number][] {
    const pairs: [number, number][] = [];
    for (let i = 0; i < this.#edges.length; i += 2) pairs.push([this.#edges[i]!, this.#edges[i + 1]!]);
    return pairs;
  }

  /** What is missing within [start, end), in ascending order. */
  gaps(start: number, end: number): [number, number][] {
    const pairs: [number, number][] = [];
    let at = this.runEnd(start);
    while (at < end) {
      const gapEnd = Math.min(this.nextStart(at), end);
      pairs.push([at, gapEnd]);
      at = this.runEnd(gapEnd);
    }
    return pairs;
  }

  /** End of the run that holds `at`; `at` itself when none does. */
  runEnd(at: number): number {
    const index = this.#edgesUpTo(at);
    return index % 2 === 1 ? this.#edges[index]! : at;
  }

  /** Start of the first run at or after `at`; Infinity when there is none. */
  nextStart(at: number): number {
    const index = this.#edgesUpTo(at);
    if (index % 2 === 1) return this.#edges[index - 1] === at ? at : (this.#edges[index + 1] ?? Number.POSITIVE_INFINITY);
    return this.#edges[index] ?? Number.POSITIVE_INFINITY;
  }

  clone(): RangeSet {
    const copy = new RangeSet();
    copy.#edges = this.#edges.slice();
    copy.#total = this.#total;
    return copy;
  }

  #replace(start: number, end: number, present: boolean): void {
    if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end)) {
      throw new RangeError(`The range [${start}, ${end}) is not made of whole numbers.`);
    }
    if (end <= start) return;
    const edges = this.#edges;
    // The usual case by far: blocks arrive in order, so the last run grows.
    if (present && edges.length > 0 && edges[edges.length - 1] === start) {
      edges[edges.length - 1] = end;
      this.#total += end - start;
      return;
    }
    const from = this.#edgesBelow(start);
    const to = this.#edgesUpTo(end);
    // Inside a run at that side, no edge is needed there when adding; outside, none when removing.
    const openLeft = from % 2 === 1;
    const openRight = to % 2 === 1;
    const inserted: number[] = [];
    if (openLeft !== present) inserted.push(start);
    if (openRight !== present) inserted.push(end);
    this.#total += (present ? end - start : 0) - this.#within(start, end, from, to);
    edges.splice(from, to - from, ...inserted);
  }

  /** Integers of the set within [start, end), whose edges are those from index `from` to `to`. */
  #within(start: number, end: number, from: number, to: number): number {
    let total = 0;
    let open = from % 2 === 1 ? start : -1;
    for (let i = from; i < to; i++) {
      const edge = this.#edges[i]!;
      if (i % 2 === 0) open = edge;
      else total += edge - open;
    }
    return to % 2 === 1 ? total + end - open : total;
  }

  /** Number of edges <= at. Odd means that a run holds `at`. */
  #edgesUpTo(at: number): number {
    let low = 0;
    let high = this.#edges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#edges[middle]! <= at) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Number of edges < at. */
  #edgesBelow(at: number): number {
    let low = 0;
    let high = this.#edges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#edges[middle]! < at) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
