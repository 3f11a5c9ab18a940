/** How a link is shared: among lanes, and between a lane and a CUBIC flow, in small buffers where that is hardest. */
import { join } from 'node:path';
import { percent, times } from '../figures.ts';
import { startNetlab } from '../netlab.ts';
import { keepRaw, publish, say, table } from '../report.ts';
import { randomFile, scratch } from '../scratch.ts';
import { type Flow, hasOption, hawserFlow, tcpFlow, together } from './flows.ts';
import { goodputBetween, jain } from './goodput.ts';
import { LANE_PAGE } from './page.ts';
import { startServer } from './put.ts';
import { reasonOf } from './reason.ts';

export interface FairnessOptions {
  readonly transport: string;
  readonly only: string | undefined;
  readonly seconds: number;
  readonly write: boolean;
}

type Kind = 'hawser' | 'background' | 'cubic';

interface Scene {
  readonly id: string;
  readonly rttMs: number;
  readonly loss: number;
  readonly queueMs: number;
  readonly flows: readonly Kind[];
}

const scene = (id: string, rttMs: number, queueMs: number, flows: readonly Kind[], loss = 0): Scene => ({
  id,
  rttMs,
  loss,
  queueMs,
  flows,
});

const SCENES: readonly Scene[] = [
  scene('two', 40, 100, ['hawser', 'hawser']),
  scene('two-lossy', 100, 100, ['hawser', 'hawser'], 10),
  ...[50, 100].flatMap((queueMs) => [
    scene(`cubic-${queueMs}`, 40, queueMs, ['cubic', 'cubic']),
    scene(`beside-${queueMs}`, 40, queueMs, ['hawser', 'cubic']),
    scene(`background-${queueMs}`, 40, queueMs, ['background', 'cubic']),
  ]),
];

export async function fairness({ transport, only, seconds, write }: FairnessOptions): Promise<void> {
  const chosen = SCENES.filter(({ id }) => only === undefined || only.split(',').some((name) => id.startsWith(name)));
  const withBackground = await hasOption(BACKGROUND[0]!);
  const [rows, raw]: [string[][], object[]] = [[], []];
  for (const one of chosen) {
    if (one.flows.includes('background') && !withBackground) {
      say(`bench: not measured: ${one.id}: this hawser put has no ${BACKGROUND[0]}`);
      rows.push([titleOf(one), 'not measured', '', '', `hawser put has no ${BACKGROUND[0]}`]);
      continue;
    }
    const rates = await play(one, transport, seconds).catch((error: unknown) => {
      process.exitCode = 1;
      say(`bench: ${one.id} failed: ${reasonOf(error)}`);
      rows.push([titleOf(one), 'failed', '', '', reasonOf(error)]);
      return null;
    });
    if (rates === null) continue;
    const [first = 0, second = 0] = rates;
    raw.push({ ...one, rates });
    say(`bench: ${one.id}: ${one.flows.map((kind, i) => `${kind} ${mbit(rates[i]!)}`).join(', ')}, Jain ${times(jain(rates))}`);
    rows.push([titleOf(one), mbit(first), mbit(second), `${percent(first / (first + second))}`, times(jain(rates))]);
  }
  keepRaw('lane-fairness', raw);
  const body = [
    table(['', 'first flow', 'second flow', 'share of the first', 'Jain'], rows),
    `100 Mbit/s. The second flow begins 3 s after the first; both run for ${seconds} s, of which the last ${Math.round(seconds * (1 - SETTLE))} s count. Rates are content (Hawser: bytes safe at the receiver). ` +
      'CUBIC beside CUBIC shows how such a link is shared without us.',
  ];
  publish(
    { id: 'lane-fairness', title: 'Sharing a link', command: 'npm run bench:lane -- --fairness', body, page: LANE_PAGE },
    write,
  );
}

/** Bytes a second of each flow, once both have settled. */
async function play(one: Scene, transport: string, seconds: number): Promise<number[]> {
  const { rttMs, loss, queueMs, flows: kinds } = one;
  const bytes = Math.round((100e6 / 8) * seconds);
  const folder = scratch('memory', bytes * 4);
  const lab = await startNetlab({ rate: 100, delay: rttMs / 2, loss, queue: queueMs }, { congestion: 'cubic' });
  const server = await startServer(lab, join(folder, 'served'));
  const source = join(folder, 'source.bin');
  randomFile(source, bytes);
  const [flows, stops]: [Flow[], (() => Promise<void>)[]] = [[], []];
  for (const [i, kind] of kinds.entries()) {
    const [name, atMs] = [`${kind} ${i + 1}`, i * 3000];
    if (kind === 'cubic') {
      const flow = await tcpFlow(name, atMs, lab);
      stops.push(flow.stop);
      flows.push(flow);
    } else {
      const flags = kind === 'background' ? BACKGROUND : [];
      flows.push(hawserFlow(name, atMs, { lab, server, source, transport, stateIn: folder, flags }));
    }
  }
  try {
    const samples = await together(flows, seconds);
    return samples.map((one) => goodputBetween(one, seconds * SETTLE * 1000, seconds * 1000 - 500));
  } finally {
    for (const stop of stops) await stop();
    await server.stop();
    await lab.stop();
  }
}

function titleOf({ flows, rttMs, queueMs, loss }: Scene): string {
  const names = flows.map((kind) => ({ hawser: 'lane', background: 'lane, background', cubic: 'CUBIC' })[kind]);
  return `${names.join(' and ')}: ${rttMs} ms, buffer ${queueMs} ms${loss > 0 ? `, ${loss} % loss` : ''}`;
}

const mbit = (bytesPerSecond: number) => `${((bytesPerSecond * 8) / 1e6).toFixed(1)} Mbit/s`;

/** The part of the time that does not count. */
const SETTLE = 0.4;
/** The one place that says how a put is told to yield to everybody. */
const BACKGROUND = ['--policy', 'background'];
