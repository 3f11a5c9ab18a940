/**
 * What an earlier lane reached on the same way (the idea of draft-ietf-tsvwg-careful-resume): half of it is tried, by a train as any
 * other, when there is enough to send for one. From another round trip nothing is concluded, for it is another way.
 */
import type { Us } from './contract.ts';
import { resumePlan } from './rate-decisions.ts';
import type { Plan, RateState } from './rate-state.ts';

export class RateMemory {
  private readonly rttUs: Us;
  private bytesPerSecond: number;
  private trying = false;

  /** `bytesPerSecond` 0: nothing is remembered. */
  constructor(bytesPerSecond: number, rttUs: Us) {
    this.bytesPerSecond = bytesPerSecond;
    this.rttUs = rttUs;
  }

  /** The plan for the next interval: `plan`, unless it is a train of the ramp and something faster is remembered. */
  planFor(state: RateState, plan: Plan): Plan {
    const fits = plan.kind === 'train' && state.mode === 'ramp' && this.bytesPerSecond > 0;
    const isSame = state.srttUs < 1.5 * this.rttUs && state.srttUs > this.rttUs / 1.5;
    const resumed = fits && isSame ? resumePlan(state, 0.5 * this.bytesPerSecond) : null;
    this.trying = resumed !== null;
    return resumed ?? plan;
  }

  /** An interval has ended. What was tried is done with, unless there was too little to send to tell. */
  handleInterval(appLimited: boolean): void {
    if (this.trying && !appLimited) this.forget();
  }

  forget(): void {
    this.bytesPerSecond = 0;
  }
}
