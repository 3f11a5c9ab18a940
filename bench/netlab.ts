/** Two network namespaces joined by emulated links (netlab.c), for as long as a benchmark needs them. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { atEnd, Skip } from './cleanup.ts';
import { runNow, which } from './programs.ts';
import { BENCH } from './report.ts';

export interface Link {
  /** Mbit/s; 0: no limit. */
  readonly rate: number;
  /** One way, in ms: the round trip is twice this. */
  readonly delay: number;
  /** Percent. */
  readonly loss?: number;
  /** Ms of queue at the link's rate. Default 100. */
  readonly queue?: number;
}

export interface Netlab {
  /** Put before a command: it then runs on host A (the client's) or B (the server's). */
  readonly a: readonly string[];
  readonly b: readonly string[];
  readonly addressOfB: string;
  /** Takes effect for the packets that come from now on. */
  change(link: Partial<Link>): void;
  stop(): Promise<void>;
}

/** Throws `Skip`, with what to do, where it cannot run. `congestion` sets TCP's congestion control at both hosts. */
export async function startNetlab(link: Link, { congestion }: { congestion?: string | undefined } = {}): Promise<Netlab> {
  const program = build();
  const prefix = `hwb${process.pid}x${++started}`;
  const child = spawn(program, ['-p', prefix, '-l', spec(link)], { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  // Also when it is killed, the namespaces go, or the next one finds them.
  const stop = atEnd(async () => {
    child.kill('SIGTERM');
    await ended;
    for (const side of ['a', 'b']) runNow(['ip', 'netns', 'del', `${prefix}-${side}`], { check: false });
  });
  const ready = new Promise<boolean>((resolve) => {
    child.stdout.on('data', (piece: Buffer) => {
      output += piece;
      if (output.includes('ready')) resolve(true);
    });
    child.stderr.on('data', (piece: Buffer) => {
      output += piece;
    });
    child.once('close', () => resolve(false));
  });
  if (!(await ready)) throw new Skip(`bench: the link emulator did not start: ${output.trim() || 'no word'}.`);
  const [a, b] = ['a', 'b'].map((side) => ['ip', 'netns', 'exec', `${prefix}-${side}`]) as [string[], string[]];
  if (congestion !== undefined) setCongestion(prefix, congestion);
  return {
    a,
    b,
    addressOfB: '10.77.1.2',
    change(next) {
      child.stdin.write(`1 ${spec(next)}\n`);
    },
    stop,
  };
}

/** On the routes of these two hosts only: their sysctl takes just what the machine allows everyone, which is not ours to change. */
function setCongestion(prefix: string, name: string): void {
  for (const [side, address] of [
    ['a', '10.77.1.1'],
    ['b', '10.77.1.2'],
  ]) {
    const route = ['10.77.1.0/24', 'dev', 'link1', 'proto', 'kernel', 'scope', 'link', 'src', address!];
    try {
      runNow(['ip', '-n', `${prefix}-${side}`, 'route', 'replace', ...route, 'congctl', name]);
    } catch (error) {
      throw new Skip(
        `bench: this kernel does not give the emulated hosts the congestion control "${name}": ${(error as Error).message}`,
      );
    }
  }
}

function spec(link: Partial<Link>): string {
  return Object.entries(link)
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

function build(): string {
  const without = (what: string) => new Skip(`bench: the link emulator ${what}; everything on loopback still runs.`);
  if (process.platform !== 'linux') throw without('needs Linux');
  if (process.getuid?.() !== 0) throw without('needs root (network namespaces): run it with sudo');
  if (!existsSync('/dev/net/tun')) throw without('needs /dev/net/tun: run "modprobe tun", or give the container the device');
  if (which('ip') === null) throw without('needs "ip": run "apt-get install iproute2"');
  const source = join(BENCH, 'netlab.c');
  const program = join(BENCH, 'build', 'netlab');
  if (existsSync(program) && statSync(program).mtimeMs > statSync(source).mtimeMs) return program;
  if (which('cc') === null) throw without('needs a C compiler: run "apt-get install gcc libc6-dev"');
  mkdirSync(join(BENCH, 'build'), { recursive: true });
  runNow(['cc', '-O2', '-o', program, source, '-lm']);
  return program;
}

let started = 0;
