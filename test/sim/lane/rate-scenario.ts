/** Scenarios of rate control in virtual time: who sends over which bottleneck, and what came of it. */
import { BbrFlow, CubicFlow } from './competitors.ts';
import type { LinkOptions } from './network.ts';
import { SimLink } from './network.ts';
import type { RateFlowOptions } from './rate-flow.ts';
import { PACKET_BYTES, RateFlow } from './rate-flow.ts';
import { Scheduler } from './scheduler.ts';

export type FlowSpec = {
  readonly kind: 'lane' | 'cubic' | 'bbr';
  readonly rttMs?: number;
  readonly startS?: number;
  readonly stopS?: number;
} & {
  readonly lane?: Partial<RateFlowOptions>;
};

export interface Scenario {
  readonly seed: number;
  readonly seconds: number;
  /** What comes before does not count. */
  readonly fromS: number;
  readonly mbit: number;
  readonly rttMs: number;
  readonly queueMs?: number;
  /** Both ways, 0 to 1. */
  readonly loss?: number;
  readonly burst?: number;
  readonly link?: Partial<LinkOptions>;
  readonly back?: Partial<LinkOptions>;
  readonly flows?: readonly FlowSpec[];
  readonly events?: readonly { readonly atS: number; readonly change: (world: World) => void }[];
  readonly decisionLog?: (line: string) => void;
}

export interface World {
  readonly net: Scheduler;
  readonly out: SimLink;
  readonly back: SimLink;
  readonly flows: readonly Flow[];
}

interface Flow {
  readonly deliveredBytes: number;
}

export interface Outcome {
  /** Delivered wire bytes a second of each flow over the counted time, in Mbit/s. */
  readonly mbit: readonly number[];
  /** All flows together over what the link can carry after loss, 0 to 1. */
  readonly efficiency: number;
  readonly jain: number;
  readonly queueP50Ms: number;
  readonly queueP95Ms: number;
  readonly queueMaxMs: number;
  /** In the first 3 s. */
  readonly startPeakMs: number;
  /** Seconds until the first flow reaches 90 % of the limit; NaN: never. */
  readonly t90S: number;
  /** By a full queue, of what was sent in the counted time. */
  readonly dropRate: number;
  /** Delivered Mbit/s, per flow and second. */
  readonly series: readonly (readonly number[])[];
  readonly world: World;
}

export function runScenario(scenario: Scenario): Outcome {
  const { loss = 0, burst = 1, seconds, fromS, rttMs } = scenario;
  const net = new Scheduler(scenario.seed);
  const lossy = { lossRate: loss, lossBurst: burst };
  const out = new SimLink(net, {
    bitsPerSecond: scenario.mbit * 1e6,
    queueUs: (scenario.queueMs ?? 100) * 1000,
    ...lossy,
    ...scenario.link,
  });
  const back = new SimLink(net, { ...lossy, ...scenario.back });
  const specs: readonly FlowSpec[] = scenario.flows ?? [{ kind: 'lane' }];
  const flows = specs.map((spec) => makeFlow(net, out, back, spec, scenario));
  const world: World = { net, out, back, flows };
  for (const { atS, change } of scenario.events ?? []) net.at(atS * 1e6, () => change(world));

  const limit = scenario.mbit * (1 - loss);
  const windowS = Math.max(0.05, rttMs / 2000);
  let t90S = Number.NaN;
  let before = 0;
  every(net, windowS * 1e6, 15e6, () => {
    const rate = mbitOf(flows[0]!.deliveredBytes - before, windowS);
    before = flows[0]!.deliveredBytes;
    if (Number.isNaN(t90S) && rate > 0.9 * limit) t90S = net.nowUs / 1e6;
  });
  const queues: number[] = [];
  let startPeak = 0;
  every(net, 2000, seconds * 1e6, () => {
    if (net.nowUs < 3e6) startPeak = Math.max(startPeak, out.queueUs);
    if (net.nowUs >= fromS * 1e6) queues.push(out.queueUs);
  });
  const series: number[][] = flows.map(() => []);
  const last = flows.map(() => 0);
  let counted: { bytes: number[]; dropped: number; sent: number } | null = null;
  for (let second = 1; second <= seconds; second++) {
    net.run(second * 1e6);
    flows.forEach((flow, i) => {
      series[i]!.push(mbitOf(flow.deliveredBytes - last[i]!, 1));
      last[i] = flow.deliveredBytes;
    });
    if (second === Math.ceil(fromS)) counted = { bytes: [...last], dropped: out.counters.dropped, sent: out.counters.sent };
  }
  const from = counted ?? { bytes: flows.map(() => 0), dropped: 0, sent: 0 };
  const mbit = flows.map((flow, i) => mbitOf(flow.deliveredBytes - from.bytes[i]!, seconds - Math.ceil(fromS)));
  queues.sort((a, b) => a - b);
  const quantile = (q: number) => (queues[Math.floor(q * (queues.length - 1))] ?? 0) / 1000;
  return {
    mbit,
    efficiency: sum(mbit) / limit,
    jain: sum(mbit) ** 2 / (mbit.length * sum(mbit.map((x) => x * x))),
    queueP50Ms: quantile(0.5),
    queueP95Ms: quantile(0.95),
    queueMaxMs: quantile(1),
    startPeakMs: startPeak / 1000,
    t90S,
    dropRate: (out.counters.dropped - from.dropped) / Math.max(1, out.counters.sent - from.sent),
    series,
    world,
  };
}

function makeFlow(net: Scheduler, out: SimLink, back: SimLink, spec: FlowSpec, scenario: Scenario): Flow {
  const rttUs = (spec.rttMs ?? scenario.rttMs) * 1000;
  const startUs = (spec.startS ?? 0) * 1e6;
  const stopUs = (spec.stopS ?? Number.POSITIVE_INFINITY) * 1e6;
  const times = { rttUs, startUs, stopUs };
  if (spec.kind === 'cubic') return new CubicFlow(net, out, back, times);
  if (spec.kind === 'bbr') return new BbrFlow(net, out, back, times);
  const decisionLog = scenario.decisionLog ?? null;
  return new RateFlow(net, out, back, { ...times, decisionLog, ...spec.lane });
}

function every(net: Scheduler, periodUs: number, untilUs: number, act: () => void): void {
  const again = (): void => {
    act();
    if (net.nowUs + periodUs <= untilUs) net.after(periodUs, again);
  };
  net.at(periodUs, again);
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function mbitOf(bytes: number, seconds: number): number {
  return (bytes * 8) / 1e6 / seconds;
}

export { PACKET_BYTES };
