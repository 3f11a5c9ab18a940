/** An upload begins: anew, where an earlier one stopped, or with nothing left to send. */
import { HawserError } from '../core/errors.ts';
import { parsePath } from '../core/path.ts';
import { blockBytesFor } from '../core/transfer/block-size.ts';
import type { Entry } from '../store/files/contract.ts';
import type { UploadRecord } from '../store/meta/contract.ts';
import { BlockMap } from './block-map.ts';
import { randomId, within } from './clock.ts';
import type { FileInfo, Principal, UploadRequest, UploadStatus } from './contract.ts';
import { fileInfo } from './file-info.ts';
import type { OpenUploads, UploadContext } from './open-uploads.ts';
import { permit } from './permission.ts';
import type { Begun } from './upload-begun.ts';
import { createRepeats } from './upload-repeats.ts';
import { takenOver, UploadSession } from './upload-session.ts';
import { statusInPlace, unknownUpload, uploadStatus } from './upload-status.ts';

export function createUploadCreation(context: UploadContext, open: OpenUploads, begun: Begun) {
  const { files, meta, clock, random, inFlight } = context;
  /** Creations of the same path go one after the other, or two clients would make two uploads of one file. */
  const creating = new Map<string, Promise<unknown>>();
  /** Ids that clients chose, of uploads that are just being made. */
  const chosen = new Set<string>();
  const repeats = createRepeats();

  async function create(who: Principal, request: UploadRequest): Promise<UploadStatus> {
    permit(who, 'write');
    inFlight.checkOpen();
    const path = parsePath(request.path);
    if (path === '/') throw new HawserError('is_folder', 'The path "/" is the root folder: name a file in it.', { value: path });
    if (request.begin && request.transfer !== undefined)
      throw new HawserError('request_invalid', 'An upload belongs to one transfer: give "transfer" or "begin", not both.', {
        value: request.transfer,
      });
    const gate = await context.transfers().admit(who, request.transfer);
    const key = `${who.id}\n${path}`;
    const earlier = creating.get(key);
    const turn = Promise.withResolvers<void>();
    creating.set(key, turn.promise);
    try {
      await earlier?.catch(() => undefined);
      const before = await repeated(who, path, request.id);
      if (before) return before;
      const status = await createFor(who, path, request);
      if (request.id !== undefined) repeats.note(who.id, request.id, status);
      return status;
    } finally {
      turn.resolve();
      if (creating.get(key) === turn.promise) creating.delete(key);
      context.transfers().release(gate);
    }
  }

  /** What was answered to this very request when it came before; null: it did not. */
  async function repeated(who: Principal, path: string, id: string | undefined): Promise<UploadStatus | null> {
    if (id === undefined) return null;
    const answer = repeats.find(who.id, id);
    if (answer?.state === 'done') return answer;
    const record = await meta.getUpload(answer?.id ?? id);
    // After a restart only what was made under that very id is known.
    const isIts = record !== null && record.owner === who.id && record.path === path;
    if (!isIts) {
      if (answer) throw unknownUpload(answer.id);
      return null;
    }
    if (record.epoch !== (answer?.epoch ?? FIRST_EPOCH)) throw takenOver(record);
    const blocks = (await open.peek(record.id)) ?? BlockMap.from(await meta.loadBlocks(record.id));
    return uploadStatus(record, blocks, { resumed: answer?.resumed ?? false });
  }

  /** With a transfer of its own, if one is to begin. */
  async function createFor(who: Principal, path: string, { begin, ...request }: UploadRequest): Promise<UploadStatus> {
    if (begin === undefined) return await createOne(who, path, request);
    const transfers = context.transfers();
    const { id } = await transfers.create(who, { kind: 'upload', ...begin, filesTotal: 1, bytesTotal: request.size });
    try {
      return await createOne(who, path, { ...request, transfer: id });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      await transfers.change(who, id, { state: 'failed', error: reason.slice(0, 1000) });
      throw error;
    }
  }

  async function createOne(who: Principal, path: string, request: UploadRequest): Promise<UploadStatus> {
    const there = await files.stat(path).catch((error) => {
      if (error instanceof HawserError && error.code === 'not_found') return null;
      throw error;
    });
    checkOverwrite(path, there, request);
    const inPlace = there && (await alreadyThere(there, request));
    if (inPlace) {
      await context.transfers().count(request.transfer ?? null, { addFiles: 1, addBytes: there.size });
      return statusInPlace(inPlace, request, clock.now());
    }
    const found = await meta.findUpload(path, who.id);
    if (found?.state === 'receiving') return await takeOver(who, found, request);

    const { id } = request;
    if (id === undefined || chosen.has(id) || (await meta.getUpload(id)))
      return await begin(who, path, request, randomId(random, 20));
    chosen.add(id);
    try {
      return await begin(who, path, request, id);
    } finally {
      chosen.delete(id);
    }
  }

  async function begin(who: Principal, path: string, request: UploadRequest, id: string): Promise<UploadStatus> {
    const now = clock.now();
    const record: UploadRecord = {
      id,
      transfer: request.transfer ?? null,
      owner: who.id,
      path,
      size: request.size,
      blockBytes: blockBytesFor(request.size),
      mode: request.mode ?? null,
      mtimeNs: request.mtimeNs ?? null,
      overwrite: request.overwrite ?? 'always',
      state: 'receiving',
      epoch: FIRST_EPOCH,
      digest: null,
      createdMs: now,
      updatedMs: now,
      expiresMs: now + context.expireMs,
    };
    const copy = request.digest === undefined ? null : await copyKnown(record, request.digest);
    const staging = copy ?? (await files.createStaging(record.id, record.size));
    try {
      await meta.addUpload(record);
    } catch (error) {
      await staging.close();
      await files.removeStaging(record.id);
      throw error;
    }
    const opened = new UploadSession(record, staging, new BlockMap(), {
      meta,
      clock,
      budget: open.budget,
      onSafe: open.onSafe(record.id),
    });
    if (copy) {
      opened.copied = true;
      opened.frontier.handleWritten(0, Math.ceil((record.size ?? 0) / record.blockBytes));
    }
    await open.add(opened);
    begun.handleBegun(id);
    return uploadStatus(record, opened, { resumed: false });
  }

  /**
   * The same bytes under the same name, with the attributes that were asked for. Without a digest, a file that arrived verified with
   * this very size and time (nanoseconds) is the same: a client that died before it heard the answer need not send it again.
   */
  async function alreadyThere(there: Entry, request: UploadRequest): Promise<FileInfo | null> {
    if (there.kind !== 'file' || there.size !== request.size) return null;
    const info = fileInfo(there, await meta.getFile(there.path));
    if (info.digest === null || (request.digest === undefined && request.mtimeNs === undefined)) return null;
    if (request.digest !== undefined && request.digest !== info.digest) return null;
    if (request.mtimeNs !== undefined && request.mtimeNs !== info.mtimeNs) return null;
    if (request.mode !== undefined && (request.mode & 0o777) !== there.mode) return null;
    return info;
  }

  /** A copy, made by the store, of a file that is recorded with this digest. Verified when the upload is completed. */
  async function copyKnown(record: UploadRecord, digest: string) {
    if (record.size === null || record.size > MAX_COPY_BYTES) return null;
    for (const known of await meta.findByDigest(digest, 4)) {
      if (known.size !== record.size) continue;
      try {
        const entry = await files.stat(known.path);
        if (entry.version === known.version) return await files.copyToStaging(known.path, record.id);
      } catch {
        // Gone or unreadable: the client sends the bytes instead.
        await files.removeStaging(record.id);
      }
    }
    return null;
  }

  async function takeOver(who: Principal, found: UploadRecord, request: UploadRequest): Promise<UploadStatus> {
    const current = await open.session(found);
    if (current.completing) {
      // What is being published keeps the attributes and the digest it began with; then this is a new upload.
      const published = current.completing.published.then(
        () => true,
        () => true,
      );
      if (await within(clock, context.patienceMs, published)) return await createOne(who, found.path, request);
      throw new HawserError('busy', `"${found.path}" is being verified and published right now: try again in a moment.`, {
        value: found.path,
        retryAfterMs: 2000,
      });
    }
    const epoch = await current.raiseEpoch();
    if (current.copied) {
      // What the copy brought is not recorded block by block: whoever sends now sends all of it.
      current.copied = false;
      current.frontier.reset();
    }
    await current.resize(request.size);
    const now = clock.now();
    const changed = await meta.updateUpload(found.id, {
      epoch,
      transfer: request.transfer ?? null,
      size: request.size,
      mode: request.mode ?? null,
      mtimeNs: request.mtimeNs ?? null,
      overwrite: request.overwrite ?? 'always',
      updatedMs: now,
      expiresMs: now + context.expireMs,
    });
    if (!changed) throw unknownUpload(found.id);
    if (found.transfer && request.transfer && found.transfer !== request.transfer) {
      await context.transfers().handOver(found.transfer, request.transfer);
    }
    current.record = changed;
    if (changed.transfer !== found.transfer) await context.transfers().count(changed.transfer, { addBytes: current.safeBytes() });
    return uploadStatus(changed, current, { resumed: true });
  }

  return create;
}

function checkOverwrite(path: string, there: Entry | null, request: UploadRequest): void {
  if (!there) return;
  if (there.kind === 'folder') throw new HawserError('is_folder', `"${path}" is a folder: name a file in it.`, { value: path });
  if (request.overwrite === 'never')
    throw new HawserError('exists', `"${path}" is there already, and nothing is to be overwritten.`, { value: path });
  if (request.overwrite === 'newer' && request.mtimeNs !== undefined && request.mtimeNs <= there.mtimeNs) {
    throw new HawserError(
      'not_newer',
      `"${path}" on the server is as new or newer, and only older files are to be overwritten.`,
      { value: path },
    );
  }
}

const FIRST_EPOCH = 1;
/** Copies take as long as a request: beyond this, sending with resume is the safer way where blocks cannot be shared. */
const MAX_COPY_BYTES = 4 * 2 ** 30;
