/** Flows that share a link for a while: a hawser put, or plain TCP. Their samples have one clock. */
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { HawserServer } from '../hawser.ts';
import { hawserCommand } from '../hawser.ts';
import type { Netlab } from '../netlab.ts';
import { measure } from '../programs.ts';
import { BENCH } from '../report.ts';
import type { Sample } from './goodput.ts';
import { startSink } from './peers.ts';
import { put } from './put.ts';

export interface Flow {
  readonly name: string;
  /** When it begins, in ms from the common start. */
  readonly atMs: number;
  /** Runs until `endMs` on the common clock and returns its samples on it. */
  run(nowMs: () => number, endMs: number): Promise<readonly Sample[]>;
}

export interface HawserFlow {
  readonly lab: Netlab;
  readonly server: HawserServer;
  readonly source: string;
  readonly transport: string;
  readonly stateIn: string;
  readonly flags?: readonly string[];
}

export function hawserFlow(name: string, atMs: number, options: HawserFlow): Flow {
  return {
    name,
    atMs,
    async run(nowMs, endMs) {
      const offsetMs = nowMs();
      const { samples } = await put({ ...options, limitMs: endMs - offsetMs });
      return samples.map(({ ms, bytes }) => ({ ms: ms + offsetMs, bytes }));
    },
  };
}

/** TCP without TLS, with the congestion control that the link has at this moment. */
export async function tcpFlow(name: string, atMs: number, lab: Netlab): Promise<Flow & { stop(): Promise<void> }> {
  const sink = await startSink('tcp', lab);
  return {
    name,
    atMs,
    stop: sink.stop,
    async run(nowMs, endMs) {
      const offsetMs = nowMs();
      const samples = sink.record();
      const seconds = (endMs - offsetMs) / 1000;
      const argv = [...lab.a, process.execPath, SOURCE, 'tcp', lab.addressOfB, String(sink.port), seconds.toFixed(1)];
      await measure({ argv }, { limitMs: endMs - offsetMs + 1000 });
      return samples.map(({ ms, bytes }) => ({ ms: ms + offsetMs, bytes }));
    },
  };
}

/** Rejects with the first failure, once all have ended. */
export async function together(flows: readonly Flow[], seconds: number): Promise<readonly (readonly Sample[])[]> {
  const startedMs = performance.now();
  const nowMs = () => performance.now() - startedMs;
  const done = await Promise.allSettled(
    flows.map(async (flow) => {
      await sleep(flow.atMs);
      return await flow.run(nowMs, seconds * 1000);
    }),
  );
  return done.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
}

/** Whether `hawser put` has an option, so that an older one is told from a slow one. */
export async function hasOption(option: string): Promise<boolean> {
  const command = hawserCommand({ url: '', token: '', fingerprint: null }, ['put', '--help'], { stateIn: '/tmp' });
  return (await measure(command)).stdout.includes(option);
}

const SOURCE = join(BENCH, 'lane', 'source.ts');
