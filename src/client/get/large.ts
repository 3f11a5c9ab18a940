/**
 * One file that is fetched in blocks: into a partial file beside its name, resumed from what is there, and put in its place only
 * when its digest is the server's.
 */
import { HawserError } from '../../core/errors.ts';
import { RangeSet } from '../../core/ranges.ts';
import { blockBytesFor } from '../../core/transfer/block-size.ts';
import { nextChunk } from '../../core/transfer/chunks.ts';
import type { FileInfo } from '../../engine/contract.ts';
import { contentKey, lookAt } from './attributes.ts';
import { type BlockPlan, fetchBlocks, type RemoteFile } from './fetch-blocks.ts';
import { removeIfThere } from './link.ts';
import { type LocalPath, type PartialNames, partialNames } from './local-path.ts';
import { takeLock } from './lock.ts';
import { cutTo, openPartial, PartialFile } from './partial-file.ts';
import { putInPlace, syncFolder } from './put-in-place.ts';
import { askDigest, compareBlocks } from './server-digest.ts';
import type { Session } from './session.ts';
import { type PartialState, readSidecar, removeSidecar } from './sidecar.ts';

export interface FetchItem {
  /** Remote path to ask for. */
  readonly path: string;
  readonly info: FileInfo;
  readonly place: { readonly folder: LocalPath; readonly name: string; readonly path: LocalPath };
}

/** Fetches the file and counts it. Throws what concerns it alone as well as what ends the whole fetch. */
export async function fetchLarge(session: Session, item: FetchItem): Promise<void> {
  const names = partialNames(item.place.folder, item.place.name);
  const unlock = takeLock(names.lock, item.place.path);
  try {
    let { info } = item;
    for (let changes = 0; ; changes++) {
      try {
        const digest = await fetchVersion(session, item, info, names, changes > 0);
        session.fileDone(item.path, info.size, digest);
        return;
      } catch (error) {
        if (!(error instanceof HawserError && error.code === 'changed') || changes >= MAX_CHANGES) throw error;
        const now = await session.call((signal) => session.api.stat(item.path, { follow: true, signal }));
        if (now.kind !== 'file') throw error;
        session.notice(
          'source_changed',
          `"${item.path}" changed on the server while it was fetched: its changed blocks are fetched again.`,
        );
        session.meter.expect(0, now.size - info.size);
        info = now;
      }
    }
  } finally {
    unlock();
  }
}

/** One attempt at one version of the file; returns its digest. */
async function fetchVersion(
  session: Session,
  item: FetchItem,
  info: FileInfo,
  names: PartialNames,
  toldOfChange: boolean,
): Promise<string> {
  const preserve = session.options.preserve !== false;
  const expected = askDigest(session, item.path, info);
  const opened = await openPartial(names.partial, preserve ? 0o600 : 0o666);
  if (opened.size > info.size) cutTo(opened.fd, names.partial, info.size);
  const localBytes = Math.min(opened.size, info.size);
  const sidecar = readSidecar(names);
  const resumed = sidecar?.version === info.version && sidecar.size === info.size ? sidecar : null;
  const remote: RemoteFile = {
    path: item.path,
    version: info.version,
    size: info.size,
    blockBytes: resumed?.blockBytes ?? Math.min(blockBytesFor(info.size), MAX_BLOCK_BYTES),
  };
  const file = new PartialFile({ fd: opened.fd, names, remote, etag: info.etag, meter: session.meter });
  session.meter.current(item.path);
  let placed = false;
  try {
    if (sidecar && !resumed && !toldOfChange) {
      session.notice(
        'source_changed',
        `"${item.path}" changed on the server since a part of it was fetched: what is still equal is kept.`,
      );
    }
    await findWhatIsHere(session, file, remote, localBytes, resumed);
    file.start();
    await fetchMissing(session, file, remote);
    const digest = await verifyWhole(session, file, remote, await expected.get());
    await file.seal(preserve ? { mode: info.mode, mtimeNs: info.mtimeNs } : null);
    putInPlace(names.partial, item.place.path);
    syncFolder(item.place.folder);
    const stats = lookAt(item.place.path);
    if (stats) session.digests.put(contentKey(stats), digest, stats.mtimeNs);
    placed = true;
    return digest;
  } catch (error) {
    const wrong = error instanceof HawserError && error.code === 'digest_mismatch';
    await file.close({ keep: !wrong });
    if (wrong) {
      removeIfThere(names.partial);
      removeSidecar(names);
    }
    // What is fetched once more is counted once more.
    if (wrong || (error instanceof HawserError && error.code === 'changed')) session.meter.found(-file.safeBytes);
    throw error;
  } finally {
    await file.close({ keep: false });
    if (placed) removeSidecar(names);
  }
}

/** By the sidecar when it is about this version; else by comparing what is here with the server's blocks. */
async function findWhatIsHere(
  session: Session,
  file: PartialFile,
  remote: RemoteFile,
  localBytes: number,
  resumed: PartialState | null,
): Promise<void> {
  if (resumed) {
    for (const [start, end] of resumed.safe) if (end <= localBytes) file.handleFound(start, end);
    return;
  }
  if (localBytes === 0) return;
  await compareBlocks(session, remote, localBytes, file.read, (start, end, equal) => {
    if (equal) file.handleFound(start, end);
  });
}

async function fetchMissing(session: Session, file: PartialFile, remote: RemoteFile): Promise<void> {
  const taken = file.written.clone();
  const none = new RangeSet();
  const plan: BlockPlan = {
    pool: file.pool,
    next: () => {
      const { size, blockBytes } = remote;
      const chunkBytes = session.flow.chunkBytes;
      const run = nextChunk({ safe: taken, inFlight: none, start: 0, size, blockBytes, chunkBytes });
      if (run) taken.add(...run);
      return run ?? 'none';
    },
    handleBlock: (offset, data) => file.handleBlock(offset, data),
  };
  await fetchBlocks(session, remote, plan);
}

/** Compares the whole; what differs, which should be nothing, is fetched once more. */
async function verifyWhole(session: Session, file: PartialFile, remote: RemoteFile, expected: string): Promise<string> {
  if ((await file.digest()) === expected) return expected;
  session.notice(
    'digest_mismatch',
    `"${remote.path}" differs from its digest: its blocks are compared, and what differs is fetched again.`,
  );
  await compareBlocks(session, remote, remote.size, file.read, (start, end, equal) => {
    if (!equal) file.handleWrong(start, end);
  });
  await fetchMissing(session, file, remote);
  if ((await file.digest()) === expected) return expected;
  throw new HawserError(
    'digest_mismatch',
    `"${remote.path}" arrived block by block as the server sent it, but not with the digest ${expected}: run "hawser verify" on it.`,
    { value: remote.path },
  );
}

/** A file that changes each time it is fetched will not hold still the next time either. */
const MAX_CHANGES = 10;
/** A link that drops every minute must bring a whole block in between, on each of its streams. */
const MAX_BLOCK_BYTES = 256 << 10;
