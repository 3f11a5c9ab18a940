/** Packs: many small files in one request, each verified and published on its own, with a group sync. */
import { HawserError } from '../core/errors.ts';
import { bytesEqual, fromHex, isHexOf } from '../core/hex.ts';
import { parsePath } from '../core/path.ts';
import { encodePackEntry, type PackEntry } from '../core/wire/pack.ts';
import { longestPackEntry, PackReader } from '../core/wire/pack-reader.ts';
import type { EntryKind, FileStore, SmallEntry } from '../store/files/contract.ts';
import type { FileRecord, MetaStore } from '../store/meta/contract.ts';
import { blake3, blake3Hex } from './blake3.ts';
import type { ByteSource, Overwrite, PackResult, Principal } from './contract.ts';
import { recordOf } from './file-info.ts';
import type { InFlight } from './in-flight.ts';
import { createLimiter } from './limiter.ts';
import { permit } from './permission.ts';
import { pour } from './pour.ts';
import { createSlabs, type Slabs } from './slabs.ts';
import type { Live, Transfers } from './transfers.ts';

/** Content of one file in a pack, at most. Larger ones travel as uploads. */
export const SMALL_FILE_BYTES = 1 << 20;
export const PACK_ENTRIES = 4096;

interface Member {
  readonly index: number;
  readonly entry: SmallEntry;
  /** Hex, of a file. */
  readonly digest: string;
}

export interface PackContext {
  readonly files: FileStore;
  readonly meta: MetaStore;
  readonly transfers: () => Transfers;
  readonly inFlight: InFlight;
}

