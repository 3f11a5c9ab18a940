/** The Shell of a real process: its streams, its signals, its clock. */
import { write } from 'node:fs';
import type { Client, ClientOptions } from '../client/contract.ts';
import { EXIT } from '../core/errors.ts';
import { failureOf, usage } from './failure.ts';
import type { Rerun, Shell, Sink } from './shell.ts';

export type Runner = (argv: readonly string[], shell: Shell) => Promise<number>;

export function createProcessShell(argv: readonly string[], run: Runner): Shell {
  const shell: Shell = {
    env: process.env,
    argv,
    cwd: process.cwd(),
    stdin: process.stdin,
    stdout: sinkOf(() => process.stdout),
    stderr: sinkOf(() => process.stderr),
    writeBytes: writeToStdout,
    askSecret,
    nowMs: () => performance.now(),
    stopSignal,
    createClient: loadClient,
    rerun: null,
    exitCode: EXIT.done,
    json: wantsJson(argv),
    async run(again: readonly string[], cwd: string, rerun: Rerun) {
      process.chdir(cwd);
      return run(again, { ...shell, argv: again, cwd, rerun, exitCode: EXIT.done, json: shell.json || wantsJson(again) });
    },
  };
  return shell;
}

/** A reader that went away (`hawser ls | head`) is no failure: there is nobody left to tell. A full disk is one. */
export function endWithoutOutput(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // What has failed already was told.
    if (error.code === 'EPIPE' || process.exitCode) process.exit(process.exitCode);
    process.stderr.write(`hawser: The output could not be written (${error.code}): look at where it goes.\n`);
    process.exit(failureOf(error).exit);
  });
  process.stderr.on('error', () => {});
}

function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return (end === -1 ? argv : argv.slice(0, end)).includes('--json');
}

/** The stream is asked for late, because touching process.stdout costs start-up time. */
function sinkOf(stream: () => NodeJS.WriteStream): Sink {
  return {
    write: (text) => void stream().write(text),
    get isTTY() {
      return stream().isTTY === true;
    },
    get columns() {
      return stream().columns || 80;
    },
  };
}

/**
 * Straight to the descriptor: process.stdout blocks the whole process while a pipe is full, and the connections must live on.
 */
async function writeToStdout(bytes: Uint8Array): Promise<void> {
  let at = 0;
  while (at < bytes.length) {
    const written = await new Promise<number>((resolve, reject) => {
      write(1, bytes, at, bytes.length - at, null, (error, count) => {
        if (error === null) resolve(count);
        else if (error.code === 'EAGAIN') resolve(0);
        else reject(error);
      });
    });
    at += written;
    // A descriptor that someone set to non-blocking says EAGAIN when it is full, and has no event to wait for here.
    if (written === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

let stopping: AbortController | null = null;

function stopSignal(): AbortSignal {
  if (stopping !== null) return stopping.signal;
  const controller = new AbortController();
  stopping = controller;
  let firstMs = 0;
  const handle = () => {
    const nowMs = performance.now();
    if (!controller.signal.aborted) {
      firstMs = nowMs;
      controller.abort();
      // npx and our launcher pass on the Ctrl-C that the terminal has already sent to every process: that is one press, not two.
    } else if (nowMs - firstMs > SAME_PRESS_MS) process.exit(EXIT.interrupted);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, handle);
  return controller.signal;
}

async function loadClient(options: ClientOptions): Promise<Client> {
  const { createClient } = await import('../client/node.ts');
  return createClient(options);
}

async function askSecret(question: string): Promise<string> {
  const input = process.stdin;
  if (!input.isTTY) throw usage('There is no terminal to ask for the token: give --token, HAWSER_TOKEN, or pipe it in.');
  process.stderr.write(question);
  input.setRawMode(true);
  try {
    return await readSecret(input);
  } finally {
    input.setRawMode(false);
    input.pause();
    process.stderr.write('\n');
  }
}

function readSecret(input: NodeJS.ReadStream): Promise<string> {
  return new Promise((resolve) => {
    let typed = '';
    const onData = (piece: Buffer) => {
      for (const char of piece.toString('utf8')) {
        if (char === '\u0003') process.exit(EXIT.interrupted);
        if (char === '\r' || char === '\n' || char === '\u0004') {
          input.off('data', onData);
          resolve(typed);
          return;
        }
        if (char === '\u007f' || char === '\b') typed = typed.slice(0, -1);
        else if (char >= ' ') typed += char;
      }
    };
    input.on('data', onData);
  });
}

const SAME_PRESS_MS = 400;
