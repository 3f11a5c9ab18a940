/**
 * A FileStore in memory, for tests of everything above it: the same rules as on disk, hooks to make any step slow or fail,
 * and crashes that can be played with a seeded random.
 */

import { HawserError } from '../../core/errors.ts';
import { baseName, comparePaths, isWithin, parentPath } from '../../core/path.ts';
import type { Entry, FileStore, Overwrite, SmallEntry, StagingFile } from './contract.ts';
import { storeError } from './errno.ts';
import { createStagedBytes, type StagedBytes } from './memory-staging.ts';
import {
  assertMayReplaceNode,
  entryOfNode,
  type FolderNode,
  folderAt,
  type Node,
  newFile,
  newFolder,
  newLink,
  nodeAt,
  nowNs,
  parentOf,
  renewed,
} from './memory-tree.ts';
import { compareByNames } from './order.ts';
import { assertLinkStays, assertSize, assertStagingId, movesIntoItself, rootStays, tooLarge } from './refusals.ts';

export interface MemoryStoreOptions {
  /**
   * Called and awaited before every step: `op` is the method ("write", "sync", "publish", …) and `detail` the path or staging
   * id. "published" comes between a publish being visible and its return. What it throws, the method throws.
   */
  readonly beforeOp?: (op: string, detail: string) => Promise<void> | void;
  /** Decides what a crash leaves, from 0 to 1. Default Math.random: pass a seeded one to replay. */
  readonly random?: () => number;
}

export interface MemoryStore extends FileStore {
  /**
   * The machine fails at this instant. What is under way fails with `io_error`, as does every handle from before; each write
   * that was not synced is kept, lost or torn; each publish that had not returned is in place or is not, whole either way.
   * The store itself goes on, as if opened anew.
   */
  crash(): void;
}

export function createMemoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  const random = options.random ?? Math.random;
  const root = newFolder();
  const staging = new Map<string, StagedBytes>();
  /** Publishes that are visible and have not returned: how to take them back. */
  const publishing = new Set<() => void>();
  let life = 0;

  /** The hook, and after it the check that no crash came in between. `born` is the life in which a handle was made. */
  const step = async (op: string, detail: string, born = life): Promise<void> => {
    if (born !== life) throw crashed(detail);
    await options.beforeOp?.(op, detail);
    if (born !== life) throw crashed(detail);
  };

  const stagingFile = (id: string, bytes: StagedBytes): StagingFile => {
    const born = life;
    let closed = false;
    const stepOf = async (op: string, detail = id): Promise<void> => {
      await step(op, detail, born);
      if (closed) throw storeError({ code: 'EBADF' }, id, 'write');
    };
    return {
      id,
      async write(position, piece) {
        await stepOf('write');
        bytes.write(position, piece);
      },
      async read(position, into) {
        await stepOf('read');
        return bytes.read(position, into);
      },
      async sync() {
        const mark = bytes.mark();
        await stepOf('sync');
        bytes.synced(mark);
      },
      async publish(path, size, publishOptions) {
        assertSize(size);
        await stepOf('publish', path);
        const { folder } = parentOf(root, path);
        const mtimeNs = publishOptions.mtimeNs ?? nowNs();
        const before = folder.children.get(baseName(path));
        assertMayReplaceNode(before, path, publishOptions.overwrite ?? 'always', mtimeNs);
        bytes.truncate(size);
        bytes.synced(bytes.mark());
        const node = newFile(bytes.copy(size), { ...publishOptions, mtimeNs });
        put(folder, baseName(path), node);
        staging.delete(id);
        closed = true;
        const takeBack = (): void => {
          staging.set(id, bytes);
          if (folder.children.get(baseName(path)) !== node) return;
          if (before === undefined) folder.children.delete(baseName(path));
          else folder.children.set(baseName(path), before);
        };
        publishing.add(takeBack);
        try {
          await step('published', path, born);
        } finally {
          publishing.delete(takeBack);
        }
        return entryOfNode(path, node);
      },
      async close() {
        closed = true;
      },
    };
  };

  const stage = (id: string, size: number): StagedBytes => {
    if (staging.has(id)) throw storeError({ code: 'EEXIST' }, id, 'write');
    const bytes = createStagedBytes(id, size);
    staging.set(id, bytes);
    return bytes;
  };

  const fileAt = (path: string) => {
    const node = nodeAt(root, path, 'read', true);
    if (node.kind === 'folder') throw storeError({ code: 'EISDIR' }, path, 'read');
    if (node.kind === 'link') throw storeError({ code: 'ENOENT' }, path, 'read');
    return node;
  };

  return {
    async createStaging(id, size) {
      assertStagingId(id);
      if (size !== null) assertSize(size);
      await step('createStaging', id);
      return stagingFile(id, stage(id, size ?? 0));
    },
    async openStaging(id) {
      assertStagingId(id);
      await step('openStaging', id);
      const bytes = staging.get(id);
      if (bytes === undefined) throw storeError({ code: 'ENOENT' }, id, 'read');
      return stagingFile(id, bytes);
    },
    async removeStaging(id) {
      assertStagingId(id);
      await step('removeStaging', id);
      staging.delete(id);
    },
    async listStaging() {
      await step('listStaging', '');
      return [...staging.keys()].sort();
    },
    async copyToStaging(path, id) {
      assertStagingId(id);
      await step('copyToStaging', path);
      const { bytes } = fileAt(path);
      const copy = stage(id, 0);
      copy.write(0, bytes);
      return stagingFile(id, copy);
    },

    async putMany(entries, overwrite) {
      const born = life;
      const results: (Entry | Error)[] = [];
      for (const entry of entries) {
        try {
          await step('putMany', entry.path, born);
          results.push(putSmall(root, entry, overwrite));
        } catch (error) {
          if (born !== life) throw error;
          results.push(error as Error);
        }
      }
      // The attributes of folders come last, as nothing in the batch may undo them.
      for (const [i, entry] of entries.entries()) {
        if (entry.kind === 'folder' && !(results[i] instanceof Error)) results[i] = setAttributes(root, entry.path, entry);
      }
      return results;
    },
    async getMany(paths, maxBytes) {
      await step('getMany', '');
      return paths.map((path) => {
        try {
          const node = fileAt(path);
          if (node.bytes.length > maxBytes) throw tooLarge(path, node.bytes.length, maxBytes);
          return { entry: entryOfNode(path, node), bytes: new Uint8Array(node.bytes) };
        } catch (error) {
          return error as Error;
        }
      });
    },

    async stat(path, { follow = false } = {}) {
      await step('stat', path);
      return entryOfNode(path, nodeAt(root, path, 'read', follow));
    },
    async list(path, listOptions) {
      await step('list', path);
      const { folder } = folderAt(root, path, 'list');
      const entries = [...below(folder, path, listOptions.recursive === true)].filter(
        (entry) => listOptions.after === undefined || compareByNames(entry.path, listOptions.after) > 0,
      );
      return { entries: entries.slice(0, listOptions.limit), more: entries.length > listOptions.limit };
    },
    async openRead(path) {
      await step('openRead', path);
      const born = life;
      const node = fileAt(path);
      return {
        entry: entryOfNode(path, node),
        async read(position, into) {
          await step('readFile', path, born);
          const piece = node.bytes.subarray(position, position + into.length);
          into.set(piece);
          return piece.length;
        },
        async close() {},
      };
    },
    async makeFolder(path, attributes = {}) {
      await step('makeFolder', path);
      if (path !== '/') putSmall(root, { path, kind: 'folder', bytes: new Uint8Array(0) }, 'always');
      return setAttributes(root, path, attributes);
    },
    async move(from, to, overwrite = 'never') {
      if (from === '/') throw rootStays();
      if (from !== to && isWithin(to, from)) throw movesIntoItself(from, to);
      await step('move', from);
      const node = nodeAt(root, from, 'read');
      const source = folderAt(root, parentPath(from), 'read', from);
      const target = parentOf(root, to);
      const really = [...source.names, baseName(from)];
      if (really.every((name, i) => target.names[i] === name)) throw movesIntoItself(from, to);
      if (node.kind === 'link') assertLinkStays(target.names.length, to, node.target);
      const there = target.folder.children.get(baseName(to));
      assertMayReplaceNode(there, to, node.kind === 'folder' ? 'never' : overwrite, node.mtimeNs);
      const moved = renewed(node);
      source.folder.children.delete(baseName(from));
      put(target.folder, baseName(to), moved);
      return entryOfNode(to, moved);
    },
    async remove(path, { recursive = false } = {}) {
      if (path === '/') throw rootStays();
      await step('remove', path);
      const node = nodeAt(root, path, 'read');
      if (node.kind === 'folder' && node.children.size > 0 && !recursive) throw storeError({ code: 'ENOTEMPTY' }, path, 'write');
      folderAt(root, parentPath(path), 'read', path).folder.children.delete(baseName(path));
    },
    async freeBytes() {
      return null;
    },
    async close() {},

    crash() {
      life++;
      for (const takeBack of [...publishing].reverse()) if (random() < 0.5) takeBack();
      publishing.clear();
      for (const [id, bytes] of staging) if (!bytes.crash(random)) staging.delete(id);
    },
  };
}

