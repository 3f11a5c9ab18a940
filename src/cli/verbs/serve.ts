/** hawser serve [DIR] */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { dirname, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { EXIT } from '../../core/errors.ts';
import { usage } from '../failure.ts';
import { choice } from '../options.ts';
import {
  EVERY_ADDRESS,
  isLoopbackHost,
  LOG_LEVELS,
  parseServeFile,
  type ServeInput,
  type ServeSettings,
  serveSettings,
} from '../serve-settings.ts';
import { note, type Shell, say, sayJson } from '../shell.ts';
import { packageVersion } from './version.ts';

interface Flags extends ServeInput {
  readonly config?: string;
  readonly json?: boolean;
}

export function define(program: Command, shell: Shell): void {
  program
    .command('serve')
    .summary('serve a folder')
    .description('Serves a folder. What is in it is there, what arrives are plain files in it; own state lies in DIR/.hawser.')
    .argument('[dir]', 'the folder, made when it is missing (default: ./hawser-data)')
    .option('--listen <host:port>', 'HOST:PORT, HOST, PORT, or :PORT for every address (default: localhost:7420)')
    .option('--http', 'without encryption: for loopback, or behind a proxy that encrypts')
    .option('--tls-cert <file>', 'PEM certificate chain (default: a self-made one, kept in the state folder)')
    .option('--tls-key <file>', 'PEM private key of --tls-cert')
    .option('--state <dir>', 'own state elsewhere; must be on the same file system (default: DIR/.hawser)')
    .option('--lane <port>', 'UDP port of the lane, or "off" (default: as --listen)')
    .option('--lane-forbid <policies>', 'what clients may not ask for: high, fixed, background, or none (default: high,fixed)')
    .option('--lane-advertise <host:port,...>', 'where clients should send lanes to (default: the address that they asked)')
    .option('--lane-trace <dir>', 'write what this end of each lane does to a file there (qlog, JSON-SEQ)')
    .option('--config <file>', 'JSON with the same names as these options, and "dir"')
    .addOption(choice('--log-level <level>', 'what to log on stderr (default: warn; info has a line a request)', LOG_LEVELS))
    .option('--json', 'print the address and the fingerprint as JSON')
    .addHelpText('after', HELP)
    .action(async (dir: string | undefined, flags: Flags) => {
      shell.exitCode = await serve(shell, dir, flags);
    });
}

async function serve(shell: Shell, dir: string | undefined, flags: Flags): Promise<number> {
  const { config, json: _, ...options } = flags;
  const settings = serveSettings(
    { ...options, ...(dir === undefined ? {} : { dir }) },
    config === undefined ? {} : readConfig(config),
  );
  if (settings.plainHttp && !isLoopbackHost(settings.listen.host)) {
    note(
      shell,
      `hawser: warning: --http on "${settings.listen.host}" sends tokens and files in the clear: put a proxy that encrypts in front.`,
    );
  }
  const signal = shell.stopSignal();
  const { startServer } = await import('../../server/compose.ts');
  const { listen, plainHttp, logLevel, state, tlsCert, tlsKey, lanePort, laneForbid, laneAdvertise, laneTrace } = settings;
  const server = await startServer({
    dir: resolve(shell.cwd, settings.dir),
    listen: { ...listen, host: listen.host === EVERY_ADDRESS && !hasIpv6() ? '0.0.0.0' : listen.host },
    plainHttp,
    logLevel,
    ...(tlsCert === undefined || tlsKey === undefined
      ? {}
      : { tlsCert: resolve(shell.cwd, tlsCert), tlsKey: resolve(shell.cwd, tlsKey) }),
    ...(state === undefined ? {} : { state: resolve(shell.cwd, state) }),
    ...(lanePort === undefined ? {} : { lanePort }),
    ...(laneForbid === undefined ? {} : { laneForbid }),
    ...(laneAdvertise === undefined ? {} : { laneAdvertise }),
    ...(laneTrace === undefined ? {} : { laneTrace: resolve(shell.cwd, laneTrace) }),
  });
  announce(shell, settings, server);
  if (!signal.aborted) await new Promise((done) => signal.addEventListener('abort', done, { once: true }));
  note(shell, 'hawser: stopping; what is in flight becomes safe first.');
  const closed = await Promise.race([server.close().then(() => true), sleep(CLOSE_MS, false, { ref: false })]);
  if (!closed)
    note(shell, `hawser: some connections did not end within ${CLOSE_MS / 1000} s and were cut; clients go on where they were.`);
  return EXIT.done;
}

interface Running {
  readonly url: string;
  readonly fingerprint?: string | null | undefined;
  readonly adminToken?: string | null | undefined;
  readonly adminTokenFile: string;
}

/** The lines are there to be pasted, so they are whole and exact. */
function announce(shell: Shell, settings: ServeSettings, server: Running): void {
  const { url, adminToken, adminTokenFile } = server;
  const fingerprint = server.fingerprint?.replaceAll(':', '').toLowerCase() || null;
  const dir = resolve(shell.cwd, settings.dir);
  if (shell.json) {
    sayJson(shell, { event: 'listening', url, fingerprint, dir, adminTokenFile, version: packageVersion() });
    return;
  }
  // Under npm scripts and npx nothing says that `hawser` alone is in PATH.
  const hawser = shell.env.npm_execpath || shell.env.npm_lifecycle_event ? 'npx hawser' : 'hawser';
  say(shell, `Hawser ${packageVersion()} serves ${dir}`);
  say(shell, `  address      ${url}`);
  if (fingerprint !== null) say(shell, `  fingerprint  ${fingerprint}`);
  if (adminToken) say(shell, `  token        ${adminToken}   (shown only now; kept in ${adminTokenFile})`);
  else say(shell, `  token        in ${adminTokenFile}`);
  say(shell);
  say(shell, `  ${hawser} login ${url} --token ${adminToken || `"$(cat ${quoted(adminTokenFile)})"`}`);
  say(shell, `  ${hawser} put FILE /`);
  say(shell);
}

function readConfig(file: string): ServeInput {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw usage(`--config "${file}" cannot be read (${(error as NodeJS.ErrnoException).code}): check its name and mode.`, file);
  }
  const input = parseServeFile(text, file);
  // Paths in a file are meant from where the file lies, wherever the server is started.
  const at = (path: string | undefined) => (path === undefined ? undefined : resolve(dirname(file), path));
  const { dir, state, tlsCert, tlsKey, laneTrace } = input;
  const paths = { dir: at(dir), state: at(state), tlsCert: at(tlsCert), tlsKey: at(tlsKey), laneTrace: at(laneTrace) };
  return { ...input, ...Object.fromEntries(Object.entries(paths).filter(([, path]) => path !== undefined)) };
}

function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ family }) => family === 'IPv6'));
}

function quoted(text: string): string {
  return /^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** A little more than the server gives itself. */
const CLOSE_MS = 9500;

const HELP = `
  hawser serve                                   ./hawser-data on https://localhost:7420
  hawser serve /srv/files --listen :7420         on every address of this machine
`;
