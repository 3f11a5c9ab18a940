/**
 * Walks what is to be sent, one entry at a time: names in the order of their bytes, a folder before its content and once more
 * behind it. Memory holds the names of the folders on the way down, never the tree.
 */
import fs from 'node:fs';
import { HawserError } from '../../core/errors.ts';
import { pathFromBytes } from '../../core/path.ts';
import type { Exclude } from './exclude.ts';
import { joinLocal, type LocalPath, localFailure, nameFromLatin1, showLocal } from './local.ts';

/** A file, folder or link to be sent. */
export interface SourceEntry {
  /** 'folder-end': all below the folder has been handed out. */
  readonly kind: 'file' | 'link' | 'folder' | 'folder-end';
  readonly local: LocalPath;
  /** Below the source, in the remote form; "" is the source itself. */
  readonly relative: string;
  /** Bytes; 0 for all but files. */
  readonly size: number;
  readonly mode: number;
  readonly mtimeNs: bigint;
  /** Of a link. */
  readonly target?: string;
}

/** What cannot be sent, with the reason; `skipped` when that is no failure (sockets, devices). */
export interface WalkProblem {
  readonly kind: 'problem';
  readonly local: LocalPath;
  readonly relative: string;
  readonly error: HawserError;
  readonly skipped: boolean;
}

export interface WalkOptions {
  /** Send what links point to. */
  readonly follow: boolean;
  readonly exclude: Exclude | null;
}

interface Frame {
  readonly entry: SourceEntry;
  readonly names: readonly string[];
  /** Device and inode: how a link that leads back up is seen. */
  readonly identity: string;
  next: number;
}

/** `root` itself is followed when it is a link, as cp does with what it is given by name. */
export function* walk(root: LocalPath, options: WalkOptions): Generator<SourceEntry | WalkProblem, void, undefined> {
  const first = look(root, '', true);
  if (first.kind !== 'folder') {
    // Whoever names a pipe or a device wants what comes out of it.
    yield first.kind === 'problem' && first.skipped ? { ...first, error: notAFile(root), skipped: false } : first;
    return;
  }
  const stack: Frame[] = [];
  yield first;
  yield* enter(stack, first);
  while (stack.length > 0) {
    const frame = stack[stack.length - 1]!;
    const text = frame.names[frame.next++];
    if (text === undefined) {
      stack.pop();
      yield { ...frame.entry, kind: 'folder-end' };
      continue;
    }
    const name = nameFromLatin1(text);
    const relative = frame.entry.relative === '' ? name.remote : `${frame.entry.relative}/${name.remote}`;
    const entry = look(joinLocal(frame.entry.local, name.local), relative, options.follow);
    if (options.exclude?.(relative, name.remote, entry.kind === 'folder')) continue;
    yield entry;
    if (entry.kind === 'folder') yield* enter(stack, entry);
  }
}

/** Puts the folder's names on the stack, or says why it cannot. */
function* enter(stack: Frame[], entry: SourceEntry): Generator<WalkProblem, void, undefined> {
  try {
    const { dev, ino } = fs.statSync(entry.local, { bigint: true });
    const identity = `${dev}:${ino}`;
    if (stack.some((frame) => frame.identity === identity)) {
      const shown = showLocal(entry.local);
      const error = new HawserError('local_io', `"${shown}" leads back to a folder above it: its content is left out.`, {
        value: shown,
      });
      yield { kind: 'problem', local: entry.local, relative: entry.relative, error, skipped: false };
      return;
    }
    // The default order of strings is that of their code units, which here are the bytes.
    const names = fs.readdirSync(entry.local, { encoding: 'latin1' }).sort();
    stack.push({ entry, names, identity, next: 0 });
  } catch (error) {
    yield {
      kind: 'problem',
      local: entry.local,
      relative: entry.relative,
      error: localFailure(error, entry.local),
      skipped: false,
    };
  }
}

export function notAFile(local: LocalPath): HawserError {
  const shown = showLocal(local);
  return new HawserError(
    'local_io',
    `"${shown}" is no file and no folder: to send what comes out of it, send standard input (-).`,
    {
      value: shown,
    },
  );
}

function look(local: LocalPath, relative: string, follow: boolean): SourceEntry | WalkProblem {
  try {
    const stat = follow ? fs.statSync(local, { bigint: true }) : fs.lstatSync(local, { bigint: true });
    const mode = Number(stat.mode) & 0o777;
    const { mtimeNs } = stat;
    if (stat.isFile()) return { kind: 'file', local, relative, size: Number(stat.size), mode, mtimeNs };
    if (stat.isDirectory()) return { kind: 'folder', local, relative, size: 0, mode, mtimeNs };
    if (stat.isSymbolicLink()) {
      const target = pathFromBytes(fs.readlinkSync(local, { encoding: 'buffer' }));
      return { kind: 'link', local, relative, size: 0, mode, mtimeNs, target };
    }
    const shown = showLocal(local);
    const error = new HawserError('local_io', `"${shown}" is no file, folder or link: it is left out.`, { value: shown });
    return { kind: 'problem', local, relative, error, skipped: true };
  } catch (error) {
    return { kind: 'problem', local, relative, error: localFailure(error, local), skipped: false };
  }
}
