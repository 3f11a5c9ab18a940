/**
 * How requests reach a server. A transport moves requests; it knows nothing of files, and retries nothing: it classifies what
 * went wrong, and whoever asked decides.
 */

import type { LaneSnapshot } from '../core/lane/contract.ts';

export interface TransportRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  /** Percent-encoded path with its query, from the server's root: "/api/v1/…". */
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Bytes to send. A piece handed over by an iterable may be reused by its owner when the next one is asked for, so the
   * transport asks for the next only when the former has left for the socket (that is the back-pressure too).
   */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>;
  /** Required with an iterable whose length is known; without it the body is sent chunked. */
  readonly contentLength?: number;
  /**
   * Called when a body from an iterable begins to leave, with what says how many bytes that were taken from it the other machine does
   * not have yet, as far as this one knows.
   */
  readonly onSending?: (waitingBytes: () => number) => void;
  readonly signal?: AbortSignal;
  /** Nothing sent or received for so long is `stalled`. Default 20 000. */
  readonly stallMs?: number;
  /** How long to wait for the answer after the whole body has left. Default 60 000. */
  readonly answerMs?: number;
  /** About how many bytes of content the answer will have, where that is known: it helps to choose the way. */
  readonly answerBytes?: number;
}

export interface TransportResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  /** Must be read to its end or cancelled. A piece is valid until the next is asked for. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Drops what is left of the body, and the connection when that is cheaper than reading it. */
  cancel(): void;
}

export interface PathInfo {
  /** "https", "http", later "http3", "lane". */
  readonly transport: string;
  readonly remote: string;
  readonly httpVersion: string;
  readonly tls?: { readonly version: string; readonly cipher: string; readonly group: string; readonly fingerprint: string };
  /**
   * Smallest round trip seen: of a TCP connect, or of the lane's packets. Before the first connection what it was the last time, or
   * null.
   */
  readonly rttMs: number | null;
  /** The networks of this machine that HTTPS uses, when they were chosen. */
  readonly paths?: readonly NetworkPath[];
  /** What the lane measures, when requests go over one. */
  readonly lane?: LaneSnapshot;
  /** Why requests do not go over a lane though they might. */
  readonly laneRefused?: string;
  /** How late the lane's thread was at worst, of the last ten seconds or a little more. */
  readonly laneLagUs?: number;
  /** What the system's socket buffers lack for a fast lane, and what to do about it. */
  readonly laneHint?: string;
}

/** One of the networks that HTTPS requests are shared out to. */
export interface NetworkPath {
  /** Interface or address, as it was chosen. */
  readonly name: string;
  /** `standby`: metered, and not needed. `degraded`: it gives no sign at present. `failed`: it is tried again now and then. */
  readonly state: 'active' | 'standby' | 'degraded' | 'failed';
  readonly metered: boolean;
  readonly rttMs: number | null;
  /** Of content, both ways together, while there was any; null: none was moved. */
  readonly bytesPerSecond: number | null;
  /** Content. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

export interface Transport {
  /**
   * Resolves with the response head, whatever its status. Rejects with HawserError: unreachable (message says why: refused, no such host, reset …),
   * stalled, certificate_changed, certificate_untrusted, interrupted (signal), protocol_error. When the server answers before
   * the body is all sent (an early refusal), that answer is what the caller gets.
   */
  request(request: TransportRequest): Promise<TransportResponse>;
  info(): PathInfo;
  /**
   * Much is about to be moved: what takes a moment to set up and pays only then may be set up now. Where it resolves, the first word
   * is on its way then: what can be done while it is answered had better begin after it.
   */
  prepare?(): void | Promise<void>;
  /** Ends what is under way. Where there is somebody to tell, it resolves when that is done. */
  close(): void | Promise<void>;
}
