/** hawser resume [ID] */
import type { Command } from 'commander';
import { EXIT } from '../../core/errors.ts';
import { withServer } from '../connect.ts';
import { failureOf, usage } from '../failure.ts';
import { isRunning, type KeptCommand, keptCommands } from '../kept-commands.ts';
import { type CommonFlags, withConnection } from '../options.ts';
import { printable } from '../printable.ts';
import { note, type Shell, say, sayJson } from '../shell.ts';

interface Flags extends CommonFlags {
  readonly on?: string;
  readonly list?: boolean;
}

export function define(program: Command, shell: Shell): void {
  const command = program
    .command('resume')
    .summary('go on with what was interrupted or paused')
    .description(
      'Without ID: runs every interrupted command of this machine again; only what is missing is sent. ' +
        'With ID: lets a paused transfer go on, and runs its command again when it is not running.',
    )
    .argument('[id]', 'a transfer, as "hawser status" or an interrupted command printed it')
    .option('--list', 'only list what would be run')
    .option('--on <server>', 'NAME:/ or https://host:port/ (default: where the command ran)')
    .action(async (id: string | undefined, flags: Flags) => {
      shell.exitCode = await resume(shell, id, flags);
    });
  withConnection(command);
}

async function resume(shell: Shell, id: string | undefined, flags: Flags): Promise<number> {
  const kept = keptCommands(shell.env);
  if (flags.list) return list(shell, kept, flags);
  if (id === undefined) return resumeAll(shell, kept, flags);
  const command = kept.find((entry) => entry.id === id || entry.transfer === id);
  if (command === undefined) return (await unpause(shell, id, flags)) ? EXIT.done : EXIT.failed;
  // A command that never reached the server has nothing there to let go on.
  if (command.transfer !== null) {
    try {
      await unpause(shell, command.transfer, { ...flags, on: flags.on ?? `${command.url}/` });
    } catch (error) {
      // That transfer may have ended, or the server be away: running the command deals with both.
      if (isRunning(command)) throw error;
    }
  }
  return isRunning(command) ? EXIT.done : rerun(shell, command);
}

async function resumeAll(shell: Shell, kept: readonly KeptCommand[], flags: Flags): Promise<number> {
  const waiting = kept.filter((command) => !isRunning(command));
  if (waiting.length === 0 && !flags.json) say(shell, 'There is nothing to resume.');
  let exit: number = EXIT.done;
  for (const command of waiting) {
    const code = await rerun(shell, command);
    if (code === EXIT.interrupted) return code;
    if (exit === EXIT.done) exit = code;
  }
  return exit;
}

async function rerun(shell: Shell, command: KeptCommand): Promise<number> {
  if (!shell.json) note(shell, printable(`hawser ${command.argv.join(' ')}   (in ${command.cwd})`));
  try {
    return await shell.run(command.argv, command.cwd, { url: command.url, profile: command.profile });
  } catch (error) {
    throw usage(`The folder "${command.cwd}" of that command cannot be entered (${failureOf(error).code}): make it again.`);
  }
}

/** True when the server let it go on. */
async function unpause(shell: Shell, id: string, flags: Flags): Promise<boolean> {
  return withServer(shell, flags.on === undefined ? [] : [flags.on], flags, async ({ client }) => {
    const transfer = await client.resume(id);
    if (flags.json) sayJson(shell, transfer);
    else note(shell, `Transfer ${transfer.id} is ${transfer.state}.`);
    return transfer.state === 'active' || transfer.state === 'done';
  });
}

function list(shell: Shell, kept: readonly KeptCommand[], flags: Flags): number {
  for (const command of kept) {
    const state = isRunning(command) ? 'running' : (command.reason ?? 'killed');
    const { id, transfer, argv, cwd, time, url } = command;
    if (flags.json) sayJson(shell, { id, transfer, argv, cwd, time, url, state });
    else say(shell, printable(`${transfer ?? id}  ${time}  ${state}  hawser ${argv.join(' ')}   (in ${cwd})`));
  }
  return EXIT.done;
}
