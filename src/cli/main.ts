/** The command line: from arguments to an exit code. bin/hawser.js calls `start`. */
import { CommanderError } from 'commander';
import { EXIT } from '../core/errors.ts';
import { failureOf, printFailure, usage } from './failure.ts';
import { createProcessShell, endWithoutOutput } from './process-shell.ts';
import { buildProgram, VERB_NAMES } from './program.ts';
import type { Shell } from './shell.ts';

export async function start(): Promise<never> {
  endWithoutOutput();
  const argv = process.argv.slice(2);
  const code = await run(argv, createProcessShell(argv, run));
  // Idle connections and timers of the client must not keep us: what was to be done is done.
  process.exitCode = code;
  await new Promise((resolve) => process.stdout.write('', resolve));
  process.exit(code);
}

/** Runs one command line. Never throws: what goes wrong is printed, and told by the exit code. */
export async function run(argv: readonly string[], shell: Shell): Promise<number> {
  try {
    const args = argv[0] === '--version' || argv[0] === '-V' ? ['version', ...argv.slice(1)] : argv;
    const program = await buildProgram(args, shell);
    for (const command of [program, ...program.commands.flatMap((verb) => [verb, ...verb.commands])]) {
      command.exitOverride().configureOutput({
        writeOut: (text) => shell.stdout.write(text),
        writeErr: () => {},
        getOutHelpWidth: () => shell.stdout.columns,
      });
    }
    if (args.length === 0) {
      shell.stdout.write(program.helpInformation());
      return EXIT.usage;
    }
    await program.parseAsync([...args], { from: 'user' });
    return shell.exitCode;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done;
    if (shell.env.HAWSER_DEBUG) shell.stderr.write(`${(error as Error)?.stack ?? error}\n`);
    const failure = failureOf(error instanceof CommanderError ? usage(sentence(error, argv)) : error);
    printFailure(shell, failure);
    return failure.exit;
  }
}

/** commander says "error: unknown option '--x'\n(Did you mean --y?)". */
function sentence({ code, message }: CommanderError, argv: readonly string[]): string {
  const [first = '', second = ''] = argv;
  // What it shows instead of a sentence when a command is missing or the one to be explained is not there.
  if (code === 'commander.help') {
    return first === 'help'
      ? `There is no verb "${second}": see "hawser --help".`
      : `${first} needs a command: see "hawser ${first} --help".`;
  }
  const text = message
    .replace(/^error: /, '')
    .replaceAll('\n', ' ')
    .trim()
    .replace(/\.$/, '');
  const isKnown = VERB_NAMES.includes(first);
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}: see "hawser${isKnown ? ` ${first}` : ''} --help".`;
}
