/** A Shell that lives in memory, for tests: what was printed can be read, time stands still until it is moved. */
import type { Client, ClientOptions } from '../client/contract.ts';
import { usage } from './failure.ts';
import { run } from './main.ts';
import type { Rerun, Shell, Sink } from './shell.ts';

export interface MemoryShell extends Shell {
  readonly out: () => string;
  readonly err: () => string;
  /** JSON lines of stdout. */
  readonly events: () => Record<string, unknown>[];
  readonly connections: ClientOptions[];
  readonly stop: AbortController;
  readonly clock: { nowMs: number };
}

export interface MemoryShellOptions {
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Methods that are not given reject. */
  readonly client?: Partial<Client>;
  /** A client was asked for. */
  readonly onConnect?: (options: ClientOptions) => void;
  readonly stdin?: readonly string[];
  readonly terminal?: boolean;
  readonly columns?: number;
}

export function createMemoryShell(options: MemoryShellOptions = {}): MemoryShell {
  const { argv = [], env = {}, cwd = '/work', terminal = false, columns = 80 } = options;
  const text = { out: '', err: '' };
  const connections: ClientOptions[] = [];
  const stop = new AbortController();
  const clock = { nowMs: 0 };
  const sink = (name: 'out' | 'err'): Sink => ({
    write(piece) {
      text[name] += piece;
    },
    isTTY: terminal,
    columns,
  });
  const build = (args: readonly string[], folder: string, rerun: Rerun | null): MemoryShell => ({
    env,
    argv: args,
    cwd: folder,
    stdin: (async function* () {
      for (const piece of options.stdin ?? []) yield new TextEncoder().encode(piece);
    })(),
    stdout: sink('out'),
    stderr: sink('err'),
    writeBytes: async (bytes) => sink('out').write(new TextDecoder().decode(bytes)),
    askSecret: async () => {
      throw usage('There is no terminal.');
    },
    nowMs: () => clock.nowMs,
    stopSignal: () => stop.signal,
    createClient: async (wanted) => {
      connections.push(wanted);
      options.onConnect?.(wanted);
      return clientWith(options.client ?? {});
    },
    run: (again, at, server) => run(again, build(again, at, server)),
    rerun,
    exitCode: 0,
    json: args.includes('--json'),
    out: () => text.out,
    err: () => text.err,
    events: () =>
      text.out
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line)),
    connections,
    stop,
    clock,
  });
  return build(argv, cwd, null);
}

/** Runs one command line in memory. */
export async function runInMemory(
  argv: readonly string[],
  options: MemoryShellOptions = {},
): Promise<{ code: number; shell: MemoryShell }> {
  const shell = createMemoryShell({ ...options, argv });
  return { code: await run(argv, shell), shell };
}

function clientWith(methods: Partial<Client>): Client {
  const base: Partial<Client> = { async close() {}, ...methods };
  return new Proxy(base, {
    get(target, name) {
      const method = target[name as keyof Client];
      if (method !== undefined || name === 'then') return method;
      return () => Promise.reject(new Error(`the test gave no ${String(name)}()`));
    },
  }) as Client;
}
