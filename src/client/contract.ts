/**
 * The library that people import, and the only thing the command line talks to.
 *
 * @example
 * const client = createClient({ url: 'https://localhost:7420', token, fingerprint });
 * await client.put(['footage.mxf'], '/incoming/', { onEvent: (event) => console.log(event) });
 */
import type { FileInfo, VerifyResult } from '../engine/contract.ts';
import type { Overwrite } from '../store/files/contract.ts';
import type { Priority, Role, TransferKind, TransferState } from '../store/meta/contract.ts';
import type { PathInfo } from '../transport/contract.ts';
import type { LaneWishes } from './lane.ts';

export type { PathInfo } from '../transport/contract.ts';

export interface ClientOptions {
  /** "https://host:port", with an optional prefix path when the server sits behind a proxy. "http://" works too, unencrypted. */
  readonly url: string;
  readonly token?: string;
  /** SHA-256 of the server's certificate, hex with or without colons: trusted because it was pinned. */
  readonly fingerprint?: string;
  /** PEM of the authority that signed the server's certificate. Without it and without `fingerprint`: the system's. */
  readonly caCert?: string;
  /** Accept any certificate. Default false. */
  readonly insecure?: boolean;
  /** Most connections at once. Default 16. */
  readonly connections?: number;
  /**
   * `auto` (default) begins on HTTPS, or on the lane where one opened before; opens a lane where the server is not next door, and
   * goes on over the faster of the two; `https` uses nothing else; `lane` fails where there is no lane.
   */
  readonly transport?: 'auto' | 'https' | 'lane';
  readonly lane?: Omit<LaneWishes, 'paths'>;
  /**
   * Networks of this machine to use at once, by the names of their interfaces or by their addresses: "eth0", "192.0.2.7"; "!wlan0"
   * for all but that, "wwan0:metered" for one that is only used while no other works. Default: as the system routes.
   */
  readonly paths?: readonly string[];
  /**
   * Where what was learnt of lanes is kept, so that the next one opens in one round trip and begins at a good rate. It holds
   * secrets, readable by its owner alone. Default: $XDG_STATE_HOME/hawser, or ~/.local/state/hawser; null: nothing is kept.
   */
  readonly stateFolder?: string | null;
}

export interface Capabilities {
  readonly version: string;
  readonly protocols: readonly number[];
  readonly features: readonly string[];
  readonly transports: readonly { readonly name: string }[];
  readonly digests: readonly string[];
  readonly blockBytes: { readonly min: number; readonly max: number };
  readonly chunkBytes: { readonly min: number; readonly max: number };
  readonly packBytes: number;
  readonly packEntries: number;
  readonly smallFileBytes: number;
}

export interface TransferOptions {
  /** Requests in flight. Default: found by measurement, 1 to 16. */
  readonly parallel?: number;
  /** Bytes per request. Default: adaptive, 64 KiB to 16 MiB. */
  readonly chunkBytes?: number;
  readonly priority?: Priority;
  readonly limitRateBytesPerSecond?: number;
  /** Keep mode and mtime. Default true. */
  readonly preserve?: boolean;
  /** Globs matched against the path below each source, and against each name. */
  readonly exclude?: readonly string[];
  readonly overwrite?: Overwrite;
  /** Follow links to what they point to. Default false: links are kept as links. */
  readonly follow?: boolean;
  /** Consecutive failures without any progress before giving up. Default 60 (about a quarter of an hour); 5 before the first contact. */
  readonly retries?: number;
  /** Aborting stops cleanly: state is kept, and the promise rejects with `interrupted`. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: TransferEvent) => void;
  /** Folder for the client's own state (digest cache). Default: the user's state folder. */
  readonly stateFolder?: string;
}

export type TransferEvent =
  | {
      readonly type: 'start';
      readonly transfer: string;
      readonly kind: TransferKind;
      readonly source: string;
      readonly destination: string;
    }
  /** At most ten a second. Totals grow while folders are being read; `totalKnown` says when they are final. */
  | {
      readonly type: 'progress';
      readonly transfer: string;
      /** Safe at the receiver. */
      readonly bytesDone: number;
      /**
       * Beside them: sent, not yet known to be safe, and in the receiver's hands as far as this end knows. The sum of both does not
       * fall, unless a file turned out to be another or was given up. Of a download 0.
       */
      readonly bytesUnderway: number;
      readonly bytesTotal: number;
      readonly filesDone: number;
      readonly filesTotal: number;
      readonly totalKnown: boolean;
      /** Mean of the last seconds. */
      readonly bytesPerSecond: number;
      readonly etaMs: number | null;
      readonly path: PathInfo;
      readonly streams: number;
      readonly chunkBytes: number;
      /** File that moves now. */
      readonly current: string;
    }
  /** `skipped`: already there. `deduplicated`: the server made it from a copy it had. */
  | {
      readonly type: 'file';
      readonly path: string;
      readonly size: number;
      readonly digest: string | null;
      readonly outcome: 'done' | 'skipped' | 'deduplicated' | 'failed';
      readonly code?: string;
      readonly message?: string;
    }
  /** Something a person should know: a retry and its reason, a pause, a source that changed. */
  | { readonly type: 'notice'; readonly code: string; readonly message: string; readonly retryInMs?: number }
  | { readonly type: 'done'; readonly summary: TransferSummary };