export function createPacks(context: PackContext) {
  const { files, meta, inFlight } = context;
  const reading = createLimiter(READS_AT_ONCE, 256);
  const slabs = createSlabs(SLAB_BYTES, SLABS_KEPT);

  async function receive(
    who: Principal,
    options: { transfer?: string; overwrite?: Overwrite },
    body: ByteSource,
  ): Promise<PackResult> {
    permit(who, 'write');
    inFlight.checkOpen();
    const gate = await context.transfers().admit(who, options.transfer);
    const result = { stored: 0, bytes: 0, failed: [] as PackResult['failed'][number][] };
    let batch = openBatch(slabs);
    const reader = new PackReader({ maxContentBytes: SMALL_FILE_BYTES, take: () => batch.memory() });
    let index = 0;
    // One batch is being stored while the next one arrives: the disk and the socket work at the same time.
    let storing: Promise<void> = Promise.resolve();
    let isWhole = false;

    /** Resolves when the batch before this one is stored. */
    const store = async (full: Batch, whenStored: () => void): Promise<void> => {
      const before = storing;
      storing = before.then(() => storeBatch(full.members, gate, options.overwrite ?? 'always', result)).then(whenStored);
      storing.catch(() => undefined);
      await before;
    };
    const storeFull = (): Promise<void> => {
      const full = batch;
      batch = openBatch(slabs);
      reader.leave();
      return store(full, full.release);
    };
    const take = (entry: PackEntry, content: Uint8Array) => {
      const at = index++;
      const digest = entry.kind === 'file' ? blake3Hex(content) : '';
      const refused = refuse(entry, digest);
      if (refused) result.failed.push({ index: at, path: entry.path, code: refused.code, detail: refused.message });
      else batch.add(at, entry, content, digest);
    };

    try {
      await pour(body, {
        room: () => reader.room(),
        take(bytes) {
          inFlight.checkOpen();
          context.transfers().check(gate);
          reader.push(bytes, take);
          const wait = context.transfers().pace(gate, bytes);
          if (!batch.full) return wait;
          const stored = storeFull();
          return wait ? Promise.all([stored, wait]).then(() => undefined) : stored;
        },
      });
      isWhole = true;
      if (reader.pendingBytes > 0) {
        throw new HawserError(
          'body_incomplete',
          `The pack ends inside its entry ${index}: send that entry and those after it again.`,
          { value: index },
        );
      }
    } finally {
      try {
        // A body that broke may have lent the last memory to a socket, which still writes to it.
        await store(batch, isWhole ? batch.release : () => undefined);
        await storing;
      } finally {
        context.transfers().release(gate);
      }
    }
    result.failed.sort((a, b) => a.index - b.index);
    return result;
  }

  async function storeBatch(
    members: readonly Member[],
    gate: Live | null,
    overwrite: Overwrite,
    result: { stored: number; bytes: number; failed: PackResult['failed'][number][] },
  ): Promise<void> {
    if (members.length === 0) return;
    const outcomes = await files.putMany(
      members.map(({ entry }) => entry),
      overwrite,
    );
    const records: FileRecord[] = [];
    let bytes = 0;
    let stored = 0;
    for (const [i, member] of members.entries()) {
      const outcome = outcomes[i];
      if (outcome === undefined || outcome instanceof Error) {
        const code = outcome instanceof HawserError ? outcome.code : 'io_error';
        result.failed.push({
          index: member.index,
          path: member.entry.path,
          code,
          detail: outcome?.message ?? 'The store gave no answer.',
        });
        continue;
      }
      stored++;
      if (outcome.kind !== 'file') continue;
      bytes += outcome.size;
      records.push(recordOf(outcome, member.digest, member.entry.mtimeNs));
    }
    if (records.length > 0) await meta.recordFiles(records);
    await context.transfers().count(gate?.record.id ?? null, { addFiles: records.length, addBytes: bytes });
    result.stored += stored;
    result.bytes += bytes;
  }

  async function missing(
    who: Principal,
    entries: readonly { path: string; size: number; mtimeNs: bigint; digest?: string }[],
  ): Promise<number[]> {
    permit(who, 'read');
    const paths = entries.map(({ path }) => parsePath(path));
    const records = await meta.getFiles(paths);
    const absent: number[] = [];
    for (let from = 0; from < entries.length; from += STAT_TOGETHER) {
      const group = paths.slice(from, from + STAT_TOGETHER);
      const present = await Promise.all(
        group.map(async (path, i) => {
          const record = records.get(path);
          const wanted = entries[from + i]!;
          if (!record || record.size !== wanted.size || record.mtimeNs !== wanted.mtimeNs) return false;
          if (wanted.digest !== undefined && wanted.digest !== record.digest) return false;
          const entry = await files.stat(path).catch(() => null);
          return entry?.version === record.version;
        }),
      );
      for (const [i, there] of present.entries()) if (!there) absent.push(from + i);
    }
    return absent;
  }

  async function* read(
    who: Principal,
    options: { transfer?: string },
    raw: readonly string[],
  ): AsyncGenerator<Uint8Array, void, undefined> {
    permit(who, 'read');
    const paths = raw.map(parsePath);
    const gate = await context.transfers().admit(who, options.transfer);
    try {
      const leave = await reading.enter();
      try {
        let together = READ_TOGETHER;
        for (let from = 0; from < paths.length; ) {
          inFlight.checkOpen();
          context.transfers().check(gate);
          const group = paths.slice(from, from + together);
          from += group.length;
          const [found, records] = await Promise.all([files.getMany(group, SMALL_FILE_BYTES), meta.getFiles(group)]);
          const parts: Uint8Array[] = [];
          for (const [i, path] of group.entries()) parts.push(...encodeFound(path, found[i], records.get(path)));
          const bytes = parts.reduce((sum, part) => sum + part.length, 0);
          // As many at once as make a piece of a fair size: what a slow reader makes us hold is bounded by it.
          together = Math.max(1, Math.min(READ_TOGETHER, Math.floor((group.length * PIECE_BYTES) / Math.max(1, bytes))));
          await context.transfers().pace(gate, bytes);
          yield Buffer.concat(parts);
        }
      } finally {
        leave();
      }
    } finally {
      context.transfers().release(gate);
    }
  }

  return {
    receive: (...call: Parameters<typeof receive>) => inFlight.track(receive(...call)),
    missing,
    read,
  };
}

