/** What rate control can be asked about, for gauges and for the user. */
import type { Us } from './contract.ts';
import type { RateState } from './rate-state.ts';

export interface RateSnapshot {
  readonly rateBytesPerSecond: number;
  readonly goodputBytesPerSecond: number;
  readonly capacityBytesPerSecond: number;
  readonly lossRate: number;
  readonly recentLoss: number;
  readonly lossBurst: number;
  readonly srttUs: Us;
  readonly minRttUs: Us;
  readonly queueUs: Us;
  readonly targetUs: Us;
  readonly jitterUs: Us;
  readonly mode: string;
  readonly appLimited: boolean;
  /** Goodput over what the path can carry, 0 to 1. */
  readonly efficiency: number;
}

export function takeSnapshot(state: RateState, rateBytesPerSecond: number, appLimited: boolean): RateSnapshot {
  const possible = state.throughput * (1 - state.loss.rate);
  return {
    rateBytesPerSecond,
    goodputBytesPerSecond: state.goodput,
    capacityBytesPerSecond: state.throughput,
    lossRate: state.loss.rate,
    recentLoss: state.recentLoss,
    lossBurst: state.loss.burst,
    srttUs: state.srttUs,
    minRttUs: state.minRttUs,
    queueUs: state.queueUs,
    targetUs: state.targetUs(state.rate),
    jitterUs: state.jitterUs,
    mode: state.mode,
    appLimited,
    efficiency: possible > 0 ? Math.min(1, state.goodput / possible) : 0,
  };
}
