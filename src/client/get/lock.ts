/**
 * One writer to a partial file at a time. The lock is a file that names the process which holds it; one that a killed process
 * left is recognised and taken over.
 */
import { closeSync, openSync, readFileSync, statSync, utimesSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { HawserError } from '../../core/errors.ts';
import { removeIfThere } from './link.ts';
import { isErrno, localError } from './local-error.ts';
import { type LocalPath, showLocal } from './local-path.ts';

/** Takes the lock and returns how to give it back. `local_io` when another process has it. */
export function takeLock(lock: LocalPath, target: LocalPath): () => void {
  const own = JSON.stringify({ pid: process.pid, host: hostname(), started: processStart(process.pid) });
  for (let attempt = 0; attempt < 3; attempt++) {
    if (create(lock, own, target)) return keepFresh(lock);
    if (!isStale(lock)) break;
    removeIfThere(lock);
  }
  throw new HawserError(
    'local_io',
    `"${showLocal(target)}" is being fetched by another process: wait for it, or remove "${showLocal(lock)}" if there is none.`,
    { value: showLocal(target) },
  );
}

function create(lock: LocalPath, own: string, target: LocalPath): boolean {
  try {
    const fd = openSync(lock, 'wx', 0o600);
    try {
      writeSync(fd, own);
    } finally {
      closeSync(fd);
    }
    return readFileSync(lock, 'utf8') === own;
  } catch (error) {
    if (isErrno(error, 'EEXIST', 'ENOENT') && statSync(lock, { throwIfNoEntry: false })) return false;
    throw localError(error, target, 'be written');
  }
}

/** For holders on other machines, whose processes cannot be seen: they show that they live by the lock's time. */
function keepFresh(lock: LocalPath): () => void {
  const timer = setInterval(() => {
    try {
      utimesSync(lock, Date.now() / 1000, Date.now() / 1000);
    } catch {
      // The next command finds out; the fetch itself does not depend on it.
    }
  }, REFRESH_MS);
  timer.unref();
  return () => {
    clearInterval(timer);
    removeIfThere(lock);
  };
}

function isStale(lock: LocalPath): boolean {
  let text: string;
  let ageMs: number;
  try {
    text = readFileSync(lock, 'utf8');
    ageMs = Date.now() - statSync(lock).mtimeMs;
  } catch {
    return true;
  }
  let holder: { pid?: unknown; host?: unknown; started?: unknown };
  try {
    holder = JSON.parse(text) ?? {};
  } catch {
    // Just being written, or left so by a crash.
    return ageMs > WRITING_MS;
  }
  if (holder.host !== hostname()) return ageMs > FOREIGN_MS;
  if (!Number.isSafeInteger(holder.pid) || (holder.pid as number) <= 0) return true;
  if (!isRunning(holder.pid as number)) return true;
  // The number may have gone to another process since.
  return holder.started !== processStart(holder.pid as number);
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return !isErrno(error, 'ESRCH');
  }
}

/** When the process began, in the kernel's words; null where the system does not tell. */
function processStart(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // Field 22 (proc(5)), counted after the command, which may hold spaces and parentheses.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}:${ticks}`;
  } catch {
    return null;
  }
}

const REFRESH_MS = 60_000;
const WRITING_MS = 10_000;
const FOREIGN_MS = 600_000;
