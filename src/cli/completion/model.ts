/** What a shell can complete, read from the same definitions that parse the command line. */
import type { Command, Option } from 'commander';

export interface CompletionVerb {
  /** "put", or "token create". */
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CompletionOption[];
  /** What its arguments are. Remote paths are not completed: that would ask a server at every key. */
  readonly operands:
    | { readonly kind: 'files' }
    | { readonly kind: 'none' }
    | { readonly kind: 'choices'; readonly words: readonly string[] };
  readonly verbs: readonly CompletionVerb[];
}

export interface CompletionOption {
  readonly short: string | null;
  readonly long: string;
  readonly description: string;
  readonly value:
    | { readonly kind: 'none' }
    | { readonly kind: 'file' }
    | { readonly kind: 'text' }
    | { readonly kind: 'choices'; readonly words: readonly string[] };
}

export function completionModel(program: Command): readonly CompletionVerb[] {
  return program.commands.map((command) => verbOf(command, ''));
}

function verbOf(command: Command, parent: string): CompletionVerb {
  const name = parent + command.name();
  const [argument] = command.registeredArguments;
  const words = argument?.argChoices;
  return {
    name,
    summary: command.summary() || command.description(),
    options: [
      ...command.options.filter((option) => !option.hidden).map(optionOf),
      { short: null, long: '--help', description: 'display help for command', value: { kind: 'none' } },
    ],
    operands: words !== undefined ? { kind: 'choices', words } : { kind: TAKES_FILES.has(name) ? 'files' : 'none' },
    verbs: command.commands.map((sub) => verbOf(sub, `${name} `)),
  };
}

function optionOf(option: Option): CompletionOption {
  const { short, long, description, argChoices, flags } = option;
  const takesValue = option.required || option.optional;
  return {
    short: short ?? null,
    long: long ?? '',
    description,
    value:
      argChoices !== undefined
        ? { kind: 'choices', words: argChoices }
        : { kind: !takesValue ? 'none' : /<(file|dir)>/.test(flags) ? 'file' : 'text' },
  };
}

const TAKES_FILES: ReadonlySet<string> = new Set(['put', 'get', 'serve']);
