/**
 * The REST calls of docs/protocol/http.md as typed functions over a Transport: one request each, no retries, problem documents
 * turned into HawserError. put.ts and get.ts add the loops, the retries and the pauses.
 */
import type { LanePolicy } from '../core/lane/contract.ts';
import type { BlocksAccepted, FileInfo, PackResult, Slow, UploadStatus, VerifyResult } from '../engine/contract.ts';
import type { Overwrite } from '../store/files/contract.ts';
import type { Priority, Role, TransferKind, TransferState } from '../store/meta/contract.ts';
import type { Transport, TransportRequest } from '../transport/contract.ts';
import type { Suite } from '../transport/lane/keys.ts';
import type { Capabilities, LaneInfo, TokenInfo, TransferInfo, UploadInfo } from './contract.ts';

export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** Of a call that sends content. */
export interface SendOptions extends CallOptions {
  readonly onSending?: TransportRequest['onSending'];
}

/** A lane that the server made ready: send the first packet within its patience. */
export interface LaneGrant {
  readonly id: string;
  readonly suite: Suite;
  /** 32 bytes, hex. */
  readonly secret: string;
  readonly paths: number;
  readonly endpoints: LaneEndpoints;
  /** For the next one. An older server gives none. */
  readonly ticket?: LaneTicket;
}

/** A null host is that of the server's own address. */
export type LaneEndpoints = readonly { readonly host: string | null; readonly port: number }[];

/** To open a lane straight over UDP. */
export interface LaneTicket {
  /** The server's alone, base64url. */
  readonly ticket: string;
  /** 32 bytes, hex. */
  readonly secret: string;
  /** Milliseconds since 1970. */
  readonly expiresMs: number;
  /** The server takes `received` in a request for a lane; an older one refuses what it does not know. */
  readonly takesReceived: boolean;
}

/** What a welcome grants (docs/protocol/lane.md); its keys are not in it. */
export interface LaneWelcome extends Pick<LaneGrant, 'id' | 'suite' | 'paths'> {
  readonly ticket: LaneTicket;
}

/** A response body that carries a file's bytes. */
export interface FrameBody {
  readonly etag: string;
  readonly size: number;
  readonly version: string;
  readonly body: AsyncIterable<Uint8Array>;
  cancel(): void;
}

export interface Api {
  readonly transport: Transport;
  capabilities(options?: CallOptions): Promise<Capabilities>;
  whoami(options?: CallOptions): Promise<{ id: string; name: string; role: Role }>;
  health(options?: CallOptions): Promise<{ status: string; version: string }>;

  createTransfer(
    request: {
      kind: TransferKind;
      source: string;
      destination: string;
      priority: Priority;
      filesTotal: number | null;
      bytesTotal: number | null;
      /** Of this request: asked again with the same one, it begins nothing twice. */
      id?: string;
    },
    options?: CallOptions,
  ): Promise<TransferInfo>;
  listTransfers(options?: CallOptions & { state?: TransferState; limit?: number }): Promise<TransferInfo[]>;
  getTransfer(id: string, options?: CallOptions & { waitMs?: number; state?: TransferState }): Promise<TransferInfo>;
  changeTransfer(
    id: string,
    change: {
      filesTotal?: number;
      bytesTotal?: number;
      filesDone?: number;
      bytesDone?: number;
      state?: 'done' | 'failed';
      error?: string;
    },
    options?: CallOptions,
  ): Promise<TransferInfo>;
  controlTransfer(id: string, action: 'pause' | 'resume' | 'cancel', options?: CallOptions): Promise<TransferInfo>;

