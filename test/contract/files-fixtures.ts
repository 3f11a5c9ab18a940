/** What the tests of FileStores share: a world to test in, and the smallest ways to fill it and to look at it. */
import assert from 'node:assert/strict';
import type { ErrorCode } from '../../src/core/errors.ts';
import { HawserError } from '../../src/core/errors.ts';
import type { Entry, FileStore, PublishOptions, SmallEntry } from '../../src/store/files/contract.ts';

export interface World {
  store: FileStore;
  /** Another process opens the same store, after the first was killed: nothing is closed. */
  reopen(): Promise<FileStore>;
  done(): Promise<void>;
}

export type Check = (behaviour: string, test: (world: World) => Promise<void>) => void;

export const text = (content: string): Uint8Array => Buffer.from(content);
export const MTIME = 1_700_000_000_123_456_789n;

let lastId = 0;

/** Publishes `content` at `path`, through a staging file. */
export async function put(store: FileStore, path: string, content = 'content', options: PublishOptions = {}): Promise<Entry> {
  const staging = await store.createStaging(`put-${++lastId}`, content.length);
  try {
    await staging.write(0, text(content));
    return await staging.publish(path, content.length, options);
  } catch (error) {
    await staging.close();
    await store.removeStaging(staging.id);
    throw error;
  }
}

export async function read(store: FileStore, path: string): Promise<string> {
  const file = await store.openRead(path);
  const into = Buffer.alloc(file.entry.size + 1);
  const length = await file.read(0, into);
  await file.close();
  assert.equal(file.entry.path, path);
  assert.equal(length, file.entry.size, 'the entry gives the size that can be read');
  return into.subarray(0, length).toString();
}

export const aFile = (path: string, content = 'content', rest: Partial<SmallEntry> = {}): SmallEntry => ({
  path,
  kind: 'file',
  bytes: text(content),
  ...rest,
});
export const aFolder = (path: string, rest: Partial<SmallEntry> = {}): SmallEntry => ({
  path,
  kind: 'folder',
  bytes: text(''),
  ...rest,
});
export const aLink = (path: string, target: string, rest: Partial<SmallEntry> = {}): SmallEntry => ({
  path,
  kind: 'link',
  bytes: text(''),
  target,
  ...rest,
});

/** Puts entries and expects all of them to arrive. */
export async function putAll(store: FileStore, ...entries: SmallEntry[]): Promise<Entry[]> {
  const results = await store.putMany(entries, 'always');
  for (const result of results) if (result instanceof Error) throw result;
  return results as Entry[];
}

export async function names(store: FileStore, path = '/', recursive = true): Promise<string[]> {
  const { entries, more } = await store.list(path, { limit: 10_000, recursive });
  assert.equal(more, false);
  return entries.map((entry) => entry.path);
}

export async function refuses(code: ErrorCode, action: Promise<unknown>, naming?: string): Promise<void> {
  await assert.rejects(action, (error: unknown) => {
    assert.ok(error instanceof HawserError, `a HawserError, not ${String(error)}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, /\.$/, 'a whole sentence');
    if (naming !== undefined) assert.ok(error.message.includes(naming), `${error.message} names ${naming}`);
    return true;
  });
}

export function codeOf(result: unknown): ErrorCode | 'stored' {
  return result instanceof HawserError ? result.code : 'stored';
}
