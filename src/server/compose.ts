/** A whole server: the one file that names concrete stores. */
import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { HawserError } from '../core/errors.ts';
import type { LanePolicy } from '../core/lane/contract.ts';
import { createEngine } from '../engine/engine.ts';
import { openFileSystemStore } from '../store/files/filesystem.ts';
import type { MetaStore } from '../store/meta/contract.ts';
import { openSqliteMeta } from '../store/meta/sqlite.ts';
import { createApp } from './app.ts';
import { type Auth, createAuth, makeToken } from './auth.ts';
import { loadCertificate, loadOrCreateCertificate, writePrivate } from './certificate.ts';
import { openTicketSource } from './lane-tickets.ts';
import { createLanes, type LaneGrant, type LaneSettings, type Lanes } from './lanes.ts';
import { DEFAULT_LIMITS, type Limits } from './limits.ts';
import { listen } from './listen.ts';
import { lockState } from './lock.ts';
import { VERSION } from './version.ts';

export type LogLevel = 'silent' | 'error' | 'warn' | 'info' | 'debug';

export interface ServerOptions {
  /** The folder to serve; made when it is not there. */
  readonly dir: string;
  /** Default 127.0.0.1, port 7420. Port 0: the system chooses. */
  readonly listen?: { readonly host?: string; readonly port?: number };
  /** HTTP in the clear, for a proxy in front that ends TLS. Default false. */
  readonly plainHttp?: boolean;
  /** PEM files of the operator's own certificate. Default: one is made at the first start and kept. */
  readonly tlsKey?: string;
  readonly tlsCert?: string;
  /** Names and addresses for the certificate that is made, beside localhost and this machine's name. */
  readonly names?: readonly string[];
  /** Folder for Hawser's own state. Default: DIR/.hawser. On the same file system as `dir`, or arrivals are copied. */
  readonly state?: string;
  /** Default 'info': a line a request, as JSON on standard error. */
  readonly logLevel?: LogLevel;
  /** The UDP port of the lane. Default: the same number as `listen.port`; null: no lane. It needs TLS, which hands out its keys. */
  readonly lanePort?: number | null;
  /** Where clients should send to instead of the address that they asked: behind NAT, or on several networks. */
  readonly laneAdvertise?: LaneGrant['endpoints'];
  /** Policies that clients may not ask for. Default: high and fixed. */
  readonly laneForbid?: readonly LanePolicy['kind'][];
  /** Folder for a file of each lane with what this end decides and why; made when it is not there. Default: none is written. */
  readonly laneTrace?: string;
  /** Bounds that differ from limits.ts. */
  readonly limits?: Partial<Limits>;
}

export interface RunningServer {
  readonly url: string;
  readonly port: number;
  /** SHA-256 of the certificate, hex; null in the clear. */
  readonly fingerprint: string | null;
  /** Only at the first start, when it was made. */
  readonly adminToken: string | null;
  readonly adminTokenFile: string;
  /** Lets what is in flight become safe and end, for at most nine seconds, then ends it. */
  close(): Promise<void>;
}

