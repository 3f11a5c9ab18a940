/** hawser completion bash|zsh|fish */
import { Argument, type Command } from 'commander';
import { bashCompletion } from '../completion/bash.ts';
import { fishCompletion } from '../completion/fish.ts';
import { type CompletionVerb, completionModel } from '../completion/model.ts';
import { zshCompletion } from '../completion/zsh.ts';
import { buildProgram } from '../program.ts';
import type { Shell } from '../shell.ts';

const SHELLS: Readonly<Record<string, (verbs: readonly CompletionVerb[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
};

export function define(program: Command, shell: Shell): void {
  program
    .command('completion')
    .summary('print completions for a shell')
    .addArgument(new Argument('<shell>', 'which shell').choices(Object.keys(SHELLS)))
    .addHelpText('after', HELP)
    .action(async (name: string) => {
      const whole = await buildProgram([], shell);
      shell.stdout.write(SHELLS[name]?.(completionModel(whole)) ?? '');
    });
}

const HELP = `
  bash:  echo 'source <(hawser completion bash)' >> ~/.bashrc
  zsh:   hawser completion zsh > "\${fpath[1]}/_hawser"
  fish:  hawser completion fish > ~/.config/fish/completions/hawser.fish
`;
