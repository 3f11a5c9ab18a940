/**
 * HTTP/2 uploads against HTTP/1.1, through an emulated link of 100 ms round trip: the server's windows must be large enough that
 * one h2 connection is no slower than one h1 connection. The client is http2-upload.ts, plain Node, no Hawser client.
 * Options: --rounds 3 --size 100MB --rtt 100 --rates 100,500 --write
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseSize } from '../src/core/units.ts';
import { main } from './cleanup.ts';
import { interleave, median, percent, seconds, times } from './figures.ts';
import { startHawser } from './hawser.ts';
import { startNetlab } from './netlab.ts';
import { measure } from './programs.ts';
import { BENCH, publish, say, table } from './report.ts';
import { scratch } from './scratch.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    size: { type: 'string', default: '100MB' },
    rtt: { type: 'string', default: '100' },
    rates: { type: 'string', default: '100,500' },
    write: { type: 'boolean', default: false },
  },
});

const KINDS = [
  { name: 'h1, 1 connection', version: '1', streams: 1 },
  { name: 'h2, 1 stream', version: '2', streams: 1 },
  { name: 'h1, 4 connections', version: '1', streams: 4 },
  { name: 'h2, 4 streams', version: '2', streams: 4 },
] as const;

await main(async () => {
  const sizeBytes = parseSize(options.size);
  const rows: string[][] = [];
  const ratios: string[][] = [];
  for (const rateMbit of options.rates.split(',').map(Number)) {
    const medians = await atRate(rateMbit, sizeBytes);
    for (const [name, ms] of medians) {
      rows.push([`${rateMbit} Mbit/s, ${name}`, seconds(ms), percent((sizeBytes * 8) / 1000 / ms / rateMbit)]);
    }
    const speed = (ours: string, theirs: string) => times(medians.get(theirs)! / medians.get(ours)!);
    ratios.push([`${rateMbit} Mbit/s`, speed('h2, 1 stream', 'h1, 1 connection'), speed('h2, 4 streams', 'h1, 4 connections')]);
  }
  const body = [
    table(['', 'median', 'of the link'], rows),
    table(['h2, times the speed of h1', 'one (goal: at least 1)', 'four streams against four connections'], ratios),
    `${options.size} as block frames to the upload API over TLS, ${options.rtt} ms round trip, 100 ms of queue, ${options.rounds} rounds after a warm-up. Time runs from the first byte of the handshake to the last answer.`,
  ];
  publish({ id: 'http2', title: 'HTTP/2 against HTTP/1.1', command: 'npm run bench:h2', body }, options.write);
});

async function atRate(rateMbit: number, sizeBytes: number): Promise<Map<string, number>> {
  const folder = scratch('memory', sizeBytes * 3);
  const lab = await startNetlab({ rate: rateMbit, delay: Number(options.rtt) / 2 });
  const server = await startHawser({ dir: join(folder, 'tls'), listen: `${lab.addressOfB}:0`, prefix: lab.b });
  const contenders = KINDS.map(({ name, version, streams }) => ({
    name,
    async run() {
      const script = [process.execPath, join(BENCH, 'http2-upload.ts'), server.url, version, String(streams), String(sizeBytes)];
      const { stdout } = await measure({ argv: [...lab.a, ...script], env: { HAWSER_TOKEN: server.token } });
      return Number(JSON.parse(stdout).ms);
    },
  }));
  const results = await interleave(contenders, Number(options.rounds), (name, round, ms) => {
    say(`bench: ${rateMbit} Mbit/s ${round === 0 ? 'warm-up' : `round ${round}`}: ${name.padEnd(18)} ${seconds(ms)}`);
  });
  await server.stop();
  await lab.stop();
  return new Map([...results].map(([name, ms]) => [name, median(ms)]));
}