/** Resolves when connections are accepted. Errors: usage (folder taken, port taken, certificate unusable), io_error. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const { dir, state = join(dir, '.hawser'), plainHttp = false } = options;
  await makeFolder(dir, 0o755);
  await makeFolder(state, 0o700);
  // What was opened is closed in reverse, also when a later step fails.
  const closers: (() => void | Promise<void>)[] = [];
  const closeAll = async () => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    closers.push(await lockState(state));
    const files = await openFileSystemStore({ root: dir, state });
    closers.push(() => files.close());
    const meta = await openSqliteMeta(join(state, 'hawser.db'));
    closers.push(() => meta.close());
    const engine = createEngine({ files, meta, onManyFiles: files.startThreads });
    await engine.recover();
    const auth = createAuth({ meta, random: randomBytes, now: Date.now });
    const adminTokenFile = join(state, 'admin-token');
    const adminToken = await firstAdminToken(meta, adminTokenFile);
    const certificate = plainHttp ? null : await chooseCertificate(options, state);

    const { host = '127.0.0.1', port = 7420 } = options.listen ?? {};
    let accept: (socket: Socket) => void = (socket) => socket.destroy();
    let noteLane: LaneSettings['onNote'] = () => undefined;
    if (options.laneTrace !== undefined) await makeFolder(options.laneTrace, 0o700);
    const lanes = await offerLanes(
      options,
      { host, port, state, limits, auth },
      {
        onStream: (socket) => accept(socket),
        onNote: (text, facts) => noteLane?.(text, facts),
      },
    );
    closers.push(async () => lanes?.stop());

    const health = { stopping: false };
    const logger = loggerOptions(options.logLevel ?? 'info');
    const { app, requests } = await createApp({
      engine,
      auth,
      health,
      limits,
      logger,
      version: VERSION,
      now: Date.now,
      random: randomBytes,
      lanes,
    });
    closers.push(() => app.close());
    noteLane = (text, facts) => app.log.warn(facts, text);
    const listener = await listen({
      host,
      port,
      certificate,
      limits,
      handler: (request, response) => app.routing(request, response),
    });
    closers.push(() => listener.destroy());
    accept = listener.accept;
    // A port that cannot be had is told to whoever asks for a lane over HTTPS.
    lanes?.start().catch((error) => app.log.warn({ err: error }, 'no lanes for now'));
    const stopSweeping = every(SWEEP_MS, async () => {
      await engine.sweep().catch((error) => app.log.error({ err: error }, 'sweep failed'));
    });

    let closing: Promise<void> | null = null;
    const close = async () => {
      health.stopping = true;
      stopSweeping();
      listener.stop();
      lanes?.dropSilent();
      const ended = engine.drain().then(() => within(limits.lastAnswersMs, requests.idle()));
      await within(limits.closeMs, ended);
      await closeAll();
    };
    return {
      url: listener.url,
      port: listener.port,
      fingerprint: certificate?.fingerprint ?? null,
      adminToken,
      adminTokenFile,
      close: () => (closing ??= close()),
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

/** Null where there are none. Without TLS there is nothing that could hand out a lane's keys. */
async function offerLanes(
  { lanePort, laneAdvertise, laneForbid, laneTrace, plainHttp }: ServerOptions,
  { host, port, state, limits, auth }: { host: string; port: number; state: string; limits: Limits; auth: Auth },
  listeners: Pick<LaneSettings, 'onStream' | 'onNote'>,
): Promise<Lanes | null> {
  if (lanePort === null || plainHttp) return null;
  return createLanes({
    host,
    port: lanePort ?? port,
    maxLanes: limits.lanes,
    maxLanesPerOwner: limits.lanesPerOwner,
    forbid: laneForbid ?? ['high', 'fixed'],
    ...(laneAdvertise ? { advertise: laneAdvertise } : {}),
    ...(laneTrace === undefined ? {} : { traceFolder: laneTrace }),
    stallFolder: join(state, 'lane-stalls'),
    tickets: await openTicketSource(join(state, 'lane-ticket-key'), { random: randomBytes, now: Date.now }),
    principalOf: auth.principalOf,
    random: randomBytes,
    now: Date.now,
    ...listeners,
  });
}

/** Made when there is no token at all. The file is written first: a crash in between leaves one that the next start replaces. */
async function firstAdminToken(meta: MetaStore, file: string): Promise<string | null> {
  if ((await meta.listTokens()).length > 0) return null;
  const { token, id, secretHash } = makeToken(randomBytes);
  await writePrivate(file, `${token}\n`);
  await meta.addToken({ id, name: 'admin', role: 'admin', secretHash, createdMs: Date.now(), expiresMs: null });
  return token;
}

async function chooseCertificate({ tlsKey, tlsCert, names }: ServerOptions, state: string) {
  if (tlsKey !== undefined && tlsCert !== undefined) return await loadCertificate(tlsCert, tlsKey);
  return await loadOrCreateCertificate(state, names);
}

function loggerOptions(level: LogLevel) {
  if (level === 'silent') return false;
  // On standard error: standard output belongs to the command line.
  return {
    level,
    stream: process.stderr,
    redact: ['authorization', 'headers.authorization', 'req.headers.authorization', 'token_secret'],
  };
}

function every(intervalMs: number, work: () => Promise<void>): () => void {
  const timer = setInterval(() => void work(), intervalMs);
  timer.unref();
  return () => clearInterval(timer);
}

/** Resolves with the work, or without it when the time is up. A failure of the work is for the log of whoever did it. */
async function within(limitMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs);
  });
  await Promise.race([work.catch(() => undefined), late]);
  clearTimeout(timer);
}

const SWEEP_MS = 10 * 60_000;

/** Node's recursive mkdir says "not found" of a disk that is read-only, so the plain one goes first. */
async function makeFolder(path: string, mode: number): Promise<void> {
  const failure = await mkdir(path, { mode }).catch((error: NodeJS.ErrnoException) => error);
  if (!(failure instanceof Error) || failure.code === 'EEXIST') return;
  if (failure.code === 'ENOENT') {
    await mkdir(path, { recursive: true, mode });
    return;
  }
  if (failure.code === 'EROFS' || failure.code === 'EACCES' || failure.code === 'EPERM') {
    const why = failure.code === 'EROFS' ? 'its file system is mounted read-only' : 'permission is denied';
    throw new HawserError(
      'read_only',
      `The folder "${path}" cannot be made: ${why}. Serve another folder, or keep the state elsewhere (--state).`,
      {
        value: path,
        cause: failure,
      },
    );
  }
  throw failure;
}
