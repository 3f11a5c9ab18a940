/**
 * What a command sees of the world around it. Verbs write to this and never to `process`, so that tests run them in memory.
 */
import type { Client, ClientOptions } from '../client/contract.ts';

/** Where text goes. */
export interface Sink {
  write(text: string): void;
  readonly isTTY: boolean;
  /** Width of the terminal in cells; 80 when it is not known. */
  readonly columns: number;
}

/** How to run a verb again on the server it ran on before; see resume. */
export interface Rerun {
  readonly url: string;
  readonly profile: string | null;
}

export interface Shell {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The command's arguments, verb first. */
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly stdin: AsyncIterable<Uint8Array> & { readonly isTTY?: boolean };
  readonly stdout: Sink;
  readonly stderr: Sink;
  /** Writes bytes to stdout and resolves when they have left. */
  writeBytes(bytes: Uint8Array): Promise<void>;
  /** Asks on the terminal without echo. Rejects with `usage` when there is no terminal. */
  askSecret(question: string): Promise<string>;
  /** Monotonic milliseconds. */
  nowMs(): number;
  /** Aborts at the first SIGINT, SIGTERM or SIGHUP. From the first call on, a second signal ends the process at once. */
  stopSignal(): AbortSignal;
  createClient(options: ClientOptions): Promise<Client>;
  /** Runs another command line, as if typed in the folder `cwd`. Returns its exit code. */
  run(argv: readonly string[], cwd: string, rerun: Rerun): Promise<number>;
  /** Set while `resume` runs a command again: the server that `/path` means. */
  readonly rerun: Rerun | null;
  /** What the process will end with. */
  exitCode: number;
  /** One JSON object a line instead of text. */
  readonly json: boolean;
}

/** Prints one line on stdout. */
export function say(shell: Shell, line = ''): void {
  shell.stdout.write(line + '\n');
}

/** Prints one line on stderr: for people, never for data. */
export function note(shell: Shell, line: string): void {
  shell.stderr.write(line + '\n');
}

/** Prints one JSON object on a line. bigint becomes a decimal string, as on the wire. */
export function sayJson(shell: Shell, value: object): void {
  shell.stdout.write(toJson(value) + '\n');
}

export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, item) => (typeof item === 'bigint' ? String(item) : item));
}

/** True when colours and redrawing are welcome on `sink`: see no-color.org. */
export function wantsColour(shell: Shell, sink: Sink): boolean {
  return sink.isTTY && !shell.env.NO_COLOR && shell.env.TERM !== 'dumb';
}
