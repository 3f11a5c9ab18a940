/**
 * Uploads: created, received in blocks, completed, resumed, taken over, dropped. The newest request wins; what is recorded is
 * always intact; a name appears only after the digest of the whole file matched.
 */
import { encodeDigestRecords } from '../core/wire/digest-records.ts';
import type { UploadRecord } from '../store/meta/contract.ts';
import { BlockMap } from './block-map.ts';
import type { Principal, UploadStatus } from './contract.ts';
import { createOpenUploads, type UploadContext } from './open-uploads.ts';
import { owns, permit } from './permission.ts';
import { createCompletion } from './upload-complete.ts';
import { createUploadCreation } from './upload-create.ts';
import { createReceiving } from './upload-receive.ts';
import { loadUpload, uploadStatus } from './upload-status.ts';

export type Uploads = ReturnType<typeof createUploads>;

export function createUploads(context: UploadContext) {
  const { files, meta, clock, inFlight } = context;
  const open = createOpenUploads(context);
  const create = createUploadCreation(context, open);
  const receive = createReceiving(context, open);
  const { complete, recoverPublish } = createCompletion(context, open);

  async function drop(record: UploadRecord): Promise<void> {
    const current = await open.peek(record.id);
    if (current) {
      await current.raiseEpoch();
      await current.completing?.catch(() => undefined);
    }
    await open.close(record.id);
    await meta.removeUpload(record.id);
    await files.removeStaging(record.id);
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

    async digests(who: Principal, id: string): Promise<Uint8Array> {
      permit(who, 'write');
      await loadUpload(meta, who, id);
      const current = await open.peek(id);
      return encodeDigestRecords((current?.blocks ?? BlockMap.from(await meta.loadBlocks(id))).runs());
    },

    async remove(who: Principal, id: string): Promise<void> {
      permit(who, 'write');
      await drop(await loadUpload(meta, who, id));
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
      for (;;) {
        const halfway = await meta.listUploads({ limit: 100, state: 'publishing' });
        if (halfway.length === 0) break;
        for (const record of halfway) await recoverPublish(record);
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
