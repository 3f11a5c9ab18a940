/** hawser status */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Client, LaneInfo } from '../../client/contract.ts';
import { HawserError } from '../../core/errors.ts';
import { formatBytes } from '../../core/units.ts';
import { withServer } from '../connect.ts';
import { isRunning, keptCommands } from '../kept-commands.ts';
import { laneLines } from '../lane-text.ts';
import { type CommonFlags, withConnection } from '../options.ts';
import { printable } from '../printable.ts';
import { type Shell, say, sayJson, wantsColour } from '../shell.ts';
import { tableLines } from '../table.ts';
import { transferRow } from '../transfer-text.ts';

interface Flags extends CommonFlags {
  readonly watch?: boolean;
}

export function define(program: Command, shell: Shell): void {
  const command = program
    .command('status')
    .summary('list transfers that run, wait or were left behind')
    .description(
      'Lists active and paused transfers, the paths of open lanes, unfinished uploads with the time they expire, and interrupted commands of this machine.',
    )
    .argument('[server]', 'NAME:/ or https://host:port/ (default: the default profile)')
    .option('-w, --watch', 'again every second until Ctrl-C')
    .action((server: string | undefined, flags: Flags) => status(shell, server, flags));
  withConnection(command);
}

async function status(shell: Shell, server: string | undefined, flags: Flags): Promise<void> {
  await withServer(shell, server === undefined ? [] : [server], flags, async ({ client }) => {
    if (!flags.watch) {
      await print(shell, client, flags);
      return;
    }
    const signal = shell.stopSignal();
    while (!signal.aborted) {
      if (shell.stdout.isTTY && !flags.json) shell.stdout.write('\x1b[H\x1b[2J');
      await print(shell, client, flags);
      await sleep(WATCH_MS, undefined, { signal }).catch(() => {});
    }
  });
}

async function print(shell: Shell, client: Client, flags: Flags): Promise<void> {
  const [active, paused, uploads, lanes] = await Promise.all([
    client.listTransfers({ state: 'active' }),
    client.listTransfers({ state: 'paused' }),
    client.listUploads(),
    client.listLanes().catch(noneIfTooOld),
  ]);
  const transfers = [...active, ...paused];
  const running = new Set(transfers.map(({ id }) => id));
  const abandoned = uploads.filter(({ transfer }) => transfer === null || !running.has(transfer));
  const kept = keptCommands(shell.env).filter((command) => !isRunning(command));
  if (flags.json) {
    sayJson(shell, { transfers, uploads, lanes, interrupted: kept.map(({ process: _, ...command }) => command) });
    return;
  }
  const paths = laneLines(lanes, shell.stdout.isTTY ? shell.stdout.columns : Number.POSITIVE_INFINITY);
  if (transfers.length + paths.length + abandoned.length + kept.length === 0) say(shell, 'Nothing is under way.');
  if (transfers.length > 0) {
    for (const line of tableLines([
      ['ID', 'KIND', 'STATE', 'DONE', 'FROM', 'TO'],
      ...transfers.map((transfer) => transferRow(transfer, Date.now())),
    ]))
      say(shell, line);
  }
  if (paths.length > 0) {
    say(shell, `${transfers.length > 0 ? '\n' : ''}Open lanes, path by path:`);
    const colour = wantsColour(shell, shell.stdout);
    for (const line of paths) say(shell, colour ? coloured(line) : line);
  }
  if (abandoned.length > 0) {
    say(shell, `${transfers.length + paths.length > 0 ? '\n' : ''}Unfinished uploads (repeat the put to go on):`);
    const rows = abandoned.map(({ path, size, safeBytes, expires }) => [
      `${formatBytes(safeBytes)} of ${size === null ? '?' : formatBytes(size)}`,
      `expires ${expires.slice(0, 16).replace('T', ' ')}`,
      printable(path),
    ]);
    for (const line of tableLines(rows)) say(shell, line);
  }
  if (kept.length > 0) {
    say(
      shell,
      `${transfers.length + paths.length + abandoned.length > 0 ? '\n' : ''}Interrupted on this machine (hawser resume runs them again):`,
    );
    for (const command of kept) say(shell, printable(`${command.transfer ?? command.id}  hawser ${command.argv.join(' ')}`));
  }
}

/** A server of before there were lanes. */
function noneIfTooOld(error: unknown): LaneInfo[] {
  if (error instanceof HawserError && error.code === 'route_not_found') return [];
  throw error;
}

/** Yellow where answers are late, red where none come. */
const coloured = (line: string): string =>
  line.replace(/ degraded\b/, ' \x1b[33mdegraded\x1b[39m').replace(/ failed\b/, ' \x1b[31mfailed\x1b[39m');

const WATCH_MS = 1000;
