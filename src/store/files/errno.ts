/** Turns what the operating system says (ENOSPC, EROFS, …) into the errors of the store's contract. */
import { type ErrorCode, HawserError } from '../../core/errors.ts';

/** What was being done with the path: the same errno means different things to a reader and to a writer. */
export type Purpose = 'read' | 'list' | 'write';

/** A HawserError for anything thrown while `path` (as the caller knows it) was read or written. HawserErrors pass unchanged. */
export function storeError(error: unknown, path: string, purpose: Purpose): HawserError {
  if (error instanceof HawserError) return error;
  const errno = errnoOf(error);
  const [code, sentence] = explain(errno, JSON.stringify(path), purpose);
  return new HawserError(code, sentence, { value: path, cause: error });
}

/** "ENOENT" and the like; empty for errors that do not come from the operating system. */
export function errnoOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === 'string' ? code : '';
}

/** Runs `action`, translating what it throws. */
export async function translated<T>(path: string, purpose: Purpose, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw storeError(error, path, purpose);
  }
}

function explain(errno: string, name: string, purpose: Purpose): [ErrorCode, string] {
  switch (errno) {
    case 'ENOENT':
      return ['not_found', `There is no ${name}: check the path.`];
    case 'ENOTDIR':
    case 'ELOOP':
      if (purpose === 'read') return ['not_found', `There is no ${name}: a part of the path is not a folder.`];
      return ['not_folder', `${name} or a part of it is not a folder: choose another path, or remove what is in the way.`];
    case 'EEXIST':
      return ['exists', `${name} already exists: choose another name or allow overwriting.`];
    case 'EISDIR':
      return ['is_folder', `${name} is a folder: choose another name or remove the folder.`];
    case 'ENOTEMPTY':
      return ['not_empty', `The folder ${name} is not empty: remove its content first, or ask for the whole tree.`];
    case 'ENOSPC':
    case 'EDQUOT':
    case 'EFBIG':
      return ['no_space', `The disk has no room for ${name} (${errno}): free some space on the server.`];
    case 'EROFS':
      return ['read_only', `${name} lies on a file system that is mounted read-only: remount it, or serve another folder.`];
    case 'EACCES':
    case 'EPERM':
      if (purpose === 'write') return ['read_only', `The server may not write ${name} (${errno}): check owner and permissions.`];
      return ['io_error', `The server may not read ${name} (${errno}): check owner and permissions.`];
    case 'ENAMETOOLONG':
      return ['path_invalid', `${name} is too long for the server's file system: use a shorter name.`];
    case 'EILSEQ':
      return ['path_invalid', `The server's file system does not take the name ${name}: use another.`];
    case 'EXDEV':
      return [
        'other_file_system',
        `${name} lies on another file system than the state folder, so nothing can be put there in one step: serve that folder by itself.`,
      ];
    case 'EMFILE':
    case 'ENFILE':
      return ['busy', `The server has too many files open to use ${name} (${errno}): try again later.`];
    default:
      return [
        'io_error',
        `The server could not ${purpose === 'write' ? 'write' : 'read'} ${name} (${errno || 'unknown cause'}): see its log and its disk.`,
      ];
  }
}
