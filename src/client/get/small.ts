/**
 * Small files, fetched many at a time as packs. Each is verified and written under its partial name with plain calls (they cost
 * less than a trip to another thread); all of a pack are synced together, and then renamed.
 */
import { type ErrorCode, HawserError, isErrorCode } from '../../core/errors.ts';
import { bytesEqual, toHex } from '../../core/hex.ts';
import { PackAssembler, type PackEntry } from '../../core/wire/pack.ts';
import { blake3 } from '../../engine/blake3.ts';
import { type FetchItem, fetchLarge } from './large.ts';
import { isAboutOneFile, type Session } from './session.ts';
import { place, type Staged, stage } from './staged.ts';

/** What concerns one file is counted against that file; all else is thrown. */
export async function fetchPack(session: Session, items: readonly FetchItem[]): Promise<void> {
  const tooLarge: FetchItem[] = [];
  const staging = createStaging(session);
  let next = 0;
  const handleEntry = (entry: PackEntry, content: Uint8Array) => {
    const item = items[next];
    if (!item || entry.path !== item.path) {
      throw new HawserError('protocol_error', `The pack holds "${entry.path}" where "${item?.path}" was asked for.`, {
        value: entry.path,
      });
    }
    if (entry.kind === 'file' && !bytesEqual(blake3(content), entry.digest)) {
      throw new HawserError('block_mismatch', `"${entry.path}" arrived damaged.`, { value: entry.path });
    }
    const refused = entry.kind === 'error' ? failureOf(item, entry.target ?? '') : null;
    // About the transfer, not the file: the same files are asked for again when it goes on.
    if (refused && STATE_CODES.has(refused.code)) throw refused;
    next++;
    session.headway.moved();
    settle(session, item, entry, content, staging, tooLarge);
  };
  try {
    while (next < items.length) {
      try {
        await session.call((signal) => readPack(session, items.slice(next), signal, handleEntry, staging));
      } catch (error) {
        // Damaged each time it came: its neighbours may do better.
        const item = items[next];
        if (!(error instanceof HawserError && error.code === 'block_mismatch' && item)) throw error;
        session.fileFailed(item.path, item.info.size, error);
        next++;
      }
    }
  } finally {
    // Also when the rest does not come: what has arrived is kept.
    await staging.place();
  }
  for (const item of tooLarge) await fetchGrown(session, item);
}

async function readPack(
  session: Session,
  items: readonly FetchItem[],
  signal: AbortSignal,
  onEntry: (entry: PackEntry, content: Uint8Array) => void,
  staging: Staging,
): Promise<void> {
  if (items.length === 0) return;
  const paths = items.map((item) => item.path);
  const assembler = new PackAssembler({ maxContentBytes: session.smallFileBytes });
  let entries = 0;
  session.meter.current(paths[0]!);
  for await (const piece of await session.api.readPack(paths, { transfer: session.transfer }, { signal })) {
    session.throwIfEnded();
    const wait = session.received(piece.length);
    try {
      assembler.push(piece, (entry, content) => {
        onEntry(entry, content);
        entries++;
      });
    } catch (error) {
      const malformed = error instanceof HawserError && (error.code === 'frame_invalid' || error.code.startsWith('path_'));
      throw malformed ? new HawserError('protocol_error', error.message) : error;
    }
    if (staging.isDue) await staging.place();
    if (wait) await wait;
  }
  if (entries < items.length) {
    throw new HawserError('body_incomplete', `The pack ended after ${entries} of ${items.length} files.`, { value: entries });
  }
}

function settle(
  session: Session,
  item: FetchItem,
  entry: PackEntry,
  content: Uint8Array,
  staging: Staging,
  tooLarge: FetchItem[],
): void {
  try {
    if (entry.kind === 'error') throw failureOf(item, entry.target ?? '');
    if (entry.kind !== 'file') {
      throw new HawserError('changed', `"${item.path}" is a ${entry.kind} now: run the same command again.`, {
        value: item.path,
      });
    }
    const attributes = { mode: entry.mode ?? item.info.mode, mtimeNs: entry.mtimeNs ?? item.info.mtimeNs };
    const digest = session.options.onEvent ? toHex(entry.digest) : null;
    staging.add(stage(item, content, digest, session.options.preserve === false ? null : attributes));
  } catch (error) {
    if (error instanceof HawserError && error.code === 'body_too_large') tooLarge.push(item);
    else if (isAboutOneFile(error) || isFromEntry(entry, error)) session.fileFailed(item.path, item.info.size, error);
    else throw error;
  }
}

/** It grew since it was listed. */
async function fetchGrown(session: Session, item: FetchItem): Promise<void> {
  try {
    const info = await session.call((signal) => session.api.stat(item.path, { follow: true, signal }));
    session.meter.expect(0, info.size - item.info.size);
    await fetchLarge(session, { ...item, info });
  } catch (error) {
    if (!isAboutOneFile(error)) throw error;
    session.fileFailed(item.path, item.info.size, error);
  }
}

interface Staging {
  add(file: Staged): void;
  /** On a slow link nobody shall wait for the end of the pack to see something arrive. */
  readonly isDue: boolean;
  /** Puts all that was added in its place, and counts it. Throws what is not about one file. */
  place(): Promise<void>;
}

function createStaging(session: Session): Staging {
  let files: Staged[] = [];
  let sinceMs = 0;
  return {
    add(file) {
      if (files.push(file) === 1) sinceMs = performance.now();
    },
    get isDue() {
      return files.length > 0 && performance.now() - sinceMs > PLACE_EVERY_MS;
    },
    async place() {
      const staged = files;
      files = [];
      let fatal: { error: unknown } | null = null;
      await place(staged, ({ item, bytes, digest }, error) => {
        if (error === null) {
          session.meter.expect(0, bytes - item.info.size);
          session.meter.safe(bytes);
          session.fileDone(item.path, bytes, digest);
        } else if (isAboutOneFile(error)) session.fileFailed(item.path, item.info.size, error);
        else fatal ??= { error };
      });
      if (fatal) throw (fatal as { error: unknown }).error;
    },
  };
}

/** "code: sentence", from the server. */
function failureOf(item: FetchItem, text: string): HawserError {
  const colon = text.indexOf(': ');
  const code = text.slice(0, colon);
  const known: ErrorCode = isErrorCode(code) ? code : 'internal';
  return new HawserError(known, colon < 0 ? `"${item.path}": ${text}` : text.slice(colon + 2), { value: item.path });
}

/** What the server says of one entry concerns that entry, whatever class it is of; a full local disk concerns all. */
function isFromEntry(entry: PackEntry, error: unknown): error is HawserError {
  return entry.kind === 'error' && error instanceof HawserError;
}

const STATE_CODES = new Set<string>(['transfer_paused', 'transfer_cancelled', 'transfer_ended', 'shutting_down']);
const PLACE_EVERY_MS = 1000;
