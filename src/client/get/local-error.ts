/** What the operating system says of a local file, as the errors that Hawser gives. */
import { HawserError } from '../../core/errors.ts';
import { type LocalPath, showLocal } from './local-path.ts';

/** `doing` completes "could not …": "be written". HawserErrors pass unchanged. */
export function localError(error: unknown, path: LocalPath, doing: string): HawserError {
  if (error instanceof HawserError) return error;
  const code = (error as NodeJS.ErrnoException).code ?? 'unknown';
  const shown = showLocal(path);
  const context = { value: shown, cause: error };
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new HawserError(
      'local_no_space',
      `There is no space left for "${shown}" (${code}): free some and run the same command again, what has arrived is kept.`,
      context,
    );
  }
  const advice = ADVICE[code] ?? 'look at the file and its folder, then run the same command again.';
  return new HawserError('local_io', `"${shown}" could not ${doing} (${code}): ${advice}`, context);
}

export function isErrno(error: unknown, ...codes: string[]): boolean {
  const code = (error as NodeJS.ErrnoException | null)?.code;
  return code !== undefined && codes.includes(code);
}

const ADVICE: Readonly<Record<string, string>> = {
  EACCES: 'allow writing there, or choose another destination.',
  EPERM: 'allow writing there, or choose another destination.',
  EROFS: 'the file system is read-only, choose another destination.',
  EISDIR: 'a folder has that name, move it away or choose another destination.',
  ENOTDIR: 'a file stands where a folder has to be, move it away or choose another destination.',
  ENOENT: 'the folder it belongs in is not there, make it or choose another destination.',
  ELOOP: 'a symbolic link has that name, move it away.',
  ENAMETOOLONG: 'the name is too long for this file system.',
  EFBIG: 'the file is too large for this file system.',
  EMFILE: 'too many files are open, raise the limit (ulimit -n).',
};
