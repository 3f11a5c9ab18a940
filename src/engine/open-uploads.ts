/** Uploads whose staging file is open, so that the requests of one upload share a session. */
import { HawserError } from '../core/errors.ts';
import type { FileStore } from '../store/files/contract.ts';
import type { MetaStore, UploadRecord } from '../store/meta/contract.ts';
import { BlockMap } from './block-map.ts';
import type { Clock, RandomBytes } from './clock.ts';
import type { InFlight } from './in-flight.ts';
import type { Transfers } from './transfers.ts';
import { UploadSession } from './upload-session.ts';

export interface UploadContext {
  readonly files: FileStore;
  readonly meta: MetaStore;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly transfers: () => Transfers;
  readonly inFlight: InFlight;
  /** How long an unfinished upload is kept after its last block, milliseconds. */
  readonly expireMs: number;
  /** How long one request waits for a digest before it answers "not yet", milliseconds. */
  readonly patienceMs: number;
}

export type OpenUploads = ReturnType<typeof createOpenUploads>;

export function createOpenUploads(context: UploadContext) {
  const budget = { left: EARLY_BYTES };
  const { files, meta, clock } = context;
  const sessions = new Map<string, Promise<UploadSession>>();

  async function session(record: UploadRecord): Promise<UploadSession> {
    let open = sessions.get(record.id);
    if (!open) {
      await closeIdle();
      open = sessions.get(record.id);
    }
    if (!open) {
      open = openSession(record);
      sessions.set(record.id, open);
      open.catch(() => sessions.delete(record.id));
    }
    const found = await open;
    found.lastUsedMs = clock.now();
    return found;
  }

  async function openSession(record: UploadRecord): Promise<UploadSession> {
    const blocks = BlockMap.from(await meta.loadBlocks(record.id));
    const staging = await files.openStaging(record.id).catch(async (error) => {
      if (!(error instanceof HawserError) || error.code !== 'not_found') throw error;
      // The process died between recording the upload and making its file, or somebody removed it.
      await meta.clearBlocks(record.id);
      blocks.safe.remove(0, Number.MAX_SAFE_INTEGER);
      return await files.createStaging(record.id, record.size);
    });
    return new UploadSession(record, staging, blocks, { meta, clock, budget, onSafe: (bytes) => safe(record.id, bytes) });
  }

  async function safe(id: string, bytes: number): Promise<void> {
    const current = await sessions.get(id);
    if (!current) return;
    await context.transfers().count(current.record.transfer, { addBytes: bytes });
    const now = clock.now();
    if (current.record.expiresMs - now < context.expireMs - RENEW_EVERY_MS) {
      current.record = (await meta.updateUpload(id, { expiresMs: now + context.expireMs, updatedMs: now })) ?? current.record;
    }
  }

  /** Open files are few: the longest unused session makes room. */
  async function closeIdle(): Promise<void> {
    if (sessions.size < MAX_SESSIONS) return;
    const open = await Promise.all([...sessions.values()].map((one) => one.catch(() => null)));
    const idle = open.filter((one) => one?.idle).sort((a, b) => a!.lastUsedMs - b!.lastUsedMs);
    for (const one of idle.slice(0, Math.max(1, sessions.size - MAX_SESSIONS + 1))) await closeSession(one!.record.id);
  }

  async function closeSession(id: string): Promise<void> {
    const open = sessions.get(id);
    sessions.delete(id);
    const found = await open?.catch(() => null);
    await found?.close();
  }

  return {
    /** The session of an unfinished upload, opened when it is not. */
    session,

    /** A session that was just made. */
    async add(session: UploadSession): Promise<void> {
      await closeIdle();
      sessions.set(session.record.id, Promise.resolve(session));
    },

    /** The session if it is open. */
    peek: async (id: string): Promise<UploadSession | null> => (await sessions.get(id)?.catch(() => null)) ?? null,

    /** Its staging file is published: there is nothing to close. */
    forget(id: string): void {
      sessions.delete(id);
    },

    close: closeSession,
    budget,
    ids: (): string[] => [...sessions.keys()],
    onSafe: (id: string) => (bytes: number) => safe(id, bytes),
  };
}

const MAX_SESSIONS = 256;
/** Blocks that wait in memory for their turn to be hashed, of all uploads together. */
const EARLY_BYTES = 32 << 20;
const RENEW_EVERY_MS = 60_000;
