/** What put and get share: show progress, stop cleanly, remember how to go on, and turn the outcome into an exit code. */
import type { Client, TransferOptions, TransferSummary } from '../client/contract.ts';
import { CODES, EXIT, HawserError, isErrorCode } from '../core/errors.ts';
import type { Connection } from './connect.ts';
import { exitOfFailures, failureOf, printFailure } from './failure.ts';
import { commandId, forgetCommand, keepCommand } from './kept-commands.ts';
import { type TransferFlags, transferOptions } from './options.ts';
import { printable } from './printable.ts';
import { createReporter, reportJson, summaryLine } from './reporter.ts';
import { note, type Shell } from './shell.ts';

export interface TransferRun {
  /** Streams cannot be read again, so there is nothing to resume. */
  readonly resumable: boolean;
  /** The file's bytes go to stdout. */
  readonly dataOnStdout: boolean;
  start(client: Client, options: TransferOptions): Promise<TransferSummary>;
}

/** Returns the exit code. */
export async function runTransfer(shell: Shell, connection: Connection, flags: TransferFlags, run: TransferRun): Promise<number> {
  const report = { quiet: flags.quiet === true, verbose: flags.verbose === true, dataOnStdout: run.dataOnStdout };
  const reporter = createReporter(shell, report);
  const record = createRecord(shell, connection, run.resumable);
  const signal = shell.stopSignal();
  const ticker = setInterval(() => reporter.handleTick(), TICK_MS);
  record.keep(null);
  try {
    const work = run.start(connection.client, {
      ...transferOptions(flags),
      signal,
      onEvent(event) {
        if (event.type === 'start') record.handleStart(event.transfer);
        reporter.handleEvent(event);
      },
    });
    const summary = await Promise.race([work, refuseToHang(signal)]);
    reporter.end();
    return finish(shell, report, record, summary);
  } catch (error) {
    reporter.end();
    if (isReaderGone(error)) return EXIT.failed;
    return fail(shell, report, record, error);
  } finally {
    clearInterval(ticker);
  }
}

type Resumption = ReturnType<typeof createRecord>;

function createRecord(shell: Shell, { server }: Connection, resumable: boolean) {
  const id = commandId(shell.argv, shell.cwd, server.url);
  let transfer: string | null = null;
  let kept = false;
  const time = new Date().toISOString();
  const keep = (reason: string | null) => {
    if (!resumable) return;
    const command = { id, transfer, argv: shell.argv, cwd: shell.cwd, url: server.url, profile: server.profile, time, reason };
    kept = keepCommand(shell.env, command);
  };
  return {
    keep,
    handleStart(started: string) {
      transfer = started;
      keep(null);
    },
    forget() {
      if (resumable) forgetCommand(shell.env, id);
    },
    /** The line that goes on with it, or null when only repeating the command does. */
    resumeLine: () => (kept ? `hawser resume ${transfer ?? id}` : null),
  };
}

function finish(shell: Shell, report: Report, record: Resumption, summary: TransferSummary): number {
  const exit = exitOfFailures(summary.failures, summary.filesFailed);
  if (summary.failures.some(({ code }) => isWorthResuming(code))) record.keep('partial');
  else record.forget();
  if (shell.json) {
    reportJson(shell, report, { event: 'done', ...summary, exit });
    return exit;
  }
  for (const { path, message } of summary.failures.slice(0, FAILURES_SHOWN))
    note(shell, `hawser: ${printable(`${path}: ${message}`)}`);
  const more = summary.filesFailed - FAILURES_SHOWN;
  if (more > 0) note(shell, `hawser: and ${more} more failed (--json lists all).`);
  if (!report.quiet) note(shell, summaryLine(summary));
  return exit;
}

function fail(shell: Shell, report: Report, record: Resumption, error: unknown): number {
  const failure = failureOf(error);
  const again = isWorthResuming(failure.code);
  if (again) record.keep(failure.code);
  else record.forget();
  const resume = again ? record.resumeLine() : null;
  if (shell.json) {
    reportJson(shell, report, { event: 'error', ...failure, ...(resume === null ? {} : { resume }) });
    return failure.exit;
  }
  printFailure(shell, failure);
  if (resume !== null) note(shell, `What has arrived is kept. Go on with:  ${resume}`);
  else if (failure.exit === EXIT.interrupted) note(shell, 'Run the same command again to start over.');
  return failure.exit;
}

/** Whether running the same command again can end better: not when the request itself is refused, or somebody ended it. */
function isWorthResuming(code: string): boolean {
  if (code === 'transfer_cancelled' || code === 'superseded') return false;
  return !isErrorCode(code) || CODES[code].class !== 'request';
}

type Report = { readonly quiet: boolean; readonly dataOnStdout: boolean };

/** A clean stop is a matter of moments; whoever pressed Ctrl-C is not kept waiting for a dead link. */
function refuseToHang(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const stop = () => setTimeout(() => reject(new HawserError('interrupted', 'Interrupted.')), STOP_MS).unref();
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

/** `hawser get /x - | head`: the reader has what it wanted. */
function isReaderGone(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if ((at as NodeJS.ErrnoException).code === 'EPIPE') return true;
  return false;
}

const TICK_MS = 1000;
const STOP_MS = 4000;
const FAILURES_SHOWN = 20;
