/** hawser version */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { withServer } from '../connect.ts';
import { type CommonFlags, withConnection } from '../options.ts';
import { printable } from '../printable.ts';
import { type Shell, say, sayJson } from '../shell.ts';

interface Flags extends CommonFlags {
  readonly server?: true | string;
}

export function define(program: Command, shell: Shell): void {
  const command = program
    .command('version')
    .summary("print the version, and the server's")
    .option('--server [server]', 'ask a server too: NAME:/ or https://host:port/ (default: the default profile)')
    .action((flags: Flags) => version(shell, flags));
  withConnection(command);
}

/** The version of this package; src/cli/verbs and dist/cli/verbs are equally deep. */
export function packageVersion(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

async function version(shell: Shell, flags: Flags): Promise<void> {
  const own = packageVersion();
  const { server } = flags;
  const theirs =
    server === undefined
      ? null
      : await withServer(shell, server === true ? [] : [server], flags, async ({ client, server: { url } }) => ({
          url,
          version: (await client.capabilities()).version,
        }));
  if (flags.json) sayJson(shell, { version: own, node: process.versions.node, ...(theirs === null ? {} : { server: theirs }) });
  else {
    say(shell, `hawser ${own} (Node.js ${process.versions.node}, ${process.platform} ${process.arch})`);
    if (theirs !== null) say(shell, printable(`${theirs.url} runs hawser ${theirs.version}`));
  }
}
