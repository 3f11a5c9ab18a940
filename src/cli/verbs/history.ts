/** hawser history */
import type { Command } from 'commander';
import { withServer } from '../connect.ts';
import { type CommonFlags, wholeNumber, withConnection } from '../options.ts';
import { printable } from '../printable.ts';
import { type Shell, say, sayJson } from '../shell.ts';
import { tableLines } from '../table.ts';
import { transferRow } from '../transfer-text.ts';

interface Flags extends CommonFlags {
  readonly limit: number;
}

export function define(program: Command, shell: Shell): void {
  const command = program
    .command('history')
    .summary('list transfers that have ended')
    .argument('[server]', 'NAME:/ or https://host:port/ (default: the default profile)')
    .option('-n, --limit <n>', 'at most so many', wholeNumber('--limit', 1, 10_000), 50)
    .action((server: string | undefined, flags: Flags) => history(shell, server, flags));
  withConnection(command);
}

async function history(shell: Shell, server: string | undefined, flags: Flags): Promise<void> {
  await withServer(shell, server === undefined ? [] : [server], flags, async ({ client }) => {
    const states = ['done', 'failed', 'cancelled'] as const;
    const lists = await Promise.all(states.map((state) => client.listTransfers({ state, limit: flags.limit })));
    const ended = lists
      .flat()
      .sort((a, b) => (b.ended ?? b.updated).localeCompare(a.ended ?? a.updated))
      .slice(0, flags.limit);
    if (flags.json) for (const transfer of ended) sayJson(shell, transfer);
    else if (ended.length === 0) say(shell, 'No transfer has ended yet.');
    else {
      const rows = ended.map((transfer) => [
        (transfer.ended ?? transfer.updated).slice(0, 19).replace('T', ' '),
        ...transferRow(transfer),
        ...(transfer.error === null ? [] : [printable(transfer.error)]),
      ]);
      for (const line of tableLines([['ENDED', 'ID', 'KIND', 'STATE', 'DONE', 'FROM', 'TO'], ...rows])) say(shell, line);
    }
  });
}
