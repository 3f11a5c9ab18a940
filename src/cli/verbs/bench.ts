/** hawser bench link [SERVER] */
import type { Command } from 'commander';
import type { PathInfo } from '../../client/contract.ts';
import { EXIT } from '../../core/errors.ts';
import { formatRate, parseSize } from '../../core/units.ts';
import { clientOptions, resolveRemotes, type Server } from '../connect.ts';
import { failureOf } from '../failure.ts';
import { type CommonFlags, laneOptions, type TransferFlags, value, wholeNumber, withConnection } from '../options.ts';
import { printable } from '../printable.ts';
import { readProfiles } from '../profiles.ts';
import { laneFacts } from '../progress-line.ts';
import { type Shell, say, sayJson } from '../shell.ts';
import { tableLines } from '../table.ts';

interface Flags extends CommonFlags, Pick<TransferFlags, 'policy' | 'path'> {
  readonly seconds: number;
  readonly bytes: number;
}

interface Row {
  readonly transport: string;
  readonly rttMs: number | null;
  readonly sendBytesPerSecond: number | null;
  readonly receiveBytesPerSecond: number | null;
  readonly note: string;
  readonly path: PathInfo | null;
}

export function define(program: Command, shell: Shell): void {
  const bench = program.command('bench').summary('measure a path').description('Measures, with bounds on time and bytes.');
  const link = bench
    .command('link')
    .summary('measure the path to a server with each transport')
    .description('Moves probes to a server and back over each transport, nothing is stored, and prints a table.')
    .argument('[server]', 'NAME:/ or https://host:port/ (default: the default profile)')
    .option('--seconds <n>', 'most seconds for each transport', wholeNumber('--seconds', 1, 600), 30)
    .option('--bytes <size>', 'most bytes in each direction and request', value('--bytes', parseSize), 64 * 1024 * 1024)
    .action(async (server: string | undefined, flags: Flags) => {
      shell.exitCode = await measureLink(shell, server, flags);
    });
  withConnection(link);
}

async function measureLink(shell: Shell, remote: string | undefined, flags: Flags): Promise<number> {
  const { server } = resolveRemotes(remote === undefined ? [] : [remote], readProfiles(shell.env), shell.env);
  if (!flags.json) say(shell, printable(`Measuring the path to ${server.url}, at most ${flags.seconds} s for each transport`));
  const rows: Row[] = [];
  for (const transport of ['https', 'lane'] as const) {
    const row = await measureOne(shell, server, flags, transport);
    rows.push(row);
    if (flags.json) sayJson(shell, { event: 'link', ...row });
  }
  if (!flags.json) for (const line of table(rows)) say(shell, line);
  return rows.some(({ sendBytesPerSecond }) => sendBytesPerSecond !== null) ? EXIT.done : EXIT.unreachable;
}

async function measureOne(shell: Shell, server: Server, flags: Flags, transport: 'https' | 'lane'): Promise<Row> {
  const options = { ...clientOptions(shell, server, flags), ...laneOptions({ ...flags, transport }) };
  const client = await shell.createClient(options);
  const signal = AbortSignal.any([shell.stopSignal(), AbortSignal.timeout(flags.seconds * 1000)]);
  try {
    const probe = await client.probe({ bytes: flags.bytes, signal });
    const path = client.info();
    return {
      transport,
      rttMs: probe.rttMs.min,
      sendBytesPerSecond: probe.sendBytesPerSecond,
      receiveBytesPerSecond: probe.receiveBytesPerSecond,
      note: path.lane ? laneFacts(path.lane) : '',
      path,
    };
  } catch (error) {
    const { message } = failureOf(error);
    const note = signal.aborted ? `not done after ${flags.seconds} s: too slow to measure` : message;
    return { transport, rttMs: null, sendBytesPerSecond: null, receiveBytesPerSecond: null, note, path: null };
  } finally {
    await client.close();
  }
}

function table(rows: readonly Row[]): string[] {
  const cells = rows.map((row) => [
    row.transport,
    row.rttMs === null ? '-' : `${row.rttMs.toFixed(1)} ms`,
    row.sendBytesPerSecond === null ? '-' : formatRate(row.sendBytesPerSecond),
    row.receiveBytesPerSecond === null ? '-' : formatRate(row.receiveBytesPerSecond),
    printable(row.note),
  ]);
  return tableLines([['transport', 'round trip', 'up', 'down', ''], ...cells], [1, 2, 3]);
}
