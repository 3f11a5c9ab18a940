/** Other programs: started, measured (time, CPU, peak memory), and ended. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readdirSync, readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { atEnd } from './cleanup.ts';

export interface Command {
  readonly argv: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface Measured {
  readonly ms: number;
  /** User and system time of the program and its children. */
  readonly cpuSeconds: number;
  /** Largest VmHWM seen in one process of it. Looked at every 50 ms, so that the very end may be missing. */
  readonly peakBytes: number;
  readonly stdout: string;
  /** False when it was stopped because `limitMs` had passed. */
  readonly ended: boolean;
}

export interface MeasureOptions {
  /** Called for each whole line on standard output, with the time since the start. */
  readonly onLine?: (line: string, ms: number) => void;
  /** After so long it is killed, which is no failure. Default: never. */
  readonly limitMs?: number;
}

/** Path of a program, or null. sshd is often not in PATH. */
export function which(name: string): string | null {
  const path = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;
  const found = spawnSync('sh', ['-c', `command -v -- "$1"`, 'sh', name], {
    env: { ...process.env, PATH: path },
    encoding: 'utf8',
  });
  return found.status === 0 ? found.stdout.trim() : null;
}

/** Runs a program to its end. Throws with what it wrote when it fails. Its start is part of the time; a shell around it (about 2 ms) too. */
export async function measure(command: Command, { onLine, limitMs }: MeasureOptions = {}): Promise<Measured> {
  const started = performance.now();
  // The shell's `times` is the one way to the CPU time of a child that Node does not offer.
  const child = spawn('bash', ['-c', '"$@"; code=$?; times >&3; exit $code', 'bash', ...command.argv], {
    ...spawnOptions(command),
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const ended = new Promise<number>((resolve) => child.once('close', (code, signal) => resolve(code ?? (signal ? 128 : 1))));
  const forget = atEnd(() => endTree(child.pid));
  const [stdout, stderr, times] = [collect(child, 1), collect(child, 2), collect(child, 3)];
  if (onLine) createInterface({ input: child.stdout! }).on('line', (line) => onLine(line, performance.now() - started));
  let late = false;
  const limit =
    limitMs === undefined
      ? undefined
      : setTimeout(() => {
          late = true;
          // Not the shell: it still has to tell the CPU time.
          endTree(child.pid, 1);
        }, limitMs);
  let peakBytes = 0;
  const watch = setInterval(() => {
    for (const pid of treeOf(child.pid!).slice(1)) peakBytes = Math.max(peakBytes, peakOf(pid));
  }, 50);
  const code = await ended;
  const ms = performance.now() - started;
  clearInterval(watch);
  clearTimeout(limit);
  await forget();
  if (code !== 0 && !late) {
    throw new Error(`"${command.argv.join(' ')}" ended with ${code}: ${(stderr() + stdout()).slice(-2000).trim() || 'no word'}`);
  }
  return { ms, cpuSeconds: childSeconds(times()), peakBytes, stdout: stdout(), ended: !late };
}

export interface Service {
  readonly pid: number;
  /** CPU seconds so far, with those of children that have ended. */
  cpuSeconds(): Promise<number>;
  peakBytes(): number;
  /** What it wrote. */
  output(): string;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts a program that stays, and waits until `ready` says so of what it wrote (or it has ended: an error). `onLine`: each line on standard output. */
export async function startService(
  command: Command,
  ready: (output: string) => boolean | Promise<boolean>,
  onLine?: (line: string) => void,
): Promise<Service> {
  const child = spawn(command.argv[0]!, command.argv.slice(1), { ...spawnOptions(command), stdio: ['ignore', 'pipe', 'pipe'] });
  const exited = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const [stdout, stderr] = [collect(child, 1), collect(child, 2)];
  const output = () => stdout() + stderr();
  if (onLine) createInterface({ input: child.stdout! }).on('line', onLine);
  let failed: Error | null = null;
  child.once('error', (error) => {
    failed = error;
  });
  const stop = async (signal: NodeJS.Signals = 'SIGTERM') => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), 12_000);
    await exited;
    clearTimeout(late);
  };
  const end = atEnd(stop);
  const giveUpMs = performance.now() + 20_000;
  while (!(await ready(output()))) {
    if (failed ?? (child.exitCode !== null || child.signalCode !== null)) {
      throw new Error(`"${command.argv.join(' ')}" ended before it was ready: ${failed ?? output().trim().slice(-2000)}`);
    }
    if (performance.now() > giveUpMs)
      throw new Error(`"${command.argv.join(' ')}" is not ready after 20 s: ${output().slice(-2000)}`);
    await sleep(10);
  }
  const pid = child.pid!;
  return {
    pid,
    async cpuSeconds() {
      // Children (of sshd, of rsync) end a moment after the client does, and count once they have been waited for.
      for (let i = 0; i < 50 && treeOf(pid).length > 1; i++) await sleep(10);
      return cpuSecondsOf(pid);
    },
    peakBytes: () => peakOf(pid),
    output,
    async stop(signal) {
      if (signal === undefined) await end();
      else {
        await stop(signal);
        await end();
      }
    },
  };
}

