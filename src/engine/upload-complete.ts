/** An upload ends: the digest of the whole file is verified, then the name is taken in one step. */
import { HawserError } from '../core/errors.ts';
import { toHex } from '../core/hex.ts';
import type { UploadRecord } from '../store/meta/contract.ts';
import { within } from './clock.ts';
import type { FileInfo, Principal, Slow } from './contract.ts';
import { fileInfo, recordOf } from './file-info.ts';
import type { OpenUploads, UploadContext } from './open-uploads.ts';
import { permit } from './permission.ts';
import type { UploadSession } from './upload-session.ts';
import { loadUpload } from './upload-status.ts';

export function createCompletion(context: UploadContext, open: OpenUploads) {
  const { files, meta, clock, inFlight } = context;

  async function complete(
    who: Principal,
    id: string,
    request: { epoch: number; size: number; digest: string; whenThere?: boolean },
  ): Promise<Slow<FileInfo>> {
    permit(who, 'write');
    let record = await loadUpload(meta, who, id);
    if (record.state === 'publishing' && !(await open.peek(id))) {
      // The name was taken, or about to be, when something failed: finished now.
      await recoverPublish(record);
      record = await loadUpload(meta, who, id);
    }
    if (record.state === 'done') return { done: true, value: await completed(record, request.digest) };
    inFlight.checkOpen();
    const current = await open.session(record);
    current.checkEpoch(request.epoch);
    checkSize(current, request.size);
    if (request.whenThere) {
      await current.untilComplete(request.size, context.patienceMs);
      current.checkEpoch(request.epoch);
    }
    current.checkComplete(request.size);
    const gate = await context.transfers().admit(who, current.record.transfer ?? undefined);
    try {
      current.completing ??= {
        digest: request.digest,
        published: inFlight.track(publish(current, request)).finally(() => {
          current.completing = null;
        }),
      };
      const { digest, published } = current.completing;
      if (digest !== request.digest) {
        published.catch(() => undefined);
        throw new HawserError('busy', `The upload ${id} is being completed with another digest: ask again.`, {
          retryAfterMs: 1000,
        });
      }
      const waited = await within(clock, context.patienceMs, published);
      if (waited) return { done: true, value: waited };
      published.catch(() => undefined);
      return { done: false, hashedBytes: current.frontier.position, size: request.size };
    } finally {
      context.transfers().release(gate);
    }
  }

  async function publish(current: UploadSession, request: { size: number; digest: string }): Promise<FileInfo> {
    await current.seal();
    try {
      return await publishSealed(current, request);
    } catch (error) {
      current.unseal();
      throw error;
    }
  }

  async function publishSealed(current: UploadSession, request: { size: number; digest: string }): Promise<FileInfo> {
    const { id } = current.record;
    current.checkComplete(request.size);
    const digest = toHex(await current.frontier.finish(request.size));
    if (digest !== request.digest) {
      if (current.copied) {
        current.copied = false;
        current.frontier.reset();
      }
      throw new HawserError(
        'digest_mismatch',
        `The bytes that arrived for "${current.record.path}" have the digest ${digest}, the sender says ${request.digest}: compare the blocks and send what differs.`,
        { value: digest },
      );
    }
    await current.staging.sync();
    current.record =
      (await meta.updateUpload(id, { state: 'publishing', size: request.size, digest, updatedMs: clock.now() })) ??
      current.record;
    let info: FileInfo;
    try {
      info = await place(current.record, current.staging);
    } catch (error) {
      if ((await files.listStaging()).includes(id)) {
        // The name could not be taken (a folder stands there, the disk is full): the bytes stay, for another try.
        current.record = (await meta.updateUpload(id, { state: 'receiving', updatedMs: clock.now() })) ?? current.record;
      } else {
        // It was taken, and only what comes after failed: nothing may be written into that file any more.
        open.forget(id);
      }
      throw error;
    }
    open.forget(id);
    await context
      .transfers()
      .count(current.record.transfer, { addFiles: 1, ...(current.copied ? { addBytes: request.size } : {}) });
    return info;
  }

  /** Publishes a verified staging file and records that it is done. */
  async function place(record: UploadRecord, staging: { publish: UploadSession['staging']['publish'] }): Promise<FileInfo> {
    const entry = await staging.publish(record.path, record.size ?? 0, {
      overwrite: record.overwrite,
      ...(record.mode === null ? {} : { mode: record.mode }),
      ...(record.mtimeNs === null ? {} : { mtimeNs: record.mtimeNs }),
    });
    const file = recordOf(entry, record.digest ?? '', record.mtimeNs);
    await meta.recordFiles([file]);
    const now = clock.now();
    await meta.updateUpload(record.id, { state: 'done', updatedMs: now, expiresMs: now + REMEMBER_DONE_MS });
    await meta.clearBlocks(record.id);
    return fileInfo(entry, file);
  }

  async function completed(record: UploadRecord, digest: string): Promise<FileInfo> {
    if (record.digest !== digest) {
      throw new HawserError(
        'digest_mismatch',
        `The upload ${record.id} was completed with the digest ${record.digest}, not ${digest}.`,
        {
          value: digest,
        },
      );
    }
    const entry = await files.stat(record.path);
    return fileInfo(entry, await meta.getFile(record.path));
  }

  async function recoverPublish(record: UploadRecord): Promise<void> {
    const now = clock.now();
    const staging = await files.openStaging(record.id).catch((error) => {
      if (error instanceof HawserError && error.code === 'not_found') return null;
      throw error;
    });
    if (!staging) {
      // The name was taken over in one step, so it is done; its digest is found again when somebody asks.
      await meta.updateUpload(record.id, { state: 'done', updatedMs: now, expiresMs: now + REMEMBER_DONE_MS });
      await meta.clearBlocks(record.id);
      return;
    }
    try {
      await place(record, staging);
    } catch {
      await staging.close();
      if (!(await files.listStaging()).includes(record.id)) return;
      // Refused now (the name is a folder meanwhile, the disk is full): the sender sees why when it completes it again.
      await meta.updateUpload(record.id, { state: 'receiving', updatedMs: now });
    }
  }

  return { complete, recoverPublish };
}

function checkSize(current: UploadSession, size: number): void {
  const announced = current.record.size;
  if (announced === null || announced === size) return;
  throw new HawserError(
    'request_invalid',
    `The upload was announced with ${announced} bytes and cannot be completed with ${size}: create it again.`,
    {
      value: size,
    },
  );
}

/** A completed upload is remembered for so long, for clients that did not hear the answer. */
const REMEMBER_DONE_MS = 24 * 3600 * 1000;
