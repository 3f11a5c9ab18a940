/**
 * Makes a clock of 32-bit microseconds, which begins again every 71 minutes, one that never does. One for each path and each
 * clock: the values of a remote clock mean nothing but by their differences.
 */
import type { Us } from './contract.ts';

export class ClockUnwrap {
  private valueUs: Us = 0;
  private atUs: Us = -1;

  /**
   * The full value of a remote clock that showed `lowUs` in a message that arrived at `nowUs`: the one nearest to what its
   * last value and the time since then let expect, so a pause of any length does not mislead it. Messages may overtake each
   * other; the value may then be smaller than the one before.
   */
  expand(lowUs: number, nowUs: Us): Us {
    if (this.atUs < 0) {
      this.valueUs = lowUs;
    } else {
      const expectedUs = Math.round(this.valueUs + (nowUs - this.atUs));
      this.valueUs = expectedUs + ((lowUs - expectedUs) | 0);
    }
    this.atUs = nowUs;
    return this.valueUs;
  }
}
