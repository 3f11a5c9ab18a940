/** hawser cancel ID */
import type { Command } from 'commander';
import { defineControl } from '../control.ts';
import { forgetCommand, isRunning, keptCommands } from '../kept-commands.ts';
import type { Shell } from '../shell.ts';

export function define(program: Command, shell: Shell): void {
  defineControl(program, shell, {
    verb: 'cancel',
    summary: 'end a transfer and free what it had staged',
    act: async (client, id) => {
      const transfer = await client.cancel(id);
      for (const kept of keptCommands(shell.env)) if (kept.transfer === id && !isRunning(kept)) forgetCommand(shell.env, kept.id);
      return transfer;
    },
    done: () => 'Cancelled.',
  });
}
