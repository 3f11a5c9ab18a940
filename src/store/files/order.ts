/** The order in which entries are listed, and where a page goes on. */
import { Buffer } from 'node:buffer';
import { isWithin, pathToBytes } from '../../core/path.ts';

/**
 * Order of two paths by the bytes of their names, one name after the other: a folder comes before its content, and its
 * content before the next name ("/a", "/a/x", "/a-b").
 */
export function compareByNames(a: string, b: string): number {
  const namesA = namesOf(a);
  const namesB = namesOf(b);
  for (let i = 0; i < namesA.length && i < namesB.length; i++) {
    if (namesA[i] !== namesB[i]) return namesA[i]! < namesB[i]! ? -1 : 1;
  }
  return namesA.length - namesB.length;
}

/** The names of `after` below `path`; null when everything below `path` comes after it, 'nothing' when nothing does. */
export function namesAfter(path: string, after: string | undefined): readonly string[] | null | 'nothing' {
  if (after === undefined || after === path) return null;
  if (isWithin(after, path)) return namesOf(after).slice(namesOf(path).length);
  return compareByNames(after, path) < 0 ? null : 'nothing';
}

/** As byte text (one character for each byte), whose order as strings is that of the bytes. */
function namesOf(path: string): string[] {
  const names = path.split('/').filter(Boolean);
  return names.map((name) => Buffer.from(pathToBytes(name)).toString('latin1'));
}