  createUpload(
    request: {
      path: string;
      size: number | null;
      mode?: number;
      mtimeNs?: bigint;
      transfer?: string;
      /** Instead of `transfer`: one for this file alone. */
      begin?: { source: string; destination: string; priority?: Priority };
      overwrite?: Overwrite;
      digest?: string;
      /**
       * Of this request, the same when it is asked again. A new upload gets it, so that blocks can be sent in the same round trip: the
       * answer says whether it did.
       */
      id?: string;
    },
    options?: CallOptions,
  ): Promise<Omit<UploadStatus, 'createdMs' | 'expiresMs'>>;
  listUploads(options?: CallOptions): Promise<UploadInfo[]>;
  getUpload(id: string, options?: CallOptions): Promise<Omit<UploadStatus, 'createdMs' | 'expiresMs'>>;
  /** Digest records as bytes; decode with src/core/wire/digest-records.ts. */
  uploadDigests(id: string, options?: CallOptions): Promise<Slow<Uint8Array>>;
  putBlocks(
    id: string,
    epoch: number,
    body: AsyncIterable<Uint8Array>,
    contentLength: number | undefined,
    /** `whenBegun`: the request that begins the upload is on its way, too. */
    options?: SendOptions & { whenBegun?: boolean },
  ): Promise<BlocksAccepted>;
  completeUpload(
    id: string,
    /** `endTransfer`: the file was all of its transfer. */
    request: { epoch: number; size: number; digest: string; endTransfer?: boolean; whenThere?: boolean },
    options?: CallOptions,
  ): Promise<Slow<FileInfo & { readonly transferEnded?: boolean }>>;
  /** `epoch`: only while it is the newest, so that a client that was taken over removes nothing. */
  removeUpload(id: string, options?: CallOptions & { epoch?: number }): Promise<void>;

  putPack(
    query: { transfer?: string; overwrite?: Overwrite },
    body: Uint8Array | AsyncIterable<Uint8Array>,
    contentLength: number,
    options?: SendOptions,
  ): Promise<PackResult>;
  missingEntries(
    entries: readonly { path: string; size: number; mtimeNs: bigint; digest?: string }[],
    options?: CallOptions,
  ): Promise<number[]>;
  readPack(paths: readonly string[], query: { transfer?: string }, options?: CallOptions): Promise<AsyncIterable<Uint8Array>>;

  /** Block frames of the bytes [start, end). */
  getFrames(
    path: string,
    query: { start: number; end: number; blockBytes: number; version?: string; transfer?: string },
    options?: CallOptions,
  ): Promise<FrameBody>;
  fileDigests(
    path: string,
    query: { blockBytes: number; version?: string; first: number; count: number },
    options?: CallOptions,
  ): Promise<Uint8Array>;

  stat(path: string, options?: CallOptions & { follow?: boolean }): Promise<FileInfo>;
  /** One page. */
  listPage(
    path: string,
    query: { recursive?: boolean; limit?: number; after?: string },
    options?: CallOptions,
  ): Promise<{ entries: FileInfo[]; next: string | null }>;
  digest(path: string, options?: CallOptions): Promise<Slow<FileInfo>>;
  verify(path: string, digest: string | undefined, options?: CallOptions): Promise<Slow<VerifyResult>>;
  makeFolder(path: string, attributes?: { mode?: number; mtimeNs?: bigint }, options?: CallOptions): Promise<FileInfo>;
  move(from: string, to: string, overwrite: 'always' | 'never', options?: CallOptions): Promise<FileInfo>;
  remove(path: string, query: { recursive: boolean }, options?: CallOptions): Promise<void>;

  openLane(
    request: {
      clientRandom: string;
      policy: LanePolicy['kind'];
      bytesPerSecond?: number;
      redundant?: boolean;
      paths: number;
      received?: { bytesPerSecond: number; rttUs: number };
    },
    options?: CallOptions,
  ): Promise<LaneGrant>;
  closeLane(id: string, options?: CallOptions): Promise<void>;
  listLanes(options?: CallOptions): Promise<LaneInfo[]>;
  laneTicket(options?: CallOptions): Promise<LaneTicket & { readonly endpoints: LaneEndpoints }>;

  createToken(
    request: { name: string; role: Role; expiresSeconds?: number },
    options?: CallOptions,
  ): Promise<TokenInfo & { token: string }>;
  listTokens(options?: CallOptions): Promise<TokenInfo[]>;
  removeToken(id: string, options?: CallOptions): Promise<void>;

  probeReceive(bytes: number, options?: CallOptions): Promise<{ bytes: number; ms: number }>;
  probeSend(bytes: number, options?: CallOptions): Promise<{ bytes: number; ms: number }>;
}
