/**
 * Paths and failures of this machine's file system. A name is bytes: what is valid UTF-8 is handled as a string, because that
 * is faster, and the rest as a Buffer.
 */
import { HawserError } from '../../core/errors.ts';
import { pathFromBytes, pathToBytes } from '../../core/path.ts';

export type LocalPath = string | Buffer;

/** One name as it is locally and remotely. */
export interface Name {
  readonly local: LocalPath;
  readonly remote: string;
}

/** From a name whose bytes came as latin1 text, which is the cheapest form to read and to sort bytewise. */
export function nameFromLatin1(text: string): Name {
  if (ASCII.test(text)) return { local: text, remote: text };
  const bytes = Buffer.from(text, 'latin1');
  const remote = pathFromBytes(bytes);
  return LONE_SURROGATE.test(remote) ? { local: bytes, remote } : { local: remote, remote };
}

export function joinLocal(base: LocalPath, name: LocalPath): LocalPath {
  if (typeof base === 'string' && typeof name === 'string') return base.endsWith('/') ? base + name : `${base}/${name}`;
  return Buffer.concat([toBytes(base), SLASH, toBytes(name)]);
}

/** For people. */
export function showLocal(path: LocalPath): string {
  return typeof path === 'string' ? path : pathFromBytes(path);
}

/** The failure of a local call as a sentence: local_not_found or local_io. */
export function localFailure(error: unknown, path: LocalPath): HawserError {
  if (error instanceof HawserError) return error;
  const shown = showLocal(path);
  const code = (error as NodeJS.ErrnoException | null)?.code ?? '';
  if (code === 'ENOENT') {
    return new HawserError('local_not_found', `There is no file "${shown}": look at the name, or at what removed it.`, {
      value: shown,
      cause: error,
    });
  }
  const why = REASONS[code] ?? (error instanceof Error ? error.message : String(error));
  return new HawserError('local_io', `"${shown}" could not be read: ${why}.`, { value: shown, cause: error });
}

export function changedFailure(path: LocalPath): HawserError {
  const shown = showLocal(path);
  return new HawserError('source_changed', `"${shown}" changed while it was read: send it again when nothing writes to it.`, {
    value: shown,
  });
}

function toBytes(path: LocalPath): Uint8Array {
  return typeof path === 'string' ? pathToBytes(path) : path;
}

const ASCII = /^[\0-\x7f]*$/;
const LONE_SURROGATE = /[\ud800-\udfff]/u;
const SLASH = Buffer.from('/');
const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission is denied',
  EPERM: 'permission is denied',
  EIO: 'the disk failed',
  ELOOP: 'it is a link now, or links that lead in a circle',
  EISDIR: 'it is a folder now',
  EMFILE: 'too many files are open',
};
