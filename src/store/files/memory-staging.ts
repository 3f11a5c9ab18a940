/**
 * The staging half of the memory store. It knows which bytes have been synced, so that a crash can be played: every write
 * that was not synced is on its own kept, lost or torn.
 */
import { storeError } from './errno.ts';

export interface StagedBytes {
  readonly length: number;
  write(position: number, bytes: Uint8Array): void;
  read(position: number, into: Uint8Array): number;
  /** What has been written so far; `synced` makes exactly that durable. */
  mark(): number;
  synced(mark: number): void;
  truncate(length: number): void;
  /** A copy of the first `length` bytes. */
  copy(length: number): Uint8Array;
  /** Leaves what the disk could hold after a crash. False when not even the file itself is there. */
  crash(random: () => number): boolean;
}

export function createStagedBytes(id: string, size: number): StagedBytes {
  let now = growing(size);
  let durable = growing(size);
  let everSynced = false;
  let marks = 0;
  let unsynced: { mark: number; position: number; bytes: Uint8Array }[] = [];

  return {
    get length() {
      return now.length();
    },
    write(position, bytes) {
      if (!Number.isSafeInteger(position) || position < 0) throw storeError({ code: 'EINVAL' }, id, 'write');
      now.put(position, bytes);
      unsynced.push({ mark: ++marks, position, bytes: new Uint8Array(bytes) });
    },
    read: (position, into) => now.get(position, into),
    mark: () => marks,
    synced(mark) {
      everSynced = true;
      for (const write of unsynced) if (write.mark <= mark) durable.put(write.position, write.bytes);
      unsynced = unsynced.filter((write) => write.mark > mark);
    },
    truncate(length) {
      now.truncate(length);
      durable.truncate(length);
      unsynced = unsynced
        .filter((write) => write.position < length)
        .map((write) => ({ ...write, bytes: write.bytes.subarray(0, length - write.position) }));
    },
    copy(length) {
      const bytes = new Uint8Array(length);
      now.get(0, bytes);
      return bytes;
    },
    crash(random) {
      for (const { position, bytes } of unsynced) {
        const fate = random();
        if (fate < 1 / 3) continue;
        const kept = fate < 2 / 3 ? bytes.length : Math.floor(random() * bytes.length);
        durable.put(position, bytes.subarray(0, kept));
      }
      unsynced = [];
      now = durable;
      durable = growing(now.length());
      durable.put(0, now.all());
      return everSynced || random() < 0.5;
    },
  };
}

interface Growing {
  length(): number;
  put(position: number, bytes: Uint8Array): void;
  get(position: number, into: Uint8Array): number;
  truncate(length: number): void;
  all(): Uint8Array;
}

/** Bytes of a length that may change; what was never written is zero, as in a sparse file. */
function growing(size: number): Growing {
  let bytes = new Uint8Array(size);
  let used = size;
  const makeRoom = (length: number): void => {
    if (length > bytes.length) {
      const larger = new Uint8Array(Math.max(length, 2 * bytes.length));
      larger.set(bytes.subarray(0, used));
      bytes = larger;
    }
    used = Math.max(used, length);
  };
  return {
    length: () => used,
    put(position, piece) {
      if (piece.length === 0) return;
      makeRoom(position + piece.length);
      bytes.set(piece, position);
    },
    get(position, into) {
      const count = Math.max(0, Math.min(into.length, used - position));
      into.set(bytes.subarray(position, position + count));
      return count;
    },
    truncate(length) {
      makeRoom(length);
      bytes.fill(0, length, used);
      used = length;
    },
    all: () => bytes.subarray(0, used),
  };
}
