/** Hawser itself, as its users start it: `hawser serve`, `hawser put`, `hawser get`. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Command, type Service, startService } from './programs.ts';
import { BENCH } from './report.ts';

export const HAWSER = [process.execPath, join(dirname(BENCH), 'bin', 'hawser.js')];

export interface HawserServer extends Service {
  readonly url: string;
  readonly dir: string;
  readonly token: string;
  /** Null without TLS. */
  readonly fingerprint: string | null;
}

export interface ServeOptions {
  readonly dir: string;
  /** HOST:PORT; port 0: any. */
  readonly listen: string;
  readonly plainHttp?: boolean;
  /** Put before the command, to run it on an emulated host. */
  readonly prefix?: readonly string[];
  /** More options of `hawser serve`. */
  readonly flags?: readonly string[];
}

export async function startHawser({
  dir,
  listen,
  plainHttp = false,
  prefix = [],
  flags: more = [],
}: ServeOptions): Promise<HawserServer> {
  const [node, program] = HAWSER as [string, string];
  const flags = ['--listen', listen, '--log-level', 'error', '--json', ...(plainHttp ? ['--http'] : []), ...more];
  const service = await startService({ argv: [...prefix, node, ...PROFILING, program, 'serve', dir, ...flags] }, (output) =>
    output.includes('"listening"'),
  );
  const line = service
    .output()
    .split('\n')
    .find((text) => text.includes('"listening"'))!;
  const { url, fingerprint, adminTokenFile } = JSON.parse(line);
  return { ...service, url, fingerprint, dir, token: readFileSync(adminTokenFile, 'utf8').trim() };
}

/**
 * A client command against that server, with a state folder of its own: it remembers nothing, so nothing is skipped because it
 * was sent before. `home`: a folder that it shares with other commands. `url` when the way there is another than the server's own address.
 */
export function hawserCommand(
  server: Pick<HawserServer, 'url' | 'token' | 'fingerprint'>,
  args: readonly string[],
  options: { prefix?: readonly string[]; stateIn: string; home?: string; url?: string },
): Command {
  const [node, program] = HAWSER as [string, string];
  const home = options.home ?? mkdtempSync(join(options.stateIn, 'client-'));
  return {
    argv: [...(options.prefix ?? []), node, ...PROFILING, program, ...args],
    env: {
      HAWSER_URL: options.url ?? server.url,
      HAWSER_TOKEN: server.token,
      ...(server.fingerprint === null ? {} : { HAWSER_FINGERPRINT: server.fingerprint }),
      XDG_STATE_HOME: home,
      XDG_CONFIG_HOME: home,
    },
  };
}

/** What arrived goes, so that the next one finds nothing. */
export function removeArrived(server: HawserServer, ...names: string[]): void {
  for (const name of names) {
    const path = join(server.dir, name);
    if (existsSync(path)) rmSync(path, { recursive: true });
  }
}

/** HAWSER_BENCH_PROFILE=FOLDER: every Hawser process leaves a CPU profile there when it ends. It slows them a little. */
const profileFolder = process.env.HAWSER_BENCH_PROFILE;
const PROFILING = profileFolder ? ['--cpu-prof', '--cpu-prof-interval=500', `--cpu-prof-dir=${profileFolder}`] : [];
