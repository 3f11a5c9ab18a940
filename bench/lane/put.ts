/** One `hawser put` through an emulated link, watched: when bytes became safe at the server, and what crossed the link. */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { type HawserServer, hawserCommand, removeArrived, startHawser } from '../hawser.ts';
import type { LinkStats, Netlab } from '../netlab.ts';
import { measure, runNow } from '../programs.ts';
import type { Sample } from './goodput.ts';

export interface PutOptions {
  readonly lab: Netlab;
  readonly server: HawserServer;
  readonly source: string;
  readonly transport: string;
  /** Folder for what the client keeps. Over and above its profile it keeps what it learnt of the lane, and of files nothing. */
  readonly stateIn: string;
  /** Default: another one each time, or one that was stopped would be resumed. */
  readonly name?: string;
  /** After so long it is killed. Default: never. */
  readonly limitMs?: number;
  /** More options for the command. */
  readonly flags?: readonly string[];
  readonly onSample?: (sample: Sample) => void;
}

export interface Put {
  /** The whole process. */
  readonly ms: number;
  /** When the first packet was seen on the link, since the process began. NaN when none was. */
  readonly firstPacketMs: number;
  /** When the server had named the transfer: handshakes are over, content begins. */
  readonly startMs: number;
  readonly samples: readonly Sample[];
  readonly ended: boolean;
  /** Which transport carried it in the end: "lane", "https" … */
  readonly path: string;
  readonly cpuSeconds: number;
  readonly serverCpuSeconds: number;
  readonly peakBytes: number;
  readonly serverPeakBytes: number;
  /** How that came about, from the first packet on. */
  readonly wire: readonly WireSample[];
  /** What crossed each link meanwhile. */
  readonly links: readonly LinkStats[];
}

/** What had passed since the beginning. */
export interface WireSample {
  readonly ms: number;
  readonly links: readonly LinkStats[];
}

/** On host B. */
export function startServer(lab: Netlab, dir: string): Promise<HawserServer> {
  return startHawser({ dir, listen: `${lab.addressOfB}:0`, prefix: lab.b });
}

/** Content is compared afterwards unless it was stopped early; a difference is thrown. */
export async function put(options: PutOptions): Promise<Put> {
  const { lab, server, source, transport, name = `arrived-${++puts}.bin`, flags = [] } = options;
  const paths = lab.interfaces.length > 1 && transport !== 'https' ? ['--path', lab.interfaces.join(',')] : [];
  const args = ['put', '--json', '--transport', transport, ...paths, ...flags, source, `/${name}`];
  const command = hawserCommand(server, args, { prefix: lab.a, stateIn: options.stateIn, home: await loggedIn(options) });
  const samples: Sample[] = [];
  let [startMs, path] = [Number.NaN, '?'];
  const onLine = (line: string, ms: number) => {
    const event = JSON.parse(line) as { event: string; bytesDone?: number; path?: { transport: string } };
    if (event.event === 'start') startMs = ms;
    if (event.event !== 'progress') return;
    const sample = { ms, bytes: event.bytesDone ?? 0 };
    path = event.path?.transport ?? path;
    samples.push(sample);
    options.onSample?.(sample);
  };
  const [before, cpuBefore] = [await lab.stats(), await server.cpuSeconds()];
  const watch = watchWire(lab, before);
  const run = await measure(command, { onLine, ...(options.limitMs === undefined ? {} : { limitMs: options.limitMs }) });
  const wire = watch.stop();
  const links = between(before, await lab.stats());
  if (run.ended) runNow(['cmp', source, join(server.dir, name)]);
  const serverCpuSeconds = (await server.cpuSeconds()) - cpuBefore;
  removeArrived(server, name);
  return {
    ms: run.ms,
    firstPacketMs: wire[0]?.ms ?? Number.NaN,
    wire,
    startMs,
    samples,
    ended: run.ended,
    path,
    cpuSeconds: run.cpuSeconds,
    serverCpuSeconds,
    peakBytes: run.peakBytes,
    serverPeakBytes: server.peakBytes(),
    links,
  };
}

/** The home of a client that has logged in to the server, as its user did at some time before. */
async function loggedIn({ lab, server, stateIn }: PutOptions): Promise<string> {
  const home = join(stateIn, `client-of-${new URL(server.url).port}`);
  if (!existsSync(home)) {
    mkdirSync(home);
    const args = ['login', server.url, ...(server.fingerprint === null ? [] : ['--fingerprint', server.fingerprint])];
    // Over TCP, which on the worst links does not get through: then the put is one of a client that knows nothing.
    await measure(hawserCommand(server, args, { prefix: lab.a, stateIn, home })).catch(() => undefined);
  }
  rmSync(join(home, 'hawser', 'digests.jsonl'), { force: true });
  return home;
}

export function between(before: readonly LinkStats[], after: readonly LinkStats[]): LinkStats[] {
  const differences = (one: LinkStats['ab'], two: LinkStats['ab']) => ({
    packets: two.packets - one.packets,
    bytes: two.bytes - one.bytes,
    lost: two.lost - one.lost,
    dropped: two.dropped - one.dropped,
  });
  return after.map(({ ab, ba }, i) => ({ ab: differences(before[i]!.ab, ab), ba: differences(before[i]!.ba, ba) }));
}

/** Asks the emulator what has passed, ever since: every few milliseconds until something has, then four times a second. */
function watchWire(lab: Netlab, before: readonly LinkStats[]): { stop(): readonly WireSample[] } {
  const startedMs = performance.now();
  const samples: WireSample[] = [];
  let stopped = false;
  void (async () => {
    while (!stopped) {
      const links = between(before, await lab.stats());
      const seen = samples.length > 0 || links.some(({ ab }) => ab.packets + ab.lost > 0);
      if (seen && !stopped) samples.push({ ms: performance.now() - startedMs, links });
      await new Promise((resolve) => setTimeout(resolve, seen ? WIRE_EVERY_MS : 5));
    }
  })();
  return {
    stop() {
      stopped = true;
      return samples;
    },
  };
}

const WIRE_EVERY_MS = 250;
let puts = 0;
