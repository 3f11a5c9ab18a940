/** Shows a transfer while it runs: a bar on a terminal, a line now and then in a log, JSON for scripts. */
import type { TransferEvent, TransferSummary } from '../client/contract.ts';
import { formatBytes, formatDuration, formatRate } from '../core/units.ts';
import { printable } from './printable.ts';
import { barLine, type ProgressEvent, plainLine } from './progress-line.ts';
import { type Shell, toJson, wantsColour } from './shell.ts';

export interface Reporter {
  handleEvent(event: TransferEvent): void;
  /** Call about once a second: an outage brings no events, and still wants to be shown. */
  handleTick(): void;
  /** Removes the bar, so that other lines can be printed. */
  end(): void;
}

export interface ReportOptions {
  readonly quiet: boolean;
  readonly verbose: boolean;
  /** The file's bytes go to stdout: everything else goes to stderr, JSON too. */
  readonly dataOnStdout: boolean;
}

export function createReporter(shell: Shell, options: ReportOptions): Reporter {
  if (shell.json) return jsonReporter(shell, options);
  if (options.quiet) return { handleEvent() {}, handleTick() {}, end() {} };
  return shell.stderr.isTTY && shell.env.TERM !== 'dumb' ? barReporter(shell, options) : logReporter(shell, options);
}

/** Prints an event as JSON where this command's JSON goes. */
export function reportJson(shell: Shell, options: { dataOnStdout: boolean }, event: object): void {
  (options.dataOnStdout ? shell.stderr : shell.stdout).write(toJson(event) + '\n');
}

/** "3 files, 1.2 GiB in 12 s (98 MB/s), verified; 1 was already there". */
export function summaryLine(summary: TransferSummary): string {
  const files = `${summary.filesDone} ${summary.filesDone === 1 ? 'file' : 'files'}`;
  const rate = summary.elapsedMs > 0 ? ` (${formatRate((summary.bytesDone / summary.elapsedMs) * 1000)})` : '';
  const [target, ...others] = summary.targets;
  const where = target === undefined ? '' : ` -> ${printable(target)}${others.length > 0 ? ` and ${others.length} more` : ''}`;
  if (summary.filesDone + summary.filesFailed === 0 && summary.filesSkipped > 0) {
    const skipped = summary.filesSkipped === 1 ? '1 file, ' : `all ${summary.filesSkipped} files, `;
    return `Nothing to move: ${skipped}${formatBytes(summary.bytesDone)}, already there${where}`;
  }
  const notes = [
    ...(summary.filesSkipped > 0 ? [`${summary.filesSkipped} already there`] : []),
    ...(summary.filesFailed > 0 ? [`${summary.filesFailed} FAILED`] : []),
  ];
  const more = notes.length > 0 ? `; ${notes.join(', ')}` : '';
  return `${files}, ${formatBytes(summary.bytesDone)} in ${formatDuration(summary.elapsedMs)}${rate}, verified${where}${more}`;
}

function jsonReporter(shell: Shell, options: ReportOptions): Reporter {
  return {
    handleEvent(event) {
      // The end is told by whoever knows the exit code.
      if (event.type === 'done') return;
      const { type, ...rest } = event;
      reportJson(shell, options, { event: type, ...rest });
    },
    handleTick() {},
    end() {},
  };
}

function logReporter(shell: Shell, options: ReportOptions): Reporter {
  const line = (text: string) => shell.stderr.write(text + '\n');
  let latest: ProgressEvent | null = null;
  let nextMs = shell.nowMs() + LOG_EVERY_MS;
  let nextRetryMs = 0;
  const printIfDue = () => {
    if (latest === null || shell.nowMs() < nextMs) return;
    nextMs = shell.nowMs() + LOG_EVERY_MS;
    line(plainLine(latest, options.verbose));
  };
  return {
    handleEvent(event) {
      if (event.type === 'progress') latest = event;
      else if (event.type === 'file' && options.verbose) line(fileLine(event));
      else if (event.type === 'notice') {
        // Several streams fail together when a link drops: one line tells it.
        const isRetry = event.retryInMs !== undefined;
        if (isRetry && !options.verbose && shell.nowMs() < nextRetryMs) return;
        if (isRetry) nextRetryMs = shell.nowMs() + LOG_EVERY_MS;
        line(noticeLine(event));
      }
      printIfDue();
    },
    handleTick: printIfDue,
    end() {},
  };
}

function barReporter(shell: Shell, options: ReportOptions): Reporter {
  let latest: ProgressEvent | null = null;
  let status: string | null = null;
  let statusBytes = 0;
  let drawn = false;
  let drawnMs = Number.NEGATIVE_INFINITY;
  const colour = wantsColour(shell, shell.stderr);
  const clear = () => {
    if (drawn) shell.stderr.write('\r\x1b[K');
    drawn = false;
  };
  const draw = () => {
    if (latest === null) return;
    drawnMs = shell.nowMs();
    drawn = true;
    const text = barLine(latest, status, shell.stderr.columns, options.verbose);
    shell.stderr.write(`\r${colour ? text.replace(/\[(=+>?)/, '[\x1b[32m$1\x1b[39m') : text}\x1b[K`);
  };
  const line = (text: string) => {
    clear();
    shell.stderr.write(text + '\n');
    draw();
  };
  return {
    handleEvent(event) {
      if (event.type === 'progress') {
        latest = event;
        if (status !== null && event.bytesDone > statusBytes) status = null;
        if (shell.nowMs() - drawnMs >= REDRAW_MS) draw();
      } else if (event.type === 'file' && options.verbose) line(fileLine(event));
      else if (event.type === 'notice') {
        if (event.retryInMs === undefined || options.verbose || latest === null) line(noticeLine(event));
        else {
          status = noticeLine(event);
          statusBytes = latest.bytesDone;
          if (shell.nowMs() - drawnMs >= REDRAW_MS) draw();
        }
      }
    },
    handleTick: draw,
    end: clear,
  };
}

function fileLine(event: Extract<TransferEvent, { type: 'file' }>): string {
  const why = event.outcome === 'failed' ? `: ${event.message ?? event.code ?? 'unknown'}` : '';
  return `${event.outcome.padEnd(12)} ${formatBytes(event.size).padStart(10)}  ${printable(event.path + why)}`;
}

function noticeLine(event: Extract<TransferEvent, { type: 'notice' }>): string {
  const retry = event.retryInMs === undefined ? '' : `retry in ${formatDuration(event.retryInMs)}: `;
  return printable(`${retry}${event.message}`);
}

const LOG_EVERY_MS = 10_000;
const REDRAW_MS = 100;
