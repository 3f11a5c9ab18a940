/** hawser profiles [use NAME] */
import type { Command } from 'commander';
import { printable } from '../printable.ts';
import { findProfile, readProfiles, writeProfiles } from '../profiles.ts';
import { type Shell, say, sayJson } from '../shell.ts';
import { tableLines } from '../table.ts';

export function define(program: Command, shell: Shell): void {
  const profiles = program
    .command('profiles')
    .summary('list saved servers, or choose the default')
    .option('--json', 'print JSON, one object a line')
    .action(() => list(shell));
  profiles
    .command('use <name>')
    .description('Makes a profile the one that /path means.')
    .action((name: string) => {
      const all = readProfiles(shell.env);
      const { url } = findProfile(all, name);
      writeProfiles(shell.env, { ...all, default: name });
      say(shell, `/path now means ${url} (profile "${name}").`);
    });
}

/** Never prints tokens. */
function list(shell: Shell): void {
  const all = readProfiles(shell.env);
  const entries = Object.entries(all.profiles);
  if (shell.json) {
    for (const [name, { url, fingerprint }] of entries)
      sayJson(shell, { name, url, default: name === all.default, fingerprint: fingerprint ?? null });
    return;
  }
  if (entries.length === 0) say(shell, 'No server is saved yet: run "hawser login URL".');
  const rows = entries.map(([name, { url, fingerprint }]) => [
    name === all.default ? '*' : ' ',
    name,
    printable(url),
    fingerprint === undefined ? '' : `pinned ${fingerprint.slice(0, 16)}…`,
  ]);
  for (const line of tableLines(rows)) say(shell, line);
}