export interface TransferSummary {
  readonly transfer: string;
  readonly filesDone: number;
  readonly filesSkipped: number;
  readonly filesFailed: number;
  /** Content bytes of the files that are now at the receiver. */
  readonly bytesDone: number;
  /** Content bytes that crossed the network, repeats included. */
  readonly bytesSent: number;
  readonly elapsedMs: number;
  /** Of each failed file. */
  readonly failures: readonly { readonly path: string; readonly code: string; readonly message: string }[];
  /** Where it went: the remote path of each source (put), or the local one (get). */
  readonly targets: readonly string[];
}

export interface TransferInfo {
  readonly id: string;
  readonly kind: TransferKind;
  readonly state: TransferState;
  readonly priority: Priority;
  readonly owner: string;
  readonly source: string;
  readonly destination: string;
  readonly filesTotal: number | null;
  readonly bytesTotal: number | null;
  readonly filesDone: number;
  readonly bytesDone: number;
  /** RFC 3339. */
  readonly created: string;
  readonly updated: string;
  readonly ended: string | null;
  readonly error: string | null;
}

export interface UploadInfo {
  readonly id: string;
  readonly path: string;
  readonly size: number | null;
  readonly safeBytes: number;
  readonly transfer: string | null;
  readonly created: string;
  readonly expires: string;
}

/** A lane that is open to the server, as the server's end sees it. */
export interface LaneInfo {
  readonly id: string;
  /** The token's id. */
  readonly owner: string;
  readonly opened: string;
  readonly policy: string;
  /** What keeps the server from sending faster; null: nothing is known yet. */
  readonly limitedBy: string | null;
  readonly paths: readonly LanePathInfo[];
}

/** `sent` is from the server to the client. */
export interface LanePathInfo {
  readonly id: number;
  /** Where the client is, address and port; null: it is not known, or the server is too old to say. */
  readonly address: string | null;
  /** `opening`, `active`, `standby`, `degraded`, `failed`. */
  readonly state: string;
  /** Now, queues included. */
  readonly rttMs: number;
  readonly sentBytes: number;
  readonly sentBytesPerSecond: number;
  /** Lost lately of what was sent, 0 to 1. */
  readonly sentLossRate: number;
  readonly receivedBytes: number;
  readonly receivedBytesPerSecond: number;
  /** Lost of what the client sent, since the path began, 0 to 1. */
  readonly receivedLossRate: number;
}

export interface TokenInfo {
  readonly id: string;
  readonly name: string;
  readonly role: Role;
  readonly created: string;
  readonly expires: string | null;
}

export type Progress = (done: number, total: number) => void;

/** Where `put` reads from: local paths, or one stream of unknown length. */
export type PutSource = string | AsyncIterable<Uint8Array>;

export interface Client {
  capabilities(): Promise<Capabilities>;
  /**
   * Gets a ticket, so that the next lane to this server opens straight over UDP. Every lane that opens leaves one as well. Rejects
   * with `route_not_found` (the server is too old) and lane_unavailable.
   */
  rememberLane(): Promise<void>;
  /** Throws away what was learnt of lanes to this server, its ticket too. */
  forgetLane(): void;
  whoami(): Promise<{ id: string; name: string; role: Role }>;
  info(): PathInfo;

  /** `sources`: local files and folders, or a single stream. `destination`: an existing folder, a path with a trailing slash (made when missing), or the new name when there is one source. */
  put(sources: readonly PutSource[], destination: string, options?: TransferOptions): Promise<TransferSummary>;
  /** `destination`: a local path by the same rules, or a writer for streaming out one file in order. */
  get(
    sources: readonly string[],
    destination: string | ((bytes: Uint8Array) => Promise<void>),
    options?: TransferOptions,
  ): Promise<TransferSummary>;

  stat(path: string, options?: { follow?: boolean }): Promise<FileInfo>;
  list(path: string, options?: { recursive?: boolean }): AsyncIterable<FileInfo>;
  makeFolder(path: string): Promise<FileInfo>;
  move(from: string, to: string, options?: { overwrite?: boolean }): Promise<FileInfo>;
  remove(path: string, options?: { recursive?: boolean }): Promise<void>;
  /** The whole-file digest, waiting while the server computes it. */
  digest(path: string, onProgress?: Progress): Promise<FileInfo>;
  verify(path: string, digest?: string, onProgress?: Progress): Promise<VerifyResult>;

  listTransfers(options?: { state?: TransferState; limit?: number }): Promise<TransferInfo[]>;
  getTransfer(id: string): Promise<TransferInfo>;
  pause(id: string): Promise<TransferInfo>;
  resume(id: string): Promise<TransferInfo>;
  cancel(id: string): Promise<TransferInfo>;
  listUploads(): Promise<UploadInfo[]>;
  /** Open lanes: one's own, an administrator all. */
  listLanes(): Promise<LaneInfo[]>;

  createToken(options: { name: string; role: Role; expiresSeconds?: number }): Promise<TokenInfo & { token: string }>;
  listTokens(): Promise<TokenInfo[]>;
  removeToken(id: string): Promise<void>;

  /** Round trip and speed of the path, for `hawser doctor`: bounded in bytes and time. */
  probe(options?: { bytes?: number; signal?: AbortSignal }): Promise<{
    rttMs: { min: number; median: number; samples: number };
    sendBytesPerSecond: number;
    receiveBytesPerSecond: number;
  }>;
  /** Ends what is under way. Resolves when the server knows, or soon without: waiting for it only frees things there sooner. */
  close(): Promise<void>;
}
