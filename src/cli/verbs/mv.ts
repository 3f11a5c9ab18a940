/** hawser mv SRC... DEST */
import type { Command } from 'commander';
import type { Client } from '../../client/contract.ts';
import { HawserError } from '../../core/errors.ts';
import { baseName, joinPath } from '../../core/path.ts';
import type { FileInfo } from '../../engine/contract.ts';
import { withServer } from '../connect.ts';
import { usage } from '../failure.ts';
import { type CommonFlags, withConnection } from '../options.ts';
import { type Shell, sayJson } from '../shell.ts';

interface Flags extends CommonFlags {
  readonly force?: boolean;
}

export function define(program: Command, shell: Shell): void {
  const command = program
    .command('mv')
    .summary('move or rename on the server')
    .usage('[options] SRC... DEST')
    .argument('<paths...>', 'remote paths; the last is the new name, or the folder to move into')
    .option('-f, --force', 'replace a file that is in the way')
    .action((paths: string[], flags: Flags) => move(shell, paths, flags));
  withConnection(command);
}

async function move(shell: Shell, remotes: readonly string[], flags: Flags): Promise<void> {
  if (remotes.length < 2) throw usage('mv needs what to move and where to: write hawser mv SRC... DEST.');
  await withServer(shell, remotes, flags, async ({ client, paths }) => {
    const sources = paths.slice(0, -1).map((path) => path.replace(/(.)\/$/, '$1'));
    const destination = paths.at(-1) ?? '/';
    const into = destination.endsWith('/') || (await isFolder(client, destination));
    if (!into && sources.length > 1)
      throw usage(`"${destination}" is not a folder, and several paths can only be moved into one.`);
    for (const source of sources) {
      const target = into ? joinPath(destination, baseName(source)) : destination;
      const entry = await moveOne(client, source, target, flags.force === true);
      if (flags.json) sayJson(shell, { event: 'moved', from: source, to: entry.path });
    }
  });
}

async function moveOne(client: Client, source: string, target: string, overwrite: boolean): Promise<FileInfo> {
  try {
    return await client.move(source, target, { overwrite });
  } catch (error) {
    if (overwrite || !(error instanceof HawserError) || error.code !== 'exists') throw error;
    throw new HawserError('exists', `"${target}" is there already: choose another name, or replace it with "hawser mv -f".`, {
      value: target,
      cause: error,
    });
  }
}

async function isFolder(client: Client, path: string): Promise<boolean> {
  try {
    return (await client.stat(path, { follow: true })).kind === 'folder';
  } catch (error) {
    if (error instanceof HawserError && error.code === 'not_found') return false;
    throw error;
  }
}
