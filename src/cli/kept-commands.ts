/**
 * Transfers that this machine has begun and not ended, so that `hawser resume` can run them again after Ctrl-C, a crash or a
 * reboot. One small file a command, written when it starts and removed when it is done. No tokens are kept.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { stateFolder, writePrivately } from './folders.ts';

export interface KeptCommand {
  /** The same for the same command in the same folder, so that repeating it by hand clears it too. */
  readonly id: string;
  /** The server's name for the last attempt; null when it did not get that far. */
  readonly transfer: string | null;
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly url: string;
  readonly profile: string | null;
  /** RFC 3339. */
  readonly time: string;
  /** Code of why it ended; null while it runs, or when it was killed. */
  readonly reason: string | null;
  readonly process: { readonly pid: number; readonly startedTicks: string | null };
}

type Env = Readonly<Record<string, string | undefined>>;

export function commandId(argv: readonly string[], cwd: string, url: string): string {
  return createHash('sha256')
    .update(JSON.stringify([argv, cwd, url]))
    .digest('hex')
    .slice(0, 10);
}

/** Never throws: a state folder that cannot be written costs `hawser resume`, not the transfer. Returns whether it was kept. */
export function keepCommand(env: Env, command: Omit<KeptCommand, 'process'>): boolean {
  try {
    const entry: KeptCommand = { ...command, process: { pid: process.pid, startedTicks: startedTicks(process.pid) } };
    writePrivately(join(folder(env), `${command.id}.json`), JSON.stringify(entry) + '\n', { synced: false });
    return true;
  } catch {
    return false;
  }
}

export function forgetCommand(env: Env, id: string): void {
  try {
    rmSync(join(folder(env), `${id}.json`), { force: true });
  } catch {
    // It could not be kept either, then.
  }
}

/** Oldest first. Entries that cannot be understood are passed over. */
export function keptCommands(env: Env): KeptCommand[] {
  let names: string[];
  try {
    mkdirSync(folder(env), { recursive: true, mode: 0o700 });
    names = readdirSync(folder(env)).filter((name) => name.endsWith('.json'));
  } catch {
    return [];
  }
  const entries = names.map((name) => readEntry(join(folder(env), name))).filter((entry) => entry !== null);
  return entries.sort((a, b) => a.time.localeCompare(b.time));
}

/** True when the process that began it is still at it. */
export function isRunning(command: KeptCommand): boolean {
  const { pid, startedTicks: ticks } = command.process;
  if (command.reason !== null || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  // Process ids are reused, above all after a reboot: the start time tells two of them apart, where the system has it.
  return startedTicks(pid) === ticks;
}

function folder(env: Env): string {
  return join(stateFolder(env), 'commands');
}

function readEntry(file: string): KeptCommand | null {
  try {
    const value = JSON.parse(readFileSync(file, 'utf8')) as KeptCommand;
    const texts = [value.id, value.cwd, value.url, value.time, ...value.argv];
    const whole = texts.every((text) => typeof text === 'string') && Number.isInteger(value.process.pid);
    return whole && value.argv.length > 0 ? value : null;
  } catch {
    return null;
  }
}

/** Field 22 of /proc/PID/stat (proc_pid_stat(5)); the name before it may hold spaces, hence the last parenthesis. */
function startedTicks(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
