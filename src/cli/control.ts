/** Verbs that act on one transfer by its id. */
import type { Command } from 'commander';
import type { Client, TransferInfo } from '../client/contract.ts';
import { withServer } from './connect.ts';
import { type CommonFlags, withConnection } from './options.ts';
import { type Shell, say, sayJson } from './shell.ts';

interface Control {
  readonly verb: string;
  readonly summary: string;
  act(client: Client, id: string): Promise<TransferInfo>;
  done(id: string): string;
}

interface Flags extends CommonFlags {
  readonly on?: string;
}

export function defineControl(program: Command, shell: Shell, control: Control): void {
  const command = program
    .command(control.verb)
    .summary(control.summary)
    .argument('<ids...>', 'transfers, as "hawser status" lists them')
    .option('--on <server>', 'NAME:/ or https://host:port/ (default: the default profile)')
    .action(async (ids: string[], flags: Flags) => {
      await withServer(shell, flags.on === undefined ? [] : [flags.on], flags, async ({ client }) => {
        for (const id of ids) {
          const transfer = await control.act(client, id);
          if (flags.json) sayJson(shell, transfer);
          else say(shell, control.done(id));
        }
      });
    });
  withConnection(command);
}
