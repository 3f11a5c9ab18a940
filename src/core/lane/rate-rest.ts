/** The rate after a rest: what was reached before is not believed for ever, and not forgotten at once. */
import type { Us } from './contract.ts';

export class Rest {
  #rate = 0;
  #atUs: Us = 0;

  /**
   * All of it for ten seconds, then half for some minutes (draft-ietf-tsvwg-careful-resume); a second rest does not halve it
   * again. 0: too long ago.
   *
   * @param rate as it is now
   * @param sinceUs since when it has not been used in full
   */
  rateAfter(nowUs: Us, rate: number, sinceUs: Us): number {
    if (nowUs - sinceUs <= STALE_US) return rate;
    if (rate < 0.49 * this.#rate || rate > this.#rate) {
      this.#rate = rate;
      this.#atUs = sinceUs;
    }
    return nowUs - this.#atUs <= BELIEVED_US ? 0.5 * this.#rate : 0;
  }

  /** For a moment packets went at the rate, and the path carried them: what is remembered is true for some minutes more. */
  handleUsed(nowUs: Us): void {
    this.#atUs = nowUs;
  }
}

/** How long a rate that was not used is believed. */
export const STALE_US = 10_000_000;
const BELIEVED_US = 600_000_000;
