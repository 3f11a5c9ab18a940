/** The main table: for every link how near to its limit Hawser comes, and how near the others. */
import { join } from 'node:path';
import { parseSize } from '../../src/core/units.ts';
import { median, percent, seconds, times } from '../figures.ts';
import { startNetlab } from '../netlab.ts';
import { keepRaw, publish, say, surroundings, table, writeDocument } from '../report.ts';
import { randomFile, scratch } from '../scratch.ts';
import { type Case, caseLimit, chooseCases, limitMs } from './cases.ts';
import { barChart, type Series } from './chart.ts';
import { goodputBetween, longestGapMs, middleGoodput } from './goodput.ts';
import { LANE_PAGE } from './page.ts';
import { PEER_IDS, startPeers } from './peers.ts';
import { type Put, type PutOptions, put, startServer } from './put.ts';
import { reasonOf } from './reason.ts';

export interface MatrixOptions {
  readonly transport: string;
  readonly only: string | undefined;
  readonly rounds: number;
  readonly size: string;
  /** Length of the transfer for the steady share, at the limit. 0: the completion runs serve for it. */
  readonly steadySeconds: number;
  /** How long a peer may take. 0: no peers. */
  readonly peerSeconds: number;
  readonly peers: readonly string[];
  /** Show how the links were used while a put ran. */
  readonly trace: boolean;
  readonly write: boolean;
}

interface CaseResult {
  readonly one: Case;
  /** Those that ended, after one another. */
  readonly puts: readonly Put[];
  /** Bytes a second, one for each transfer. */
  readonly steady: readonly number[];
  /** Ms between the death of the link and the next byte that was safe. */
  readonly gapsMs: readonly number[];
  readonly failures: readonly string[];
  readonly peers: readonly PeerResult[];
}

interface PeerResult {
  readonly id: string;
  readonly bytesPerSecond: number;
  readonly ended: boolean;
  readonly ms: number;
}

export async function matrix(options: MatrixOptions): Promise<void> {
  const results: CaseResult[] = [];
  const notMeasured = new Set<string>();
  for (const one of chooseCases(options.only)) {
    results.push(await measureCase(one, options, notMeasured));
    keepRaw('lane', { surroundings: surroundings(), options, results });
  }
  const failures = results.flatMap(({ one, failures }) => failures.map((failure) => `${one.title}: ${failure}`));
  if (failures.length > 0) process.exitCode = 1;
  const withPeers = results.filter(({ peers }) => peers.length > 0);
  const body = [
    ownTable(results, options),
    ...(withPeers.length > 0 ? ['### Beside the others', peerTable(withPeers), PEERS_NOTE(options)] : []),
    ...[...notMeasured].map((sentence) => `Not measured: ${sentence}`),
    ...failures.map((failure) => `**Failed**: ${failure}`),
  ];
  if (options.write && withPeers.length > 0) {
    writeDocument('lane.svg', chart(withPeers, options));
    body.splice(1, 0, '![Share of the limit, by link and program](lane.svg)');
  }
  publish(
    { id: 'lane', title: `Links and their limits (${options.transport})`, command: 'npm run bench:lane', body, page: LANE_PAGE },
    options.write,
  );
}

async function measureCase(one: Case, options: MatrixOptions, notMeasured: Set<string>): Promise<CaseResult> {
  const bytes = parseSize(options.size);
  const steadyBytes = Math.min(Math.round((caseLimit(one) * options.steadySeconds) / 1e6) * 1e6, MOST_STEADY_BYTES);
  const folder = scratch('memory', (bytes + steadyBytes) * 2.5);
  // For https, and for the connection through which a lane is opened; the kernels' usual default, whatever this machine's is.
  const lab = await startNetlab(one.links, { congestion: 'cubic' });
  const server = await startServer(lab, join(folder, 'served'));
  const source = join(folder, 'source.bin');
  randomFile(source, bytes);
  const base = { lab, server, transport: options.transport, stateIn: folder };
  const [puts, steady, gapsMs, failures]: [Put[], number[], number[], string[]] = [[], [], [], []];

  for (let round = 1; round <= options.rounds; round++) {
    const run = await attempt(one, { ...base, source }, bytes, failures);
    if (run === null) continue;
    if (run.put.ended) puts.push(run.put);
    if (run.diedMs !== null) gapsMs.push(longestGapMs(run.put.samples, run.diedMs));
    if (steadyBytes === 0) steady.push(middleGoodput(run.put.samples, run.put.ms));
    const least = limitMs(one, bytes);
    say(
      `bench: ${one.id} round ${round}: ${seconds(run.put.ms)}${run.put.ended ? '' : ' (stopped)'}, at the limit ${seconds(least)}: ${percent(least / run.put.ms)}, by ${run.put.path}; ${stations(run.put)}`,
    );
    if (options.trace) for (const line of timeline(one, run.put)) say(line);
  }
  if (steadyBytes > 0 && one.goals.steady !== null && failures.length < options.rounds) {
    const long = join(folder, 'long.bin');
    randomFile(long, steadyBytes);
    const run = await attempt(one, { ...base, source: long }, steadyBytes, failures);
    if (run !== null) steady.push(middleGoodput(run.put.samples, run.put.ms));
  }
  for (const bytesPerSecond of steady) say(`bench: ${one.id} steady: ${percent(bytesPerSecond / caseLimit(one))} of the limit`);
  await server.stop();

  const peers: PeerResult[] = [];
  if (options.peerSeconds > 0 && one.dies === undefined) {
    const started = await startPeers(lab, folder, options.peers);
    for (const sentence of started.notMeasured) notMeasured.add(sentence);
    for (const peer of started.peers) {
      try {
        const { ms, samples, ended } = await peer.run(source, bytes, options.peerSeconds * 1000);
        const bytesPerSecond = middleGoodput(samples, ms);
        peers.push({ id: peer.id, bytesPerSecond, ended, ms });
        say(
          `bench: ${one.id} ${peer.name}: ${percent(bytesPerSecond / caseLimit(one))} of the limit${ended ? `, ${seconds(ms)}` : ''}`,
        );
      } catch (error) {
        notMeasured.add(`${peer.name} over ${one.title} (${reasonOf(error)}).`);
      }
    }
    await started.stop();
  }
  await lab.stop();
  return { one, puts, steady, gapsMs, failures, peers };
}

