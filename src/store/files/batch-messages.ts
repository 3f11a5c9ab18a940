/** What the main thread and the worker threads say to each other about batches of small files. */
import type { ErrorCode } from '../../core/errors.ts';
import type { Border } from './border.ts';
import type { Attributes, Entry, EntryKind, Overwrite } from './contract.ts';

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

export type BatchRequest =
  | { readonly kind: 'put'; readonly entries: readonly BatchEntry[]; readonly content: Uint8Array; readonly overwrite: Overwrite }
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

export type PutAnswer = readonly (Entry | BatchError)[];

export type BatchReply =
  | { readonly id: number; readonly answer: PutAnswer | GetAnswer | boolean }
  | { readonly id: number; readonly error: BatchError };

export function isBatchError(result: Entry | BatchError): result is BatchError {
  return 'code' in result;
}
