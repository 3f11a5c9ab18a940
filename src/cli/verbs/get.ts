/** hawser get SRC... DEST */
import type { Command } from 'commander';
import { withServer } from '../connect.ts';
import { usage } from '../failure.ts';
import { type TransferFlags, withTransfer } from '../options.ts';
import { looksRemote } from '../remote.ts';
import type { Shell } from '../shell.ts';
import { runTransfer } from '../transfer-run.ts';

export function define(program: Command, shell: Shell): void {
  const command = program
    .command('get')
    .summary('fetch files and folders from a server')
    .description('Fetches files and folders from a server, verified. Repeating an interrupted get fetches only what is missing.')
    .usage('[options] SRC... DEST')
    .argument('<paths...>', 'remote files and folders; the last is the local destination, or - for standard output')
    .addHelpText('after', HELP)
    .action(async (paths: string[], flags: TransferFlags) => {
      shell.exitCode = await get(shell, paths, flags);
    });
  withTransfer(command);
}

async function get(shell: Shell, paths: readonly string[], flags: TransferFlags): Promise<number> {
  const sources = paths.slice(0, -1);
  const [destination] = paths.slice(-1);
  if (sources.length === 0 || destination === undefined) {
    throw usage(
      'get needs what to fetch and where to: write hawser get SRC... DEST, for example "hawser get /incoming/a.txt .".',
    );
  }
  const streams = destination === '-';
  if (streams && sources.length > 1) throw usage('Only one file can go to standard output (-): get them one by one.');
  if (looksRemote(destination)) {
    throw usage(
      `The destination "${destination}" is remote, and get writes to this machine: write ./${destination} for a local name like that.`,
    );
  }
  return withServer(shell, sources, flags, (connection) =>
    runTransfer(shell, connection, flags, {
      resumable: !streams,
      dataOnStdout: streams,
      start: (client, options) =>
        client.get(connection.paths, streams ? (bytes) => shell.writeBytes(bytes) : destination, options),
    }),
  );
}

const HELP = `
  hawser get /incoming/footage.mxf .             into this folder
  hawser get work:/photos work:/scans ~/Pictures/  from the profile "work"
  hawser get /backup/site.tar - | tar x          to standard output
`;