/** Why an entry cannot be stored, or null. `digest` is that of its content, in hex. */
function refuse(entry: PackEntry, digest: string): HawserError | null {
  if (entry.kind === 'error')
    return new HawserError('frame_invalid', 'An entry of kind 3 only comes from a server.', { value: entry.path });
  if (entry.path === '/' && entry.kind !== 'folder')
    return new HawserError('is_folder', 'The path "/" is the root folder.', { value: '/' });
  if (entry.kind !== 'file' || isHexOf(digest, entry.digest)) return null;
  return new HawserError('block_mismatch', `"${entry.path}" differs from its digest: it was damaged on the way. Send it again.`, {
    value: entry.path,
  });
}

function encodeFound(
  path: string,
  found: Awaited<ReturnType<FileStore['getMany']>>[number] | undefined,
  record: FileRecord | undefined,
): Uint8Array[] {
  if (found === undefined || found instanceof Error) return [encodeError(path, found)];
  const digest = blake3(found.bytes);
  const known = record?.version === found.entry.version ? record : undefined;
  if (known && !bytesEqual(digest, fromHex(known.digest) ?? new Uint8Array())) {
    const detail = `The bytes of "${path}" on the server are no longer those that were stored: its disk damaged them.`;
    return [encodeError(path, new HawserError('digest_mismatch', detail))];
  }
  const head = encodePackEntry({
    kind: 'file',
    path,
    mode: found.entry.mode,
    mtimeNs: known?.mtimeNs ?? found.entry.mtimeNs,
    digest,
    size: found.bytes.length,
  });
  return [head, found.bytes];
}

function encodeError(path: string, error: Error | undefined): Uint8Array {
  const code = error instanceof HawserError ? error.code : 'io_error';
  const target = `${code}: ${error?.message ?? 'The store gave no answer.'}`.slice(0, 1000).toWellFormed();
  return encodePackEntry({ kind: 'error', path, target, digest: new Uint8Array(32), size: 0 });
}

type Batch = ReturnType<typeof openBatch>;

/** Collects entries until there are enough of them to be worth a sync. Their contents lie in memory that the store shares. */
function openBatch(slabs: Slabs) {
  const members: Member[] = [];
  const held: Uint8Array[] = [];
  let contentBytes = 0;
  return {
    members,
    get full() {
      return members.length >= BATCH_ENTRIES || contentBytes >= BATCH_BYTES;
    },
    /** Memory that is held until the batch is stored. */
    memory(): Uint8Array {
      const slab = slabs.take();
      held.push(slab);
      return slab;
    },
    add(index: number, { path, kind, mode, mtimeNs, target }: PackEntry, bytes: Uint8Array, digest: string): void {
      const entry: { -readonly [K in keyof SmallEntry]: SmallEntry[K] } = { path, kind: kind as EntryKind, bytes };
      if (mode !== undefined) entry.mode = mode;
      if (mtimeNs !== undefined) entry.mtimeNs = mtimeNs;
      if (target !== undefined) entry.target = target;
      contentBytes += bytes.length;
      members.push({ index, entry, digest });
    },
    /** When the store has settled. After a failure nobody can say who still reads: then the memory is left to the collector. */
    release(): void {
      for (const one of held) slabs.give(one);
    },
  };
}

const BATCH_ENTRIES = 512;
const BATCH_BYTES = 4 << 20;
/** A batch whose last entry is the longest there can be fits into one, if its paths are not very long. */
const SLAB_BYTES = BATCH_BYTES + BATCH_ENTRIES * 256 + longestPackEntry(SMALL_FILE_BYTES);
/** Idle ones that stay allocated: three packs arrive while others are stored. */
const SLABS_KEPT = 4;
const READ_TOGETHER = 16;
const PIECE_BYTES = 512 * 1024;
/** Each holds a piece or two in memory. */
const READS_AT_ONCE = 32;
const STAT_TOGETHER = 64;
