/** Puts the engine together: contract.ts says what it does, the files beside it do it. */
import { randomBytes } from 'node:crypto';
import type { FileStore } from '../store/files/contract.ts';
import type { MetaStore } from '../store/meta/contract.ts';
import { type Clock, type RandomBytes, systemClock } from './clock.ts';
import type { Engine } from './contract.ts';
import { createInFlight } from './in-flight.ts';
import { createNames } from './names.ts';
import { createPacks } from './packs.ts';
import { createPlainPut } from './plain-put.ts';
import { createReads } from './reads.ts';
import { createTransfers, type Transfers } from './transfers.ts';
import { createUploads } from './uploads.ts';

export interface EngineOptions {
  readonly files: FileStore;
  readonly meta: MetaStore;
  readonly clock?: Clock;
  readonly random?: RandomBytes;
  /** How long an unfinished upload is kept after its last block. Default 7 days. */
  readonly expireMs?: number;
  /** How long ended transfers are listed. Default 90 days. */
  readonly historyMs?: number;
  /** How long a request waits for a digest before it answers "not yet". Default 10 s. */
  readonly patienceMs?: number;
  /** Somebody has begun to put what may be many files: what stores them can get ready. */
  readonly onManyFiles?: () => void;
}

export function createEngine(options: EngineOptions): Engine {
  const { files, meta, clock = systemClock, random = randomBytes } = options;
  const { expireMs = 7 * DAY_MS, historyMs = 90 * DAY_MS, patienceMs = 10_000 } = options;
  const inFlight = createInFlight();
  // Transfers free the uploads they cancel, and uploads ask their transfer: one of the two has to look the other up.
  const holder: { transfers?: Transfers } = {};
  const context = { files, meta, clock, random, inFlight, expireMs, patienceMs, transfers: () => holder.transfers! };
  const uploads = createUploads(context);
  holder.transfers = createTransfers({ meta, clock, random, onCancelled: uploads.dropTransfer });
  const transfers = holder.transfers;
  const packs = createPacks(context);
  const reads = createReads(context);
  const names = createNames(context);
  const putFile = createPlainPut(context);

  return {
    recover: uploads.recover,
    async sweep() {
      const freed = await uploads.expire();
      await transfers.abandon(clock.now() - expireMs);
      await meta.pruneTransfers(clock.now() - historyMs);
      return freed;
    },
    async drain() {
      const drained = inFlight.drain();
      await uploads.interrupt();
      await drained;
      await uploads.close();
    },

    async createTransfer(who, request) {
      const record = await transfers.create(who, request);
      // The upload of one file begins its transfer itself.
      if (request.kind === 'upload') options.onManyFiles?.();
      return record;
    },
    getTransfer: transfers.get,
    waitTransfer: transfers.wait,
    listTransfers: transfers.list,
    changeTransfer: transfers.change,
    pauseTransfer: transfers.pause,
    resumeTransfer: transfers.resume,
    cancelTransfer: transfers.cancel,

    createUpload: uploads.create,
    getUpload: uploads.get,
    listUploads: uploads.list,
    uploadDigests: uploads.digests,
    receiveBlocks: uploads.receive,
    completeUpload: uploads.complete,
    removeUpload: uploads.remove,
    putFile,

    receivePack: packs.receive,
    missingEntries: packs.missing,
    readPack: packs.read,

    stat: names.stat,
    list: names.list,
    open: reads.open,
    fileDigests: reads.blockDigests,
    digest: reads.digest,
    verify: reads.verify,
    makeFolder: names.makeFolder,
    move: names.move,
    remove: names.remove,
  };
}

const DAY_MS = 24 * 3600 * 1000;
