/** How fast a path's data packets come in: of late, for people, and at best, so that the next lane's sender need not begin from nothing. */
import type { Us } from './contract.ts';

export class ArrivalRate {
  private readonly bytes = new Float64Array(SLOTS);
  /** Which window a slot holds. */
  private readonly windows = new Float64Array(SLOTS).fill(-1);
  private newest = -1;
  /** Windows in which anything came, since the peaks were last shifted. */
  private counted = 0;
  private peakBytes = 0;
  private peakBytesBefore = 0;

  handleArrival(nowUs: Us, wireBytes: number): void {
    const window = Math.floor(nowUs / WINDOW_US);
    const slot = window % SLOTS;
    if (window !== this.newest) {
      this.endWindow();
      this.newest = window;
      this.windows[slot] = window;
      this.bytes[slot] = 0;
    }
    this.bytes[slot] = (this.bytes[slot] as number) + wireBytes;
  }

  /** Mean over the last second. */
  bytesPerSecond(nowUs: Us): number {
    const now = Math.floor(nowUs / WINDOW_US);
    let sum = 0;
    for (let window = now - SECOND; window < now; window++)
      if (this.windows[window % SLOTS] === window) sum += this.bytes[window % SLOTS] as number;
    return (sum * 1e6) / (SECOND * WINDOW_US);
  }

  /** The most that came in a tenth of a second, of the last hundred in which anything did. */
  get peakBytesPerSecond(): number {
    const current = this.newest < 0 ? 0 : (this.bytes[this.newest % SLOTS] as number);
    return (Math.max(this.peakBytes, this.peakBytesBefore, current) * 1e6) / WINDOW_US;
  }

  private endWindow(): void {
    if (this.newest < 0) return;
    this.peakBytes = Math.max(this.peakBytes, this.bytes[this.newest % SLOTS] as number);
    if (++this.counted < SHIFT_WINDOWS) return;
    this.counted = 0;
    this.peakBytesBefore = this.peakBytes;
    this.peakBytes = 0;
  }
}

const WINDOW_US = 100_000;
const SECOND = 10;
const SLOTS = 16;
const SHIFT_WINDOWS = 50;
