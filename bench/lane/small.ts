/** Small objects on an open transport: how many round trips each takes, where a third of the packets is lost. */
import { join } from 'node:path';
import { median, quantile } from '../figures.ts';
import { startNetlab } from '../netlab.ts';
import { measure } from '../programs.ts';
import { BENCH, keepRaw, publish, say, table } from '../report.ts';
import { scratch } from '../scratch.ts';
import { LANE_PAGE } from './page.ts';
import { startServer } from './put.ts';
import { reasonOf } from './reason.ts';

export interface SmallOptions {
  readonly transport: string;
  readonly objects: number;
  readonly write: boolean;
}

export async function small({ transport, objects, write }: SmallOptions): Promise<void> {
  const [rows, raw]: [string[][], object[]] = [[], []];
  for (const { loss, rttMs } of LINKS) {
    const folder = scratch('memory', 256 << 20);
    const lab = await startNetlab({ rate: 100, delay: rttMs / 2, loss, queue: 200 }, { congestion: 'cubic' });
    const server = await startServer(lab, join(folder, 'served'));
    for (const bytes of [64 << 10, 256 << 10]) {
      for (const kind of transport === 'https' ? ['https'] : [transport, 'https']) {
        const what = `${rttMs} ms, ${loss} %: ${bytes >> 10} KiB, ${kind}`;
        const times: number[] = [];
        const argv = [process.execPath, join(BENCH, 'lane-small.ts'), server.url, kind, String(bytes), String(objects)];
        const env = { HAWSER_TOKEN: server.token, HAWSER_FINGERPRINT: server.fingerprint ?? '' };
        let why = '';
        try {
          await measure(
            { argv: [...lab.a, ...argv], env },
            { onLine: (line) => times.push(JSON.parse(line).ms), limitMs: MOST_MS },
          );
        } catch (error) {
          why = reasonOf(error);
        }
        if (times.length === 0) {
          say(`bench: not measured: ${what}: ${why || 'nothing arrived in time'}`);
          rows.push([what, 'not measured', '', '', '0']);
          continue;
        }
        const inRtt = times.map((ms) => ms / rttMs);
        raw.push({ loss, rttMs, bytes, kind, times });
        const cells = [median(inRtt), quantile(inRtt, 0.95), Math.max(...inRtt)].map((value) => value.toFixed(2));
        say(`bench: ${what}: median ${cells[0]} RTT, p95 ${cells[1]} RTT, ${times.length} objects`);
        rows.push([what, ...cells, String(times.length)]);
      }
    }
    await server.stop();
    await lab.stop();
  }
  keepRaw('lane-small', raw);
  const body = [
    table(['', 'median', 'p95', 'longest', 'objects'], rows),
    `In round trips: from the first byte of the request to the answer that the object is safe, one after another on an open transport, 100 Mbit/s. One round trip and the time on the link (64 KiB: 5 ms, 256 KiB: 22 ms) is the least. At most ${MOST_MS / 1000} s each.`,
  ];
  publish({ id: 'lane-small', title: 'Small objects', command: 'npm run bench:lane -- --small', body, page: LANE_PAGE }, write);
}

const LINKS = [
  { loss: 30, rttMs: 200 },
  { loss: 2, rttMs: 100 },
];
const MOST_MS = 40_000;
