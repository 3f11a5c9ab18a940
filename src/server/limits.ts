/** Every bound that the HTTP server keeps, in one table. `startServer` and `createApp` take a part of it to override. */

export interface Limits {
  /** Request line and headers of one request; more is 431. */
  readonly headerBytes: number;
  /** JSON bodies of most routes. */
  readonly jsonBytes: number;
  /** JSON bodies that list paths (packs/missing, packs/read). */
  readonly listJsonBytes: number;
  /** Nesting of JSON bodies. Ours need four levels; deep nesting costs memory out of proportion to its bytes. */
  readonly jsonDepth: number;
  /** From the connection, or the last answer's end, to the last header. */
  readonly headersMs: number;
  /** From the connection to the end of the TLS handshake. */
  readonly handshakeMs: number;
  /** A body of which nothing arrives for so long while somebody waits for it is request_timeout. */
  readonly bodyIdleMs: number;
  /** An answer of which nothing can be sent for so long is dropped with its connection. */
  readonly sendIdleMs: number;
  /** A connection without a request stays open so long. */
  readonly keepAliveMs: number;
  /** Connections at once; more are closed as they come. */
  readonly connections: number;
  /** HTTP/2: requests at once on one connection. */
  readonly streams: number;
  /** HTTP/2: bytes that may come in before they are read, of one request and of one connection. */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /** The rest of a refused body is read and dropped so far, so that the client sees the answer; then the connection closes. */
  readonly drainBytes: number;
  readonly drainMs: number;
  /** After close(), requests in flight have so long to end. */
  readonly closeMs: number;
  /** Of these, when all that came is safe: answers are under way, and clients that are gone take none. */
  readonly lastAnswersMs: number;
  /** Lanes at once, of all and of one token: each may hold 64 MiB and more while blocks are incomplete. */
  readonly lanes: number;
  readonly lanesPerOwner: number;
  /** Largest probe in either direction. */
  readonly probeBytes: number;
}

const MIB = 1 << 20;

export const DEFAULT_LIMITS: Limits = {
  headerBytes: 16_384,
  jsonBytes: MIB,
  listJsonBytes: 16 * MIB,
  jsonDepth: 16,
  headersMs: 10_000,
  handshakeMs: 10_000,
  bodyIdleMs: 30_000,
  sendIdleMs: 120_000,
  keepAliveMs: 75_000,
  connections: 1024,
  streams: 128,
  streamWindowBytes: 16 * MIB,
  connectionWindowBytes: 64 * MIB,
  drainBytes: 16 * MIB,
  drainMs: 5_000,
  closeMs: 9_000,
  lastAnswersMs: 3_000,
  lanes: 64,
  lanesPerOwner: 8,
  probeBytes: 64 * MIB,
};
