/** A world for one test: a temporary folder, servers and clients that are real processes, and relays between them. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Client, createClient } from '../../src/client/node.ts';
import { drained, type Relay, startRelay } from './relay.ts';

export interface World {
  /** An empty folder of its own, gone after the test. */
  readonly folder: string;
  path(...names: string[]): string;
  startServer(options?: ServerOptions): Promise<Server>;
  /** A relay in front of the server. */
  relay(server: Pick<Address, 'port'>): Promise<Relay>;
  /** Starts `hawser ARGS` for that server. */
  hawser(server: Address, args: readonly string[], options?: RunOptions): Run;
  /** The same, awaited: stdout and stderr of a run that must end with `exit` (default 0). */
  expect(server: Address, args: readonly string[], options?: RunOptions & { exit?: number }): Promise<Ended>;
  /** A client in this process: its API, for looking and for steering. */
  client(server: Server): Client;
  /** Called when the processes are gone, before the folder goes. */
  onClose(close: () => unknown): void;
}

export interface ServerOptions {
  /** Default: "served" in the world's folder. */
  readonly dir?: string;
  readonly http?: boolean;
  readonly args?: readonly string[];
}

/** What a client has to know of a server. */
export interface Address {
  readonly port: number;
  readonly http: boolean;
  readonly token: string;
  readonly fingerprint: string | null;
}

export interface Server extends Address {
  readonly dir: string;
  readonly run: Run;
  /** Ends the process with the signal. */
  kill(signal?: NodeJS.Signals): Promise<Ended>;
  /** Starts it again, on the same folder and port. */
  start(): Promise<void>;
}

export interface RunOptions {
  /** Go through this relay. */
  readonly via?: Relay;
  /** A machine of its own: its home, so its state and its memory of what it sent. Default "home". */
  readonly machine?: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: AsyncIterable<Uint8Array> | Uint8Array;
  readonly uid?: number;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: Buffer;
  readonly stderr: string;
  /** Lines of stdout that are JSON. */
  readonly events: readonly Event[];
}

/** What `--json` prints, as far as the tests look at it. */
// biome-ignore lint/suspicious/noExplicitAny: events are what the test is about, and have many shapes.
export type Event = Record<string, any>;

export interface Run {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  /** The first event, past or to come, that matches; rejects when the process ends without one. */
  event(match: (event: Event) => boolean): Promise<Event>;
  kill(signal?: NodeJS.Signals): Promise<Ended>;
}

export function openWorld(context: TestContext): World {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'hawser-e2e-')));
  const runs = new Set<Run>();
  const closers: (() => unknown)[] = [];
  const killAll = () => {
    for (const run of runs) run.child.kill('SIGKILL');
  };
  // What is waited for then ends with what the processes printed, instead of never.
  const limit = setTimeout(killAll, LIMIT_MS);
  context.after(async () => {
    clearTimeout(limit);
    killAll();
    await Promise.all([...runs].map((run) => run.ended));
    for (const close of closers) await close();
    rmSync(folder, { recursive: true, force: true });
  });

  const launch = (args: readonly string[], env: Record<string, string>, options: RunOptions = {}): Run => {
    const run = start(args, env, options.cwd ?? folder, options);
    runs.add(run);
    void run.ended.then(() => runs.delete(run));
    return run;
  };
  const home = (machine = 'home'): string => {
    const path = join(folder, machine);
    mkdirSync(path, { recursive: true });
    return path;
  };
  const environment = (server: Address, options: RunOptions): Record<string, string> => ({
    HOME: home(options.machine),
    HAWSER_URL: `${server.http ? 'http' : 'https'}://127.0.0.1:${options.via?.port ?? server.port}`,
    HAWSER_TOKEN: server.token,
    ...(server.fingerprint === null ? {} : { HAWSER_FINGERPRINT: server.fingerprint }),
    ...options.env,
  });

  return {
    folder,
    path: (...names) => join(folder, ...names),
    async startServer({ dir = join(folder, 'served'), http = false, args = [] } = {}) {
      const launchAt = async (port: number) => {
        const run = launch(['serve', dir, '--listen', `127.0.0.1:${port}`, '--json', ...(http ? ['--http'] : []), ...args], {
          HOME: home('server'),
        });
        return { run, listening: await run.event(({ event }) => event === 'listening') };
      };
      let { run, listening } = await launchAt(0);
      const port = Number(new URL(listening.url).port);
      return {
        dir,
        port,
        http,
        token: readFileSync(listening.adminTokenFile, 'utf8').trim(),
        fingerprint: listening.fingerprint,
        get run() {
          return run;
        },
        kill: (signal) => run.kill(signal),
        async start() {
          ({ run, listening } = await launchAt(port));
        },
      };
    },
    async relay(server) {
      const relay = await startRelay(server.port);
      closers.push(() => relay.close());
      return relay;
    },
    hawser: (server, args, options = {}) => launch(args, environment(server, options), options),
    async expect(server, args, { exit = 0, ...options } = {}) {
      const ended = await launch(args, environment(server, options), options).ended;
      assert.equal(ended.code, exit, `hawser ${args.join(' ')} ends with ${exit}:\n${told(ended)}`);
      return ended;
    },
    client(server) {
      const client = createClient({
        url: `${server.http ? 'http' : 'https'}://127.0.0.1:${server.port}`,
        token: server.token,
        ...(server.fingerprint === null ? {} : { fingerprint: server.fingerprint }),
      });
      closers.push(() => client.close());
      return client;
    },
    onClose: (close) => void closers.push(close),
  };
}

