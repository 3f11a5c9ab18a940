/** What a command says when it fails, and the exit code it ends with (docs/cli.md). */
import { CODES, EXIT, HawserError, isErrorCode } from '../core/errors.ts';
import { printable } from './printable.ts';
import { note, type Shell, sayJson } from './shell.ts';

export interface Failure {
  readonly code: string;
  readonly message: string;
  readonly exit: number;
  readonly retry: boolean;
  readonly value?: string | number;
}

/** A command that is not well-formed: exit code 2. */
export function usage(message: string, value?: string): HawserError {
  return new HawserError('usage', message, value === undefined ? {} : { value });
}

export function failureOf(error: unknown): Failure {
  if (error instanceof HawserError) {
    const { exit, retry } = error.facts;
    const failure = { code: error.code, message: error.message, exit, retry };
    return error.value === undefined ? failure : { ...failure, value: error.value };
  }
  const cause = error as NodeJS.ErrnoException | null;
  if (typeof cause?.syscall === 'string' && typeof cause.code === 'string') return systemFailure(cause);
  const text = error instanceof Error ? error.message : String(error);
  return {
    code: 'internal',
    message: `Hawser failed in a way it should not (${text}): run it again with HAWSER_DEBUG=1 and report what it prints.`,
    exit: EXIT.failed,
    retry: false,
  };
}

function systemFailure(error: NodeJS.ErrnoException): Failure {
  const place = error.path === undefined ? '' : ` "${error.path}"`;
  const code = error.code === 'ENOENT' ? 'local_not_found' : error.code === 'ENOSPC' ? 'local_no_space' : 'local_io';
  const { exit, retry } = CODES[code];
  const message = `The system refused ${error.syscall}${place} (${error.code}): see that it exists and that you may use it.`;
  return { code, message, exit, retry };
}

/** Prints the failure once, as a sentence on stderr or as an event on stdout. `extra` is for --json alone. */
export function printFailure(shell: Shell, failure: Failure, extra: object = {}): void {
  if (shell.json) sayJson(shell, { event: 'error', ...failure, ...extra });
  else note(shell, `hawser: ${printable(failure.message)}`);
}

/** 0 when nothing failed; else the exit code that all failures share, or 1 when they differ. */
export function exitOfFailures(failures: readonly { readonly code: string }[], failed = failures.length): number {
  if (failed === 0) return EXIT.done;
  const exits = new Set(failures.map((failure) => (isErrorCode(failure.code) ? CODES[failure.code].exit : EXIT.failed)));
  const [only] = exits;
  // A usage code of one file in a batch (a name the server refuses) does not make the command itself malformed.
  return exits.size === 1 && failures.length === failed && only !== undefined && only !== EXIT.usage ? only : EXIT.failed;
}
