/** Opens one connection: names looked up, TCP connected, TLS agreed, the server accepted. Nothing of a request is sent here. */
import type { Socket } from 'node:net';
import { connect as connectTcp } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { TLSSocket } from 'node:tls';
import { connect as connectTls } from 'node:tls';
import { HawserError } from '../core/errors.ts';
import type { Way } from './bound-socket.ts';
import type { PathInfo } from './contract.ts';
import { interrupted, isUnknownAuthority, networkFailure } from './failures.ts';
import { hedged } from './hedged.ts';
import type { LocalPath } from './local-paths.ts';
import type { Trust } from './trust.ts';
import { ALPN, fingerprintOf, serverName, withSystemStore } from './trust.ts';
import type { Watchdog } from './watchdog.ts';

export interface Dialer {
  /** Rejects with unreachable, stalled, certificate_changed, certificate_untrusted, protocol_error, interrupted. */
  dial(options: { stallMs: number; signal?: AbortSignal | undefined }): Promise<Socket>;
  /** Of the newest connection. */
  tls(): PathInfo['tls'];
  rttMs(): number | null;
}

interface DialOptions {
  readonly stallMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** host:port for people. */
  readonly where: string;
  /** Null for plain TCP. */
  readonly trust: Trust | null;
  readonly watchdog: Watchdog;
  /** The network of this machine to leave by. Default: as the system routes. */
  readonly from?: LocalPath | undefined;
}

