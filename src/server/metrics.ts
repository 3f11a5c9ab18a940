/**
 * Counters and gauges in the text format of Prometheus (exposition format 0.0.4). Counters outlive the lanes that they come from:
 * what a lane had counted when it closed is kept.
 */
import type { LaneSnapshot, PathSnapshot } from '../core/lane/contract.ts';

/** What is summed over lanes, open and closed. */
export interface LaneTotals {
  packetsSent: number;
  packetsLost: number;
  packetsReceived: number;
  bytesSent: number;
  bytesReceived: number;
  symbolsSource: number;
  symbolsAgain: number;
  symbolsRepair: number;
  symbolsUseless: number;
  blocksReceived: number;
  blocksDecoded: number;
}

export function noTotals(): LaneTotals {
  return {
    packetsSent: 0,
    packetsLost: 0,
    packetsReceived: 0,
    bytesSent: 0,
    bytesReceived: 0,
    symbolsSource: 0,
    symbolsAgain: 0,
    symbolsRepair: 0,
    symbolsUseless: 0,
    blocksReceived: 0,
    blocksDecoded: 0,
  };
}

export function addTotals(into: LaneTotals, { paths, symbols, blocks, receivedBytes }: LaneSnapshot): void {
  for (const path of paths) {
    into.packetsSent += path.sentPackets;
    into.packetsLost += path.lostPackets;
    into.packetsReceived += path.receivedPackets;
    into.bytesSent += path.sentBytes;
  }
  into.bytesReceived += receivedBytes;
  into.symbolsSource += symbols.source;
  into.symbolsAgain += symbols.again;
  into.symbolsRepair += symbols.repair;
  into.symbolsUseless += symbols.useless;
  into.blocksReceived += blocks.received;
  into.blocksDecoded += blocks.decodedWithRepair;
}

/** `open`: the lanes of now; `opened`: how many there ever were; `lagUs`: how late their thread was at worst, lately. */
export function laneMetrics(open: readonly (LaneSnapshot | null)[], opened: number, closed: LaneTotals, lagUs: number): string {
  const totals = { ...closed };
  const paths: PathSnapshot[] = [];
  for (const snapshot of open) {
    if (!snapshot) continue;
    addTotals(totals, snapshot);
    paths.push(...snapshot.paths);
  }
  const states = ['active', 'standby', 'degraded', 'failed', 'opening'] as const;
  return [
    gauge('hawser_lanes_open', 'Lanes that are open.', [['', open.length]]),
    counter('hawser_lanes_opened_total', 'Lanes opened since the start.', [['', opened]]),
    gauge(
      'hawser_lane_paths',
      'Paths of the open lanes, by state.',
      states.map((state) => [`{state="${state}"}`, paths.filter((path) => path.state === state).length]),
    ),
    gauge('hawser_lane_rate_bytes_per_second', 'Sending rate of the open lanes together.', [
      ['', paths.reduce((sum, { rateBytesPerSecond }) => sum + rateBytesPerSecond, 0)],
    ]),
    gauge('hawser_lane_goodput_bytes_per_second', 'What arrives of it.', [
      ['', paths.reduce((sum, { goodputBytesPerSecond }) => sum + goodputBytesPerSecond, 0)],
    ]),
    gauge('hawser_lane_lag_microseconds', 'How late the thread of the lanes was at worst in the last ten seconds or more.', [
      ['', lagUs],
    ]),
    counter('hawser_lane_packets_total', 'Data packets, by what became of them.', [
      ['{what="sent"}', totals.packetsSent],
      ['{what="lost"}', totals.packetsLost],
      ['{what="received"}', totals.packetsReceived],
    ]),
    counter('hawser_lane_bytes_total', 'Bytes of UDP payload, by direction.', [
      ['{direction="sent"}', totals.bytesSent],
      ['{direction="received"}', totals.bytesReceived],
    ]),
    counter(
      'hawser_lane_symbols_total',
      'Symbols sent: first time, again after a loss, repair; useless: not needed in the end.',
      [
        ['{kind="source"}', totals.symbolsSource],
        ['{kind="again"}', totals.symbolsAgain],
        ['{kind="repair"}', totals.symbolsRepair],
        ['{kind="useless"}', totals.symbolsUseless],
      ],
    ),
    counter('hawser_lane_blocks_total', 'Coding blocks received, and of them those that needed repair symbols.', [
      ['{how="received"}', totals.blocksReceived],
      ['{how="decoded"}', totals.blocksDecoded],
    ]),
  ].join('');
}

type Samples = readonly (readonly [labels: string, value: number])[];
const counter = (name: string, help: string, samples: Samples): string => metric(name, 'counter', help, samples);
const gauge = (name: string, help: string, samples: Samples): string => metric(name, 'gauge', help, samples);

function metric(name: string, type: string, help: string, samples: Samples): string {
  const lines = samples.map(([labels, value]) => `${name}${labels} ${Math.round(value)}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}
