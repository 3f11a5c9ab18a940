/** Real `hawser` processes for end-to-end tests, each with configuration and state in a folder of the test. */
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const LAUNCHER = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface CommandLine {
  /** Runs to the end. */
  run(args: readonly string[], options?: { env?: Record<string, string>; input?: string | Buffer }): Promise<Ended>;
  /** The same, with a file for its output, which nobody reads then. */
  runOnto(output: number, args: readonly string[]): Omit<Ended, 'out'>;
  start(args: readonly string[], env?: Record<string, string>): ChildProcessWithoutNullStreams;
}

/** `home` holds configuration and state, `cwd` is where commands run. */
export function commandLine(home: string, cwd: string): CommandLine {
  const environment = (env: Record<string, string>) => {
    const { HAWSER_URL: _u, HAWSER_TOKEN: _t, HAWSER_FINGERPRINT: _f, HAWSER_CACERT: _c, ...inherited } = process.env;
    const own = {
      XDG_CONFIG_HOME: join(home, 'config'),
      XDG_STATE_HOME: join(home, 'state'),
      XDG_CACHE_HOME: join(home, 'cache'),
    };
    return { ...inherited, ...own, ...env };
  };
  const start = (args: readonly string[], env: Record<string, string> = {}) =>
    spawn(process.execPath, [LAUNCHER, ...args], { cwd, env: environment(env) });
  return {
    start,
    runOnto(output, args) {
      const stdio = ['ignore' as const, output, 'pipe' as const];
      const { status, stderr } = spawnSync(process.execPath, [LAUNCHER, ...args], { cwd, env: environment({}), stdio });
      return { code: status, err: String(stderr) };
    },
    async run(args, options = {}) {
      const child = start(args, options.env);
      // A command that ends without reading its input breaks the pipe, which is its right.
      child.stdin.on('error', () => {});
      child.stdin.end(options.input ?? '');
      const [out, err] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
      return { code: child.exitCode, out, err };
    },
  };
}

export interface Serving {
  readonly url: string;
  readonly fingerprint: string | null;
  readonly adminTokenFile: string;
  readonly process: ChildProcessWithoutNullStreams;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
}

/** Starts `hawser serve` on a free port and resolves when it listens. */
export async function serve(cli: CommandLine, args: readonly string[]): Promise<Serving> {
  const child = cli.start(['serve', '--json', '--listen', 'localhost:0', '--log-level', 'error', ...args]);
  const err = text(child.stderr);
  const ended = once(child, 'close');
  const first = await Promise.race([once(child.stdout, 'data'), ended.then(() => null)]);
  if (first === null) throw new Error(`hawser serve ended with ${child.exitCode}: ${await err}`);
  const listening = JSON.parse(String(first[0]).split('\n')[0] ?? '') as Omit<Serving, 'process' | 'stop'>;
  return {
    ...listening,
    process: child,
    async stop() {
      child.kill('SIGTERM');
      await ended;
      return child.exitCode;
    },
  };
}

/** The JSON lines of an output. */
export function jsonLines(output: string): Record<string, unknown>[] {
  return output
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}
