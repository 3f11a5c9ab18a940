/**
 * When the lane's thread works: at datagrams, at messages and at the instants that lanes ask for. With system calls at hand it
 * waits in ppoll(2), to the microsecond; otherwise by Node's timers, to the millisecond, and lanes catch up by elapsed time.
 */
import type { Us } from '../../core/lane/contract.ts';
import type { NativePoller } from './linux-sockets.ts';

export interface ThreadLoopOptions {
  readonly nowUs: () => Us;
  /** Null: by Node's timers. */
  readonly poller: NativePoller | null;
  /** Does all that is due; `lagUs` is how late it is. Says when it is wanted next (Infinity: when something comes). */
  readonly step: (nowUs: Us, lagUs: Us) => StepResult;
}

export interface StepResult {
  wakeUs: Us;
  /** Datagrams of full size that came, and that went. */
  bulkIn: number;
  bulkOut: number;
  /** For so long what is to be sent may wait for more. */
  mostGatherUs: Us;
}

export interface ThreadLoop {
  /** Something was put in the queue by a message or a socket. */
  wake(): void;
  /** Whether there is anything to wait for but messages. */
  setActive(active: boolean): void;
}

export function createThreadLoop(options: ThreadLoopOptions): ThreadLoop {
  return options.poller ? pollingLoop(options, options.poller) : timerLoop(options);
}

function pollingLoop({ nowUs, step }: ThreadLoopOptions, poller: NativePoller): ThreadLoop {
  let active = false;
  let scheduled = false;
  let woken = false;
  const gathering = new Gathering(nowUs());
  let result: StepResult = { wakeUs: Infinity, bulkIn: 0, bulkOut: 0, mostGatherUs: Infinity };
  let endedUs = nowUs();
  let gatherUntilUs = 0;
  let lateUs = 0;

  function turn(): void {
    scheduled = false;
    for (let round = 0; round < MOST_ROUNDS; round++) {
      // A message, most likely: it is read in the turn of the event loop that comes now, and wakes us again.
      if ((active || result.wakeUs !== Infinity) && wait()) break;
      woken = false;
      const beganUs = nowUs();
      result = step(beganUs, lateUs);
      endedUs = nowUs();
      gatherUntilUs = beganUs + gathering.handleStep(beganUs, result);
      lateUs = endedUs - beganUs;
      if (!active && result.wakeUs === Infinity) return;
    }
    schedule();
  }

  /** True: only the event loop has something to do. */
  function wait(): boolean {
    const startUs = nowUs();
    // Messages get through while datagrams are gathered, and what they ask for is done with the next of these.
    const gathers = gatherUntilUs > startUs;
    if (woken && !gathers) return false;
    const dueUs = Math.max(endedUs, gathers ? gatherUntilUs : result.wakeUs);
    if (dueUs > startUs && poller.wait(dueUs - startUs, !gathers)) return true;
    if (dueUs !== Infinity) lateUs = Math.max(lateUs, nowUs() - dueUs);
    return false;
  }

  function schedule(): void {
    if (scheduled) return;
    scheduled = true;
    setImmediate(turn);
  }

  return {
    wake() {
      woken = true;
      schedule();
    },
    setActive(on) {
      active = on;
      if (on) schedule();
    },
  };
}

function timerLoop({ nowUs, step }: ThreadLoopOptions): ThreadLoop {
  let timer: NodeJS.Timeout | null = null;
  let scheduled = false;
  let dueUs: Us = Infinity;
  let endedUs = nowUs();

  function turn(): void {
    scheduled = false;
    if (timer) clearTimeout(timer);
    timer = null;
    const beganUs = nowUs();
    const lateUs = Math.max(0, beganUs - Math.max(dueUs, endedUs));
    const { wakeUs } = step(beganUs, dueUs === Infinity ? 0 : lateUs);
    endedUs = nowUs();
    dueUs = wakeUs;
    if (wakeUs === Infinity) return;
    const waitMs = (wakeUs - endedUs) / 1000;
    if (waitMs <= 0) dueUs = endedUs;
    // A timer of less than a millisecond is one of a millisecond.
    timer = setTimeout(turn, Math.min(Math.max(1, waitMs), LONGEST_TIMER_MS));
  }

  return {
    wake() {
      if (scheduled) return;
      scheduled = true;
      setImmediate(turn);
    },
    setActive() {},
  };
}

/**
 * Datagrams are cheaper by the dozen. In a bulk transfer the thread lets some come together, at most for a time that is short
 * against the delays that the rate control measures; requests and answers, which are short, are not kept waiting.
 */
class Gathering {
  private sinceUs: Us;
  private bulkIn = 0;
  private bulkOut = 0;
  private gatherUs = 0;
  /** Since when it is bulk. */
  private bulkSinceUs: Us;

  constructor(nowUs: Us) {
    this.sinceUs = this.bulkSinceUs = nowUs;
  }

  /** How long after this step's beginning the next should be. */
  handleStep(nowUs: Us, { bulkIn, bulkOut, mostGatherUs }: StepResult): Us {
    this.bulkIn += bulkIn;
    this.bulkOut += bulkOut;
    const elapsedUs = nowUs - this.sinceUs;
    if (elapsedUs >= PERIOD_US) {
      const spacingUs = elapsedUs / Math.max(1, this.bulkIn + this.bulkOut);
      const mostUs = this.bulkOut > this.bulkIn ? MOST_GATHER_OUT_US : MOST_GATHER_IN_US;
      if (spacingUs > SPARSE_US) this.bulkSinceUs = nowUs;
      // A short object waits for its end at every turn.
      const share = nowUs - this.bulkSinceUs < LASTING_US ? 0.5 : 1;
      this.gatherUs =
        spacingUs > SPARSE_US ? 0 : Math.min(share * mostUs, Math.max(LEAST_GATHER_US, share * GATHERED * spacingUs));
      this.sinceUs = nowUs;
      this.bulkIn = this.bulkOut = 0;
    }
    return Math.min(this.gatherUs, mostGatherUs);
  }
}

/** Turns of the event loop cost as much as the system calls of a round; it has one in so many rounds, and when it has to do. */
const MOST_ROUNDS = 16;
const PERIOD_US = 4000;
const GATHERED = 40;
const LEAST_GATHER_US = 250;
/** What is sent at once makes a queue of as much; the pacer saves up no more without being asked. */
const MOST_GATHER_OUT_US = 4000;
/** The kernel notes when datagrams came, so that only the acknowledgement waits, and that is due every 5 ms or more. */
const MOST_GATHER_IN_US = 5000;
/** Less than 40 Mbit/s: no work worth saving. */
const SPARSE_US = 250;
/** 2.5 MB at 100 Mbit/s. */
const LASTING_US = 200_000;
const LONGEST_TIMER_MS = 1000;
