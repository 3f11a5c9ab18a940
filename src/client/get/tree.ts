/**
 * Fetches a source, a file or a whole folder, into its place: makes folders, sorts files by how they are best fetched, and
 * skips what is here already.
 */
import type { BigIntStats } from 'node:fs';
import { HawserError } from '../../core/errors.ts';
import type { FileInfo } from '../../engine/contract.ts';
import { createPool, type Pool } from '../slots.ts';
import { contentKey, type Kept, keptBy, lookAt, sameTime, setFolderAttributes } from './attributes.ts';
import type { Target } from './destination.ts';
import { createFolders, type Folders } from './folders.ts';
import { type FetchItem, fetchLarge } from './large.ts';
import { checkLinkTarget, placeLink } from './link.ts';
import { createLocalTree, type LocalTree } from './local-tree.ts';
import { syncFolder } from './put-in-place.ts';
import { checkRoom } from './room.ts';
import { isAboutOneFile, type Session } from './session.ts';
import { fetchPack } from './small.ts';
import { type Found, walk } from './walk.ts';

/** Fetches all targets. Failures of single files are counted by the session; what ends the whole fetch is thrown. */
export async function fetchTargets(session: Session, targets: readonly Target[]): Promise<void> {
  const packs = createPool(() => session.flow.packs);
  const large = createPool(() => MAX_LARGE_FILES);
  const isKept = keptBy(session.options.overwrite);
  try {
    for (const [trunk, files] of Map.groupBy(targets, (target) => target.trunk))
      checkRoom(
        trunk,
        files.map(({ source, names }) => ({ info: source.info, names })),
        isKept,
      );
    for (const target of targets) await fetchTarget(session, target, packs, large);
    session.meter.totalsKnown();
  } catch (error) {
    session.end(error);
  }
  await packs.drained();
  await large.drained();
  session.throwIfEnded();
  for (const trunk of new Set(targets.map((target) => target.trunk))) syncFolder(trunk);
}

async function fetchTarget(session: Session, target: Target, packs: Pool, large: Pool): Promise<void> {
  const { source, names } = target;
  const preserve = session.options.preserve !== false;
  const tree = createLocalTree(target.trunk, preserve ? 0o700 : 0o777);
  const folders = createFolders();
  const batch = createBatch(session, packs);
  const isKept = keptBy(session.options.overwrite);
  const context: Context = { session, tree, folders, batch, large, base: names, isKept };
  if (source.info.kind === 'file') {
    await take(context, { path: source.path, names: [], info: source.info, target: null });
  } else if (source.info.kind === 'folder') {
    if (names.length > 0) takeFolder(context, { path: source.path, names: [], info: source.info, target: null }, names);
    const handlePage = (page: readonly Found[]) =>
      checkRoom(
        target.trunk,
        page.map((found) => ({ info: found.info, names: [...names, ...found.names] })),
        isKept,
      );
    for await (const found of walk(session, source.path, handlePage)) {
      session.throwIfEnded();
      await take(context, found);
    }
  } else {
    throw new HawserError('not_found', `"${source.path}" is a link that leads nowhere.`, { value: source.path });
  }
  await batch.flush();
  folders.finish();
}

interface Context {
  readonly session: Session;
  readonly tree: LocalTree;
  readonly folders: Folders;
  readonly batch: Batch;
  readonly large: Pool;
  /** Local names of the source itself. */
  readonly base: readonly string[];
  readonly isKept: Kept;
}

/** One thing that was found. Resolves when there is room for the next. */
async function take(context: Context, found: Found): Promise<void> {
  const { session, tree, folders } = context;
  const names = [...context.base, ...found.names];
  const size = found.info.kind === 'file' ? found.info.size : 0;
  if (found.info.kind !== 'folder') session.meter.expect(1, size);
  const settled = found.info.kind === 'folder' ? null : folders.hold(found.path);
  try {
    if (found.info.kind === 'folder') takeFolder(context, found, names);
    else if (found.info.kind === 'link') takeLink(context, found, names);
    else if (await takeFile(context, { path: found.path, info: found.info, place: tree.fileAt(names) }, settled!)) return;
  } catch (error) {
    if (!isAboutOneFile(error)) throw error;
    session.fileFailed(found.path, size, error);
  }
  settled?.();
}

