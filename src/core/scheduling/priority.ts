/**
 * Priorities among transfers that share a server and, most often, its link. Pure: whoever moves bytes tells the governor, and
 * asks it how long to wait before reading more; the wait becomes back-pressure at the sender.
 */

/** From the first served to the last. */
export type PriorityClass = 'critical' | 'high' | 'normal';

/**
 * While a higher class moves bytes, a lower one is held to a share of what the higher moves: a quarter a step, so high gets
 * 1/4 of critical, normal 1/16 of critical or 1/4 of high, whichever is more. Never less than 64 KiB/s for a class, so
 * nothing starves. The share is divided evenly among the transfers of the held class. 500 ms after the higher class fell
 * silent the lower is free again, without debt. A class alone never waits.
 *
 * The measure is what the higher class really moves: one that trickles over a slow link holds the others too. Memory: one
 * small record for each transfer of a held class, at most 1024 a class.
 *
 * @example
 * let waitMs: number;
 * while ((waitMs = governor.waitMs(nowMs(), id, 'normal')) > 0) await sleep(waitMs);
 * governor.handleBytes(nowMs(), id, 'normal', piece.length);
 */
export class PriorityGovernor {
  readonly #meters: Readonly<Record<PriorityClass, Meter>> = { critical: newMeter(), high: newMeter(), normal: newMeter() };

  /** Bytes of a transfer moved just now. */
  handleBytes(nowMs: number, transfer: string, priority: PriorityClass, bytes: number): void {
    const meter = this.#meters[priority];
    count(meter, nowMs, bytes);
    const limit = this.#limit(nowMs, priority);
    if (limit !== null) this.#budget(meter, nowMs, transfer, limit).level -= bytes;
    else if (meter.budgets.size > 0) meter.budgets.clear();
  }

  /**
   * Milliseconds to wait before moving more bytes of this transfer; 0 means go. At most 250, so that a higher class that
   * stops frees the lower soon: ask again after each wait, until it is 0, or the class is not held at all.
   */
  waitMs(nowMs: number, transfer: string, priority: PriorityClass): number {
    const limit = this.#limit(nowMs, priority);
    if (limit === null) return 0;
    const meter = this.#meters[priority];
    const budget = this.#budget(meter, nowMs, transfer, limit);
    if (budget.level >= 0) return 0;
    return Math.min(LONGEST_WAIT_MS, Math.ceil((-budget.level * 1000 * meter.budgets.size) / limit));
  }

  /** Bytes a second that the class may move in all; null when nothing holds it. */
  #limit(nowMs: number, priority: PriorityClass): number | null {
    const rank = ORDER.indexOf(priority);
    let limit: number | null = null;
    for (let higher = 0; higher < rank; higher++) {
      const rate = ratePerSecond(this.#meters[ORDER[higher]!], nowMs);
      if (rate > 0) limit = Math.max(limit ?? FLOOR_BYTES_PER_SECOND, rate * SHARE_PER_STEP ** (rank - higher));
    }
    return limit;
  }

  /** The transfer's budget, filled up to now. */
  #budget(meter: Meter, nowMs: number, transfer: string, limit: number): Budget {
    for (const [id, other] of meter.budgets) {
      // In the order of last use, so the first that is in use ends the search.
      if (nowMs - other.atMs < WINDOW_MS && meter.budgets.size < MAX_BUDGETS) break;
      if (id !== transfer) meter.budgets.delete(id);
      else break;
    }
    const budget = meter.budgets.get(transfer) ?? { level: 0, atMs: nowMs };
    meter.budgets.delete(transfer);
    meter.budgets.set(transfer, budget);
    const earned = (Math.max(0, nowMs - budget.atMs) * limit) / 1000 / meter.budgets.size;
    budget.level = Math.min(BURST_BYTES, budget.level + earned);
    budget.atMs = nowMs;
    return budget;
  }
}

/** What one transfer of a held class may move: negative is debt. */
interface Budget {
  level: number;
  atMs: number;
}

/** What a class moved lately, in slots of 50 ms, and the budgets of its transfers while it is held. */
interface Meter {
  readonly slots: Float64Array;
  /** Number of the newest slot, counted from time 0. */
  newest: number;
  readonly budgets: Map<string, Budget>;
}

function newMeter(): Meter {
  return { slots: new Float64Array(SLOTS), newest: 0, budgets: new Map() };
}

function count(meter: Meter, nowMs: number, bytes: number): void {
  advance(meter, nowMs);
  meter.slots[meter.newest % SLOTS]! += bytes;
}

function ratePerSecond(meter: Meter, nowMs: number): number {
  advance(meter, nowMs);
  let bytes = 0;
  for (const slot of meter.slots) bytes += slot;
  return (bytes * 1000) / WINDOW_MS;
}

/** Forgets the slots that have become older than the window. A clock that went back counts into the newest. */
function advance(meter: Meter, nowMs: number): void {
  const slot = Math.floor(nowMs / SLOT_MS);
  if (slot - meter.newest >= SLOTS) meter.slots.fill(0);
  else for (let old = meter.newest + 1; old <= slot; old++) meter.slots[old % SLOTS] = 0;
  meter.newest = Math.max(meter.newest, slot);
}

const ORDER: readonly PriorityClass[] = ['critical', 'high', 'normal'];
const SHARE_PER_STEP = 1 / 4;
const FLOOR_BYTES_PER_SECOND = 64 * 1024;
const BURST_BYTES = 64 * 1024;
const WINDOW_MS = 500;
const SLOT_MS = 50;
const SLOTS = WINDOW_MS / SLOT_MS;
const LONGEST_WAIT_MS = 250;
const MAX_BUDGETS = 1024;
