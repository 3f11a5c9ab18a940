/** The published half of the memory store: a tree of files, folders and links, with the same rules as the one on disk. */
import type { HawserError } from '../../core/errors.ts';
import { baseName, MAX_NAME_BYTES, parentPath, pathToBytes, RESERVED_NAME } from '../../core/path.ts';
import type { Attributes, Entry, Overwrite } from './contract.ts';
import { DEFAULT_FILE_MODE, DEFAULT_FOLDER_MODE } from './entry.ts';
import { type Purpose, storeError } from './errno.ts';
import { escapes, notNewer, parentForEntry, reserved } from './refusals.ts';

interface Common {
  readonly version: string;
  mode: number;
  mtimeNs: bigint;
}

export type FileNode = Common & { readonly kind: 'file'; readonly bytes: Uint8Array };
export type FolderNode = Common & { readonly kind: 'folder'; readonly children: Map<string, Node> };
export type LinkNode = Common & { readonly kind: 'link'; readonly target: string };
export type Node = FileNode | FolderNode | LinkNode;

/** A folder with the names that lead to it when no link is left in them. */
interface Place {
  readonly names: readonly string[];
  readonly folder: FolderNode;
}

let versions = 0;

export const newFile = (bytes: Uint8Array, { mode, mtimeNs }: Attributes): FileNode => ({
  kind: 'file',
  bytes,
  ...common(mode ?? DEFAULT_FILE_MODE, mtimeNs),
});

export const newFolder = ({ mode, mtimeNs }: Attributes = {}): FolderNode => ({
  kind: 'folder',
  children: new Map(),
  ...common(mode ?? DEFAULT_FOLDER_MODE, mtimeNs),
});

export const newLink = (target: string, { mtimeNs }: Attributes): LinkNode => ({
  kind: 'link',
  target,
  ...common(0o777, mtimeNs),
});

/** The same thing after a change that alters its version. */
export const renewed = (node: Node): Node => ({ ...node, version: nextVersion() });

export function entryOfNode(path: string, node: Node): Entry {
  const size = node.kind === 'file' ? node.bytes.length : 0;
  const entry: Entry = { path, kind: node.kind, size, mode: node.mode, mtimeNs: node.mtimeNs, version: node.version };
  return node.kind === 'link' ? { ...entry, target: node.target } : entry;
}

/** The folder at `path`, through links; `make` makes what is missing. Errors name `about`. */
export function folderAt(root: FolderNode, path: string, purpose: Purpose, about: string = path, make = false): Place {
  const names = path.split('/').filter(Boolean);
  const found = walk(root, { names: [], folder: root }, names, about, purpose, make, { links: 0 });
  if (found.node.kind !== 'folder') throw storeError({ code: 'ENOTDIR' }, about, purpose);
  return { names: found.names, folder: found.node };
}

/** What is at `path`; a link in the last place is only followed when asked for. */
export function nodeAt(root: FolderNode, path: string, purpose: Purpose, follow = false): Node {
  if (path === '/') return root;
  const { folder, names } = folderAt(root, parentPath(path), purpose, path);
  const node = folder.children.get(baseName(path));
  if (node === undefined) throw storeError({ code: 'ENOENT' }, path, 'read');
  if (node.kind !== 'link' || !follow) return node;
  return walk(root, { names, folder }, [baseName(path)], path, purpose, false, { links: 0 }).node;
}

/** The folder that holds `path`, made when missing, and a check that its name may be used. */
export function parentOf(root: FolderNode, path: string): Place {
  const place = folderAt(root, parentForEntry(path), 'write', path, true);
  if (pathToBytes(baseName(path)).length > MAX_NAME_BYTES) throw storeError({ code: 'ENAMETOOLONG' }, path, 'write');
  assertServed([...place.names, baseName(path)], path);
  return place;
}

export function assertMayReplaceNode(there: Node | undefined, path: string, overwrite: Overwrite, mtimeNs: bigint): void {
  if (there === undefined) return;
  if (there.kind === 'folder') throw storeError({ code: 'EISDIR' }, path, 'write');
  if (overwrite === 'never') throw storeError({ code: 'EEXIST' }, path, 'write');
  if (overwrite === 'newer' && mtimeNs <= there.mtimeNs) throw notNewer(path);
}

export function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

function walk(
  root: FolderNode,
  from: Place,
  names: readonly string[],
  path: string,
  purpose: Purpose,
  make: boolean,
  count: { links: number },
): { names: readonly string[]; node: Node } {
  let at: { names: readonly string[]; node: Node } = { names: from.names, node: from.folder };
  for (const name of names) {
    if (name === '.') continue;
    if (at.node.kind !== 'folder') throw storeError({ code: 'ENOTDIR' }, path, purpose);
    if (name === '..') {
      if (at.names.length === 0) throw escapes(path);
      const up = at.names.slice(0, -1);
      at = { names: up, node: walk(root, { names: [], folder: root }, up, path, purpose, false, count).node };
      continue;
    }
    const inside = [...at.names, name];
    assertServed(inside, path);
    let child = at.node.children.get(name);
    if (child === undefined && make) {
      child = newFolder();
      at.node.children.set(name, child);
    }
    if (child === undefined) throw storeError({ code: 'ENOENT' }, path, purpose);
    if (child.kind !== 'link') {
      at = { names: inside, node: child };
      continue;
    }
    // The same bound as Linux has (path_resolution(7)).
    if (++count.links > 40) throw storeError({ code: 'ELOOP' }, path, purpose);
    const target = child.target.split('/').filter(Boolean);
    try {
      at = walk(root, { names: at.names, folder: at.node }, target, path, purpose, false, count);
    } catch (error) {
      if (make && (error as HawserError).code === 'not_found') throw storeError({ code: 'ENOTDIR' }, path, 'write');
      throw error;
    }
  }
  return at;
}

function assertServed(names: readonly string[], path: string): void {
  if (names[0] === RESERVED_NAME) throw reserved(path);
}

function common(mode: number, mtimeNs: bigint | undefined): Common {
  return { version: nextVersion(), mode: mode & 0o777, mtimeNs: mtimeNs ?? nowNs() };
}

function nextVersion(): string {
  return `m${++versions}`;
}
