/**
 * Remote paths in URLs. The router decodes what it matches as UTF-8 and would change or refuse the rest, so it never sees a
 * remote path: the part after the resource is replaced by "-" before routing, and read here from the URL as it came.
 */
import type { IncomingMessage } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { pathFromBytes, pathFromUrl } from '../core/path.ts';

/** For fastify's `rewriteUrl`. */
export function routableUrl(request: Pick<IncomingMessage, 'url'>): string {
  const url = originForm(request.url ?? '/');
  const parts = WITH_PATH.exec(url);
  return parts ? `${parts[1]}/-${parts[3] ?? ''}` : url;
}

/** The remote path that the URL names; path_invalid, path_reserved. */
export function remotePath(request: FastifyRequest): string {
  const parts = WITH_PATH.exec(originForm(request.originalUrl));
  return pathFromUrl(parts?.[2] ?? '/');
}

/**
 * A query as names and values. Percent-encoded byte by byte as paths are, so that a path survives here too; "+" is a space, as
 * forms write it. A name given twice becomes a list, and a query that cannot be read becomes the parameter "%": no schema takes
 * either. (It must not throw: the router calls it.)
 */
export function parseQuery(text: string): Record<string, string | string[]> {
  const query: Record<string, string | string[]> = Object.create(null);
  if (text === '') return query;
  const pairs = text.split('&', MAX_PARAMETERS + 1);
  if (pairs.length > MAX_PARAMETERS || /%(?![0-9A-Fa-f]{2})/.test(text)) return { '%': text.slice(0, 200) };
  for (const pair of pairs) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = decodeQueryText(equals < 0 ? pair : pair.slice(0, equals));
    const value = equals < 0 ? '' : decodeQueryText(pair.slice(equals + 1));
    const before = query[name];
    query[name] = before === undefined ? value : [before, value].flat();
  }
  return query;
}

function decodeQueryText(text: string): string {
  if (!/[%+]/.test(text)) return text;
  const spaced = text.replaceAll('+', ' ');
  const bytes = Buffer.from(
    spaced.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );
  return pathFromBytes(bytes);
}

/** Drops "http://host" of the absolute form (RFC 9112 section 3.2.2), which every server must take. */
function originForm(url: string): string {
  if (url.startsWith('/')) return url;
  return url.replace(/^https?:\/\/[^/?#]*/i, '') || '/';
}

const WITH_PATH = /^(\/api\/v1\/(?:files|blocks|entries|digests|folders))(\/[^?#]*)?(\?[^#]*)?(?:#.*)?$/;
const MAX_PARAMETERS = 32;
