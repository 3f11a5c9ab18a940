/** A bar chart as SVG: pure text, no script, readable on light and dark pages. */

export interface Series {
  readonly name: string;
  /** CSS colour. */
  readonly colour: string;
}

export interface Group {
  readonly label: string;
  /** One for each series; null: not measured. */
  readonly values: readonly (number | null)[];
}

export interface Chart {
  readonly title: string;
  readonly subtitle: string;
  readonly series: readonly Series[];
  readonly groups: readonly Group[];
  /** What the whole width stands for; a longer bar ends there. */
  readonly most: number;
  readonly ticks: readonly number[];
  readonly format: (value: number) => string;
}

export function barChart({ title, subtitle, series, groups, most, ticks, format }: Chart): string {
  const groupHeight = series.length * BAR_STEP + GROUP_GAP;
  const legendRows = Math.ceil(series.length / LEGEND_COLUMNS);
  const top = 64 + legendRows * 18;
  const bottom = top + groups.length * groupHeight;
  const height = bottom + 28;
  const x = (value: number) => LABEL_WIDTH + (Math.min(value, most) / most) * PLOT_WIDTH;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escapeXml(title)}">`,
    `<style>${STYLE}</style>`,
    `<rect class="page" width="${WIDTH}" height="${height}"/>`,
    `<text class="title" x="16" y="28">${escapeXml(title)}</text>`,
    `<text class="note" x="16" y="48">${escapeXml(subtitle)}</text>`,
    ...series.map(({ name, colour }, i) => {
      const [left, y] = [16 + (i % LEGEND_COLUMNS) * 276, 70 + Math.floor(i / LEGEND_COLUMNS) * 18];
      return `<rect x="${left}" y="${y - 9}" width="10" height="10" rx="2" fill="${colour}"/><text x="${left + 16}" y="${y}">${escapeXml(name)}</text>`;
    }),
    ...ticks.map((tick) => {
      const at = round(x(tick));
      return `<line class="grid" x1="${at}" y1="${top}" x2="${at}" y2="${bottom}"/><text class="note" text-anchor="middle" x="${at}" y="${bottom + 16}">${escapeXml(format(tick))}</text>`;
    }),
  ];
  for (const [index, { label, values }] of groups.entries()) {
    const y = top + index * groupHeight + GROUP_GAP / 2;
    const middle = y + (series.length * BAR_STEP) / 2 + 4;
    for (const [row, line] of wrap(label).entries()) {
      const lines = wrap(label).length;
      parts.push(
        `<text text-anchor="end" x="${LABEL_WIDTH - 10}" y="${round(middle + (row - (lines - 1) / 2) * 14)}">${escapeXml(line)}</text>`,
      );
    }
    for (const [i, { colour, name }] of series.entries()) {
      const value = values[i] ?? null;
      const barY = y + i * BAR_STEP;
      if (value === null) {
        parts.push(`<text class="tiny" x="${LABEL_WIDTH + 4}" y="${barY + 8}">not measured</text>`);
        continue;
      }
      const width = round(Math.max(x(value) - LABEL_WIDTH, 1));
      parts.push(
        `<rect x="${LABEL_WIDTH}" y="${barY}" width="${width}" height="${BAR_STEP - 2}" rx="1.5" fill="${colour}"><title>${escapeXml(`${label}, ${name}: ${format(value)}`)}</title></rect>`,
        `<text class="tiny" x="${round(LABEL_WIDTH + width + 5)}" y="${barY + 8}">${escapeXml(format(value))}</text>`,
      );
    }
  }
  return `${parts.join('\n')}\n</svg>\n`;
}

/** Two lines where one would leave the margin. */
function wrap(text: string): string[] {
  if (text.length <= LABEL_CHARACTERS) return [text];
  const at = text.lastIndexOf(' ', LABEL_CHARACTERS);
  return at <= 0 ? [text] : [text.slice(0, at), ...wrap(text.slice(at + 1))];
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

const WIDTH = 860;
const LABEL_WIDTH = 220;
const PLOT_WIDTH = 580;
const LABEL_CHARACTERS = 32;
const BAR_STEP = 11;
const GROUP_GAP = 14;
const LEGEND_COLUMNS = 3;
const STYLE = `
text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-size:16px;font-weight:600}.note{fill:#59636e}.tiny{font-size:9.5px;fill:#59636e}
.grid{stroke:#d1d9e0}.page{fill:#ffffff}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note,.tiny{fill:#9198a1}.grid{stroke:#3d444d}.page{fill:#0d1117}}
`;
