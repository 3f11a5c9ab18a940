/** One `hawser put` through an emulated link, watched: when bytes became safe at the server, and what crossed the link. */
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
  /** Folder for what the client keeps; it begins with nothing each time. */
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
  /** When the first packet was delivered, since the process began. NaN when none was seen. */
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
  /** What crossed each link meanwhile. */
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
  const command = hawserCommand(server, args, { prefix: lab.a, stateIn: options.stateIn });
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
  const first = watchFirstPacket(lab, before);
  const run = await measure(command, { onLine, ...(options.limitMs === undefined ? {} : { limitMs: options.limitMs }) });
  const firstPacketMs = first.stop();
  const links = between(before, await lab.stats());
  if (run.ended) runNow(['cmp', source, join(server.dir, name)]);
  const serverCpuSeconds = (await server.cpuSeconds()) - cpuBefore;
  removeArrived(server, name);
  return {
    ms: run.ms,
    firstPacketMs,
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

export function between(before: readonly LinkStats[], after: readonly LinkStats[]): LinkStats[] {
  const differences = (one: LinkStats['ab'], two: LinkStats['ab']) => ({
    packets: two.packets - one.packets,
    bytes: two.bytes - one.bytes,
    lost: two.lost - one.lost,
    dropped: two.dropped - one.dropped,
  });
  return after.map(({ ab, ba }, i) => ({ ab: differences(before[i]!.ab, ab), ba: differences(before[i]!.ba, ba) }));
}

/** Asks the emulator until something was delivered. What the first packet needed to get there is less than the process's start. */
function watchFirstPacket(lab: Netlab, before: readonly LinkStats[]): { stop(): number } {
  const startedMs = performance.now();
  let [at, stopped] = [Number.NaN, false];
  void (async () => {
    while (!stopped) {
      const [now] = between(before, await lab.stats());
      if (now!.ab.packets + now!.ab.lost > 0) {
        at = performance.now() - startedMs;
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  return {
    stop() {
      stopped = true;
      return at;
    },
  };
}

let puts = 0;
