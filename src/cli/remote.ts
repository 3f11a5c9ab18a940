/**
 * The grammar of a remote path: `/path` on the default profile, `NAME:/path` on a named one, `https://host:port/path`.
 */
import { parsePath, pathFromUrl } from '../core/path.ts';
import { usage } from './failure.ts';

export type Remote =
  | { readonly kind: 'default'; readonly path: string }
  | { readonly kind: 'profile'; readonly name: string; readonly path: string }
  /** `rest` is still percent-encoded, and may begin with the prefix under which a proxy shows the server. */
  | { readonly kind: 'url'; readonly origin: string; readonly rest: string };

/** Throws `usage` naming the text, or `path_invalid`. A trailing slash is kept: it means "into this folder". */
export function parseRemote(text: string): Remote {
  const url = URL_TEXT.exec(text);
  if (url !== null) return { kind: 'url', origin: serverUrl(url[1] ?? ''), rest: checkedRest(text, url[2] ?? '') };
  const named = NAMED_TEXT.exec(text);
  if (named !== null) return { kind: 'profile', name: named[1] ?? '', path: cleanPath(named[2] ?? '') };
  if (text.startsWith('/')) return { kind: 'default', path: cleanPath(text) };
  throw usage(`"${text}" is not a remote path: write /path, NAME:/path or https://host:port/path.`, text);
}

/** True for what can only be meant as remote. */
export function looksRemote(text: string): boolean {
  return URL_TEXT.test(text) || NAMED_TEXT.test(text);
}

/** The normal form of a server's address: scheme, host, port, and prefix path without a trailing slash. */
export function serverUrl(text: string): string {
  const full = /^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `https://${text}`;
  let url: URL;
  try {
    url = new URL(full);
  } catch {
    throw usage(`"${text}" is not an address: write it like https://host:7420.`, text);
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    throw usage(`The address "${text}" begins with ${url.protocol}//: write https:// or http://.`, text);
  if (url.username !== '' || url.password !== '')
    throw usage(`The address of ${url.host} holds a name or password: leave it out and give a token to "hawser login".`);
  if (url.search !== '' || url.hash !== '') throw usage(`The address "${text}" has a ? or # part: leave it out.`, text);
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/** The path below the server `base` that the URL means, or null when the URL is not on that server. */
export function pathOnServer(remote: Remote & { kind: 'url' }, base: string): string | null {
  const { origin, pathname } = new URL(base);
  const prefix = pathname === '/' ? '' : pathname;
  if (origin !== remote.origin || !remote.rest.startsWith(prefix)) return null;
  const below = remote.rest.slice(prefix.length);
  if (below !== '' && !below.startsWith('/')) return null;
  return withSlash(below, pathFromUrl(below === '' ? '/' : below));
}

function cleanPath(raw: string): string {
  return withSlash(raw, parsePath(raw));
}

function withSlash(raw: string, path: string): string {
  return raw.endsWith('/') && path !== '/' ? `${path}/` : path;
}

function checkedRest(text: string, rest: string): string {
  if (/[?#]/.test(rest)) throw usage(`"${text}" has a ? or # in its path: write ? as %3F and # as %23.`, text);
  return rest;
}

const URL_TEXT = /^(https?:\/\/[^/?#]*)(.*)$/is;
/** NAME:// would be an address of another scheme. */
const NAMED_TEXT = /^([A-Za-z0-9][A-Za-z0-9._-]*):(\/(?!\/).*)$/s;
