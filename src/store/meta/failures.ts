/** The refusals that every implementation words alike. */
import { HawserError } from '../../core/errors.ts';

export function taken(what: 'token' | 'transfer' | 'upload', id: string): HawserError {
  return new HawserError('exists', `There is already a ${what} "${id}": take another id.`, { value: id });
}

export function noUpload(id: string): HawserError {
  return new HawserError('upload_not_found', `There is no upload "${id}": it was removed or has expired; begin a new one.`, {
    value: id,
  });
}
