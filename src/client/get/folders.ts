/**
 * Gives folders their mode and time when nothing more is put into them, the deepest first. In an ordered listing a folder is over
 * when a path comes that sorts behind everything in it, so that only few are remembered at a time, however large the tree.
 */
import { comparePaths, isWithin } from '../../core/path.ts';

export interface Folders {
  /** A folder comes in the listing: `complete` is called when all that lies in it has been settled. */
  enter(path: string, complete: () => void): void;
  /** Something else comes in the listing: its folder waits until the returned function is called. */
  hold(path: string): () => void;
  /** The listing is at its end. */
  finish(): void;
}

interface Open {
  readonly path: string;
  readonly parent: Open | null;
  readonly complete: () => void;
  /** What is not settled yet: things in it, and the listing itself. */
  pending: number;
}

export function createFolders(): Folders {
  const open: Open[] = [];

  const release = (folder: Open | null): void => {
    for (let at = folder; at; at = at.parent) {
      if (--at.pending > 0) return;
      at.complete();
    }
  };

  const leaveBefore = (path: string): void => {
    while (open.length > 0 && comparePaths(path, behind(open.at(-1)!.path)) >= 0) release(open.pop()!);
  };

  const holdFolderOf = (path: string): Open | null => {
    const folder = open.findLast((candidate) => isWithin(path, candidate.path)) ?? null;
    if (folder) folder.pending++;
    return folder;
  };

  return {
    enter: (path, complete) => {
      leaveBefore(path);
      open.push({ path, parent: holdFolderOf(path), complete, pending: 1 });
    },
    hold: (path) => {
      leaveBefore(path);
      const folder = holdFolderOf(path);
      return () => release(folder);
    },
    finish: () => {
      while (open.length > 0) release(open.pop()!);
    },
  };
}

/** The first string, in bytewise order, after all paths that begin with `folder` and a slash. ("0" follows "/".) */
function behind(folder: string): string {
  return folder === '/' ? '\u{10ffff}' : `${folder}0`;
}
