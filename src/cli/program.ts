/** The commands that there are. Only the verb that is asked for is loaded: a small transfer should not wait for the rest. */
import { Command } from 'commander';
import type { Shell } from './shell.ts';

interface VerbModule {
  define(program: Command, shell: Shell): void;
}

const VERBS: Readonly<Record<string, () => Promise<VerbModule>>> = {
  serve: () => import('./verbs/serve.ts'),
  login: () => import('./verbs/login.ts'),
  logout: () => import('./verbs/logout.ts'),
  profiles: () => import('./verbs/profiles.ts'),
  put: () => import('./verbs/put.ts'),
  get: () => import('./verbs/get.ts'),
  ls: () => import('./verbs/ls.ts'),
  stat: () => import('./verbs/stat.ts'),
  mkdir: () => import('./verbs/mkdir.ts'),
  mv: () => import('./verbs/mv.ts'),
  rm: () => import('./verbs/rm.ts'),
  verify: () => import('./verbs/verify.ts'),
  status: () => import('./verbs/status.ts'),
  pause: () => import('./verbs/pause.ts'),
  resume: () => import('./verbs/resume.ts'),
  cancel: () => import('./verbs/cancel.ts'),
  history: () => import('./verbs/history.ts'),
  token: () => import('./verbs/token.ts'),
  doctor: () => import('./verbs/doctor.ts'),
  bench: () => import('./verbs/bench.ts'),
  demo: () => import('./verbs/demo.ts'),
  version: () => import('./verbs/version.ts'),
  completion: () => import('./verbs/completion.ts'),
};

/** With the verb that `argv` begins with, or with all of them when it begins with none (help, and suggestions for typos). */
export async function buildProgram(argv: readonly string[], shell: Shell): Promise<Command> {
  const [first = ''] = argv;
  const names = Object.hasOwn(VERBS, first) ? [first] : Object.keys(VERBS);
  const program = new Command('hawser')
    .description('Moves files across bad networks and does not let go.')
    .usage('VERB [options]')
    .configureHelp({ subcommandTerm: (verb) => `${verb.name()} ${verb.usage().replace(/^\[options\] ?/, '')}`.trimEnd() })
    .helpCommand('help [verb]', 'say more about a verb')
    .addHelpText('after', HELP);
  // In the order of the table, whichever is loaded first.
  const verbs = await Promise.all(names.map((name) => VERBS[name]?.()));
  for (const verb of verbs) verb?.define(program, shell);
  return program;
}

export const VERB_NAMES: readonly string[] = Object.keys(VERBS);

const HELP = `
A remote path is /path on the default profile, NAME:/path on another, or https://host:port/path.
HAWSER_URL, HAWSER_TOKEN, HAWSER_FINGERPRINT and HAWSER_CACERT override profiles.

Exit codes: 0 done, 1 failed, 2 usage, 3 not authorised, 4 not found, 5 integrity, 6 no space,
7 server unreachable, 130 interrupted.

  hawser serve ./files
  hawser login https://host:7420
  hawser put footage.mxf photos/ /incoming/
  hawser get /incoming/footage.mxf .
`;
