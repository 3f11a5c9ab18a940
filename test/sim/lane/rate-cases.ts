/** The conditions that rate control is judged in, with what is asked of it. `npm run sim:lane` runs them with many seeds. */
import type { FlowSpec, Outcome, Scenario } from './rate-scenario.ts';

export interface Case {
  readonly name: string;
  readonly scenario: Omit<Scenario, 'seed'>;
  /** Null: as asked. Otherwise what is wrong. Judged on the medians over seeds. */
  readonly least?: { readonly [K in Metric]?: number };
  readonly most?: { readonly [K in Metric]?: number };
}

export type Metric = 'efficiency' | 'jain' | 'queueP50Ms' | 'startPeakMs' | 'share' | 'otherMbit' | 'dropRate' | 't90Rtt';

export function metric(name: Metric, outcome: Outcome, scenario: Omit<Scenario, 'seed'>): number {
  const { mbit } = outcome;
  switch (name) {
    case 'share':
      return (mbit[0] ?? 0) / scenario.mbit;
    case 'otherMbit':
      return mbit[1] ?? 0;
    case 't90Rtt':
      return (outcome.t90S * 1000) / scenario.rttMs;
    default:
      return outcome[name];
  }
}

const base = { mbit: 100, rttMs: 100, queueMs: 100, seconds: 30, fromS: 8 };
const lane: FlowSpec = { kind: 'lane' };
const cubic: FlowSpec = { kind: 'cubic', startS: 2 };
const bbr: FlowSpec = { kind: 'bbr', startS: 2 };
/** Machines as they are: ticks of a millisecond with jitter, packets read in batches, stalls of 8 to 30 ms. */
export const BUSY = {
  sender: { timerLateUs: 1500, stallEveryUs: 500_000, stallUs: 30_000 },
  receiver: { receiveBatchUs: 1000, stallEveryUs: 500_000, stallUs: 30_000, clockSkewPpm: 50 },
};

function single(name: string, scenario: Partial<Scenario>, efficiency: number, most: Case['most'] = {}): Case {
  return { name, scenario: { ...base, ...scenario }, least: { efficiency }, most };
}

