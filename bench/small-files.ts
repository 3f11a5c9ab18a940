/**
 * Many small files: 10 000 of 4 KiB, over loopback (tmpfs to tmpfs) and over an emulated link of 100 ms round trip and 100 Mbit/s.
 * Options: --files 10000 --rounds 5 --link-rounds 3 --scp-files 300 --only loopback|link --rate 100 --rtt 100 --write
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { main, Skip } from './cleanup.ts';
import { type Contender, interleave, median, seconds, times } from './figures.ts';
import { hawserCommand, startHawser } from './hawser.ts';
import { startNetlab } from './netlab.ts';
import { startRsync, startSsh } from './peers.ts';
import { type Command, measure, runNow } from './programs.ts';
import { publish, say, table } from './report.ts';
import { manyFiles, scratch, warmPages } from './scratch.ts';

const { values: options } = parseArgs({
  options: {
    files: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '5' },
    'link-rounds': { type: 'string', default: '3' },
    'scp-files': { type: 'string', default: '300' },
    only: { type: 'string' },
    rate: { type: 'string', default: '100' },
    rtt: { type: 'string', default: '100' },
    write: { type: 'boolean', default: false },
  },
});
const count = Number(options.files);
const FILE_BYTES = 4096;

await main(async () => {
  const folder = scratch('memory', count * FILE_BYTES * 8 + 64 * 2 ** 20);
  const source = join(folder, 'many');
  manyFiles(source, count, FILE_BYTES);
  const body: string[] = [];
  if (options.only !== 'link') body.push('### Loopback', await loopback(folder, source));
  if (options.only !== 'loopback') {
    body.push(`### ${options.rtt} ms round trip, ${options.rate} Mbit/s`);
    try {
      body.push(await link(folder, source));
    } catch (error) {
      if (!(error instanceof Skip)) throw error;
      say(error.message);
      body.push(`Left out: ${error.message}`);
    }
  }
  body.push(`Time is that of the whole command, process start included. The warm-up's copies were compared (diff -r).`);
  publish({ id: 'small-files', title: `${count} files of 4 KiB`, command: 'npm run bench:small', body }, options.write);
});

interface Candidate {
  readonly name: string;
  /** Files that it sends; the time is scaled to all. */
  readonly files?: number;
  command(to: string): Command;
  /** The folder it fills. */
  readonly root: string;
}

async function loopback(folder: string, source: string): Promise<string> {
  const base = join(folder, 'loopback');
  const { candidates, stop } = await contenders(base, source, { address: '127.0.0.1', stateIn: folder, withPlain: true });
  const results = await compare(candidates, folder, source, Number(options.rounds));
  await stop();
  return show(candidates, results, { 'rsync daemon': 'at least 1' });
}

async function link(folder: string, source: string): Promise<string> {
  const lab = await startNetlab({ rate: Number(options.rate), delay: Number(options.rtt) / 2 });
  const base = join(folder, 'link');
  const few = join(folder, 'few');
  manyFiles(few, Number(options['scp-files']), FILE_BYTES);
  const { candidates, stop } = await contenders(base, source, {
    address: lab.addressOfB,
    serverPrefix: lab.b,
    clientPrefix: lab.a,
    stateIn: folder,
    withPlain: false,
    few,
  });
  const results = await compare(candidates, folder, source, Number(options['link-rounds']));
  await stop();
  await lab.stop();
  const note = `scp -r sent ${options['scp-files']} files; its time is scaled to ${count} in proportion.`;
  return `${show(candidates, results, { 'rsync daemon': 'at least 1', 'scp -r': 'at least 10' })}\n\n${note}`;
}

async function contenders(
  base: string,
  source: string,
  setup: {
    address: string;
    serverPrefix?: readonly string[];
    clientPrefix?: readonly string[];
    stateIn: string;
    withPlain: boolean;
    few?: string;
  },
) {
  const { address, serverPrefix = [], clientPrefix = [], stateIn, few } = setup;
  const peers = join(base, 'peers');
  mkdirSync(peers, { recursive: true });
  const place = { address, serverPrefix, clientPrefix };
  const serve = (plainHttp: boolean) =>
    startHawser({ dir: join(base, plainHttp ? 'plain' : 'tls'), listen: `${address}:0`, plainHttp, prefix: serverPrefix });
  const tls = await serve(false);
  const plain = setup.withPlain ? await serve(true) : null;
  const rsync = await startRsync({ ...place, folder: join(base, 'rsync') }, peers);
  const ssh = await startSsh({ ...place, folder: join(base, 'ssh') }, peers);
  const hawser = (server: typeof tls, to: string) =>
    hawserCommand(server, ['put', '--quiet', source, `/${to}/`], { prefix: clientPrefix, stateIn });
  const candidates: Candidate[] = [{ name: 'hawser put', command: (to) => hawser(tls, to), root: tls.dir }];
  if (plain) candidates.push({ name: 'hawser put --http', command: (to) => hawser(plain, to), root: plain.dir });
  if (rsync) candidates.push({ name: 'rsync daemon', command: (to) => rsync.put([source], `${to}/`), root: peers });
  if (ssh) {
    const files = few === undefined ? {} : { files: Number(options['scp-files']) };
    candidates.push({ name: 'scp -r', command: (to) => ssh.put([few ?? source], `${to}/`), root: peers, ...files });
  }
  const stop = async () => {
    for (const service of [tls, plain, rsync, ssh]) await service?.stop();
  };
  return { candidates, stop };
}

/** Milliseconds, scaled to all files. */
function compare(
  candidates: readonly Candidate[],
  folder: string,
  source: string,
  rounds: number,
): Promise<Map<string, number[]>> {
  const list: Contender<number>[] = candidates.map(({ name, command, root, files = count }) => ({
    name,
    async run(round) {
      // Minutes of waiting for round trips need no warm-up.
      if (round === 0 && files !== count) return 0;
      const to = join(root, 'in');
      // Everyone finds the folder that it copies into.
      mkdirSync(to);
      warmPages(folder, count * FILE_BYTES * 2);
      const { ms } = await measure(command('in'));
      if (round === 0) runNow(['diff', '-r', source, join(to, 'many')]);
      rmSync(to, { recursive: true });
      return (ms * count) / files;
    },
  }));
  return interleave(list, rounds, (name, round, ms) => {
    say(`bench: ${round === 0 ? 'warm-up' : `round ${round}`}: ${name.padEnd(18)} ${seconds(ms)}`);
  });
}

function show(candidates: readonly Candidate[], results: Map<string, number[]>, goals: Record<string, string>): string {
  const ours = results.get('hawser put')!;
  const rows = candidates.map(({ name }) => {
    const ms = results.get(name)!;
    return [
      name,
      seconds(median(ms)),
      seconds(Math.min(...ms)),
      ((count / median(ms)) * 1000).toFixed(0),
      times(median(ms) / median(ours)),
      times(Math.min(...ms) / Math.min(...ours)),
      goals[name] ?? '',
    ];
  });
  return table(['', 'median', 'fastest', 'files/s', 'hawser put is … times as fast', '… by the fastest', 'goal'], rows);
}
