/** Facts in memory: for tests, simulations, and servers that may forget. The same answers as the database gives. */
import { isWithin } from '../../core/path.ts';
import { checkMove, checkRuns, storable, storedText, wholeLimit } from './bounds.ts';
import type { BlockRun, FileRecord, MetaStore, TokenRecord, TransferRecord, UploadRecord } from './contract.ts';
import { noUpload, taken } from './failures.ts';

export interface MemoryMetaOptions {
  /**
   * Called with the method's name before each change takes effect. When it throws, or never resolves, nothing was recorded:
   * as if the machine had stopped at that instant.
   */
  readonly beforeCommit?: (method: string) => void | Promise<void>;
}

export function createMemoryMeta(options: MemoryMetaOptions = {}): MetaStore {
  const commit = async <T>(method: string, change: () => T): Promise<T> => {
    if (options.beforeCommit !== undefined) await options.beforeCommit(method);
    return change();
  };
  return {
    ...memoryTokens(commit),
    ...memoryTransfers(commit),
    ...memoryUploads(commit),
    ...memoryFiles(commit),
    async close() {},
  };
}

/** Runs `change`, which is synchronous and checks before it changes anything: that makes each method one atomic step. */
type Commit = <T>(method: string, change: () => T) => Promise<T>;

function memoryTokens(commit: Commit): Pick<MetaStore, 'addToken' | 'getToken' | 'listTokens' | 'removeToken'> {
  const tokens = new Map<string, TokenRecord>();
  const copy = (token: TokenRecord): TokenRecord => ({ ...token, secretHash: token.secretHash.slice() });
  return {
    addToken: (token) =>
      commit('addToken', () => {
        storable(token);
        if (tokens.has(token.id)) throw taken('token', token.id);
        tokens.set(token.id, { ...copy(token), name: storedText(token.name) });
      }),
    async getToken(id) {
      const token = tokens.get(id);
      return token === undefined ? null : copy(token);
    },
    listTokens: async () => [...tokens.values()].sort((a, b) => a.createdMs - b.createdMs || compareIds(a, b)).map(copy),
    removeToken: (id) => commit('removeToken', () => tokens.delete(id)),
  };
}

type TransferMethods = 'addTransfer' | 'getTransfer' | 'listTransfers' | 'updateTransfer' | 'pruneTransfers';

function memoryTransfers(commit: Commit): Pick<MetaStore, TransferMethods> {
  const transfers = new Map<string, TransferRecord>();
  return {
    addTransfer: (transfer) =>
      commit('addTransfer', () => {
        storable(transfer);
        if (transfers.has(transfer.id)) throw taken('transfer', transfer.id);
        const { source, destination, error } = transfer;
        transfers.set(transfer.id, {
          ...transfer,
          source: storedText(source),
          destination: storedText(destination),
          error: error === null ? null : storedText(error),
        });
      }),
    getTransfer: async (id) => transfers.get(id) ?? null,
    async listTransfers({ limit, state, owner, before }) {
      return [...transfers.values()]
        .filter((transfer) => state === undefined || transfer.state === state)
        .filter((transfer) => owner === undefined || transfer.owner === owner)
        .filter((transfer) => before === undefined || newestFirst(transfer, before) > 0)
        .sort(newestFirst)
        .slice(0, wholeLimit(limit));
    },
    updateTransfer: (id, change) =>
      commit('updateTransfer', () => {
        storable(change);
        const transfer = transfers.get(id);
        if (transfer === undefined) return null;
        const { addFiles = 0, addBytes = 0, filesDone = transfer.filesDone, bytesDone = transfer.bytesDone, ...rest } = change;
        const changed = { ...transfer, ...given(rest), filesDone: filesDone + addFiles, bytesDone: bytesDone + addBytes };
        if (typeof changed.error === 'string') changed.error = storedText(changed.error);
        transfers.set(id, changed);
        return changed;
      }),
    pruneTransfers: (beforeMs) =>
      commit('pruneTransfers', () => {
        const old = [...transfers.values()].filter(
          ({ state, updatedMs }) => state !== 'active' && state !== 'paused' && updatedMs < beforeMs,
        );
        for (const { id } of old) transfers.delete(id);
        return old.length;
      }),
  };
}

type UploadMethods =
  | 'addUpload'
  | 'getUpload'
  | 'findUpload'
  | 'listUploads'
  | 'updateUpload'
  | 'removeUpload'
  | 'expiredUploads'
  | 'recordBlocks'
  | 'loadBlocks'
  | 'clearBlocks';

