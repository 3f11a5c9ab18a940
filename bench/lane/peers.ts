/**
 * What the lane is compared with: rsync's daemon and curl over TLS, each with CUBIC and with BBR, and QUIC. Each may take so many
 * seconds; what it moved until then tells its speed.
 */
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { Skip } from '../cleanup.ts';
import type { Netlab } from '../netlab.ts';
import { have, startRsync } from '../peers.ts';
import { type Command, measure, startService } from '../programs.ts';
import { BENCH, say } from '../report.ts';
import type { Sample } from './goodput.ts';
import { installQuic } from './quic.ts';

export interface PeerRun {
  readonly ms: number;
  readonly samples: readonly Sample[];
  /** False when the time was up first. */
  readonly ended: boolean;
}

export interface Peer {
  readonly id: string;
  readonly name: string;
  run(source: string, bytes: number, limitMs: number): Promise<PeerRun>;
}

export interface Peers {
  readonly peers: readonly Peer[];
  /** Of those that are not there. */
  readonly notMeasured: readonly string[];
  stop(): Promise<void>;
}

export const PEER_IDS = ['rsync-cubic', 'rsync-bbr', 'curl-cubic', 'curl-bbr', 'quic'] as const;

export async function startPeers(lab: Netlab, folder: string, wanted: readonly string[]): Promise<Peers> {
  const notMeasured: string[] = [];
  const stops: (() => Promise<void>)[] = [];
  const peers: Peer[] = [];
  const congestions = ['cubic', 'bbr'].filter((name) => {
    try {
      lab.setCongestion(name);
      return true;
    } catch (error) {
      if (!(error instanceof Skip)) throw error;
      notMeasured.push(error.message);
      return false;
    }
  });
  const withEach = (program: string, title: string, run: Peer['run']) => {
    for (const congestion of congestions) {
      const id = `${program}-${congestion}`;
      if (!wanted.includes(id)) continue;
      peers.push({
        id,
        name: `${title}, ${congestion.toUpperCase()}`,
        run(...args) {
          lab.setCongestion(congestion);
          return run(...args);
        },
      });
    }
  };
  if (wanted.some((id) => id.startsWith('rsync'))) {
    const root = join(folder, 'rsync');
    mkdirSync(root, { recursive: true });
    const place = { folder: join(folder, 'rsyncd'), address: lab.addressOfB, serverPrefix: lab.b, clientPrefix: lab.a };
    const rsync = await startRsync(place, root);
    if (rsync === null) notMeasured.push('rsync is not installed.');
    else {
      stops.push(() => rsync.stop());
      withEach('rsync', 'rsync daemon', (source, _, limitMs) => runRsync(rsync.put([source], ''), root, limitMs));
    }
  }
  if (wanted.some((id) => id.startsWith('curl'))) {
    if (!have('curl')) notMeasured.push('curl is not installed.');
    else {
      const sink = await startSink('https', lab);
      stops.push(sink.stop);
      const curl = [
        'curl',
        '-sSf',
        '--insecure',
        '--http1.1',
        '-o',
        '/dev/null',
        `https://${lab.addressOfB}:${sink.port}/`,
        '-T',
      ];
      withEach('curl', 'curl -T over TLS', (source, _, limitMs) => runInto(sink, { argv: [...lab.a, ...curl, source] }, limitMs));
    }
  }
  if (wanted.includes('quic')) {
    const missing = installQuic();
    if (missing !== null) notMeasured.push(`QUIC: ${missing}`);
    else {
      const sink = await startSink('quic', lab);
      stops.push(sink.stop);
      const argv = (bytes: number) => [
        ...lab.a,
        process.execPath,
        SOURCE,
        'quic',
        lab.addressOfB,
        String(sink.port),
        String(bytes),
      ];
      peers.push({
        id: 'quic',
        name: 'QUIC (quiche, its CUBIC)',
        run: (_, bytes, limitMs) => runInto(sink, { argv: argv(bytes) }, limitMs),
      });
    }
  }
  for (const sentence of notMeasured) say(`bench: not measured: ${sentence}`);
  return {
    peers,
    notMeasured,
    async stop() {
      for (const stop of stops) await stop();
    },
  };
}

export interface Sink {
  readonly port: number;
  /** Samples from now on, with times since now, until it is called again. */
  record(): readonly Sample[];
  readonly stop: () => Promise<void>;
}

/** On host B. */
export async function startSink(kind: 'tcp' | 'https' | 'quic', lab: Netlab, address = lab.addressOfB): Promise<Sink> {
  let [port, bytes, startMs, startBytes] = [0, 0, 0, 0];
  let samples: Sample[] = [];
  const onLine = (line: string) => {
    const word = JSON.parse(line) as { port?: number; bytes?: number };
    port = word.port ?? port;
    if (word.bytes === undefined) return;
    bytes = word.bytes;
    samples.push({ ms: performance.now() - startMs, bytes: bytes - startBytes });
  };
  const argv = [...lab.b, process.execPath, join(BENCH, 'lane', 'sink.ts'), kind, address];
  const service = await startService({ argv }, () => port > 0, onLine);
  return {
    get port() {
      return port;
    },
    record() {
      [startMs, startBytes, samples] = [performance.now(), bytes, []];
      return samples;
    },
    stop: () => service.stop(),
  };
}

async function runInto(sink: Sink, command: Command, limitMs: number): Promise<PeerRun> {
  const samples = sink.record();
  const { ms, ended } = await measure(command, { limitMs });
  return { ms, samples: [...samples], ended };
}

/** rsync writes into a hidden file beside the target, in order, which grows as bytes arrive. */
async function runRsync(command: Command, root: string, limitMs: number): Promise<PeerRun> {
  const samples: Sample[] = [];
  const startedMs = performance.now();
  const watch = setInterval(() => {
    const bytes = readdirSync(root).reduce(
      (sum, name) => sum + (statSync(join(root, name), { throwIfNoEntry: false })?.size ?? 0),
      0,
    );
    samples.push({ ms: performance.now() - startedMs, bytes });
  }, 50);
  const { ms, ended } = await measure(command, { limitMs });
  clearInterval(watch);
  for (const name of readdirSync(root)) rmSync(join(root, name), { force: true });
  return { ms, samples, ended };
}

const SOURCE = join(BENCH, 'lane', 'source.ts');
