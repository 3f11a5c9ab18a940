/** A large file that is being sent: opened once, read at any offset, and asked whether it is still what it was. */
import fs from 'node:fs';
import { BLOCK_HEADER_BYTES } from '../../core/wire/block-frames.ts';
import { changedFailure, type LocalPath, localFailure } from './local.ts';

export interface SourceState {
  readonly size: number;
  readonly mode: number;
  readonly mtimeNs: bigint;
  /** Names this content on this machine until it changes. */
  readonly key: string;
}

export interface SourceFile {
  readonly local: LocalPath;
  state(): SourceState;
  /** Fills all views, one after the other, from `position`. source_changed when the file ends before that. */
  read(position: number, views: readonly Buffer[]): Promise<void>;
  close(): void;
}

export function openSourceFile(local: LocalPath, follow: boolean): SourceFile {
  const fd = attempt(local, () => fs.openSync(local, sourceFlags(follow)));
  return {
    local,
    state: () =>
      attempt(local, () => {
        const { size, mode, mtimeNs, dev, ino } = fs.fstatSync(fd, { bigint: true });
        return { size: Number(size), mode: Number(mode) & 0o777, mtimeNs, key: `${dev}:${ino}:${size}:${mtimeNs}` };
      }),
    async read(position, views) {
      let rest = views;
      let at = position;
      while (rest.length > 0) {
        const got = await readv(fd, rest, at).catch((error: unknown) => {
          throw localFailure(error, local);
        });
        if (got === 0) throw changedFailure(local);
        at += got;
        rest = after(rest, got);
      }
    },
    close: () => fs.closeSync(fd),
  };
}

/** For open(2): a link is not followed unless asked for, and a FIFO that took the name does not make us wait. */
export function sourceFlags(follow: boolean): number {
  const { O_RDONLY, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = fs.constants;
  return O_RDONLY | O_NONBLOCK | (follow ? 0 : O_NOFOLLOW);
}

/** Buffers for `PIECE_BYTES` of content with room for the frame headers between. */
export const PIECE_BYTES = 1024 * 1024;
export const PIECE_BUFFER_BYTES = PIECE_BYTES + (PIECE_BYTES / (64 * 1024)) * BLOCK_HEADER_BYTES;

function readv(fd: number, views: readonly Buffer[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.readv(fd, views, position, (error, bytesRead) => (error ? reject(error) : resolve(bytesRead)));
  });
}

/** What is left of the views when `got` bytes are there. */
function after(views: readonly Buffer[], got: number): readonly Buffer[] {
  let skip = got;
  let first = 0;
  while (first < views.length && skip >= views[first]!.length) skip -= views[first++]!.length;
  if (first === views.length) return [];
  return skip === 0 ? views.slice(first) : [views[first]!.subarray(skip), ...views.slice(first + 1)];
}

function attempt<T>(local: LocalPath, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw localFailure(error, local);
  }
}
