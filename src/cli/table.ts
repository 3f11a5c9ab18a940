/** Rows of cells as lines: columns as wide as their widest cell, the last one left as it is. */
import { cellsOf } from './printable.ts';

/** `right` lists the columns that are aligned to the right: numbers. */
export function tableLines(rows: readonly (readonly string[])[], right: readonly number[] = []): string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [index, cell] of row.entries()) widths[index] = Math.max(widths[index] ?? 0, cellsOf(cell));
  return rows.map((row) =>
    row
      .map((cell, index) => {
        const fill = ' '.repeat((widths[index] ?? 0) - cellsOf(cell));
        if (right.includes(index)) return fill + cell;
        return index === row.length - 1 ? cell : cell + fill;
      })
      .join('  '),
  );
}