function takeFolder({ session, tree, folders }: Context, found: Found, names: readonly string[]): void {
  const path = tree.folderAt(names);
  folders.enter(found.path, () => {
    if (session.options.preserve === false || session.signal.aborted) return;
    try {
      setFolderAttributes(path, found.info);
    } catch (error) {
      session.fileFailed(found.path, 0, error as HawserError);
    }
  });
}

function takeLink({ session, tree, base, isKept }: Context, found: Found, names: readonly string[]): void {
  const target = found.target ?? '';
  checkLinkTarget(target, names.length - 1 - base.length, found.path);
  const place = tree.fileAt(names);
  const there = lookAt(place.path);
  if (there && isKept(there.mtimeNs, found.info)) {
    session.fileSkipped(found.path, 0, null);
    return;
  }
  if (placeLink(place, target, session.options.preserve === false ? null : found.info.mtimeNs))
    session.fileDone(found.path, 0, null);
  else session.fileSkipped(found.path, 0, null);
}

/** True when `settled` will be called later. */
async function takeFile({ session, batch, large, isKept }: Context, item: FetchItem, settled: () => void): Promise<boolean> {
  const there = lookAt(item.place.path);
  if (there?.isDirectory()) {
    throw new HawserError(
      'local_io',
      `A folder is where the file "${item.path}" belongs: move it away, or choose another destination.`,
      {
        value: item.path,
      },
    );
  }
  if (there && (isKept(there.mtimeNs, item.info) || (there.isFile() && (await isSame(session, there, item.info))))) {
    session.fileSkipped(item.path, item.info.size, item.info.digest);
    return false;
  }
  if (item.info.size <= Math.min(SMALL_BYTES, session.smallFileBytes)) {
    await batch.add(item, settled);
  } else {
    await large.add(async () => {
      try {
        await fetchLarge(session, item);
      } catch (error) {
        if (isAboutOneFile(error)) session.fileFailed(item.path, item.info.size, error);
        else session.end(error);
      } finally {
        settled();
      }
    });
  }
  return true;
}

/** By size and time, as rsync does, and by digest where both sides know it without reading the file. */
async function isSame(session: Session, there: BigIntStats, info: FileInfo): Promise<boolean> {
  if (there.size !== BigInt(info.size) || !sameTime(there.mtimeNs, info.mtimeNs)) return false;
  const known = info.digest === null ? undefined : await session.digests.get(contentKey(there));
  return known === undefined || known === info.digest;
}

interface Batch {
  /** `settled` is called when the file is here or counted as failed. */
  add(item: FetchItem, settled: () => void): Promise<void>;
  flush(): Promise<void>;
}

/** Small files wait here until there are enough of them for a request. */
function createBatch(session: Session, packs: Pool): Batch {
  let waiting: { item: FetchItem; settled: () => void }[] = [];
  let bytes = 0;
  const flush = async () => {
    if (waiting.length === 0) return;
    const sent = waiting;
    waiting = [];
    bytes = 0;
    await packs.add(async () => {
      try {
        const items = sent.map(({ item }) => item);
        await fetchPack(session, items);
      } catch (error) {
        session.end(error);
      } finally {
        for (const { settled } of sent) settled();
      }
    });
  };
  return {
    add: async (item, settled) => {
      waiting.push({ item, settled });
      bytes += item.info.size;
      if (bytes >= PACK_BYTES || waiting.length >= PACK_ENTRIES) await flush();
    },
    flush,
  };
}

const SMALL_BYTES = 256 << 10;
const PACK_BYTES = 4 << 20;
const PACK_ENTRIES = 1024;
/** Files in blocks that are open at once; they share the streams. */
const MAX_LARGE_FILES = 4;
