/**
 * Silence: nothing is acknowledged any more. The rate falls by half each round trip, so that a broken path is not flooded, but
 * never to nothing: 17 packets a second find the path again within moments of its return. Most silences are bursts of losses that
 * are counted in packets, so that for the first seconds a sixteenth of the rate goes on, up to 137 packets a second.
 */
import type { Us } from './contract.ts';
import type { RateMode, RateState } from './rate-state.ts';

export class Stall {
  /** When an acknowledgement last brought news, or the first packet after silence was sent. */
  progressUs: Us = 0;
  savedRate: number | null = null;
  savedMode: RateMode = 'ramp';
  #sinceUs: Us = 0;
  #gapUs: Us = 0;

  /** Returns the time since the last progress. */
  handleProgress(nowUs: Us): Us {
    const gapUs = nowUs - this.progressUs;
    this.progressUs = nowUs;
    this.#gapUs *= 0.998;
    return gapUs;
  }

  /** Acknowledgements were away for so long, and the path was well. */
  learnGap(gapUs: Us): void {
    this.#gapUs = Math.max(this.#gapUs, Math.min(gapUs, LONGEST_GAP_US));
  }

  /** How long acknowledgements stay away on a path that is well. */
  get usualGapUs(): Us {
    return this.#gapUs;
  }

  dueUs(state: RateState): Us {
    return this.progressUs + state.srttUs + Math.max(100_000, 8 * state.ackIntervalUs, 1.5 * this.#gapUs);
  }

  begin(nowUs: Us, state: RateState): void {
    this.#sinceUs = nowUs;
    this.savedRate = state.rate;
    this.savedMode = state.mode;
  }

  /** It was no silence: there was nothing to wait for. */
  cancel(state: RateState): void {
    state.mode = this.savedMode;
    state.rate = this.savedRate ?? state.rate;
    this.savedRate = null;
  }

  /** Returns how long it was. */
  end(): Us {
    this.savedRate = null;
    return this.progressUs - this.#sinceUs;
  }

  rate(nowUs: Us, state: RateState): number {
    const silentUs = nowUs - this.#sinceUs;
    const saved = this.savedRate ?? state.rate;
    const roundTrips = silentUs / Math.max(state.srttUs, 50_000);
    const first = silentUs < FIRST_US ? Math.min(saved * FIRST_SHARE, FIRST_PACKETS_PER_SECOND * state.packetBytes) : 0;
    return Math.max(saved * 0.5 ** roundTrips, LEAST_PACKETS_PER_SECOND * state.packetBytes, first);
  }
}

/** Not a whole number, or a link that is up for moments at regular times could be missed for ever. */
/** RFC 8084: for 10 s hardly anything of what was sent arrived. */
export class CircuitBreaker {
  open = false;
  #sinceUs = Number.NaN;

  observe(nowUs: Us, loss: number, recentLoss: number): void {
    if (loss <= 0.95 && recentLoss <= 0.8) this.#sinceUs = Number.NaN;
    else if (Number.isNaN(this.#sinceUs)) this.#sinceUs = nowUs;
    this.open = nowUs - this.#sinceUs > USELESS_US;
  }
}

const USELESS_US = 10_000_000;
const LEAST_PACKETS_PER_SECOND = 17.3;
const FIRST_SHARE = 1 / 16;
const FIRST_PACKETS_PER_SECOND = 137;
const FIRST_US = 4_000_000;
const LONGEST_GAP_US = 500_000;
