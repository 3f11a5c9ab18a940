/**
 * One large file over an emulated link: how much of the link is used by hawser put (with what `auto` picks), by curl (one HTTPS
 * upload to the same server), and by an rsync daemon. `--wide` adds a table over round trips and losses.
 * Options: --rounds 3 --size 200MB --rate 100 --rtt 100 --congestion cubic --wide --wide-size 50MB --write
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { parseSize } from '../src/core/units.ts';
import { main } from './cleanup.ts';
import { type Contender, interleave, median, percent, seconds } from './figures.ts';
import { type HawserServer, hawserCommand, removeArrived, startHawser } from './hawser.ts';
import { type Netlab, startNetlab } from './netlab.ts';
import { have, startRsync } from './peers.ts';
import { type Command, measure, runNow } from './programs.ts';
import { publish, say, table } from './report.ts';
import { randomFile, scratch } from './scratch.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    size: { type: 'string', default: '200MB' },
    rate: { type: 'string', default: '100' },
    rtt: { type: 'string', default: '100' },
    congestion: { type: 'string' },
    wide: { type: 'boolean', default: false },
    'wide-size': { type: 'string', default: '50MB' },
    write: { type: 'boolean', default: false },
  },
});
const rateMbit = Number(options.rate);
/** Of a packet of 1500 bytes, TCP with timestamps over IPv4 carries so many: the most that any program can get. */
const PAYLOAD_SHARE = 1448 / 1500;

await main(async () => {
  const sizeBytes = parseSize(options.size);
  const folder = scratch('memory', sizeBytes * 3);
  const lab = await startNetlab({ rate: rateMbit, delay: Number(options.rtt) / 2 }, { congestion: options.congestion });
  const candidates = await contenders(folder, lab);
  const source = join(folder, 'source.bin');
  randomFile(source, sizeBytes);
  const results = await compare(candidates, source, Number(options.rounds));
  const rows = candidates.map(({ name }) => {
    const ms = results.get(name)!;
    const [used, ofPayload] = [share(sizeBytes, median(ms)), share(sizeBytes, median(ms)) / PAYLOAD_SHARE];
    return [
      name,
      seconds(median(ms)),
      seconds(Math.min(...ms)),
      percent(used),
      percent(ofPayload),
      name.startsWith('hawser') ? 'at least 90 %' : '',
    ];
  });
  const body = [
    table(['', 'median', 'fastest', 'content of the link rate', 'of what packets can carry (1448 of 1500)', 'goal'], rows),
    `${options.size} over ${rateMbit} Mbit/s, ${options.rtt} ms round trip, no loss, 100 ms of queue; congestion control ${congestionOf(lab)}; ${options.rounds} rounds after a warm-up. Time is that of the whole command.`,
  ];
  if (options.wide) body.push(await wide(folder, lab, candidates));
  publish(
    { id: 'link', title: `A link of ${rateMbit} Mbit/s and ${options.rtt} ms`, command: 'npm run bench:link', body },
    options.write,
  );
});

interface Candidate {
  readonly name: string;
  /** Done before the time that counts. */
  before?(): Promise<unknown>;
  command(source: string): Command;
  remove(): void;
  readonly arrived: string;
}

async function contenders(folder: string, lab: Netlab): Promise<Candidate[]> {
  const peers = join(folder, 'peers');
  runNow(['mkdir', '-p', peers]);
  const server = await startHawser({ dir: join(folder, 'tls'), listen: `${lab.addressOfB}:0`, prefix: lab.b });
  const place = { folder: join(folder, 'rsync'), address: lab.addressOfB, serverPrefix: lab.b, clientPrefix: lab.a };
  const rsync = await startRsync(place, peers);
  const candidates: Candidate[] = [
    {
      name: 'hawser put',
      command: (source) => hawserCommand(server, ['put', '--quiet', source, '/arrived.bin'], { prefix: lab.a, stateIn: folder }),
      remove: () => removeArrived(server, 'arrived.bin'),
      arrived: join(server.dir, 'arrived.bin'),
    },
    loggedIn(server, lab, folder),
  ];
  if (have('curl')) candidates.push(curl(server, lab));
  if (rsync) {
    const arrived = join(peers, 'arrived.bin');
    candidates.push({
      name: 'rsync daemon',
      command: (source) => rsync.put([source], 'arrived.bin'),
      remove: () => rmSync(arrived),
      arrived,
    });
  }
  return candidates;
}

