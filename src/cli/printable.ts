/**
 * Text from outside, made safe to print: a hostile file name must not move the cursor, ring, recolour or reorder the line.
 */

/** Control, bidirectional and line-breaking characters become \xNN or \u{NNNN}; bytes that are not UTF-8 become \xNN. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (char) => {
    const code = char.codePointAt(0) ?? 0;
    const named = NAMED[char];
    if (named !== undefined) return named;
    if (code >= 0xdc80 && code <= 0xdcff) return hexByte(code - 0xdc00);
    return code < 0x100 ? hexByte(code) : `\\u{${code.toString(16)}}`;
  });
}

/** Cells that `text` takes on a terminal. An estimate that is right for Latin, CJK and most emoji. */
export function cellsOf(text: string): number {
  let cells = 0;
  for (const char of text) cells += ZERO_WIDTH.test(char) ? 0 : WIDE.test(char) ? 2 : 1;
  return cells;
}

/** Cut in the middle to at most `cells`, because both ends of a path say something. */
export function shorten(text: string, cells: number): string {
  if (cellsOf(text) <= cells) return text;
  if (cells <= 1) return cells === 1 ? '…' : '';
  const chars = [...text];
  const tail = take(chars.toReversed(), Math.ceil((cells - 1) / 2));
  const head = take(chars, cells - 1 - cellsOf(tail.join('')));
  return `${head.join('')}…${tail.toReversed().join('')}`;
}

function take(chars: readonly string[], cells: number): string[] {
  const taken: string[] = [];
  let used = 0;
  for (const char of chars) {
    used += cellsOf(char);
    if (used > cells) break;
    taken.push(char);
  }
  return taken;
}

const hexByte = (code: number) => `\\x${code.toString(16).padStart(2, '0')}`;

const NAMED: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

// Cc: C0 and C1 controls. Cs: lone surrogates. Zl, Zp: line breaks. The rest are the bidirectional controls.
const UNSAFE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;
const ZERO_WIDTH = /[\p{Mn}\p{Me}\p{Cf}]/u;
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;
