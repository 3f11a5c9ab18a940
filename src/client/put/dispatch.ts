/** Sends each thing that the walk finds on its way: into a pack, or as an upload. */
import type { createPool } from '../slots.ts';
import type { Batches, Found } from './batches.ts';
import type { Job } from './job.ts';
import type { Packs } from './packs.ts';
import type { Source } from './sources.ts';
import { type UploadContext, uploadFile } from './upload.ts';
import { type SourceEntry, type WalkOptions, walk } from './walk.ts';

type Pool = ReturnType<typeof createPool>;

export interface DispatchContext extends UploadContext {
  readonly packs: Packs;
  readonly uploads: Pool;
  readonly ends: FolderEnds;
}

/** All that is to be sent, with where it arrives. */
export function* foundBelow(
  sources: readonly Source[],
  targets: readonly string[],
  options: WalkOptions,
): Generator<Found, void, undefined> {
  for (const [index, source] of sources.entries()) {
    const target = targets[index]!;
    const prefix = target === '/' ? '' : target;
    for (const item of walk(source.local, options)) {
      yield { item, path: item.relative === '' ? target : `${prefix}/${item.relative}` };
    }
  }
}

/** Resolves when all has been handed on, and rejects when the put has been stopped. */
export async function dispatch(context: DispatchContext, batches: Batches): Promise<void> {
  const { job, packs } = context;
  for (;;) {
    const batch = await batches.next();
    job.throwIfStopped();
    if (!batch) break;
    const present = await batch.present;
    for (const [index, found] of batch.items.entries()) {
      const wait = present?.has(index) ? skip(job, found) : (handle(context, found) ?? packs.left());
      if (!wait) continue;
      await wait;
      job.throwIfStopped();
    }
  }
  packs.flush();
}

function skip({ meter, outcomes }: Job, { item, path }: Found): undefined {
  const size = item.kind === 'file' ? item.size : 0;
  meter.found(size);
  outcomes.present(path, size);
}

/** Undefined when there is nothing to wait for: ten thousand promises would be a good part of the work. */
function handle(context: DispatchContext, { item, path }: Found): Promise<void> | undefined {
  const { job, packs, ends } = context;
  if (item.kind === 'problem') {
    if (item.skipped) job.notice('special_skipped', item.error.message);
    else job.outcomes.failed(path, 0, item.error);
    return undefined;
  }
  // The root is always there, and its attributes are not the sender's to set.
  if (path === '/') return undefined;
  if (item.kind === 'folder-end') return ends.add(item, path);
  // Until its content is there the owner must be able to write into the folder.
  const entry: SourceEntry = item.kind === 'folder' ? { ...item, mode: item.mode | 0o700 } : item;
  const added = packs.add(entry, path);
  if (added === 'added') return undefined;
  return added === 'too-large' ? upload(context, entry, path) : addWhenRoom(context, entry, path);
}

async function addWhenRoom(context: DispatchContext, entry: SourceEntry, path: string): Promise<void> {
  const { packs, job } = context;
  for (;;) {
    await packs.room();
    job.throwIfStopped();
    const added = packs.add(entry, path);
    if (added === 'too-large') return await upload(context, entry, path);
    if (added === 'added') return;
  }
}

/** Resolves when the upload has begun. */
async function upload(context: DispatchContext, entry: SourceEntry, path: string): Promise<void> {
  const { uploads, packs } = context;
  // What waits in the pack shall not wait for large files.
  packs.flush();
  await uploads.add(() => uploadFile(context, { local: entry.local, path, size: entry.size }));
}

export interface FolderEnds {
  /** The folder is complete as far as the walk goes. */
  add(entry: SourceEntry, path: string): Promise<void> | undefined;
  /** Sends the folders once more, when all that went before has arrived. */
  finish(): Promise<void>;
}

/** Folders whose mode and mtime are to be set again once their content is there: deepest first, as the walk leaves them. */
export function folderEnds(job: Job, packs: Packs, uploads: Pool): FolderEnds {
  let folders: { entry: SourceEntry; path: string }[] = [];

  async function finish(): Promise<void> {
    if (folders.length === 0) return;
    packs.flush();
    await Promise.all([uploads.drained(), packs.drained()]);
    job.throwIfStopped();
    const closing = folders;
    folders = [];
    for (const { entry, path } of closing) {
      while (packs.add(entry, path) === 'full') await packs.room();
    }
    packs.flush();
    await packs.drained();
  }

  return {
    add(entry, path) {
      if (!job.preserve) return undefined;
      folders.push({ entry, path });
      return folders.length >= MOST_FOLDERS ? finish() : undefined;
    },
    finish,
  };
}

/** So many are remembered; then the put waits once for all that is on its way, and forgets them. */
const MOST_FOLDERS = 20_000;
