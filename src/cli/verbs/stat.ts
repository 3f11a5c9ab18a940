/** hawser stat PATH... */
import type { Command } from 'commander';
import { formatBytes } from '../../core/units.ts';
import type { FileInfo } from '../../engine/contract.ts';
import { withServer } from '../connect.ts';
import { isoTime, modeText } from '../entry-text.ts';
import { type CommonFlags, withConnection } from '../options.ts';
import { printable } from '../printable.ts';
import { type Shell, say, sayJson } from '../shell.ts';

interface Flags extends CommonFlags {
  readonly digest?: boolean;
}

export function define(program: Command, shell: Shell): void {
  const command = program
    .command('stat')
    .summary('say what the server knows about a path')
    .argument('<paths...>', 'remote files or folders')
    .option('--digest', 'compute the digest when the server does not know it yet')
    .action(async (remotes: string[], flags: Flags) => {
      await withServer(shell, remotes, flags, async ({ client, paths }) => {
        for (const path of paths) {
          const entry = await client.stat(path);
          const full = flags.digest && entry.kind === 'file' && entry.digest === null ? await client.digest(path) : entry;
          if (flags.json) sayJson(shell, full);
          else for (const line of describe(full)) say(shell, line);
        }
      });
    });
  withConnection(command);
}

function describe(entry: FileInfo): string[] {
  return [
    `path      ${printable(entry.path)}`,
    `kind      ${entry.kind}`,
    ...(entry.kind === 'file' ? [`size      ${entry.size} (${formatBytes(entry.size)})`] : []),
    `mode      ${modeText(entry)} (0${(entry.mode & 0o7777).toString(8)})`,
    `modified  ${isoTime(entry.mtimeNs)}`,
    ...(entry.target === undefined ? [] : [`target    ${printable(entry.target)}`]),
    ...(entry.kind === 'file' ? [`digest    ${entry.digest ?? 'not known yet (--digest computes it)'}`] : []),
  ];
}
