/**
 * The engine: the one door that every protocol goes through. Whatever a route, tus, SFTP or the lane wants done with files
 * is a method here, so that permissions, limits, overwrite rules, digests and records hold on all of them.
 *
 * Every method takes the Principal who asks and throws HawserError. Paths are raw strings from outside: the engine parses them
 * (src/core/path.ts), so no caller can forget to.
 */
import type { HawserError } from '../core/errors.ts';
import type { Entry, EntryKind, Overwrite } from '../store/files/contract.ts';
import type { Priority, Role, TransferKind, TransferRecord, TransferState } from '../store/meta/contract.ts';

export interface Principal {
  /** Token id. */
  readonly id: string;
  readonly name: string;
  readonly role: Role;
}

/** What a permission check is about. `manage` is other people's transfers, and tokens. */
export type Action = 'read' | 'write' | 'manage';

export interface FileInfo extends Entry {
  /** Hex BLAKE3, or null when this version of the file has not been hashed. */
  readonly digest: string | null;
  /** Strong ETag with its quotes; null for folders and links. */
  readonly etag: string | null;
}

export interface UploadRequest {
  readonly path: string;
  readonly size: number | null;
  readonly mode?: number;
  readonly mtimeNs?: bigint;
  readonly transfer?: string;
  /** Instead of `transfer`: one for this file alone begins with it. */
  readonly begin?: Pick<TransferRequest, 'source' | 'destination' | 'priority'>;
  readonly overwrite?: Overwrite;
  readonly digest?: string;
  /**
   * Of this request, chosen by the client: 20 characters as of `randomId`. A new upload gets it, unless it is taken. The same request
   * asked again, for its answer was lost or is late, has the same one, and gets the same answer.
   */
  readonly id?: string;
}

export interface UploadStatus {
  readonly id: string;
  readonly path: string;
  readonly size: number | null;
  readonly blockBytes: number;
  readonly epoch: number;
  readonly state: 'receiving' | 'done';
  readonly transfer: string | null;
  readonly safeBytes: number;
  /** Byte ranges [start, end) that are safe, ascending. */
  readonly safe: readonly (readonly [number, number])[];
  readonly digest: string | null;
  readonly deduplicated: boolean;
  /** An earlier unfinished upload goes on. */
  readonly resumed: boolean;
  readonly createdMs: number;
  readonly expiresMs: number;
}

/** Answer of an operation that may take longer than a request should: ask again with the same arguments. */
export type Slow<T> =
  | { readonly done: true; readonly value: T }
  | { readonly done: false; readonly hashedBytes: number; readonly size: number };

/** Bytes as they come from a socket: any sizes, each valid until the next is asked for. */
export interface ByteSource extends AsyncIterable<Uint8Array> {
  /**
   * The same bytes straight into the reader's memory, where the source can do that; null where it cannot, and then it is read as an
   * iterable. Resolves at the end; rejects with the source's error, or with what the sink threw.
   */
  pour?(sink: ByteSink): Promise<void> | null;
}

/** Takes bytes into memory of its own. */
export interface ByteSink {
  /** Where the next bytes are to go: never empty. Asked again after each `take`. */
  room(): Uint8Array;
  /** So many bytes are at the start of what `room` gave last. A promise asks to wait; what is on its way may still come. */
  take(bytes: number): Promise<void> | undefined;
}

export interface BlocksAccepted {
  readonly accepted: number;
  readonly safeBytes: number;
}

export interface PackResult {
  readonly stored: number;
  readonly bytes: number;
  readonly failed: readonly { readonly index: number; readonly path: string; readonly code: string; readonly detail: string }[];
}

export interface VerifyResult {
  readonly path: string;
  readonly size: number;
  readonly digest: string;
  readonly recorded: string | null;
  readonly expected: string | null;
  readonly matches: boolean;
}

export interface OpenedFile {
  readonly info: FileInfo;
  /**
   * The bytes [start, end) in pieces of at most 1 MiB. Each piece is only valid until the next is asked for, unless the caller
   * passes `fresh`. Ends early with `changed` when the file is no longer what was opened.
   */
  read(start: number, end: number, options?: { fresh?: boolean }): AsyncGenerator<Uint8Array, void, undefined>;
  /** The same bytes as block frames (docs/protocol/http.md): start is a multiple of blockBytes. */
  frames(start: number, end: number, blockBytes: number): AsyncGenerator<Uint8Array, void, undefined>;
  close(): Promise<void>;
}

export interface TransferRequest {
  readonly kind: TransferKind;
  readonly source: string;
  readonly destination: string;
  readonly priority?: Priority;
  readonly filesTotal?: number | null;
  readonly bytesTotal?: number | null;
  /** Chosen by who asks, 10 characters of a to z and 2 to 7: asked again with the same one, it is the same transfer. */
  readonly id?: string;
}

