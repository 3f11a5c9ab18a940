/** hawser token create|list|revoke */
import type { Command } from 'commander';
import { parseDurationSeconds } from '../../core/units.ts';
import type { Role } from '../../store/meta/contract.ts';
import { withServer } from '../connect.ts';
import { type CommonFlags, choice, value, withConnection } from '../options.ts';
import { printable } from '../printable.ts';
import { note, type Shell, say, sayJson } from '../shell.ts';
import { tableLines } from '../table.ts';

interface Flags extends CommonFlags {
  readonly on?: string;
}

export function define(program: Command, shell: Shell): void {
  const token = program.command('token').summary('make, list and revoke tokens (admin)');
  const verb = (usage: string, summary: string) =>
    withConnection(token.command(usage).summary(summary).description(summary)).option(
      '--on <server>',
      'NAME:/ or https://host:port/',
    );
  verb('create <name>', 'make a token; it is shown once')
    .addOption(choice('--role <role>', 'what it may do', ['read', 'write', 'admin'], 'write'))
    .option('--expires <duration>', 'when it ends, for example 30d (default: never)', value('--expires', parseDurationSeconds))
    .action((name: string, flags: CreateFlags) => create(shell, name, flags));
  verb('list', 'list tokens').action((flags: Flags) => list(shell, flags));
  verb('revoke <ids...>', 'make tokens worthless at once').action((ids: string[], flags: Flags) => revoke(shell, ids, flags));
}

interface CreateFlags extends Flags {
  readonly role: Role;
  readonly expires?: number;
}

async function create(shell: Shell, name: string, flags: CreateFlags): Promise<void> {
  await withServer(shell, where(flags), flags, async ({ client }) => {
    const expires = flags.expires === undefined ? {} : { expiresSeconds: Math.ceil(flags.expires) };
    const made = await client.createToken({ name, role: flags.role, ...expires });
    if (flags.json) {
      sayJson(shell, made);
      return;
    }
    // The token alone on stdout, so that T=$(hawser token create ci) works.
    say(shell, made.token);
    const until = made.expires === null ? 'It does not expire.' : `It expires on ${made.expires}.`;
    note(shell, printable(`This is the only time it is shown. Id ${made.id}, role ${made.role}. ${until}`));
  });
}

async function list(shell: Shell, flags: Flags): Promise<void> {
  await withServer(shell, where(flags), flags, async ({ client }) => {
    const tokens = await client.listTokens();
    if (flags.json) for (const token of tokens) sayJson(shell, token);
    else {
      const rows = tokens.map(({ id, name, role, created, expires }) => [
        printable(id),
        role,
        created.slice(0, 10),
        expires?.slice(0, 10) ?? 'never',
        printable(name),
      ]);
      for (const line of tableLines([['ID', 'ROLE', 'CREATED', 'EXPIRES', 'NAME'], ...rows])) say(shell, line);
    }
  });
}

async function revoke(shell: Shell, ids: readonly string[], flags: Flags): Promise<void> {
  await withServer(shell, where(flags), flags, async ({ client }) => {
    for (const id of ids) {
      await client.removeToken(id);
      if (flags.json) sayJson(shell, { event: 'revoked', id });
      else say(shell, `Revoked ${id}.`);
    }
  });
}

const where = (flags: Flags) => (flags.on === undefined ? [] : [flags.on]);
