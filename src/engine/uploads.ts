/**
 * Uploads: created, received in blocks, completed, resumed, taken over, dropped. The newest request wins; what is recorded is
 * always intact; a name appears only after the digest of the whole file matched.
 */
import { HawserError } from '../core/errors.ts';
import { encodeDigestRecords } from '../core/wire/digest-records.ts';
import type { UploadRecord } from '../store/meta/contract.ts';
import { BlockMap } from './block-map.ts';
import { within } from './clock.ts';
import type { Principal, Slow, UploadStatus } from './contract.ts';
import { createOpenUploads, type UploadContext } from './open-uploads.ts';
import { owns, permit } from './permission.ts';
import { createBegun } from './upload-begun.ts';
import { createCompletion } from './upload-complete.ts';
import { createUploadCreation } from './upload-create.ts';
import { createReceiving } from './upload-receive.ts';
import { loadUpload, uploadStatus } from './upload-status.ts';

export type Uploads = ReturnType<typeof createUploads>;

export function createUploads(context: UploadContext) {
  const { files, meta, clock, inFlight } = context;
  const open = createOpenUploads(context);
  const begun = createBegun(clock);
  const create = createUploadCreation(context, open, begun);
  const receive = createReceiving(context, open, begun);
  const { complete, recoverPublish } = createCompletion(context, open);

  async function drop(record: UploadRecord): Promise<void> {
    const current = await open.peek(record.id);
    if (current) {
      await current.raiseEpoch();
      await current.completing?.published.catch(() => undefined);
    }
    // Forgotten first, so that no request opens it again.
    const forgotten = await meta.removeUpload(record.id).then(
      () => true,
      (error) => {
        if (error instanceof HawserError && error.code === 'no_space') return false;
        throw error;
      },
    );
    await open.close(record.id);
    await files.removeStaging(record.id);
    // A full disk takes no record; now it has room.
    if (!forgotten) await meta.removeUpload(record.id);
  }

  return {
    create,
    receive: (...call: Parameters<typeof receive>) => inFlight.track(receive(...call)),
    complete,

    /** Ends every request that is bringing blocks: what was whole is kept. */
    async interrupt(): Promise<void> {
      for (const id of open.ids()) {
        const found = await open.peek(id);
        for (const request of [...(found?.requests ?? [])]) request.interrupt();
      }
    },

    async get(who: Principal, id: string): Promise<UploadStatus> {
      permit(who, 'write');
      const record = await loadUpload(meta, who, id);
      return uploadStatus(record, (await open.peek(id)) ?? BlockMap.from(await meta.loadBlocks(id)), {
        resumed: false,
      });
    },

    async list(who: Principal, options: { limit: number; after?: string }): Promise<UploadStatus[]> {
      permit(who, 'write');
      const mine = owns(who, '') ? {} : { owner: who.id };
      const records = await meta.listUploads({ ...options, ...mine, state: 'receiving' });
      const all: UploadStatus[] = [];
      for (const record of records)
        all.push(uploadStatus(record, BlockMap.from(await meta.loadBlocks(record.id)), { resumed: false }));
      return all;
    },

    async digests(who: Principal, id: string): Promise<Slow<Uint8Array>> {
      permit(who, 'write');
      const record = await loadUpload(meta, who, id);
      const blocks = (await open.peek(id))?.blocks ?? BlockMap.from(await meta.loadBlocks(id));
      if (record.state !== 'receiving' || blocks.undigested().length === 0) {
        return { done: true, value: encodeDigestRecords(blocks.runs()) };
      }
      const current = await open.session(record);
      const work = current.digestBlocks().then(() => true);
      if (await within(clock, context.patienceMs, work)) return { done: true, value: encodeDigestRecords(current.blocks.runs()) };
      work.catch(() => undefined);
      const left = current.blocks.undigested().length * record.blockBytes;
      const size = current.safeBytes();
      return { done: false, hashedBytes: Math.max(0, size - left), size };
    },

    async remove(who: Principal, id: string, epoch?: number): Promise<void> {
      permit(who, 'write');
      const record = await loadUpload(meta, who, id);
      if (epoch !== undefined && epoch !== record.epoch) {
        throw new HawserError(
          'superseded',
          `A newer client took over the upload of "${record.path}": it is not yours to remove.`,
          {
            value: id,
          },
        );
      }
      await drop(record);
    },

    /** Frees all that a transfer has staged. */
    async dropTransfer(transfer: string): Promise<void> {
      for (;;) {
        const records = await meta.listUploads({ limit: 100, transfer, state: 'receiving' });
        if (records.length === 0) return;
        for (const record of records) await drop(record);
      }
    },

    async expire(): Promise<number> {
      let freed = 0;
      for (const record of await meta.expiredUploads(clock.now(), 100)) {
        const current = await open.peek(record.id);
        if (current && !current.idle) continue;
        await drop(record);
        if (record.state !== 'done') freed++;
      }
      return freed;
    },

    /** After a crash: finishes publishes that were under way, and frees staging files that no upload knows. */
    async recover(): Promise<void> {
      for (let after: string | undefined; ; ) {
        const halfway = await meta.listUploads({ limit: 100, state: 'publishing', ...(after === undefined ? {} : { after }) });
        if (halfway.length === 0) break;
        // One that cannot be opened now stays as it is: it is finished when its sender asks, or at the next start.
        for (const record of halfway) await recoverPublish(record).catch(() => undefined);
        after = halfway.at(-1)?.id;
      }
      for (const id of await files.listStaging()) {
        const record = await meta.getUpload(id);
        if (!record || record.state === 'done') await files.removeStaging(id);
      }
    },

    async close(): Promise<void> {
      for (const id of open.ids()) await open.close(id);
    },
  };
}