/** As a user does it: `login` once, which leaves a ticket for a lane, then `put`. The client above was never there before. */
function loggedIn(server: HawserServer, lab: Netlab, folder: string): Candidate {
  const client = () => ({ prefix: lab.a, stateIn: folder, home: mkdtempSync(join(folder, 'login-')) });
  let options = client();
  return {
    name: 'hawser put after login',
    before() {
      options = client();
      return measure(hawserCommand(server, ['login', server.url, '--token', server.token], options));
    },
    command: (source) => hawserCommand(server, ['put', '--quiet', source, '/arrived-2.bin'], options),
    remove: () => removeArrived(server, 'arrived-2.bin'),
    arrived: join(server.dir, 'arrived-2.bin'),
  };
}

function curl(server: HawserServer, lab: Netlab): Candidate {
  const argv = (source: string) => [
    ...lab.a,
    ...[
      'curl',
      '-sSf',
      '--insecure',
      '--http1.1',
      '-T',
      source,
      '-H',
      `Authorization: Bearer ${server.token}`,
      '-o',
      '/dev/null',
    ],
    `${server.url}/api/v1/files/arrived-curl.bin`,
  ];
  return {
    name: 'curl -T (HTTPS)',
    command: (source) => ({ argv: argv(source) }),
    remove: () => removeArrived(server, 'arrived-curl.bin'),
    arrived: join(server.dir, 'arrived-curl.bin'),
  };
}

/** Milliseconds. */
function compare(candidates: readonly Candidate[], source: string, rounds: number): Promise<Map<string, number[]>> {
  const list: Contender<number>[] = candidates.map(({ name, before, command, remove, arrived }) => ({
    name,
    async run(round) {
      await before?.();
      const { ms } = await measure(command(source));
      if (round === 0) runNow(['cmp', source, arrived]);
      remove();
      return ms;
    },
  }));
  return interleave(list, rounds, (name, round, ms) => {
    say(`bench: ${round === 0 ? 'warm-up' : `round ${round}`}: ${name.padEnd(18)} ${seconds(ms)}`);
  });
}

/** Once each: for information. */
async function wide(folder: string, lab: Netlab, candidates: readonly Candidate[]): Promise<string> {
  const sizeBytes = parseSize(options['wide-size']);
  const source = join(folder, 'wide.bin');
  randomFile(source, sizeBytes);
  const rows: string[][] = [];
  for (const rtt of [20, 100, 300]) {
    for (const loss of [0, 0.1, 1, 2]) {
      lab.change({ delay: rtt / 2, loss });
      const cells: string[] = [];
      for (const { name, before, command, remove } of candidates) {
        await before?.();
        const { ms } = await measure(command(source));
        remove();
        say(`bench: ${rtt} ms, ${loss} % loss: ${name.padEnd(18)} ${seconds(ms)}`);
        cells.push(`${seconds(ms)} (${percent(share(sizeBytes, ms))})`);
      }
      rows.push([`${rtt} ms, ${loss} %`, ...cells]);
    }
  }
  const head = ['round trip, loss in both directions', ...candidates.map(({ name }) => name)];
  return `### Other links\n\n${table(head, rows)}\n\n${options['wide-size']} once each, at ${rateMbit} Mbit/s; in parentheses the share of the link rate.`;
}

/** Content per time, as a part of the link's rate. */
function share(sizeBytes: number, ms: number): number {
  return (sizeBytes * 8) / 1000 / ms / rateMbit;
}

function congestionOf(lab: Netlab): string {
  return options.congestion ?? runNow([...lab.a, 'cat', '/proc/sys/net/ipv4/tcp_congestion_control']).trim();
}
