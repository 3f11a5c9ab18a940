/**
 * Writes blocks at their offsets. Neighbours go to the disk in one call: a call costs a trip to another thread, which at full
 * speed is dearer than the writing. A block waits for its neighbours only for a moment. One call at a time: the kernel lets only
 * one thread write to a file, and the others would burn a processor while they wait.
 */
import { writev } from 'node:fs';

export interface WriteQueue {
  /** Bytes that are not written yet. */
  readonly pendingBytes: number;
  /** The memory stays in use until `onDone`. */
  add(offset: number, data: Uint8Array): void;
  /** Lets nothing wait any longer. */
  flush(): void;
}

export interface WriteQueueOptions {
  readonly fd: number;
  /** A block was written, or could not be. */
  readonly onDone: (offset: number, data: Uint8Array, error: Error | null) => void;
  /** After one or several `onDone`. */
  readonly onRoom: () => void;
}

interface Run {
  readonly offset: number;
  readonly blocks: Uint8Array[];
  bytes: number;
}

export function createWriteQueue({ fd, onDone, onRoom }: WriteQueueOptions): WriteQueue {
  /** By where they end. */
  const runs = new Map<number, Run>();
  let pendingBytes = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const ready: Run[] = [];
  let busy = false;

  const send = (run: Run) => {
    if (busy) {
      ready.push(run);
      return;
    }
    busy = true;
    writeAll(fd, run.blocks, run.offset, (error) => {
      let at = run.offset;
      for (const block of run.blocks) {
        const { length } = block;
        onDone(at, block, error);
        at += length;
      }
      pendingBytes -= run.bytes;
      busy = false;
      const next = ready.shift();
      if (next) send(next);
      onRoom();
    });
  };

  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    const waiting = [...runs.values()];
    runs.clear();
    for (const run of waiting) send(run);
  };

  return {
    get pendingBytes() {
      return pendingBytes;
    },
    flush,
    add: (offset, data) => {
      pendingBytes += data.length;
      const run = runs.get(offset) ?? { offset, blocks: [], bytes: 0 };
      runs.delete(offset);
      run.blocks.push(data);
      run.bytes += data.length;
      if (run.bytes >= RUN_BYTES) {
        send(run);
        return;
      }
      const end = run.offset + run.bytes;
      const other = runs.get(end);
      // The same bytes came twice, by a repair: they are written in the order in which they came.
      if (other) send(other);
      runs.set(end, run);
      timer ??= setTimeout(flush, WAIT_MS);
    },
  };
}

function writeAll(fd: number, blocks: readonly Uint8Array[], offset: number, done: (error: Error | null) => void): void {
  writev(fd, blocks, offset, (error, written) => {
    if (error) {
      done(error);
      return;
    }
    const rest: Uint8Array[] = [];
    let skip = written;
    for (const block of blocks) {
      if (skip < block.length) rest.push(skip === 0 ? block : block.subarray(skip));
      skip = Math.max(0, skip - block.length);
    }
    if (rest.length === 0) done(null);
    else writeAll(fd, rest, offset + written, done);
  });
}

const RUN_BYTES = 1 << 20;
const WAIT_MS = 5;
