/**
 * When a sender asks for credit: its streams have bytes and may send none of them. Either the peer's reader is slow, or the word
 * was lost, of which the peer knows nothing.
 */
import type { Us } from './contract.ts';

/** Of a path: how long an answer may take, and when anything last came from the peer. */
export interface WatchedPath {
  readonly timeoutUs: Us;
  readonly lastHeardUs: Us;
}

export class CreditWatch {
  /** When to ask; Infinity: there is nothing to ask for. */
  dueUs: Us = Infinity;
  /** Questions that something was heard after, and the last one. */
  private heeded = 0;
  private askedUs: Us = Infinity;
  private blockedUs: Us = Infinity;
  private heardUs: Us = 0;

  /** After all that could be sent was. */
  watch(nowUs: Us, isBlocked: boolean, paths: readonly WatchedPath[]): void {
    if (!isBlocked) {
      this.dueUs = this.askedUs = this.blockedUs = Infinity;
      this.heeded = 0;
      return;
    }
    const timeoutUs = paths.reduce((least, path) => Math.min(least, path.timeoutUs), Infinity);
    const heardUs = paths.reduce((latest, path) => Math.max(latest, path.lastHeardUs), 0);
    this.heardUs = heardUs;
    if (this.blockedUs === Infinity) this.blockedUs = nowUs;
    if (this.askedUs === Infinity) this.dueUs = this.blockedUs + Math.min(MOST_WAIT_US, timeoutUs);
    // Bursts of loss that are counted in packets only end when some are sent, and there may be no others.
    else if (heardUs < this.askedUs)
      this.dueUs = this.askedUs + Math.min(MOST_WAIT_US, Math.max(LEAST_WAIT_US, (nowUs - heardUs) / 32));
    else this.dueUs = this.askedUs + Math.min(MOST_WAIT_US, timeoutUs * 2 ** Math.min(this.heeded + 1, 6));
  }

  handleAsked(nowUs: Us): void {
    if (this.heardUs >= this.askedUs) this.heeded++;
    this.askedUs = nowUs;
    this.dueUs = Infinity;
  }
}

const LEAST_WAIT_US = 25_000;
const MOST_WAIT_US = 2_000_000;
