/** hawser rm PATH... */
import type { Command } from 'commander';
import { EXIT } from '../../core/errors.ts';
import { withServer } from '../connect.ts';
import { exitOfFailures, failureOf, printFailure } from '../failure.ts';
import { type CommonFlags, withConnection } from '../options.ts';
import { type Shell, sayJson } from '../shell.ts';

interface Flags extends CommonFlags {
  readonly recursive?: boolean;
  readonly force?: boolean;
}

export function define(program: Command, shell: Shell): void {
  const command = program
    .command('rm')
    .summary('remove files and folders')
    .description('Removes files and empty folders, and with -r folders with all they hold. There is no way back.')
    .argument('<paths...>', 'remote files or folders')
    .option('-r, --recursive', 'folders with all they hold')
    .option('-f, --force', 'no complaint about what is not there')
    .action(async (paths: string[], flags: Flags) => {
      shell.exitCode = await remove(shell, paths, flags);
    });
  withConnection(command);
}

/** One path that fails does not keep the others. */
async function remove(shell: Shell, remotes: readonly string[], flags: Flags): Promise<number> {
  return withServer(shell, remotes, flags, async ({ client, paths }) => {
    const failures: { code: string }[] = [];
    for (const path of paths) {
      try {
        await client.remove(path.replace(/(.)\/$/, '$1'), { recursive: flags.recursive === true });
        if (flags.json) sayJson(shell, { event: 'removed', path });
      } catch (error) {
        const failure = failureOf(error);
        if (flags.force && failure.code === 'not_found') continue;
        printFailure(shell, failure.code === 'not_empty' ? { ...failure, message: notEmpty(path) } : failure);
        // The server is gone, or will not listen: the next path would fare no better.
        if (failure.exit === EXIT.unreachable || failure.exit === EXIT.notAuthorised) return failure.exit;
        failures.push(failure);
      }
    }
    return exitOfFailures(failures);
  });
}

const notEmpty = (path: string) => `The folder "${path}" is not empty: "hawser rm -r" removes it with all it holds.`;
