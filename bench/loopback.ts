/**
 * One large file over loopback, tmpfs to tmpfs: hawser put and get against scp and a plain rsync daemon. `--huge` does the same
 * with a sparse 20 GiB file for the memory that it takes. Options: --rounds 5 --size 2GiB --only put|get --huge --write --parallel N (as hawser's; default auto)
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseSize } from '../src/core/units.ts';
import { main } from './cleanup.ts';
import { type Contender, interleave, mebibytes, median, rate, seconds, times } from './figures.ts';
import { type HawserServer, hawserCommand, removeArrived, startHawser } from './hawser.ts';
import { startRsync, startSsh } from './peers.ts';
import { type Command, type Measured, measure, runNow, type Service } from './programs.ts';
import { publish, say, table } from './report.ts';
import { randomFile, scratch, sparseFile, warmPages } from './scratch.ts';

interface Run extends Measured {
  readonly serverCpuSeconds: number;
}

interface Candidate {
  readonly name: string;
  readonly service: Service;
  readonly command: () => Command;
  /** Where the copy is afterwards. */
  readonly arrived: string;
}

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    size: { type: 'string', default: '2GiB' },
    only: { type: 'string' },
    parallel: { type: 'string', default: 'auto' },
    huge: { type: 'boolean', default: false },
    'huge-size': { type: 'string', default: '20GiB' },
    write: { type: 'boolean', default: false },
  },
});

await main(options.huge ? huge : loopback);

async function loopback(): Promise<void> {
  const sizeBytes = parseSize(options.size);
  // The source, what arrives, and the filler before it; never more than one copy at a time.
  const folder = scratch('memory', sizeBytes * 2.2);
  const source = join(folder, 'source.bin');
  randomFile(source, sizeBytes);
  const { tls, plain, rsync, ssh, peers } = await services(folder);

  const put = (name: string, service: Service | null, root: string, command: (to: string) => Command): Candidate[] =>
    service ? [{ name, service, command: () => command('arrived.bin'), arrived: join(root, 'arrived.bin') }] : [];
  const hawser = (server: HawserServer, args: string[]) =>
    hawserCommand(server, [...args, '--parallel', options.parallel], { stateIn: folder });
  const puts = [
    ...put('hawser put', tls, tls.dir, (to) => hawser(tls, ['put', '--quiet', source, `/${to}`])),
    ...put('scp', ssh, peers, (to) => ssh!.put([source], to)),
    ...put('hawser put --http', plain, plain.dir, (to) => hawser(plain, ['put', '--quiet', source, `/${to}`])),
    ...put('rsync daemon', rsync, peers, (to) => rsync!.put([source], to)),
  ];
  const destination = join(folder, 'fetched.bin');
  const get = (name: string, service: Service | null, command: () => Command): Candidate[] =>
    service ? [{ name, service, command, arrived: destination }] : [];
  // They all serve one and the same file: links to it, not copies.
  for (const root of [tls.dir, plain.dir, peers]) runNow(['ln', '-f', source, join(root, 'served.bin')]);
  const gets = [
    ...get('hawser get', tls, () => hawser(tls, ['get', '--quiet', '/served.bin', destination])),
    ...get('scp', ssh, () => ssh!.get('served.bin', destination)),
    ...get('hawser get --http', plain, () => hawser(plain, ['get', '--quiet', '/served.bin', destination])),
    ...get('rsync daemon', rsync, () => rsync!.get('served.bin', destination)),
  ];

  const body: string[] = [];
  for (const [kind, candidates] of [
    ['put', puts],
    ['get', gets],
  ] as const) {
    if (options.only !== undefined && options.only !== kind) continue;
    const results = await compare(candidates, folder, source, sizeBytes);
    body.push(`### ${kind}`, resultTable(results, sizeBytes, candidates), ratios(results, kind));
  }
  body.push(
    `${options.size} of random data, ${options.rounds} rounds in changing order${options.parallel === 'auto' ? '' : `, --parallel ${options.parallel}`} after a warm-up whose copies were compared byte by byte. Time is that of the whole command. CPU seconds are client + server. Before each run as many pages are touched and freed as the copy needs: on a virtual machine that gives free memory back to its host, the first touch of a page is slow and its cost random.`,
  );
  publish({ id: 'loopback', title: `One file of ${options.size} over loopback`, command: 'npm run bench', body }, options.write);
}