export interface TransferChange {
  readonly filesTotal?: number | null;
  readonly bytesTotal?: number | null;
  readonly filesDone?: number;
  readonly bytesDone?: number;
  readonly state?: 'done' | 'failed';
  readonly error?: string | null;
}

export interface Engine {
  /** Picks up after a crash: finishes half-done publishes, frees staging that nobody owns. Call once before serving. */
  recover(): Promise<void>;
  /** Expires abandoned uploads and old records; call now and then. Returns how many uploads were freed. */
  sweep(): Promise<number>;
  /** From now on new data is refused with shutting_down; resolves when all that was in flight is safe. */
  drain(): Promise<void>;

  createTransfer(who: Principal, request: TransferRequest): Promise<TransferRecord>;
  getTransfer(who: Principal, id: string): Promise<TransferRecord>;
  /** Resolves when the state differs from `state`, after `waitMs`, or when `signal` aborts. */
  waitTransfer(who: Principal, id: string, state: TransferState, waitMs: number, signal?: AbortSignal): Promise<TransferRecord>;
  listTransfers(
    who: Principal,
    options: { limit: number; state?: TransferState; before?: { createdMs: number; id: string } },
  ): Promise<TransferRecord[]>;
  changeTransfer(who: Principal, id: string, change: TransferChange): Promise<TransferRecord>;
  pauseTransfer(who: Principal, id: string): Promise<TransferRecord>;
  resumeTransfer(who: Principal, id: string): Promise<TransferRecord>;
  cancelTransfer(who: Principal, id: string): Promise<TransferRecord>;

  createUpload(who: Principal, request: UploadRequest): Promise<UploadStatus>;
  getUpload(who: Principal, id: string): Promise<UploadStatus>;
  listUploads(who: Principal, options: { limit: number; after?: string }): Promise<UploadStatus[]>;
  /** Digest records of all safe blocks, as the wire has them; those that nobody has computed yet are computed from the disk. */
  uploadDigests(who: Principal, id: string): Promise<Slow<Uint8Array>>;
  /**
   * Reads block frames until the source ends; resolves when all of them are safe. What was whole before an error is kept.
   * `onInterrupted` is called when the source is to stop at once, with the reason: a newer client, a cancel, a shutdown.
   * `whenBegun`: an upload that is not there yet is waited for, 3 s at most.
   */
  receiveBlocks(
    who: Principal,
    id: string,
    epoch: number,
    body: ByteSource,
    onInterrupted?: (why: HawserError) => void,
    options?: { whenBegun?: boolean },
  ): Promise<BlocksAccepted>;
  completeUpload(
    who: Principal,
    id: string,
    /** `whenThere`: blocks that are still on their way are waited for, as long as they come. */
    request: { epoch: number; size: number; digest: string; whenThere?: boolean },
  ): Promise<Slow<FileInfo>>;
  /** `epoch`: only while it is the newest (`superseded` otherwise). */
  removeUpload(who: Principal, id: string, epoch?: number): Promise<void>;
  /** The plain way: the whole content as one stream; `expected` digests are verified before it is published. */
  putFile(
    who: Principal,
    request: UploadRequest,
    body: ByteSource,
    expected: { sha256?: Uint8Array; blake3?: string },
  ): Promise<{ info: FileInfo; created: boolean }>;

  receivePack(who: Principal, options: { transfer?: string; overwrite?: Overwrite }, body: ByteSource): Promise<PackResult>;
  missingEntries(
    who: Principal,
    entries: readonly { path: string; size: number; mtimeNs: bigint; digest?: string }[],
  ): Promise<number[]>;
  readPack(who: Principal, options: { transfer?: string }, paths: readonly string[]): AsyncGenerator<Uint8Array, void, undefined>;

  stat(who: Principal, path: string, options?: { follow?: boolean }): Promise<FileInfo>;
  list(
    who: Principal,
    path: string,
    options: { limit: number; after?: string; recursive?: boolean },
  ): Promise<{ entries: FileInfo[]; more: boolean }>;
  /** `version`: `changed` when the file is no longer this one. */
  open(who: Principal, path: string, options?: { transfer?: string; version?: string }): Promise<OpenedFile>;
  fileDigests(
    who: Principal,
    path: string,
    options: { blockBytes: number; version?: string; first: number; count: number },
  ): Promise<Uint8Array>;
  digest(who: Principal, path: string): Promise<Slow<FileInfo>>;
  verify(who: Principal, path: string, expected: string | null): Promise<Slow<VerifyResult>>;
  makeFolder(
    who: Principal,
    path: string,
    attributes: { mode?: number; mtimeNs?: bigint },
  ): Promise<{ info: FileInfo; created: boolean }>;
  move(who: Principal, from: string, to: string, overwrite: 'always' | 'never'): Promise<FileInfo>;
  remove(who: Principal, path: string, options: { recursive: boolean }): Promise<void>;
}

/** Re-exported so that protocols need only this file. */
export type { Entry, EntryKind, Overwrite };
