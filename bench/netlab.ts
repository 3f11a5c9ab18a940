/** Two network namespaces joined by emulated links (netlab.c), for as long as a benchmark needs them. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { atEnd, Skip } from './cleanup.ts';
import { runNow, which } from './programs.ts';
import { BENCH } from './report.ts';

/** What both directions of a link share, or one of them has of its own. netlab.c says more about each. */
export interface Direction {
  /** Mbit/s; 0: no limit. */
  readonly rate?: number;
  /** One way, in ms: the round trip is twice this. */
  readonly delay?: number;
  /** Ms, uniform, added to the delay. */
  readonly jitter?: number;
  /** Percent. */
  readonly loss?: number;
  /** Mean length of a loss burst, in packets. Default 1: independent losses. */
  readonly burst?: number;
  /** Mean length of a loss burst in ms, instead of `burst`. */
  readonly burstms?: number;
  /** Ms of queue at the link's rate. Default 100. */
  readonly queue?: number;
  /** Instead of a queue: a token bucket of so many kB. */
  readonly policer?: number;
  /** Percent that arrive later than their turn. */
  readonly reorder?: number;
  /** Percent that arrive twice. */
  readonly dup?: number;
  /** 0: the link drops everything. */
  readonly up?: 0 | 1;
}

export interface Link extends Direction {
  readonly rate: number;
  readonly delay: number;
  /** What differs from A to B, and from B to A. */
  readonly ab?: Direction;
  readonly ba?: Direction;
}

/** One direction of a link, since the start. */
export interface DirectionStats {
  /** Delivered. */
  readonly packets: number;
  readonly bytes: number;
  /** On the wire, after the queue. */
  readonly lost: number;
  /** Because the queue (or the policer's bucket) was full. */
  readonly dropped: number;
}

export interface LinkStats {
  readonly ab: DirectionStats;
  readonly ba: DirectionStats;
}

export interface Netlab {
  /** Put before a command: it then runs on host A (the client's) or B (the server's). */
  readonly a: readonly string[];
  readonly b: readonly string[];
  /** With several links it is one that all of them lead to: by which one, A's own address says. Else A's first link is taken. */
  readonly addressOfB: string;
  /** Names of the interfaces, the same at both hosts: one for each link. */
  readonly interfaces: readonly string[];
  /** Takes effect for the packets that come from now on. `number`: which link, from 1. */
  change(link: Partial<Link>, number?: number): void;
  /** Of every link, in their order. */
  stats(): Promise<readonly LinkStats[]>;
  /** TCP's congestion control at both hosts, for connections that begin from now on. Throws `Skip` when the kernel does not have it. */
  setCongestion(name: string): void;
  stop(): Promise<void>;
}

/** Throws `Skip`, with what to do, where it cannot run. `congestion` sets TCP's congestion control at both hosts. */
export async function startNetlab(
  wanted: Link | readonly Link[],
  { congestion }: { congestion?: string | undefined } = {},
): Promise<Netlab> {
  const links = Array.isArray(wanted) ? (wanted as readonly Link[]) : [wanted as Link];
  const program = build();
  const prefix = `hwb${process.pid}x${++started}`;
  const child = spawn(program, ['-p', prefix, ...links.flatMap((link) => ['-l', spec(link)])], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let output = '';
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  // Also when it is killed, the namespaces go, or the next one finds them.
  const stop = atEnd(async () => {
    child.kill('SIGTERM');
    await ended;
    for (const side of ['a', 'b']) runNow(['ip', 'netns', 'del', `${prefix}-${side}`], { check: false });
  });
  const words = createWords(links.length);
  const ready = new Promise<boolean>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (line) => {
      output += `${line}\n`;
      if (line === 'ready') resolve(true);
      else words.take(line);
    });
    child.stderr.on('data', (piece: Buffer) => {
      output += piece;
    });
    child.once('close', () => resolve(false));
  });
  child.stdin.on('error', () => undefined);
  if (!(await ready)) throw new Skip(`bench: the link emulator did not start: ${output.trim() || 'no word'}.`);
  const [a, b] = ['a', 'b'].map((side) => ['ip', 'netns', 'exec', `${prefix}-${side}`]) as [string[], string[]];
  const several = links.length > 1;
  if (several) joinLinks(prefix, links.length);
  // The default holds about 3 MB in flight, which 500 Mbit/s over 200 ms outgrow: TCP is to be measured, not its default.
  for (const host of [a, b]) {
    // What one connection learnt of the path is not for the next.
    runNow([...host, 'sysctl', '-qw', 'net.ipv4.tcp_no_metrics_save=1'], { check: false });
    for (const name of ['tcp_rmem', 'tcp_wmem']) {
      runNow([...host, 'sysctl', '-qw', `net.ipv4.${name}=4096 131072 ${MOST_WINDOW_BYTES}`], { check: false });
    }
  }
  const lab: Netlab = {
    a,
    b,
    addressOfB: several ? COMMON_ADDRESS : '10.77.1.2',
    interfaces: links.map((_, i) => `link${i + 1}`),
    change(next, number = 1) {
      child.stdin.write(`${number} ${spec(next)}\n`);
    },
    stats() {
      child.stdin.write('stats\n');
      return words.next();
    },
    setCongestion(name) {
      for (let number = 1; number <= links.length; number++) setCongestion(prefix, number, name);
      if (several) runNow(['ip', '-n', `${prefix}-a`, 'route', 'replace', ...COMMON_ROUTE, 'congctl', name]);
    },
    stop,
  };
  if (congestion !== undefined) lab.setCongestion(congestion);
  return lab;
}