/** Memory does not grow with the file: a hole of 20 GiB is read, sent and stored as zeros. What arrives is on disk, as it is real bytes. */
async function huge(): Promise<void> {
  const sizeBytes = parseSize(options['huge-size']);
  const folder = scratch('disk', sizeBytes * 1.1);
  const source = join(folder, 'hole.bin');
  sparseFile(source, sizeBytes);
  const rows: string[][] = [];
  for (const plainHttp of [false, true]) {
    const server = await startHawser({ dir: join(folder, `served-${plainHttp}`), listen: '127.0.0.1:0', plainHttp });
    for (const kind of ['put', 'get'] as const) {
      if (options.only !== undefined && options.only !== kind) continue;
      const args =
        kind === 'put' ? ['put', '--quiet', source, '/hole.bin'] : ['get', '--quiet', '/hole.bin', join(folder, 'back.bin')];
      if (kind === 'get') {
        // Served from a hole, so that the disk holds one copy at a time.
        removeArrived(server, 'hole.bin');
        sparseFile(join(server.dir, 'hole.bin'), sizeBytes);
      }
      say(`bench: hawser ${kind}${plainHttp ? ' --http' : ''}, ${options['huge-size']} …`);
      const run = await measureBoth(server, hawserCommand(server, args, { stateIn: folder }));
      if (kind === 'put') runNow(['cmp', source, join(server.dir, 'hole.bin')]);
      else rmSync(join(folder, 'back.bin'));
      rows.push([
        `hawser ${kind}${plainHttp ? ' --http' : ''}`,
        seconds(run.ms),
        rate(sizeBytes, run.ms),
        mebibytes(run.peakBytes),
        mebibytes(server.peakBytes()),
      ]);
    }
    await server.stop();
    removeArrived(server, 'hole.bin');
  }
  const body = [
    table(['', 'time', 'rate', 'client VmHWM', 'server VmHWM'], rows),
    `A sparse file of ${options['huge-size']} on disk, and what arrives on disk: the time is mostly the disk's, the memory is what this is about.`,
  ];
  publish(
    { id: 'loopback-huge', title: `Memory with ${options['huge-size']}`, command: 'npm run bench -- --huge', body },
    options.write,
  );
}

async function services(folder: string) {
  const peers = join(folder, 'peers');
  runNow(['mkdir', '-p', peers]);
  const place = { address: '127.0.0.1' };
  return {
    peers,
    tls: await startHawser({ dir: join(folder, 'tls'), listen: '127.0.0.1:0' }),
    plain: await startHawser({ dir: join(folder, 'plain'), listen: '127.0.0.1:0', plainHttp: true }),
    rsync: await startRsync({ ...place, folder: join(folder, 'rsync') }, peers),
    ssh: await startSsh({ ...place, folder: join(folder, 'ssh') }, peers),
  };
}

function compare(
  candidates: readonly Candidate[],
  folder: string,
  source: string,
  sizeBytes: number,
): Promise<Map<string, Run[]>> {
  const contenders: Contender<Run>[] = candidates.map(({ name, service, command, arrived }) => ({
    name,
    async run(round) {
      warmPages(folder, sizeBytes);
      const run = await measureBoth(service, command());
      if (round === 0) runNow(['cmp', source, arrived]);
      rmSync(arrived);
      return run;
    },
  }));
  return interleave(contenders, Number(options.rounds), (name, round, run) => {
    say(`bench: ${round === 0 ? 'warm-up' : `round ${round}`}: ${name.padEnd(18)} ${seconds(run.ms)} ${rate(sizeBytes, run.ms)}`);
  });
}

async function measureBoth(service: Service, command: Command): Promise<Run> {
  const before = await service.cpuSeconds();
  const run = await measure(command);
  return { ...run, serverCpuSeconds: (await service.cpuSeconds()) - before };
}

function resultTable(results: Map<string, Run[]>, sizeBytes: number, candidates: readonly Candidate[]): string {
  const rows = candidates.map(({ name, service }) => {
    const runs = results.get(name)!;
    const ms = runs.map((run) => run.ms);
    const isOurs = name.startsWith('hawser');
    const cpu = `${median(runs.map((run) => run.cpuSeconds)).toFixed(2)} + ${median(runs.map((run) => run.serverCpuSeconds)).toFixed(2)}`;
    const peak = isOurs ? `${mebibytes(Math.max(...runs.map((run) => run.peakBytes)))} / ${mebibytes(service.peakBytes())}` : '';
    return [name, seconds(median(ms)), seconds(Math.min(...ms)), rate(sizeBytes, median(ms)), cpu, peak];
  });
  return table(['', 'median', 'fastest', 'rate', 'CPU s', 'VmHWM client / server'], rows);
}

function ratios(results: Map<string, Run[]>, kind: string): string {
  const pairs = [
    [`hawser ${kind}`, 'scp', kind === 'put' ? 'at least 1.5' : ''],
    [`hawser ${kind} --http`, 'rsync daemon', kind === 'put' ? 'at least 0.9' : ''],
  ] as const;
  const rows = pairs.flatMap(([ours, theirs, goal]) => {
    const [mine, other] = [results.get(ours), results.get(theirs)].map((runs) => runs?.map((run) => run.ms));
    if (!mine || !other) return [];
    return [
      [
        `${ours}, times the speed of ${theirs}`,
        times(median(other) / median(mine)),
        times(Math.min(...other) / Math.min(...mine)),
        goal,
      ],
    ];
  });
  return rows.length === 0 ? 'No peer was there to compare with.' : table(['', 'of medians', 'of the fastest', 'goal'], rows);
}
