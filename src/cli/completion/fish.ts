/** Completion for fish. */
import type { CompletionOption, CompletionVerb } from './model.ts';

export function fishCompletion(verbs: readonly CompletionVerb[]): string {
  const lines = [
    '# fish completion for hawser:  hawser completion fish > ~/.config/fish/completions/hawser.fish',
    'complete -c hawser -f',
    ...verbs.map((verb) => `complete -c hawser -n __fish_use_subcommand -a ${verb.name} -d ${quote(verb.summary)}`),
    ...verbs.flatMap(verbLines),
  ];
  return lines.join('\n') + '\n';
}

function verbLines(verb: CompletionVerb): string[] {
  const words = verb.verbs.map((sub) => sub.name.split(' ')[1] ?? '');
  const seen = `__fish_seen_subcommand_from ${verb.name}`;
  const before = quote(`${seen}; and not __fish_seen_subcommand_from ${words.join(' ')}`);
  return [
    ...verb.verbs.map((sub, index) => `complete -c hawser -n ${before} -a ${words[index]} -d ${quote(sub.summary)}`),
    ...ownLines(verb, quote(seen)),
    ...verb.verbs.flatMap((sub, index) => ownLines(sub, quote(`${seen}; and __fish_seen_subcommand_from ${words[index]}`))),
  ];
}

function ownLines(verb: CompletionVerb, condition: string): string[] {
  const operands =
    verb.operands.kind === 'files'
      ? [`complete -c hawser -n ${condition} -F`]
      : verb.operands.kind === 'choices'
        ? [`complete -c hawser -n ${condition} -a ${quote(verb.operands.words.join(' '))}`]
        : [];
  return [...verb.options.map((option) => optionLine(option, condition)), ...operands];
}

function optionLine({ short, long, description, value }: CompletionOption, condition: string): string {
  const names = `${short === null ? '' : `-s ${short.slice(1)} `}-l ${long.slice(2)}`;
  const takes =
    value.kind === 'none'
      ? ''
      : value.kind === 'file'
        ? ' -r -F'
        : value.kind === 'text'
          ? ' -x'
          : ` -x -a ${quote(value.words.join(' '))}`;
  return `complete -c hawser -n ${condition} ${names}${takes} -d ${quote(description)}`;
}

const quote = (text: string) => `'${text.replaceAll(/['\\]/g, (char) => `\\${char}`)}'`;
