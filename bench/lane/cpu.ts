/** What the lane costs: CPU time a packet on each side, and memory. */
import { join } from 'node:path';
import { mebibytes, percent } from '../figures.ts';
import { startNetlab } from '../netlab.ts';
import { keepRaw, publish, say, table } from '../report.ts';
import { randomFile, scratch } from '../scratch.ts';
import { LANE_PAGE } from './page.ts';
import { type Put, put, startServer } from './put.ts';

export interface CpuOptions {
  readonly transport: string;
  readonly write: boolean;
}

const LINKS = [
  { title: '100 Mbit/s, 40 ms, no loss', rate: 100, delay: 20, loss: 0, bytes: 150e6 },
  { title: '100 Mbit/s, 200 ms, 10 %', rate: 100, delay: 100, loss: 10, bytes: 150e6 },
  { title: '500 Mbit/s, 40 ms, no loss', rate: 500, delay: 20, loss: 0, bytes: 400e6 },
] as const;

export async function cpu({ transport, write }: CpuOptions): Promise<void> {
  const [rows, raw]: [string[][], object[]] = [[], []];
  for (const { title, bytes, ...link } of LINKS) {
    const folder = scratch('memory', bytes * 3);
    const lab = await startNetlab({ ...link, queue: 200 }, { congestion: 'cubic' });
    const server = await startServer(lab, join(folder, 'served'));
    const run = async (size: number) => {
      const source = join(folder, `${size}.bin`);
      randomFile(source, size);
      return await put({ lab, server, source, transport, stateIn: folder, limitMs: MOST_MS });
    };
    // What starting and compiling cost is in both; the difference is what a packet costs.
    const small = await run(SMALL_BYTES);
    const large = await run(bytes);
    const packets = dataPackets(large) - dataPackets(small);
    const perPacket = (seconds: number) => `${((seconds / packets) * 1e6).toFixed(1)} µs`;
    const [client, serverSide] = [large.cpuSeconds - small.cpuSeconds, large.serverCpuSeconds - small.serverCpuSeconds];
    raw.push({ title, packets, client, serverSide, ms: large.ms - small.ms });
    say(`bench: ${title}: ${packets} packets, client ${perPacket(client)}, server ${perPacket(serverSide)}, by ${large.path}`);
    rows.push([
      title,
      String(packets),
      `${perPacket(client)} (${percent((client * 1000) / (large.ms - small.ms))})`,
      `${perPacket(serverSide)} (${percent((serverSide * 1000) / (large.ms - small.ms))})`,
      `${mebibytes(large.peakBytes)} / ${mebibytes(large.serverPeakBytes)}`,
    ]);
    await server.stop();
    await lab.stop();
  }
  keepRaw('lane-cpu', raw);
  const body = [
    table(['', 'packets sent', 'client, a packet (of a core)', 'server, a packet (of a core)', 'VmHWM client / server'], rows),
    `CPU time of the whole processes (${transport}; files, hashes and answers included) for a large file less that for one of ${SMALL_BYTES / 1e6} MB, divided by the packets that the client put on the link, lost ones too.`,
  ];
  publish({ id: 'lane-cpu', title: 'CPU and memory', command: 'npm run bench:lane -- --cpu', body, page: LANE_PAGE }, write);
}

function dataPackets({ links }: Put): number {
  return links.reduce((sum, { ab }) => sum + ab.packets + ab.lost + ab.dropped, 0);
}

/** What it sent until then tells as much. */
const MOST_MS = 30_000;
const SMALL_BYTES = 10e6;
