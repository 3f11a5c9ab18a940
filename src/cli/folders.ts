/** Where the command line keeps its own files, by the XDG base directory specification; and how it writes them. */
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';

type Env = Readonly<Record<string, string | undefined>>;

export function configFolder(env: Env): string {
  return join(absolute(env.XDG_CONFIG_HOME) ?? join(home(env), '.config'), 'hawser');
}

export function stateFolder(env: Env): string {
  return join(absolute(env.XDG_STATE_HOME) ?? join(home(env), '.local', 'state'), 'hawser');
}

/**
 * Replaces `file` whole, readable by its owner alone. Whoever reads meanwhile sees the old or the new one. `synced`: also after
 * a power failure, which costs a turn of the disk.
 */
export function writePrivately(file: string, text: string, { synced }: { synced: boolean }): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${process.pid}.tmp`;
  rmSync(temporary, { force: true });
  const handle = openSync(temporary, 'wx', 0o600);
  try {
    writeSync(handle, text);
    if (synced) fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(temporary, file);
}

function home(env: Env): string {
  return absolute(env.HOME) ?? homedir();
}

/** The specification: a path that is not absolute is to be ignored. */
function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined;
}
