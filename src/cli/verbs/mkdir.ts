/** hawser mkdir PATH... */
import type { Command } from 'commander';
import { withServer } from '../connect.ts';
import { type CommonFlags, withConnection } from '../options.ts';
import { type Shell, sayJson } from '../shell.ts';

export function define(program: Command, shell: Shell): void {
  const command = program
    .command('mkdir')
    .summary('make folders')
    .description('Makes folders, and the folders above them. A folder that is already there is no failure.')
    .argument('<paths...>', 'remote folders')
    .option('-p, --parents', 'accepted for scripts that are used to it: parents are always made')
    .action(async (remotes: string[], flags: CommonFlags) => {
      await withServer(shell, remotes, flags, async ({ client, paths }) => {
        for (const path of paths) {
          const entry = await client.makeFolder(path.replace(/(.)\/$/, '$1'));
          if (flags.json) sayJson(shell, entry);
        }
      });
    });
  withConnection(command);
}
