/** hawser put SRC... DEST */
import type { Command } from 'commander';
import { withServer } from '../connect.ts';
import { usage } from '../failure.ts';
import { type TransferFlags, withTransfer } from '../options.ts';
import type { Shell } from '../shell.ts';
import { runTransfer } from '../transfer-run.ts';

export function define(program: Command, shell: Shell): void {
  const command = program
    .command('put')
    .summary('send files and folders to a server')
    .description('Sends files and folders to a server. Repeating an interrupted put sends only what is missing.')
    .usage('[options] SRC... DEST')
    .argument('<paths...>', 'local files and folders, or - for standard input; the last is the remote destination')
    .addHelpText('after', HELP)
    .action(async (paths: string[], flags: TransferFlags) => {
      shell.exitCode = await put(shell, paths, flags);
    });
  withTransfer(command);
}

async function put(shell: Shell, paths: readonly string[], flags: TransferFlags): Promise<number> {
  const sources = paths.slice(0, -1);
  const [destination] = paths.slice(-1);
  if (sources.length === 0 || destination === undefined) {
    throw usage('put needs what to send and where to: write hawser put SRC... DEST, for example "hawser put a.txt /incoming/".');
  }
  const streams = sources.includes('-');
  if (streams && sources.length > 1)
    throw usage('Standard input (-) must be the only source: send the other files with a put of their own.');
  return withServer(shell, [destination], flags, (connection) => {
    const [path = '/'] = connection.paths;
    if (streams && path.endsWith('/')) throw usage(`Standard input has no name: give one, for example "${path}name.tar".`, path);
    return runTransfer(shell, connection, flags, {
      resumable: !streams,
      dataOnStdout: false,
      start: (client, options) => client.put(streams ? [shell.stdin] : sources, path, options),
    });
  });
}

const HELP = `
  hawser put footage.mxf photos/ /incoming/      into a folder, made when it is missing
  hawser put report.pdf /inbox/june.pdf          under a new name
  tar c . | hawser put - /backup/site.tar        from standard input
`;
