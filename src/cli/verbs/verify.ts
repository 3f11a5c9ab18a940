/** hawser verify PATH */
import type { Command } from 'commander';
import { EXIT } from '../../core/errors.ts';
import { isDigestHex } from '../../core/hex.ts';
import { formatBytes } from '../../core/units.ts';
import { withServer } from '../connect.ts';
import { usage } from '../failure.ts';
import { type CommonFlags, withConnection } from '../options.ts';
import { printable } from '../printable.ts';
import { note, type Shell, say, sayJson } from '../shell.ts';

interface Flags extends CommonFlags {
  readonly digest?: string;
}

export function define(program: Command, shell: Shell): void {
  const command = program
    .command('verify')
    .summary('read a file on the server again and compare its digest')
    .description('Has the server read every byte again. Exit code 5 when the file is not what was recorded, or not DIGEST.')
    .argument('<path>', 'remote file')
    .option('--digest <hex>', 'BLAKE3 that it should have, as b3sum prints it', digestOption)
    .action(async (remote: string, flags: Flags) => {
      shell.exitCode = await verify(shell, remote, flags);
    });
  withConnection(command);
}

async function verify(shell: Shell, remote: string, flags: Flags): Promise<number> {
  return withServer(shell, [remote], flags, async ({ client, paths: [path = '/'] }) => {
    const live = shell.stderr.isTTY && !shell.json;
    const result = await client.verify(path, flags.digest, (done, total) => {
      if (live) shell.stderr.write(`\r${formatBytes(done)} of ${formatBytes(total)} read\x1b[K`);
    });
    if (live) shell.stderr.write('\r\x1b[K');
    const exit = result.matches ? EXIT.done : EXIT.integrity;
    if (flags.json) sayJson(shell, { event: 'done', ...result, exit });
    else if (result.matches)
      say(
        shell,
        `${result.digest}  ${printable(result.path)}: ${result.recorded === null && result.expected === null ? 'read, nothing to compare it with' : 'intact'}`,
      );
    else {
      const wanted = result.expected !== null && result.expected !== result.digest ? result.expected : result.recorded;
      note(shell, `hawser: ${printable(result.path)} is ${result.digest}, and should be ${wanted}: restore it from a copy.`);
    }
    return exit;
  });
}

function digestOption(text: string): string {
  const digest = text.trim().toLowerCase();
  if (isDigestHex(digest)) return digest;
  throw usage(`--digest "${text}" is not a BLAKE3 digest: give the 64 hex digits that b3sum prints.`, text);
}