export const CASES: { readonly [group: string]: readonly Case[] } = {
  single: [
    ...[2, 20, 100, 200, 600].flatMap((rttMs) =>
      [0, 0.02, 0.1, 0.3].map((loss) =>
        single(
          `rtt ${rttMs} loss ${loss * 100} %`,
          { rttMs, loss, queueMs: 200, seconds: 30, fromS: rttMs >= 600 ? 12 : 8 },
          rttMs <= 100 && loss <= 0.02 ? 0.97 : 0.95,
          { queueP50Ms: 25, startPeakMs: 60 },
        ),
      ),
    ),
    single(
      'satellite 20 Mbit/s rtt 600 loss 1 %',
      { mbit: 20, rttMs: 600, loss: 0.01, queueMs: 300, seconds: 60, fromS: 15 },
      0.95,
    ),
  ],
  busy: [0, 0.02, 0.3].flatMap((loss) =>
    [20, 100, 200, 600].map((rttMs) =>
      single(
        `busy hosts rtt ${rttMs} loss ${loss * 100} %`,
        { rttMs, loss, queueMs: 200, seconds: 40, fromS: 12, flows: [{ kind: 'lane', lane: BUSY }] },
        0.95,
        { queueP50Ms: 25 },
      ),
    ),
  ),
  burst: [
    ...[4, 16].flatMap((burst) =>
      [0.02, 0.1, 0.3].map((loss) =>
        single(
          `rtt 200 loss ${loss * 100} % in bursts of ${burst}`,
          { rttMs: 200, loss, burst, seconds: 40, fromS: 10 },
          burst === 4 ? (loss > 0.1 ? 0.93 : 0.93) : loss > 0.1 ? 0.75 : 0.85,
        ),
      ),
    ),
    ...[0.02, 0.1, 0.3].map((loss) =>
      single(
        `rtt 100 loss ${loss * 100} % in periods of 20 ms`,
        { rttMs: 100, loss, seconds: 40, fromS: 10, link: { lossBurstUs: 20_000 }, back: { lossBurstUs: 20_000 } },
        0.75,
      ),
    ),
  ],
  rates: [1, 2, 5, 10, 20, 500].flatMap((mbit) =>
    [0, 0.1, 0.3].map((loss) =>
      single(
        `${mbit} Mbit/s rtt 100 loss ${loss * 100} %`,
        { mbit, loss, seconds: mbit > 100 ? 14 : 40, fromS: mbit > 100 ? 6 : 10 },
        mbit < 5 ? 0.9 : 0.94,
      ),
    ),
  ),
  jitter: [2, 10, 30].flatMap((ms) =>
    [0, 0.1, 0.3].map((loss) =>
      single(
        `jitter ${ms} ms loss ${loss * 100} %`,
        { loss, link: { jitterUs: ms * 1000 }, back: { jitterUs: ms * 1000 } },
        ms > 10 ? 0.8 : 0.95,
      ),
    ),
  ),
  shallow: [2, 5, 10, 20].flatMap((queueMs) =>
    [0, 0.05, 0.3].map((loss) =>
      single(
        `buffer ${queueMs} ms loss ${loss * 100} %`,
        { queueMs, loss, seconds: 40 },
        queueMs < 5 ? 0.85 : queueMs < 10 ? 0.93 : 0.95,
      ),
    ),
  ),
  odd: [
    ...[0, 0.1, 0.3].map((loss) =>
      single(
        `policer 50 Mbit/s bucket 250 KB loss ${loss * 100} %`,
        { loss, link: { policer: { bitsPerSecond: 50e6, burstBytes: 250e3 } }, seconds: 40 },
        0.46,
      ),
    ),
    single('CoDel', { link: { codel: true }, seconds: 40 }, 0.93),
    single('CoDel loss 10 %', { link: { codel: true }, loss: 0.1, seconds: 40 }, 0.93),
    ...[0.01, 0.1].map((rate) =>
      single(
        `${rate * 100} % of packets up to 20 ms late`,
        { link: { reorderRate: rate, reorderUs: 20_000 }, seconds: 30 },
        0.95,
      ),
    ),
    single('reordering, loss 10 %', { loss: 0.1, link: { reorderRate: 0.05, reorderUs: 10_000 }, seconds: 30 }, 0.93),
    single('duplicates', { link: { duplicateRate: 0.1 }, back: { duplicateRate: 0.1 } }, 0.95),
    single('reverse 1 Mbit/s', { back: { bitsPerSecond: 1e6 } }, 0.93),
    single('reverse 0.3 Mbit/s', { mbit: 20, back: { bitsPerSecond: 0.3e6, queueUs: 300_000 } }, 0.9),
    single('reverse jitter 30 ms loss 10 %', { back: { jitterUs: 30_000, lossRate: 0.1 } }, 0.95),
    single(
      'LTE 30 Mbit/s, jitter 10, 1 s buffer',
      { mbit: 30, rttMs: 50, loss: 0.005, queueMs: 1000, link: { jitterUs: 10_000 } },
      0.93,
    ),
    single(
      'Wi-Fi 80 Mbit/s rtt 10, jitter 5, bursts',
      { mbit: 80, rttMs: 10, loss: 0.01, burst: 4, link: { jitterUs: 5000 } },
      0.93,
    ),
    single('receiver reads every 10 ms', { flows: [{ kind: 'lane', lane: { receiver: { receiveBatchUs: 10_000 } } }] }, 0.95),
    single(
      'receiver reads every 5 ms loss 10 %',
      { loss: 0.1, flows: [{ kind: 'lane', lane: { receiver: { receiveBatchUs: 5000 } } }] },
      0.95,
    ),
    single('sender ticks of 10 ms', { loss: 0.1, flows: [{ kind: 'lane', lane: { sender: { timerLateUs: 15_000 } } }] }, 0.9),
    single('loss only forward 5 %', { loss: 0.05, back: { lossRate: 0 } }, 0.95),
    single('loss 45 %', { loss: 0.45, seconds: 40, fromS: 15 }, 0.85),
  ],
  own: [
    ...[0, 0.1, 0.3].flatMap((loss): Case[] => [
      {
        name: `2 lanes loss ${loss * 100} %`,
        scenario: { ...base, loss, seconds: 60, fromS: 25, flows: [lane, { ...lane, startS: 4 }] },
        least: { jain: 0.95, efficiency: 0.95 },
      },
      {
        name: `4 lanes staggered loss ${loss * 100} %`,
        scenario: {
          ...base,
          loss,
          seconds: 80,
          fromS: 40,
          flows: [lane, { ...lane, startS: 4 }, { ...lane, startS: 9 }, { ...lane, startS: 15 }],
        },
        least: { jain: 0.9, efficiency: 0.94 },
      },
      {
        name: `2 lanes rtt 20 and 200 loss ${loss * 100} %`,
        scenario: {
          ...base,
          loss,
          rttMs: 20,
          seconds: 80,
          fromS: 40,
          flows: [
            { ...lane, rttMs: 20 },
            { ...lane, rttMs: 200, startS: 4 },
          ],
        },
        least: { jain: 0.9, efficiency: 0.95 },
      },
    ]),
  ],
  many: [0, 0.1, 0.3].map((loss) => ({
    name: `10 lanes loss ${loss * 100} %`,
    scenario: {
      ...base,
      loss,
      rttMs: 60,
      seconds: 70,
      fromS: 35,
      flows: Array.from(
        { length: 10 },
        (_, i): FlowSpec => ({ kind: 'lane', startS: i * 0.3, lane: { wallErrorUs: (((i * 7919) % 10) - 5) * 4000 } }),
      ),
    },
    least: { jain: 0.85, efficiency: 0.93 },
  })),
  cubic: [20, 50, 100, 300].flatMap((queueMs) =>
    [20, 50, 100].map((rttMs) => ({
      name: `beside CUBIC, buffer ${queueMs} ms rtt ${rttMs}`,
      scenario: { ...base, queueMs, rttMs, seconds: 100, fromS: 40, flows: [lane, cubic] },
      least: queueMs === 50 || queueMs === 100 ? { share: 0.2, otherMbit: 0.4 * 50 } : { share: 0.1, otherMbit: 0.35 * 50 },
    })),
  ),
  'cubic-cubic': [20, 50, 100, 300].flatMap((queueMs) =>
    [20, 50, 100].map((rttMs) => ({
      name: `CUBIC beside CUBIC, buffer ${queueMs} ms rtt ${rttMs}`,
      scenario: { ...base, queueMs, rttMs, seconds: 100, fromS: 40, flows: [{ ...cubic, startS: 0 }, cubic] },
    })),
  ),
  bbr: [50, 100, 300].flatMap((queueMs) =>
    [20, 100].flatMap((rttMs) => [
      {
        name: `beside BBR, buffer ${queueMs} ms rtt ${rttMs}`,
        scenario: { ...base, queueMs, rttMs, seconds: 80, fromS: 40, flows: [lane, bbr] },
      },
      {
        name: `CUBIC beside BBR, buffer ${queueMs} ms rtt ${rttMs}`,
        scenario: { ...base, queueMs, rttMs, seconds: 80, fromS: 40, flows: [{ ...cubic, startS: 0 }, bbr] },
      },
    ]),
  ),
  background: [50, 100, 300].flatMap((queueMs) =>
    [20, 100].map((rttMs) => ({
      name: `background beside CUBIC, buffer ${queueMs} ms rtt ${rttMs}`,
      scenario: {
        ...base,
        queueMs,
        rttMs,
        seconds: 60,
        fromS: 25,
        flows: [{ ...lane, lane: { policy: { kind: 'background' } } } as FlowSpec, cubic],
      },
      most: { share: 0.05 },
    })),
  ),
};
