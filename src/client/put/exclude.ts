/** Globs that leave files out: compiled once, since a tree has many names. */
import { HawserError } from '../../core/errors.ts';

export type Exclude = (relative: string, name: string, isFolder: boolean) => boolean;

/**
 * A pattern matches the path below the source, or the name alone: "*" and "?" stay inside a name, "**" crosses folders,
 * "[a-z]", "[!a-z]" and "{a,b}" as in a shell, "\" takes the next character as it is. A leading "/" ties it to the source's
 * top; a trailing "/" makes it match folders only. A dot at the start is nothing special. Null when there are no patterns;
 * `usage` for one that cannot be read.
 */
export function compileExclude(patterns: readonly string[]): Exclude | null {
  if (patterns.length === 0) return null;
  const rules = patterns.map((pattern) => {
    const foldersOnly = pattern.length > 1 && pattern.endsWith('/');
    const rooted = pattern.startsWith('/');
    const body = pattern.slice(rooted ? 1 : 0, foldersOnly ? -1 : undefined);
    return { foldersOnly, rooted, match: compile(body, pattern) };
  });
  return (relative, name, isFolder) =>
    rules.some(
      (rule) => (isFolder || !rule.foldersOnly) && (rule.match.test(relative) || (!rule.rooted && rule.match.test(name))),
    );
}

function compile(body: string, pattern: string): RegExp {
  try {
    return new RegExp(`^${translate(body)}$`, 'su');
  } catch (cause) {
    throw new HawserError('usage', `The pattern "${pattern}" is not valid: look at the range in its brackets.`, {
      value: pattern,
      cause,
    });
  }
}

function translate(glob: string): string {
  let out = '';
  let depth = 0;
  for (let i = 0; i < glob.length; ) {
    const rest = glob.slice(i);
    const [set] = /^\[(?:!|\^)?\]?[^\]]*\]/.exec(rest) ?? [];
    if (rest.startsWith('**/')) {
      out += '(?:.*/)?';
      i += 3;
    } else if (rest.startsWith('**')) {
      out += '.*';
      i += 2;
    } else if (set !== undefined) {
      out += charSet(set);
      i += set.length;
    } else {
      const char = String.fromCodePoint(glob.codePointAt(i)!);
      i += char.length;
      if (char === '*') out += '[^/]*';
      else if (char === '?') out += '[^/]';
      else if (char === '{' && rest.includes('}')) {
        depth++;
        out += '(?:';
      } else if (char === '}' && depth > 0) {
        depth--;
        out += ')';
      } else if (char === ',' && depth > 0) out += '|';
      else if (char === '\\' && i < glob.length) {
        const next = String.fromCodePoint(glob.codePointAt(i)!);
        out += literal(next);
        i += next.length;
      } else out += literal(char);
    }
  }
  return out + ')'.repeat(depth);
}

/** "[!a-c]" as a class that never matches a slash. */
function charSet(set: string): string {
  const negated = set[1] === '!' || set[1] === '^';
  const body = set.slice(negated ? 2 : 1, -1).replace(/[\\\]^[]/g, '\\$&');
  return negated ? `[^/${body}]` : `(?!/)[${body}]`;
}

function literal(char: string): string {
  return /[\\^$.*+?()[\]{}|/]/.test(char) ? `\\${char}` : char;
}
