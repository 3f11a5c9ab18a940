/** What the main thread and the worker threads say to each other about batches of small files. */
import type { ErrorCode } from '../../core/errors.ts';
import type { Border } from './border.ts';
import type { Attributes, Entry, EntryKind, Overwrite, SmallEntry } from './contract.ts';

/** Given to a worker when it starts. */
export interface BatchSetup {
  readonly border: Border;
  /** The staging folder. */
  readonly staging: string;
}

/** A small entry whose bytes are [start, end) of the batch's content. */
export interface BatchEntry extends Attributes {
  readonly path: string;
  readonly kind: EntryKind;
  readonly start: number;
  readonly end: number;
  readonly target?: string;
}

/** Entries as columns: an object for each would cost more on the way between threads than the files do. */
export interface EntryColumns {
  readonly paths: readonly string[];
  /** KINDS by index, HAS_MODE, HAS_MTIME. */
  readonly flags: Uint8Array;
  readonly modes: Uint16Array;
  readonly mtimesNs: BigInt64Array;
  readonly ends: Uint32Array;
  readonly starts: Uint32Array;
  /** By index; most batches have none. */
  readonly targets: ReadonlyMap<number, string> | null;
}

export type BatchRequest =
  | { readonly kind: 'put'; readonly entries: EntryColumns; readonly content: Uint8Array; readonly overwrite: Overwrite }
  | { readonly kind: 'get'; readonly paths: readonly string[]; readonly maxBytes: number }
  | { readonly kind: 'rename'; readonly from: string | Uint8Array; readonly to: string | Uint8Array };

/** A HawserError as plain data: classes do not survive the way between threads. */
export interface BatchError {
  readonly code: ErrorCode;
  readonly message: string;
}

/** Files read: the bytes of the n-th successful one follow those of the one before in `content`. */
export interface GetAnswer {
  readonly results: readonly (Entry | BatchError)[];
  readonly content: Uint8Array<ArrayBuffer>;
}

/** Entries put, as columns; what the request says of them is not repeated. */
export interface PutAnswer {
  readonly versions: readonly string[];
  readonly modes: Uint16Array;
  readonly mtimesNs: BigInt64Array;
  /** Of those that failed, by index. */
  readonly errors: ReadonlyMap<number, BatchError> | null;
}

export type BatchReply =
  | { readonly id: number; readonly answer: PutAnswer | GetAnswer | boolean }
  | { readonly id: number; readonly error: BatchError };

export function isBatchError(result: Entry | BatchError): result is BatchError {
  return 'code' in result;
}

/** `startOf` says where the content of an entry begins. */
export function toColumns(entries: readonly SmallEntry[], startOf: (index: number) => number): EntryColumns {
  const count = entries.length;
  const columns = {
    paths: new Array<string>(count),
    flags: new Uint8Array(count),
    modes: new Uint16Array(count),
    mtimesNs: new BigInt64Array(count),
    starts: new Uint32Array(count),
    ends: new Uint32Array(count),
  };
  let targets: Map<number, string> | null = null;
  for (let i = 0; i < count; i++) {
    const { path, kind, mode, mtimeNs, target, bytes } = entries[i]!;
    columns.paths[i] = path;
    columns.flags[i] = KINDS.indexOf(kind) | (mode === undefined ? 0 : HAS_MODE) | (mtimeNs === undefined ? 0 : HAS_MTIME);
    if (mode !== undefined) columns.modes[i] = mode;
    if (mtimeNs !== undefined) columns.mtimesNs[i] = mtimeNs;
    columns.starts[i] = startOf(i);
    columns.ends[i] = columns.starts[i]! + bytes.length;
    if (target === undefined) continue;
    targets ??= new Map();
    targets.set(i, target);
  }
  return { ...columns, targets };
}

export function fromColumns(columns: EntryColumns): BatchEntry[] {
  return columns.paths.map((path, i) => {
    const flags = columns.flags[i]!;
    const target = columns.targets?.get(i);
    const entry: { -readonly [K in keyof BatchEntry]: BatchEntry[K] } = {
      path,
      kind: KINDS[flags & KIND_MASK]!,
      start: columns.starts[i]!,
      end: columns.ends[i]!,
    };
    if ((flags & HAS_MODE) !== 0) entry.mode = columns.modes[i]!;
    if ((flags & HAS_MTIME) !== 0) entry.mtimeNs = columns.mtimesNs[i]!;
    if (target !== undefined) entry.target = target;
    return entry;
  });
}

export function toAnswer(results: readonly (Entry | BatchError)[]): PutAnswer {
  const count = results.length;
  const answer = {
    versions: new Array<string>(count).fill(''),
    modes: new Uint16Array(count),
    mtimesNs: new BigInt64Array(count),
  };
  let errors: Map<number, BatchError> | null = null;
  for (let i = 0; i < count; i++) {
    const result = results[i]!;
    if (isBatchError(result)) {
      errors ??= new Map();
      errors.set(i, result);
      continue;
    }
    answer.versions[i] = result.version;
    answer.modes[i] = result.mode;
    answer.mtimesNs[i] = result.mtimeNs;
  }
  return { ...answer, errors };
}

/** What became of the n-th of the entries that were asked for. */
export function resultAt(answer: PutAnswer, i: number, asked: SmallEntry): Entry | BatchError {
  const error = answer.errors?.get(i);
  if (error !== undefined) return error;
  const entry: Entry = {
    path: asked.path,
    kind: asked.kind,
    size: asked.kind === 'file' ? asked.bytes.length : 0,
    mode: answer.modes[i]!,
    mtimeNs: answer.mtimesNs[i]!,
    version: answer.versions[i]!,
  };
  return asked.target === undefined || asked.kind !== 'link' ? entry : { ...entry, target: asked.target };
}

const KINDS: readonly EntryKind[] = ['file', 'folder', 'link'];
const KIND_MASK = 3;
const HAS_MODE = 4;
const HAS_MTIME = 8;
