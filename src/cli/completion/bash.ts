/** Completion for bash 3.2 and newer. */
import type { CompletionOption, CompletionVerb } from './model.ts';

export function bashCompletion(verbs: readonly CompletionVerb[]): string {
  const all = verbs.flatMap((verb) => [verb, ...verb.verbs]);
  const parents = verbs.filter((verb) => verb.verbs.length > 0);
  return `# bash completion for hawser:  source <(hawser completion bash)
_hawser() {
  local IFS=$' \\t\\n' cur="\${COMP_WORDS[COMP_CWORD]}" prev="\${COMP_WORDS[COMP_CWORD-1]}" verb="\${COMP_WORDS[1]}"
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${names(verbs)} help" -- "$cur"))
    return
  fi
  case "$verb" in
${parents.map((verb) => parentCase(verb)).join('\n')}
  esac
  case "$verb $prev" in
${all.flatMap((verb) => verb.options.flatMap((option) => valueCases(verb, option))).join('\n')}
  esac
  case "$cur" in
    -*)
      case "$verb" in
${all.map((verb) => `        ${quote(verb.name)}) COMPREPLY=($(compgen -W "${words(verb)}" -- "$cur")) ;;`).join('\n')}
      esac
      return ;;
  esac
  case "$verb" in
${all.flatMap(operandCase).join('\n')}
  esac
}
_hawser_files() {
  local IFS=$'\\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen -f -- "$1"))
}
complete -F _hawser hawser
`;
}

function parentCase(verb: CompletionVerb): string {
  const subs = verb.verbs.map((sub) => sub.name.split(' ')[1] ?? '');
  return `    ${verb.name})
      if [ "$COMP_CWORD" -eq 2 ] && [ "\${cur#-}" = "$cur" ]; then
        COMPREPLY=($(compgen -W "${subs.join(' ')}" -- "$cur"))
        return
      fi
      case "\${COMP_WORDS[2]}" in ${subs.join('|')}) verb="$verb \${COMP_WORDS[2]}" ;; esac ;;`;
}

function valueCases(verb: CompletionVerb, option: CompletionOption): string[] {
  if (option.value.kind === 'none') return [];
  const patterns = [option.long, ...(option.short === null ? [] : [option.short])].map((flag) => quote(`${verb.name} ${flag}`));
  const action =
    option.value.kind === 'choices'
      ? `COMPREPLY=($(compgen -W "${option.value.words.join(' ')}" -- "$cur")); return`
      : option.value.kind === 'file'
        ? '_hawser_files "$cur"; return'
        : 'return';
  return [`    ${patterns.join('|')}) ${action} ;;`];
}

function operandCase(verb: CompletionVerb): string[] {
  if (verb.operands.kind === 'files') return [`    ${quote(verb.name)}) _hawser_files "$cur" ;;`];
  if (verb.operands.kind === 'none') return [];
  return [`    ${quote(verb.name)}) COMPREPLY=($(compgen -W "${verb.operands.words.join(' ')}" -- "$cur")) ;;`];
}

function words(verb: CompletionVerb): string {
  return verb.options.flatMap(({ long, short }) => (short === null ? [long] : [long, short])).join(' ');
}

const names = (verbs: readonly CompletionVerb[]) => verbs.map(({ name }) => name).join(' ');
const quote = (text: string) => `'${text}'`;
