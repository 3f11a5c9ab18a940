/** hawser cancel ID */
import type { Command } from 'commander';
import { defineControl } from '../control.ts';
import { forgetCommand, isRunning, keptCommands } from '../kept-commands.ts';
import type { Shell } from '../shell.ts';

export function define(program: Command, shell: Shell): void {
  defineControl(program, shell, {
    verb: 'cancel',
    summary: 'end a transfer and free what it had staged',
    // Forgotten first: whatever the server says, or when it is gone for good, it is not to be resumed from here.
    actHere: (id) => {
      const kept = keptCommands(shell.env).find((one) => (one.transfer ?? one.id) === id && !isRunning(one));
      if (kept) forgetCommand(shell.env, kept.id);
      return kept?.transfer === null ? 'Forgotten: it had not reached the server.' : null;
    },
    act: (client, id) => client.cancel(id),
    done: () => 'Cancelled.',
  });
}