function memoryUploads(commit: Commit): Pick<MetaStore, UploadMethods> {
  const uploads = new Map<string, UploadRecord>();
  const blocks = new Map<string, BlockRun[]>();
  const copy = ({ first, digests }: BlockRun): BlockRun => ({ first, digests: digests.slice() });
  return {
    addUpload: (upload) =>
      commit('addUpload', () => {
        storable(upload);
        if (uploads.has(upload.id)) throw taken('upload', upload.id);
        uploads.set(upload.id, { ...upload });
        blocks.set(upload.id, []);
      }),
    getUpload: async (id) => uploads.get(id) ?? null,
    async findUpload(path, owner) {
      return (
        [...uploads.values()]
          .filter((upload) => upload.path === path && upload.owner === owner && upload.state !== 'done')
          .sort(newestFirst)[0] ?? null
      );
    },
    async listUploads({ limit, owner, transfer, after, state }) {
      return [...uploads.values()]
        .filter((upload) => owner === undefined || upload.owner === owner)
        .filter((upload) => transfer === undefined || upload.transfer === transfer)
        .filter((upload) => state === undefined || upload.state === state)
        .filter((upload) => after === undefined || upload.id > after)
        .sort(compareIds)
        .slice(0, wholeLimit(limit));
    },
    updateUpload: (id, change) =>
      commit('updateUpload', () => {
        storable(change);
        const upload = uploads.get(id);
        if (upload === undefined) return null;
        const changed = { ...upload, ...given(change) };
        uploads.set(id, changed);
        return changed;
      }),
    removeUpload: (id) =>
      commit('removeUpload', () => {
        uploads.delete(id);
        blocks.delete(id);
      }),
    async expiredUploads(nowMs, limit) {
      return [...uploads.values()]
        .filter(({ expiresMs }) => expiresMs < nowMs)
        .sort((a, b) => a.expiresMs - b.expiresMs || compareIds(a, b))
        .slice(0, wholeLimit(limit));
    },
    recordBlocks(id, runs, nowMs) {
      // Copied before anything is awaited: the caller's buffers may be used again.
      const copies = runs.map(copy);
      return commit('recordBlocks', () => {
        checkRuns(copies);
        storable({ nowMs });
        const upload = uploads.get(id);
        if (upload === undefined) throw noUpload(id);
        uploads.set(id, { ...upload, updatedMs: nowMs });
        blocks.get(id)?.push(...copies);
      });
    },
    loadBlocks: async (id) => blocks.get(id)?.map(copy) ?? [],
    clearBlocks: (id) =>
      commit('clearBlocks', () => {
        if (blocks.has(id)) blocks.set(id, []);
      }),
  };
}

type FileMethods = 'recordFiles' | 'getFile' | 'getFiles' | 'findByDigest' | 'moveFiles' | 'removeFiles';

function memoryFiles(commit: Commit): Pick<MetaStore, FileMethods> {
  const files = new Map<string, FileRecord>();
  const remove = (path: string): FileRecord[] => {
    const removed = [...files.values()].filter((file) => isWithin(file.path, path));
    for (const file of removed) files.delete(file.path);
    return removed;
  };
  return {
    recordFiles: (records) =>
      commit('recordFiles', () => {
        for (const record of records) storable(record);
        for (const record of records) files.set(record.path, { ...record });
      }),
    getFile: async (path) => files.get(path) ?? null,
    async getFiles(paths) {
      const found = new Map<string, FileRecord>();
      for (const path of paths) {
        const file = files.get(path);
        if (file !== undefined) found.set(path, file);
      }
      return found;
    },
    async findByDigest(digest, limit) {
      return [...files.values()].filter((file) => file.digest === digest).slice(0, wholeLimit(limit));
    },
    moveFiles: (from, to) =>
      commit('moveFiles', () => {
        if (from === to) return;
        checkMove(from, to);
        remove(to);
        for (const file of remove(from)) {
          const path = to + file.path.slice(from.length);
          files.set(path, { ...file, path });
        }
      }),
    removeFiles: (path) => commit('removeFiles', () => void remove(path)),
  };
}

function newestFirst(a: { createdMs: number; id: string }, b: { createdMs: number; id: string }): number {
  return b.createdMs - a.createdMs || compareIds(b, a);
}

function compareIds(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}

/** A field that is there but undefined changes nothing. */
function given<T extends object>(change: T): Partial<T> {
  return Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined)) as Partial<T>;
}
