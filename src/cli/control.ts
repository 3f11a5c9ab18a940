/** Verbs that act on one transfer by its id. */
import type { Command } from 'commander';
import type { Client, TransferInfo } from '../client/contract.ts';
import { resolveRemotes, withServer } from './connect.ts';
import { keptCommands } from './kept-commands.ts';
import { type CommonFlags, withConnection } from './options.ts';
import { readProfiles } from './profiles.ts';
import { type Shell, say, sayJson } from './shell.ts';

interface Control {
  readonly verb: string;
  readonly summary: string;
  /** Deals with what this machine alone knows of, instead of the server: returns what to say, or null. */
  actHere?(id: string): string | null;
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
    .option('--on <server>', 'NAME:/ or https://host:port/ (default: where the command ran, or the default profile)')
    .action(async (ids: string[], flags: Flags) => {
      for (const id of ids) await controlOne(shell, control, id, flags);
    });
  withConnection(command);
}

async function controlOne(shell: Shell, control: Control, id: string, flags: Flags): Promise<void> {
  const server = flags.on ?? begunAt(shell, id);
  const done = control.actHere?.(id) ?? null;
  if (done !== null) {
    if (flags.json) sayJson(shell, { id, transfer: null });
    else say(shell, done);
    return;
  }
  await withServer(shell, server === undefined ? [] : [server], flags, async ({ client }) => {
    const transfer = await control.act(client, id);
    if (flags.json) sayJson(shell, transfer);
    else say(shell, control.done(id));
  });
}

/** Undefined when this machine did not begin it, or cannot speak to that server any more: it may have another address by now. */
function begunAt(shell: Shell, id: string): string | undefined {
  const kept = keptCommands(shell.env).find(({ transfer }) => transfer === id);
  if (kept === undefined) return undefined;
  try {
    resolveRemotes([`${kept.url}/`], readProfiles(shell.env), shell.env);
    return `${kept.url}/`;
  } catch {
    return undefined;
  }
}
