/** Where the command line keeps its own files, by the XDG base directory specification. */
import { homedir } from 'node:os';
import { isAbsolute, join } from 'node:path';

export { writePrivately } from '../client/private-file.ts';

type Env = Readonly<Record<string, string | undefined>>;

export function configFolder(env: Env): string {
  return join(absolute(env.XDG_CONFIG_HOME) ?? join(home(env), '.config'), 'hawser');
}

export function stateFolder(env: Env): string {
  return join(absolute(env.XDG_STATE_HOME) ?? join(home(env), '.local', 'state'), 'hawser');
}

function home(env: Env): string {
  return absolute(env.HOME) ?? homedir();
}

/** The specification: a path that is not absolute is to be ignored. */
function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined;
}