/** As a machine with several uplinks reaches a server with one address: the sender's address decides the link. */
function joinLinks(prefix: string, links: number): void {
  const [a, b] = [`${prefix}-a`, `${prefix}-b`];
  runNow(['ip', '-n', b, 'addr', 'add', `${COMMON_ADDRESS}/32`, 'dev', 'lo']);
  for (let number = 1; number <= links; number++) {
    const [from, table] = [`10.77.${number}.1`, String(100 + number)];
    runNow(['ip', '-n', a, 'route', 'add', COMMON_ADDRESS, 'dev', `link${number}`, 'src', from, 'table', table]);
    runNow(['ip', '-n', a, 'rule', 'add', 'from', from, 'lookup', table]);
  }
  runNow(['ip', '-n', a, 'route', 'add', ...COMMON_ROUTE]);
}

/** Answers to `stats`, in the order in which they were asked for: a line for each direction of each link. */
function createWords(links: number) {
  const waiting: ((stats: LinkStats[]) => void)[] = [];
  let lines: DirectionStats[] = [];
  return {
    next: () => new Promise<LinkStats[]>((resolve) => waiting.push(resolve)),
    take(line: string) {
      const [, packets, bytes, lost, dropped] = (
        /^link \d+ [AB]>[AB]: packets (\d+) bytes (\d+) lost (\d+) queue-dropped (\d+)$/.exec(line) ?? []
      ).map(Number);
      if (packets === undefined) return;
      lines.push({ packets, bytes: bytes!, lost: lost!, dropped: dropped! });
      if (lines.length < links * 2) return;
      const stats = Array.from({ length: links }, (_, i) => ({ ab: lines[i * 2]!, ba: lines[i * 2 + 1]! }));
      lines = [];
      waiting.shift()?.(stats);
    },
  };
}

/** On the routes of these two hosts only: their sysctl takes just what the machine allows everyone, which is not ours to change. */
function setCongestion(prefix: string, number: number, name: string): void {
  for (const [side, host] of [
    ['a', 1],
    ['b', 2],
  ] as const) {
    const address = `10.77.${number}.${host}`;
    const route = [`10.77.${number}.0/24`, 'dev', `link${number}`, 'proto', 'kernel', 'scope', 'link', 'src', address];
    try {
      runNow(['ip', '-n', `${prefix}-${side}`, 'route', 'replace', ...route, 'congctl', name]);
    } catch (error) {
      throw new Skip(
        `bench: this kernel does not give the emulated hosts the congestion control "${name}" (try "modprobe tcp_${name}"): ${(error as Error).message}`,
      );
    }
  }
}

function spec({ ab = {}, ba = {}, ...both }: Partial<Link>): string {
  const keys = (direction: Direction, prefix: string) =>
    Object.entries(direction).map(([key, value]) => `${prefix}${key}=${value}`);
  return [...keys(both, ''), ...keys(ab, 'ab.'), ...keys(ba, 'ba.')].join(',');
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

const COMMON_ADDRESS = '10.77.100.1';
const COMMON_ROUTE = [COMMON_ADDRESS, 'dev', 'link1', 'src', '10.77.1.1'];
const MOST_WINDOW_BYTES = 64 << 20;
let started = 0;