/** Where the time went. */
function stations({ firstPacketMs, startMs, samples, ms }: Put): string {
  const firstSafe = samples.find(({ bytes }) => bytes > 0)?.ms ?? Number.NaN;
  const last = samples.at(-1)?.bytes ?? 0;
  const lastSafe = samples.find(({ bytes }) => bytes === last)?.ms ?? Number.NaN;
  return `packets from ${seconds(firstPacketMs)}, transfer from ${seconds(startMs)}, bytes safe from ${seconds(firstSafe)} to ${seconds(lastSafe)}, end ${seconds(ms)}`;
}

/** Four characters a second: how full each link was (lost packets count), and what became safe, as parts of the limit. */
function timeline(one: Case, { wire, samples, firstPacketMs, ms }: Put): string[] {
  const cells = Math.ceil((ms - firstPacketMs) / CELL_MS);
  const row = (title: string, at: (fromMs: number) => number) => {
    const shares = Array.from({ length: cells }, (_, i) => at(firstPacketMs + i * CELL_MS));
    return `  ${title.padEnd(14)} |${shares.map((share) => '.:-=+*#%@'[Math.min(Math.max(Math.floor(share * 8.5), 0), 8)]).join('')}|`;
  };
  const used = one.links.map(({ rate }, i) => {
    const packets = wire.map(({ ms, links }) => ({ ms, bytes: (links[i]!.ab.packets + links[i]!.ab.lost) * FULL_PACKET_BYTES }));
    return row(`link ${i + 1} is full`, (fromMs) => (goodputBetween(packets, fromMs, fromMs + CELL_MS) * 8) / rate / 1e6);
  });
  return [...used, row('bytes are safe', (fromMs) => goodputBetween(samples, fromMs, fromMs + CELL_MS) / caseLimit(one))];
}

/** Null when it failed; why goes to `failures`. */
async function attempt(
  one: Case,
  options: PutOptions,
  bytes: number,
  failures: string[],
): Promise<{ put: Put; diedMs: number | null } | null> {
  let diedMs: number | null = null;
  const onSample: PutOptions['onSample'] = (sample) => {
    if (one.dies === undefined || diedMs !== null || sample.bytes < bytes / 2) return;
    diedMs = sample.ms;
    options.lab.change({ up: 0 }, one.dies);
  };
  const patienceMs = Math.max(30_000, limitMs(one, bytes) * 5);
  try {
    const done = await put({ ...options, onSample, limitMs: patienceMs });
    if (!done.ended) failures.push(`stopped after ${seconds(patienceMs)}`);
    return { put: done, diedMs };
  } catch (error) {
    failures.push(reasonOf(error));
    say(`bench: ${one.id}: ${reasonOf(error)}`);
    return null;
  } finally {
    if (diedMs !== null) options.lab.change({ up: 1 }, one.dies);
  }
}