export function createDialer({ host, port, where, trust: firstTrust, watchdog, from }: DialTarget): Dialer {
  let trust = firstTrust;
  let systemStoreTried = firstTrust?.usesDefaultStore !== true;
  let tls: PathInfo['tls'];
  let connectMs: number | null = null;
  /** From connected to agreed: one round trip, and what both ends reckon. */
  let agreeMs: number | null = null;
  /** The address family that worked: the next connection need not find out again that the other is broken. */
  let family: 4 | 6 | undefined;
  /** Newest ticket, so that the next handshake is shorter. Only from servers that were accepted. */
  let session: { readonly ticket: Buffer; readonly fingerprint: string } | undefined;

  async function dial(options: DialOptions): Promise<Socket> {
    try {
      return await tryBeside(options);
    } catch (error) {
      family = undefined;
      if (systemStoreTried || !trust || !(error instanceof HawserError) || !isUnknownAuthority(error)) throw error;
      systemStoreTried = true;
      trust = withSystemStore(trust);
      return tryBeside(options);
    }
  }

  /** A connection that is late gets others beside it. */
  function tryBeside(options: DialOptions): Promise<Socket> {
    const everyMs = Math.max(LATE_MS, LATE_ROUND_TRIPS * (connectMs ?? 0));
    const open = (signal: AbortSignal) => tryWays({ ...options, signal });
    const hedge = { everyMs, most: MOST_BESIDE, mayPass, again: false, signal: options.signal };
    return hedged(open, hedge, (late) => void late.destroy());
  }

  /** Without a network to leave by, Node tries the host's addresses itself. */
  async function tryWays(options: DialOptions): Promise<Socket> {
    if (!from) return attempt(options, () => (trust ? openTls(trust, address()) : connectTcp(address())));
    // Most transports leave by no network in particular, and need none of this.
    const { connectBy, waysFrom } = await import('./bound-socket.ts');
    const ways = await waysFrom(from, host, family).catch((error: unknown) => {
      throw networkFailure(error, where, 'while connecting');
    });
    for (const [index, way] of ways.entries()) {
      const isLast = index === ways.length - 1;
      const stallMs = isLast ? options.stallMs : Math.min(options.stallMs, FAMILY_ATTEMPT_MS);
      try {
        return await attempt({ ...options, stallMs }, () => openBy(connectBy, way));
      } catch (error) {
        if (isLast || !(error instanceof HawserError) || !WORTH_ANOTHER_WAY.has(error.code)) throw error;
      }
    }
    throw new HawserError('unreachable', `There is no way to ${where}.`, { value: where });
  }

  function openBy(connectBy: (way: Way, port: number) => Socket, way: Way): Socket {
    const socket = connectBy(way, port);
    if (!trust) return socket;
    const secure = openTls(trust, { socket });
    socket.on('error', (error) => secure.destroy(error));
    return secure;
  }

  function attempt({ stallMs, signal }: DialOptions, open: () => Socket): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = open();
      let startedMs = performance.now();
      let connectedMs = startedMs;
      const unwatch = watchdog.watch({
        progress: () => socket.bytesRead,
        allowedMs: () => stallMs,
        expire: (silentMs) => fail(new HawserError('stalled', silent(where, silentMs), { value: where })),
        fail,
      });
      function settle(): void {
        unwatch();
        signal?.removeEventListener('abort', onAbort);
        socket.off('error', onError);
        socket.off('close', onClose);
      }
      function fail(error: HawserError): void {
        settle();
        // A late error of a connection that was given up is nobody's business.
        socket.on('error', () => {});
        socket.destroy();
        reject(error);
      }
      const onAbort = (): void => fail(interrupted(signal));
      const onError = (error: Error): void => fail(networkFailure(error, where, 'while connecting'));
      const onClose = (): void => onError(Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
      signal?.addEventListener('abort', onAbort);
      socket.on('error', onError);
      socket.on('close', onClose);
      socket.on('connectionAttempt', () => {
        startedMs = performance.now();
      });
      socket.once('connect', () => {
        connectedMs = performance.now();
        connectMs = Math.min(connectMs ?? Infinity, connectedMs - startedMs);
        family = socket.remoteFamily === 'IPv6' ? 6 : 4;
        socket.setKeepAlive(true, TCP_KEEP_ALIVE_MS);
        if (!trust) done();
      });
      socket.once('secureConnect', () => {
        const secure = socket as TLSSocket;
        // A resumed handshake shows no certificate: that it succeeds proves that this is the server that gave the ticket.
        const fingerprint = secure.isSessionReused() && session ? session.fingerprint : fingerprintOf(secure);
        const refused = trust?.check(fingerprint, where);
        if (refused) {
          fail(refused);
          return;
        }
        agreeMs = Math.min(agreeMs ?? Infinity, performance.now() - connectedMs);
        tls = tlsInfo(secure, fingerprint);
        secure.on('session', (ticket: Buffer) => {
          session = { ticket, fingerprint };
        });
        done();
      });
      function done(): void {
        settle();
        resolve(socket);
      }
      if (signal?.aborted) onAbort();
    });
  }

  function openTls(by: Trust, to: { socket: Socket } | ReturnType<typeof address>): TLSSocket {
    return connectTls({
      ...to,
      ...serverName(host),
      secureContext: by.context,
      rejectUnauthorized: by.verify,
      ALPNProtocols: ALPN,
      ...(session ? { session: session.ticket } : {}),
    });
  }

  function address() {
    return {
      host,
      port,
      noDelay: true,
      ...(family ? { family } : { autoSelectFamilyAttemptTimeout: FAMILY_ATTEMPT_MS }),
    };
  }

  /** Proxies that speed TCP up (satellites have them) answer in the server's place; to TLS only the server can answer. */
  function rttMs(): number | null {
    const isSplit = agreeMs !== null && connectMs !== null && agreeMs > Math.max(SPLIT_MS, 10 * connectMs);
    return isSplit ? agreeMs : connectMs;
  }

  return { dial, tls: () => tls, rttMs };
}

function tlsInfo(socket: TLSSocket, known: string): NonNullable<PathInfo['tls']> {
  const key = socket.getEphemeralKeyInfo();
  return {
    version: socket.getProtocol() ?? '',
    cipher: socket.getCipher().standardName,
    group: key && 'name' in key && typeof key.name === 'string' ? key.name : '',
    fingerprint: fingerprintOf(socket) || known,
  };
}

const silent = (where: string, silentMs: number): string =>
  `${where} gave no sign for ${(silentMs / 1000).toFixed(1)} s while connecting.`;

/** Silence that was long enough for the first is the end of all: those beside it have heard nothing either. */
const mayPass = (error: unknown): boolean => error instanceof HawserError && error.facts.retry && error.code !== 'stalled';

/** Node's default of a quarter of a second gives up on every address of a satellite link (600 ms and more). */
const FAMILY_ATTEMPT_MS = 2500;
/** Longer than a connection takes where nothing is lost, but by satellite. */
const LATE_MS = 1000;
const LATE_ROUND_TRIPS = 5;
const MOST_BESIDE = 6;
/** More than a loaded machine takes for a handshake. */
const SPLIT_MS = 100;
const TCP_KEEP_ALIVE_MS = 15_000;
const WORTH_ANOTHER_WAY: ReadonlySet<string> = new Set(['unreachable', 'stalled']);
