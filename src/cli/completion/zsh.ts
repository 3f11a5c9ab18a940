/** Completion for zsh. */
import type { CompletionOption, CompletionVerb } from './model.ts';

export function zshCompletion(verbs: readonly CompletionVerb[]): string {
  return `#compdef hawser
# zsh completion for hawser:  hawser completion zsh > "\${fpath[1]}/_hawser"
_hawser() {
  local -a verbs
  verbs=(
${verbs.map((verb) => `    ${quote(`${verb.name}:${verb.summary.replaceAll(':', '\\:')}`)}`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe -t commands verb verbs
    return
  fi
  local verb="$words[2]"
  shift words
  (( CURRENT-- ))
  case "$verb" in
${verbs.map(verbCase).join('\n')}
  esac
}
if [ "$funcstack[1]" = "_hawser" ]; then
  _hawser "$@"
else
  compdef _hawser hawser
fi
`;
}

function verbCase(verb: CompletionVerb): string {
  if (verb.verbs.length === 0) return `    ${verb.name}) ${argumentsOf(verb)} ;;`;
  const subs = verb.verbs.map((sub) => ({ sub, word: sub.name.split(' ')[1] ?? '' }));
  return `    ${verb.name})
      if (( CURRENT == 2 )); then
        local -a subverbs
        subverbs=(${subs.map(({ sub, word }) => quote(`${word}:${sub.summary.replaceAll(':', '\\:')}`)).join(' ')})
        _describe -t commands verb subverbs
        return
      fi
      local sub="$words[2]"
      shift words
      (( CURRENT-- ))
      case "$sub" in
${subs.map(({ sub, word }) => `        ${word}) ${argumentsOf(sub)} ;;`).join('\n')}
      esac ;;`;
}

function argumentsOf(verb: CompletionVerb): string {
  const operands =
    verb.operands.kind === 'files'
      ? [quote('*:file:_files')]
      : verb.operands.kind === 'choices'
        ? [quote(`1:value:(${verb.operands.words.join(' ')})`)]
        : [];
  return ['_arguments -s', ...verb.options.map(optionSpec), ...operands].join(' ');
}

function optionSpec(option: CompletionOption): string {
  const text = `[${option.description.replaceAll(/[[\]:\\]/g, (char) => `\\${char}`)}]`;
  const value =
    option.value.kind === 'none'
      ? ''
      : `:value:${option.value.kind === 'choices' ? `(${option.value.words.join(' ')})` : option.value.kind === 'file' ? '_files' : ' '}`;
  // "*": it may come again, which is always right for --exclude and harmless for the rest.
  if (option.short === null) return quote(`*${option.long}${text}${value}`);
  return `{${option.short},${option.long}}${quote(`${text}${value}`)}`;
}

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