function putSmall(root: FolderNode, entry: SmallEntry, overwrite: Overwrite): Entry {
  const { folder, names } = parentOf(root, entry.path);
  const name = baseName(entry.path);
  const there = folder.children.get(name);
  if (entry.kind === 'folder') {
    if (there !== undefined && there.kind !== 'folder') throw storeError({ code: 'ENOTDIR' }, entry.path, 'write');
    if (there === undefined) put(folder, name, newFolder(entry));
  } else {
    if (entry.kind === 'link') assertLinkStays(names.length, entry.path, entry.target ?? '');
    assertMayReplaceNode(there, entry.path, overwrite, entry.mtimeNs ?? nowNs());
    put(folder, name, entry.kind === 'file' ? newFile(new Uint8Array(entry.bytes), entry) : newLink(entry.target ?? '', entry));
  }
  return entryOfNode(entry.path, folder.children.get(name)!);
}

function setAttributes(root: FolderNode, path: string, { mode, mtimeNs }: { mode?: number; mtimeNs?: bigint }): Entry {
  const node = nodeAt(root, path, 'write');
  if (node.kind !== 'folder') throw storeError({ code: 'ENOTDIR' }, path, 'write');
  if (mode !== undefined) node.mode = mode & 0o777;
  if (mtimeNs !== undefined) node.mtimeNs = mtimeNs;
  return entryOfNode(path, node);
}

/** Changing the names in a folder changes its mtime, as on disk. */
function put(folder: FolderNode, name: string, node: Node): void {
  folder.children.set(name, node);
  folder.mtimeNs = nowNs();
}

/** In the order of the contract. */
function* below(folder: FolderNode, path: string, recursive: boolean): Generator<Entry, void, undefined> {
  for (const [name, node] of [...folder.children].sort(([a], [b]) => comparePaths(a, b))) {
    const childPath = path === '/' ? `/${name}` : `${path}/${name}`;
    yield entryOfNode(childPath, node);
    if (recursive && node.kind === 'folder') yield* below(node, childPath, true);
  }
}

function crashed(detail: string): HawserError {
  return new HawserError('io_error', `The store crashed while ${JSON.stringify(detail)} was in use: open it again.`, {
    value: detail,
  });
}