/** A program whose failure is of no interest, or an error with what it wrote. */
export function runNow(argv: readonly string[], { check = true } = {}): string {
  const { status, stdout, stderr, error } = spawnSync(argv[0]!, argv.slice(1), { encoding: 'utf8' });
  if (check && status !== 0) throw new Error(`"${argv.join(' ')}" failed: ${error?.message ?? (stderr || stdout).trim()}`);
  return stdout ?? '';
}

function spawnOptions({ env, cwd }: Command) {
  return { env: { ...process.env, ...env }, ...(cwd === undefined ? {} : { cwd }) };
}

function collect(child: ChildProcess, index: number): () => string {
  const pieces: Buffer[] = [];
  let bytes = 0;
  child.stdio[index]!.on('data', (piece: Buffer) => {
    // Of a talkative program the newest part is enough.
    pieces.push(piece);
    bytes += piece.length;
    while (bytes > MOST_OUTPUT_BYTES && pieces.length > 1) bytes -= pieces.shift()!.length;
  });
  return () => Buffer.concat(pieces).toString();
}

/** A process and all below it. */
function treeOf(pid: number): number[] {
  const found = [pid];
  for (let i = 0; i < found.length; i++) {
    for (const task of listOf(`/proc/${found[i]}/task`)) {
      found.push(...textOf(`/proc/${found[i]}/task/${task}/children`).split(' ').filter(Boolean).map(Number));
    }
  }
  return found;
}

/** `above`: so many processes at its top are left alone. */
function endTree(pid: number | undefined, above = 0): void {
  if (pid === undefined) return;
  for (const one of treeOf(pid).slice(above).reverse()) {
    try {
      process.kill(one, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
}

function peakOf(pid: number): number {
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(textOf(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
}

function cpuSecondsOf(pid: number): number {
  // proc(5): after the name in parentheses come state and so on; utime, stime, cutime, cstime are fields 14 to 17.
  const fields = textOf(`/proc/${pid}/stat`).split(') ').at(-1)!.split(' ');
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) / CLOCK_TICKS;
}

/** The second line of bash's `times`: "0m1.234s 0m0.567s". */
function childSeconds(times: string): number {
  const [, line = ''] = times.trim().split('\n');
  return [...line.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds),
    0,
  );
}

function textOf(file: string): string {
  try {
    const fd = openSync(file, 'r');
    try {
      return readFileSync(fd, 'utf8');
    } finally {
      closeSync(fd);
    }
  } catch {
    return '';
  }
}

function listOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

const MOST_OUTPUT_BYTES = 1 << 20;
const CLOCK_TICKS = 100;
