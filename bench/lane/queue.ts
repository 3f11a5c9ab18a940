/** What a transfer adds to everybody's round trip: a UDP ping through the same link while it runs. */
import { join } from 'node:path';
import { median, quantile } from '../figures.ts';
import { type Netlab, startNetlab } from '../netlab.ts';
import { measure, startService } from '../programs.ts';
import { BENCH, keepRaw, publish, say, table } from '../report.ts';
import { randomFile, scratch } from '../scratch.ts';
import { hawserFlow, tcpFlow } from './flows.ts';
import { LANE_PAGE } from './page.ts';
import { startServer } from './put.ts';

export interface QueueOptions {
  readonly transport: string;
  readonly seconds: number;
  readonly write: boolean;
}

interface Added {
  readonly name: string;
  readonly p50Ms: number;
  readonly p95Ms: number;
  /** In the first seconds. */
  readonly startPeakMs: number;
  readonly pings: number;
}

const LINKS = [
  { title: '40 ms, no loss', rttMs: 40, loss: 0 },
  { title: '200 ms, no loss', rttMs: 200, loss: 0 },
  { title: '100 ms, 2 %', rttMs: 100, loss: 2 },
];

export async function queue({ transport, seconds, write }: QueueOptions): Promise<void> {
  const rows: string[][] = [];
  const raw: object[] = [];
  for (const { title, rttMs, loss } of LINKS) {
    const bytes = Math.round((100e6 / 8) * seconds);
    const folder = scratch('memory', bytes * 3);
    const lab = await startNetlab({ rate: 100, delay: rttMs / 2, loss, queue: 200 }, { congestion: 'cubic' });
    const source = join(folder, 'source.bin');
    randomFile(source, bytes);
    const server = await startServer(lab, join(folder, 'served'));
    const hawser = hawserFlow(`hawser put (${transport})`, 0, { lab, server, source, transport, stateIn: folder });
    const [cubic, bbr] = [await tcpFlow('TCP, CUBIC', 0, lab), await tcpFlow('TCP, BBR', 0, lab)];
    for (const [flow, congestion] of [
      [hawser, 'cubic'],
      [cubic, 'cubic'],
      [bbr, 'bbr'],
    ] as const) {
      lab.setCongestion(congestion);
      const added = await whilePinging(lab, flow.name, seconds, (nowMs) => flow.run(nowMs, IDLE_MS + seconds * 1000));
      raw.push({ title, ...added });
      say(`bench: ${title}: ${flow.name}: p50 ${ms(added.p50Ms)}, p95 ${ms(added.p95Ms)}, start ${ms(added.startPeakMs)}`);
      rows.push([`${title}: ${flow.name}`, ms(added.p50Ms), ms(added.p95Ms), ms(added.startPeakMs), String(added.pings)]);
    }
    await cubic.stop();
    await bbr.stop();
    await server.stop();
    await lab.stop();
  }
  keepRaw('lane-queue', raw);
  const body = [
    table(['added to the round trip', 'p50', 'p95', 'peak of the first 3 s', 'pings'], rows),
    `100 Mbit/s, buffer 200 ms, a ping every 50 ms for ${seconds} s; over the median of the idle link. p50 and p95 leave out the first 5 s. Goal: 15 and 30 ms, 60 ms in the start.`,
  ];
  publish({ id: 'lane-queue', title: 'Added queue', command: 'npm run bench:lane -- --queue', body, page: LANE_PAGE }, write);
}

/** `work` begins when the idle link has been measured. */
async function whilePinging(
  lab: Netlab,
  name: string,
  seconds: number,
  work: (nowMs: () => number) => Promise<unknown>,
): Promise<Added> {
  let port = 0;
  const echo = await startService(
    { argv: [...lab.b, process.execPath, PING, 'echo', lab.addressOfB] },
    () => port > 0,
    (line) => {
      port = JSON.parse(line).port;
    },
  );
  const pings: { ms: number; rttMs: number }[] = [];
  const argv = [...lab.a, process.execPath, PING, 'ping', lab.addressOfB, String(port), String(seconds + IDLE_MS / 1000)];
  let startedMs = 0;
  let working: Promise<unknown> | null = null;
  const done = measure(
    { argv },
    {
      onLine(line) {
        pings.push(JSON.parse(line));
        // The ping's own clock is the one that counts: its first answer sets it.
        startedMs ||= performance.now() - pings[0]!.ms - pings[0]!.rttMs;
        if (working === null && performance.now() - startedMs >= IDLE_MS) working = work(() => performance.now() - startedMs);
      },
    },
  );
  await done;
  await working;
  await echo.stop();
  const idleMs = median(pings.filter(({ ms }) => ms < IDLE_MS - 300).map(({ rttMs }) => rttMs));
  const added = (fromMs: number, toMs: number) =>
    pings.filter((ping) => ping.ms >= fromMs && ping.ms < toMs).map(({ rttMs }) => Math.max(rttMs - idleMs, 0));
  const steady = added(IDLE_MS + SETTLE_MS, Number.POSITIVE_INFINITY);
  return {
    name,
    p50Ms: quantile(steady, 0.5),
    p95Ms: quantile(steady, 0.95),
    startPeakMs: Math.max(...added(IDLE_MS, IDLE_MS + START_MS)),
    pings: pings.length,
  };
}

const ms = (value: number) => `${value.toFixed(1)} ms`;
const PING = join(BENCH, 'lane', 'ping.ts');
const IDLE_MS = 2000;
const START_MS = 3000;
const SETTLE_MS = 5000;
