/** What a benchmark has to say: a Markdown section, printed, kept in bench/out/, and on request put into docs/benchmarks.md. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const BENCH = dirname(fileURLToPath(import.meta.url));
const ROOT = dirname(BENCH);

export interface Section {
  /** Names the file and the place in docs/benchmarks.md. */
  readonly id: string;
  readonly title: string;
  /** How to get these figures again. */
  readonly command: string;
  /** Paragraphs and tables. */
  readonly body: readonly string[];
  /** Where `--write` puts it. Default: docs/benchmarks.md. */
  readonly page?: Page;
}

export interface Page {
  /** Below docs/. */
  readonly file: string;
  /** What it begins with when it is made. */
  readonly introduction: string;
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), `|${head.map((_, i) => (i === 0 ? '---' : '---:')).join('|')}|`, ...rows.map(line)].join('\n');
}

export function publish(section: Section, write: boolean): void {
  const text = [`## ${section.title}`, `\`${section.command}\` · ${surroundings()}`, ...section.body].join('\n\n') + '\n';
  console.log('\n' + text);
  mkdirSync(join(BENCH, 'out'), { recursive: true });
  const file = join(BENCH, 'out', `${section.id}-${new Date().toISOString().replaceAll(/[:.]/g, '-')}.md`);
  writeFileSync(file, text);
  console.error(`bench: kept in ${file}`);
  if (write) writeInto(section.page ?? MAIN_PAGE, section.id, text);
}

/** Below docs/. */
export function writeDocument(file: string, text: string): void {
  writeFileSync(join(ROOT, 'docs', file), text);
  console.error(`bench: written: docs/${file}`);
}

/** What was measured, as it was, for whoever wants to reckon anew. */
export function keepRaw(id: string, value: unknown): void {
  mkdirSync(join(BENCH, 'out'), { recursive: true });
  const file = join(BENCH, 'out', `${id}-${new Date().toISOString().replaceAll(/[:.]/g, '-')}.json`);
  writeFileSync(file, JSON.stringify(value));
  console.error(`bench: kept in ${file}`);
}

/** Progress, apart from the result. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`);
}

function writeInto({ file: name, introduction }: Page, id: string, text: string): void {
  const file = join(ROOT, 'docs', name);
  const [begin, end] = [`<!-- ${id} -->`, `<!-- /${id} -->`];
  const whole = existsSync(file) ? readFileSync(file, 'utf8') : introduction;
  const block = `${begin}\n${text}${end}\n`;
  const [from, to] = [whole.indexOf(begin), whole.indexOf(end)];
  const next =
    from >= 0 && to > from ? whole.slice(0, from) + block + whole.slice(to + end.length + 1) : `${whole.trimEnd()}\n\n${block}`;
  writeFileSync(file, next);
  console.error(`bench: written into ${file}`);
}

export function surroundings(): string {
  const git = (...args: string[]) => {
    const { status, stdout } = spawnSync('git', args, { cwd: ROOT, encoding: 'utf8' });
    return status === 0 ? stdout.trim() : '';
  };
  const commit = git('rev-parse', '--short', 'HEAD') || 'none';
  const changed = git('status', '--porcelain', '--', 'src', 'bin', 'package-lock.json') === '' ? '' : ' with changes';
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${Math.round(totalmem() / 2 ** 30)} GiB`;
  return `${new Date().toISOString().slice(0, 10)} · Linux ${release()} · Node ${process.versions.node} · commit ${commit}${changed} · ${machine}`;
}

const MAIN_PAGE: Page = {
  file: 'benchmarks.md',
  introduction: `# Benchmarks

Measured by the commands shown, on the machine shown, against other programs in the same run: ratios mean something, absolute
figures are those of that machine. \`--write\` puts a new result into this page. The peers come from
\`apt-get install openssh-client openssh-server rsync curl iproute2\`; a missing one is named and its rows are left out.
`,
};
