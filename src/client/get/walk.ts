/** Reads a remote tree page by page, and refuses what no honest server would list. */
import { HawserError } from '../../core/errors.ts';
import { comparePaths, isWithin, parsePath } from '../../core/path.ts';
import type { FileInfo } from '../../engine/contract.ts';
import { compileExclude } from '../put/exclude.ts';
import type { Session } from './session.ts';

export interface Found {
  /** Absolute remote path. */
  readonly path: string;
  /** Names below the source. */
  readonly names: readonly string[];
  readonly info: FileInfo;
  /** Only when links are kept. */
  readonly target: string | null;
}

/**
 * All below the folder `root`, folders before what is in them; the folder itself is not given. What will come together is told to
 * `onPage` first.
 */
export async function* walk(
  session: Session,
  root: string,
  onPage: (page: readonly Found[]) => void,
): AsyncGenerator<Found, void, undefined> {
  const exclude = compileExclude(session.options.exclude ?? []);
  yield* walkFolder(session, root, [], 0);

  async function* walkFolder(
    owner: Session,
    folder: string,
    above: readonly string[],
    linksFollowed: number,
  ): AsyncGenerator<Found, void, undefined> {
    for await (const entries of pages(owner, folder)) {
      const page = entries.map((listed) => place(listed, folder, above));
      const wanted = exclude ? page.filter(({ names, info }) => !isExcluded(names, info.kind === 'folder')) : page;
      onPage(wanted);
      for (const found of wanted) {
        if (found.info.kind !== 'link' || owner.options.follow !== true) yield found;
        else yield* follow(owner, found.path, found.names, linksFollowed);
      }
    }
  }

  async function* follow(owner: Session, path: string, names: readonly string[], linksFollowed: number) {
    try {
      const info = await owner.call((signal) => owner.api.stat(path, { follow: true, signal }));
      if (info.kind === 'link') throw new HawserError('not_found', `The link "${path}" leads nowhere.`, { value: path });
      const found = { path, names, info, target: null };
      onPage([found]);
      yield found;
      if (info.kind !== 'folder') return;
      if (linksFollowed >= MAX_LINKS_FOLLOWED) {
        throw new HawserError('path_invalid', `"${path}" lies behind ${linksFollowed} links, most likely in a circle.`, {
          value: path,
        });
      }
      yield* walkFolder(owner, path, names, linksFollowed + 1);
    } catch (error) {
      if (!(error instanceof HawserError && LINK_TROUBLE.has(error.code))) throw error;
      owner.fileFailed(path, 0, error);
    }
  }

  /** A folder that is left out takes along what is in it. */
  function isExcluded(names: readonly string[], isFolder: boolean): boolean {
    for (let depth = 1; depth <= names.length; depth++) {
      if (exclude?.(names.slice(0, depth).join('/'), names[depth - 1]!, depth < names.length || isFolder)) return true;
    }
    return false;
  }
}

function place(info: FileInfo, folder: string, above: readonly string[]): Found {
  const path = parsePath(info.path);
  if (path === folder || !isWithin(path, folder)) {
    throw new HawserError('protocol_error', `The server listed "${info.path}" in "${folder}", where it cannot be.`, {
      value: path,
    });
  }
  const below = path.slice(folder === '/' ? 1 : folder.length + 1).split('/');
  return { path, names: [...above, ...below], info, target: info.kind === 'link' ? (info.target ?? '') : null };
}

/** The next page is asked for while this one is dealt with. */
async function* pages(session: Session, folder: string): AsyncGenerator<readonly FileInfo[], void, undefined> {
  const ask = (after: string | null) => {
    const query = { recursive: true, limit: PAGE_ENTRIES, ...(after !== null && { after }) };
    const page = session.call((signal) => session.api.listPage(folder, query, { signal }));
    page.catch(() => undefined);
    return page;
  };
  let after: string | null = null;
  let page: ReturnType<typeof ask> | null = ask(null);
  while (page) {
    const { entries, next }: Awaited<ReturnType<typeof ask>> = await page;
    if (next !== null && after !== null && comparePaths(next, after) <= 0) {
      throw new HawserError('protocol_error', `The list of "${folder}" goes back to "${next}" and would never end.`, {
        value: next,
      });
    }
    after = next;
    page = next === null ? null : ask(next);
    yield entries;
  }
}

const PAGE_ENTRIES = 1000;
const MAX_LINKS_FOLLOWED = 8;
const LINK_TROUBLE = new Set<string>(['not_found', 'path_escapes', 'link_escapes', 'path_invalid', 'not_folder']);