function ownTable(results: readonly CaseResult[], { size, rounds }: MatrixOptions): string {
  const bytes = parseSize(size);
  const rows = results.map(({ one, puts, steady, gapsMs, failures }) => {
    const limit = caseLimit(one);
    const least = limitMs(one, bytes);
    const whole = puts.map(({ ms }) => ms);
    const sinceFirst = puts.map(({ ms, firstPacketMs }) => ms - firstPacketMs);
    const wanted = (goal: number | null) => (goal === null ? '' : ` (goal ${percent(goal)})`);
    const paths = [...new Set(puts.map(({ path }) => path))].join(', ');
    return [
      one.title,
      `${((limit * 8) / 1e6).toFixed(1)} Mbit/s`,
      one.goals.steady === null
        ? `gap ${spread(gapsMs, seconds)}`
        : `${spread(
            steady.map((it) => it / limit),
            percent,
          )}${wanted(one.goals.steady)}`,
      seconds(least),
      spread(whole, seconds),
      whole.length === 0 ? '' : `${percent(least / median(whole))}${wanted(one.goals.completion)}`,
      whole.length === 0 ? '' : percent(least / median(sinceFirst)),
      failures.length === 0 ? paths : `${paths} (${failures.length} failed)`,
    ];
  });
  const head = [
    'link',
    'limit',
    'steady share',
    `${size} at the limit`,
    'hawser put',
    'completion',
    'from the first packet',
    'by',
  ];
  return `${table(head, rows)}\n\nMedian (and worst) of ${rounds}. Each time with a client that has logged in, and remembers the lane before. "gap": how long nothing arrived after the link had died.`;
}

function peerTable(results: readonly CaseResult[]): string {
  const ids = PEER_IDS.filter((id) => results.some(({ peers }) => peers.some((peer) => peer.id === id)));
  const rows = results.map(({ one, steady, peers }) => {
    const limit = caseLimit(one);
    const ours = steady.length === 0 ? Number.NaN : median(steady);
    const best = Math.max(...peers.map(({ bytesPerSecond }) => bytesPerSecond));
    return [
      one.title,
      Number.isNaN(ours) ? '' : percent(ours / limit),
      ...ids.map((id) => {
        const peer = peers.find((each) => each.id === id);
        return peer === undefined ? '' : percent(peer.bytesPerSecond / limit);
      }),
      Number.isNaN(ours) ? '' : `${times(ours / best)} ×`,
    ];
  });
  return table(
    ['steady share of the limit', 'hawser put', ...ids.map((id) => PEER_NAMES[id]), 'hawser put against the best of them'],
    rows,
  );
}

function chart(results: readonly CaseResult[], { transport }: MatrixOptions): string {
  const ids = PEER_IDS.filter((id) => results.some(({ peers }) => peers.some((peer) => peer.id === id)));
  const series: Series[] = [
    { name: `hawser put (${transport})`, colour: '#0969da' },
    ...ids.map((id) => ({ name: PEER_NAMES[id], colour: COLOURS[id] })),
  ];
  return barChart({
    title: 'How much of the link is used',
    subtitle:
      'Steady speed as a share of rate × 1280/1345 × (1 − loss). 100 Mbit/s unless said otherwise, loss in both directions.',
    series,
    groups: results.map(({ one, steady, peers }) => ({
      label: one.title,
      values: [
        steady.length === 0 ? null : median(steady) / caseLimit(one),
        ...ids.map((id) => {
          const peer = peers.find((each) => each.id === id);
          return peer === undefined ? null : peer.bytesPerSecond / caseLimit(one);
        }),
      ],
    })),
    most: 1.05,
    ticks: [0, 0.25, 0.5, 0.75, 1],
    format: (value) => `${(value * 100).toFixed(value > 0 && value < 0.1 ? 1 : 0)} %`,
  });
}

function spread(values: readonly number[], format: (value: number) => string): string {
  if (values.length === 0) return 'none';
  // Of shares the smallest is the worst, of times the largest.
  const worst = format === percent ? Math.min(...values) : Math.max(...values);
  return values.length === 1 ? format(values[0]!) : `${format(median(values))} (${format(worst)})`;
}

const PEERS_NOTE = ({ peerSeconds, size }: MatrixOptions) =>
  `Each moves the same ${size} once, for at most ${peerSeconds} s; what it moved until then gives its share. They know one link: of two they use the first, and the share is of both. ` +
  'Nobody but Hawser verifies and syncs what arrives; rsync does not encrypt. TCP windows up to 64 MB.';
const CELL_MS = 250;
/** For the picture small packets count as much as large ones. */
const FULL_PACKET_BYTES = 1345;
const MOST_STEADY_BYTES = 600e6;
const PEER_NAMES: Record<(typeof PEER_IDS)[number], string> = {
  'rsync-cubic': 'rsync, CUBIC',
  'rsync-bbr': 'rsync, BBR',
  'curl-cubic': 'curl over TLS, CUBIC',
  'curl-bbr': 'curl over TLS, BBR',
  quic: 'QUIC (quiche, CUBIC)',
};
const COLOURS: Record<(typeof PEER_IDS)[number], string> = {
  'rsync-cubic': '#bf8700',
  'rsync-bbr': '#e3b341',
  'curl-cubic': '#8250df',
  'curl-bbr': '#b48ef5',
  quic: '#1a7f37',
};
