/**
 * Writes to one file, one call at a time. The kernel lets only one thread write to a file anyway, and those that wait for their
 * turn burn a processor; so whatever comes while a write is under way waits here, and neighbours then go in one call.
 */
import type { FileHandle } from 'node:fs/promises';

/** Resolves when all of `bytes` are written at `position`; they must stay as they are until then. Rejects as `fs` does. */
export type Write = (position: number, bytes: Uint8Array) => Promise<void>;

interface Waiting {
  readonly position: number;
  readonly bytes: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export function createWriter(handle: Pick<FileHandle, 'writev'>): Write {
  const waiting: Waiting[] = [];
  let busy = false;

  async function drain(): Promise<void> {
    busy = true;
    while (waiting.length > 0) {
      const run = waiting.splice(0, runLength(waiting));
      try {
        await writeAll(
          handle,
          run.map((one) => one.bytes),
          run[0]!.position,
        );
        for (const one of run) one.resolve();
      } catch (error) {
        for (const one of run) one.reject(error);
      }
    }
    busy = false;
  }

  return (position, bytes) =>
    new Promise((resolve, reject) => {
      waiting.push({ position, bytes, resolve, reject });
      if (!busy) void drain();
    });
}

/** How many of the first follow each other without a gap: at least one, then as many as one call should take. */
function runLength(waiting: readonly Waiting[]): number {
  let length = 1;
  let bytes = waiting[0]!.bytes.length;
  let end = waiting[0]!.position + bytes;
  for (; length < waiting.length && length < MAX_RUN_PIECES; length++) {
    const next = waiting[length]!;
    bytes += next.bytes.length;
    if (next.position !== end || bytes > MAX_RUN_BYTES) break;
    end += next.bytes.length;
  }
  return length;
}

async function writeAll(handle: Pick<FileHandle, 'writev'>, pieces: readonly Uint8Array[], position: number): Promise<void> {
  let rest = pieces;
  for (let at = position; rest.length > 0; ) {
    const { bytesWritten } = await handle.writev(rest, at);
    at += bytesWritten;
    rest = without(rest, bytesWritten);
  }
}

/** What is left of the pieces when so many bytes of them are written. */
function without(pieces: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let skip = bytes;
  let first = 0;
  while (first < pieces.length && skip >= pieces[first]!.length) skip -= pieces[first++]!.length;
  return skip === 0 ? pieces.slice(first) : [pieces[first]!.subarray(skip), ...pieces.slice(first + 1)];
}

/** A short call lets others have the disk, and the memory of what is written is free again early. */
const MAX_RUN_BYTES = 1 << 20;
/** Below what every system takes in one call (IOV_MAX, 1024 on Linux and 16 at least by POSIX). */
const MAX_RUN_PIECES = 16;
