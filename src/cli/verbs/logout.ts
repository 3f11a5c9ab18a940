/** hawser logout [NAME] */
import type { Command } from 'commander';
import { clientOptions } from '../connect.ts';
import { usage } from '../failure.ts';
import { findProfile, readProfiles, withoutProfile, writeProfiles } from '../profiles.ts';
import { type Shell, say, sayJson } from '../shell.ts';

export function define(program: Command, shell: Shell): void {
  program
    .command('logout')
    .summary('forget a profile and its token')
    .description('Removes a profile from this machine. The token stays valid until "hawser token revoke".')
    .argument('[name]', 'the profile (default: the default one)')
    .option('--json', 'print JSON')
    .action(async (name: string | undefined) => {
      const all = readProfiles(shell.env);
      const chosen = name ?? all.default;
      if (chosen === null) throw usage('No profile is the default: say which one, as in "hawser logout NAME".');
      const profile = findProfile(all, chosen);
      const { url } = profile;
      const left = withoutProfile(all, chosen);
      writeProfiles(shell.env, left);
      const client = await shell.createClient(clientOptions(shell, { ...profile, profile: chosen }, {}));
      client.forgetLane();
      await client.close();
      if (shell.json) sayJson(shell, { event: 'removed', name: chosen, url, default: left.default });
      else
        say(
          shell,
          `Forgot the profile "${chosen}" (${url}).${left.default === null ? '' : ` The default is "${left.default}".`}`,
        );
    });
}
