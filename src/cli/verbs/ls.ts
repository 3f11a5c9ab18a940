/** hawser ls [PATH] */
import type { Command } from 'commander';
import type { FileInfo } from '../../engine/contract.ts';
import { withServer } from '../connect.ts';
import { longLine, nameOf } from '../entry-text.ts';
import { type CommonFlags, withConnection } from '../options.ts';
import { printable } from '../printable.ts';
import { type Shell, say, sayJson } from '../shell.ts';

interface Flags extends CommonFlags {
  readonly long?: boolean;
  readonly recursive?: boolean;
  readonly human?: boolean;
}

export function define(program: Command, shell: Shell): void {
  const command = program
    .command('ls')
    .summary('list a folder')
    .description('Lists a folder of the server, sorted by name. With --json every entry is an object on a line.')
    .argument('[paths...]', 'remote folders or files (default: /)')
    .option('-l, --long', 'with mode, size and time')
    .option('-R, --recursive', 'with everything below')
    // -h is for sizes here, as in every ls.
    .option('-h, --human', 'sizes like 1.4 GiB')
    .helpOption('--help', 'display help for command')
    .action(async (paths: string[], flags: Flags) => {
      await list(shell, paths, flags);
    });
  withConnection(command);
}

async function list(shell: Shell, remotes: readonly string[], flags: Flags): Promise<void> {
  await withServer(shell, remotes, flags, async ({ client, paths }) => {
    for (const [index, path] of paths.entries()) {
      const folder = path === '/' ? path : path.replace(/\/$/, '');
      const entry = folder === '/' ? null : await client.stat(folder, { follow: path.endsWith('/') });
      if (paths.length > 1 && !flags.json) say(shell, `${index > 0 ? '\n' : ''}${printable(folder)}:`);
      if (entry !== null && entry.kind !== 'folder') {
        print(shell, flags, entry, folder);
        continue;
      }
      const below = folder === '/' ? '/' : `${folder}/`;
      for await (const item of client.list(folder, { recursive: flags.recursive === true })) {
        print(shell, flags, item, item.path.startsWith(below) ? item.path.slice(below.length) : item.path);
      }
    }
  });
}

function print(shell: Shell, flags: Flags, entry: FileInfo, name: string): void {
  if (flags.json) sayJson(shell, entry);
  else say(shell, flags.long ? longLine(entry, name, flags.human === true) : nameOf(entry, name));
}