/** What a run printed, for the message of an assertion. */
export function told({ code, signal, stdout, stderr }: Ended): string {
  const lines = stdout
    .toString('latin1')
    .split('\n')
    .filter((line) => !line.includes('"event":"progress"'));
  return `exit ${code ?? signal}\n${lines.slice(-30).join('\n')}\n${stderr}`;
}

/** The last line of a --json run. */
export function lastEvent({ events }: Ended): Event {
  return events.at(-1) ?? {};
}

function start(args: readonly string[], env: Record<string, string>, cwd: string, { input, uid }: RunOptions): Run {
  const child = spawn(process.execPath, [PROGRAM, ...args], {
    cwd,
    env: { PATH: process.env.PATH ?? '', NO_COLOR: '1', ...env },
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  const events: Event[] = [];
  const stdout: Buffer[] = [];
  let stderr = '';
  let rest = '';
  let finished: Ended | null = null;
  const waiting = new Set<{
    match: (event: Event) => boolean;
    resolve: (event: Event) => void;
    reject: (error: Error) => void;
  }>();
  child.stdout!.on('data', (piece: Buffer) => {
    stdout.push(piece);
    if (args.at(-1) === '-') return;
    const lines = (rest + piece.toString('utf8')).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (!line.startsWith('{')) continue;
      const event = JSON.parse(line) as Event;
      events.push(event);
      for (const wait of waiting) {
        if (!wait.match(event)) continue;
        waiting.delete(wait);
        wait.resolve(event);
      }
    }
  });
  child.stderr!.setEncoding('utf8').on('data', (piece: string) => {
    stderr += piece;
  });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => {
      finished = { code, signal, stdout: Buffer.concat(stdout), stderr, events };
      for (const wait of waiting) wait.reject(new Error(`The process ended before that event:\n${told(finished)}`));
      resolve(finished);
    });
  });
  if (input !== undefined) feed(child, input);
  return {
    child,
    ended,
    event: (match) =>
      new Promise((resolve, reject) => {
        const found = events.find(match);
        if (found !== undefined) resolve(found);
        else if (finished !== null) reject(new Error(`The process ended before that event:\n${told(finished)}`));
        else waiting.add({ match, resolve, reject });
      }),
    kill(signal = 'SIGKILL') {
      child.kill(signal);
      return ended;
    },
  };
}

async function feed({ stdin }: ChildProcess, input: AsyncIterable<Uint8Array> | Uint8Array): Promise<void> {
  if (stdin === null) return;
  stdin.on('error', () => undefined);
  for await (const piece of input instanceof Uint8Array ? [input] : input) {
    if (stdin.destroyed) return;
    if (!stdin.write(piece)) await drained(stdin);
  }
  stdin.end();
}

const LIMIT_MS = 120_000;
const PROGRAM = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
