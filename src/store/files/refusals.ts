/** The refusals that every store words alike. None of them needs the operating system. */
import { HawserError } from '../../core/errors.ts';
import { parentPath, pathToBytes } from '../../core/path.ts';

export function escapes(path: string): HawserError {
  return new HawserError('path_escapes', `A link leads ${JSON.stringify(path)} out of the served folder: use a path inside it.`, {
    value: path,
  });
}

export function reserved(path: string): HawserError {
  return new HawserError('path_reserved', `${JSON.stringify(path)} is Hawser's own folder: choose another path.`, {
    value: path,
  });
}

export function notNewer(path: string): HawserError {
  return new HawserError('not_newer', `${JSON.stringify(path)} on the server is as new or newer: it was left as it is.`, {
    value: path,
  });
}

/** For a path whose parent is a link to something that is not there: it cannot be made either. */
export function leadsNowhere(path: string): HawserError {
  return new HawserError('not_folder', `${JSON.stringify(path)} is a link that leads nowhere: remove it first.`, { value: path });
}

export function rootStays(): HawserError {
  return new HawserError(
    'path_invalid',
    'The path "/" is the served folder itself, which stays where it is: name something in it.',
    {
      value: '/',
    },
  );
}

export function movesIntoItself(from: string, to: string): HawserError {
  return new HawserError(
    'path_invalid',
    `${JSON.stringify(from)} cannot be moved to ${JSON.stringify(to)}, which lies inside it.`,
    {
      value: from,
    },
  );
}

export function tooLarge(path: string, size: number, maxBytes: number): HawserError {
  return new HawserError(
    'body_too_large',
    `${JSON.stringify(path)} has ${size} bytes, more than the ${maxBytes} that are read at once: fetch it on its own.`,
    { value: path },
  );
}

/** The parent of something that is to be written; the root itself cannot be written as an entry. */
export function parentForEntry(path: string): string {
  if (path === '/')
    throw new HawserError('is_folder', 'The path "/" is the served folder itself: name something in it.', { value: path });
  return parentPath(path);
}

/** Throws unless `id` may name a staging file. */
export function assertStagingId(id: string): void {
  if (/^[a-z0-9-]{1,64}$/.test(id)) return;
  throw new HawserError('request_invalid', `${JSON.stringify(id)} is no staging id: use 1 to 64 of a-z, 0-9 and "-".`, {
    value: id,
  });
}

/** Throws unless `size` is a number of bytes. */
export function assertSize(size: number): void {
  if (Number.isSafeInteger(size) && size >= 0) return;
  throw new HawserError('request_invalid', `${size} is no file size: give a whole number of bytes.`, { value: size });
}

/**
 * Throws unless a link with this target, put into a folder that really lies `depth` folders below the root, points to
 * something inside the root by its words alone. A folder on the way that is a link may still lead it astray: following it is
 * checked each time.
 */
export function assertLinkStays(depth: number, path: string, target: string): void {
  if (target === '' || target.includes('\0') || pathToBytes(target).length > MAX_TARGET_BYTES) {
    throw new HawserError(
      'path_invalid',
      `The link ${JSON.stringify(path)} has a target that is empty, too long or has a NUL in it.`,
      {
        value: path,
      },
    );
  }
  let escaped = target.startsWith('/');
  let level = depth;
  for (const part of target.split('/')) {
    if (part === '' || part === '.') continue;
    level += part === '..' ? -1 : 1;
    if (level < 0) escaped = true;
  }
  if (escaped) {
    throw new HawserError(
      'link_escapes',
      `The link ${JSON.stringify(path)} points to ${JSON.stringify(target)}, outside the served folder: use a relative target inside it.`,
      { value: target },
    );
  }
}

/** PATH_MAX without its NUL. */
const MAX_TARGET_BYTES = 4095;
