import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Client, ClientOptions, PutSource, TransferOptions } from '../client/contract.ts';
import { HawserError } from '../core/errors.ts';
import { keptCommands } from './kept-commands.ts';
import { createMemoryShell } from './memory-shell.ts';
import { refuse, summary, transfer, useCommandLine } from './test-command-line.ts';

describe('transfers', () => {
  const { cli, environment, folder } = useCommandLine();

  describe('put and get', () => {
    it('hand every option to the client', async () => {
      let given: TransferOptions = {};
      const put = async (sources: readonly PutSource[], destination: string, options: TransferOptions = {}) => {
        given = options;
        assert.deepEqual([sources, destination], [['a', 'b'], '/in/']);
        return summary;
      };
      const flags =
        '--parallel 4 --chunk-size 1MiB --priority high --limit-rate 10mbit --no-preserve --exclude *.o --exclude .git --overwrite newer --retries 3 --follow';
      const { code } = await cli(`put ${flags} a b /in/`, { put });
      assert.equal(code, 0);
      const { signal: _s, onEvent: _e, ...rest } = given;
      assert.deepEqual(rest, {
        parallel: 4,
        chunkBytes: 1024 * 1024,
        priority: 'high',
        limitRateBytesPerSecond: 1_250_000,
        preserve: false,
        exclude: ['*.o', '.git'],
        overwrite: 'newer',
        retries: 3,
        follow: true,
      });
    });

    it('leave to the client what is "auto" or not given', async () => {
      let given: TransferOptions = {};
      const get = async (_s: readonly string[], _d: unknown, options: TransferOptions = {}) => {
        given = options;
        return summary;
      };
      await cli('get --parallel auto --chunk-size auto /a .', { get });
      const { signal: _s, onEvent: _e, ...rest } = given;
      assert.deepEqual(rest, { priority: 'normal', preserve: true, overwrite: 'always' });
    });

    it('send standard input, and write standard output', async () => {
      const put = async ([source]: readonly PutSource[]) => {
        assert.ok(source !== undefined && typeof source !== 'string');
        let text = '';
        for await (const piece of source) text += new TextDecoder().decode(piece);
        assert.equal(text, 'onetwo');
        return summary;
      };
      assert.equal((await cli('put - /x.tar', { put }, { stdin: ['one', 'two'] })).code, 0);
      const get: Client['get'] = async (_sources, destination) => {
        assert.ok(typeof destination === 'function');
        await destination(new TextEncoder().encode('data'));
        return summary;
      };
      const { code, shell } = await cli('get /x.tar -', { get });
      assert.equal(code, 0);
      assert.equal(shell.out(), 'data');
      assert.match(shell.err(), /1 file/);
    });

    it('end quietly with 1 when the reader of the data went away', async () => {
      const get = () =>
        Promise.reject(new HawserError('local_io', 'x', { cause: Object.assign(new Error('w'), { code: 'EPIPE' }) }));
      const { code, shell } = await cli('get /x -', { get });
      assert.equal(code, 1);
      assert.equal(shell.err(), '');
    });

    it('print nothing but errors with --quiet', async () => {
      const { shell } = await cli('put -q a /', { put: async () => summary });
      assert.equal(shell.out() + shell.err(), '');
    });

    it('end with the code that all failed files share, and name them', async () => {
      const failures = [{ path: 'a\x1b[2J', code: 'no_space', message: 'The disk is full.' }];
      const put = async () => ({ ...summary, filesFailed: 1, failures });
      const { code, shell } = await cli('put a b /', { put });
      assert.equal(code, 6);
      assert.match(shell.err(), /hawser: a\\x1b\[2J: The disk is full\.\n/);
      const mixed = [...failures, { path: 'b', code: 'digest_mismatch', message: 'x' }];
      assert.equal((await cli('put a b /', { put: async () => ({ ...summary, filesFailed: 2, failures: mixed }) })).code, 1);
    });

    it('tell the end as an event with --json', async () => {
      const put: Client['put'] = async (_s, _d, options) => {
        options?.onEvent?.({ type: 'start', transfer: 't1', kind: 'upload', source: 'a', destination: '/' });
        options?.onEvent?.({ type: 'done', summary });
        return summary;
      };
      const { shell } = await cli('put --json a /', { put });
      assert.deepEqual(
        shell.events().map(({ event }) => event),
        ['start', 'done'],
      );
      assert.deepEqual(shell.events()[1], { event: 'done', ...summary, exit: 0 });
    });

    it('warn about --insecure, and drop the pin only then', async () => {
      const env = { ...environment(), HAWSER_FINGERPRINT: 'a'.repeat(64) };
      const loud = await cli('put --insecure a /', { put: async () => summary }, { env });
      assert.match(loud.shell.err(), /warning: --insecure/);
      const wanted = ({ lane: _, stateFolder: __, ...options }: ClientOptions) => options;
      assert.deepEqual(loud.shell.connections.map(wanted), [
        { url: 'https://h:1', token: 'secret-token', insecure: true, transport: 'auto' },
      ]);
      const { shell } = await cli('put a /', { put: async () => summary }, { env });
      assert.deepEqual(shell.connections.map(wanted), [
        { url: 'https://h:1', token: 'secret-token', fingerprint: 'a'.repeat(64), transport: 'auto' },
      ]);
    });

    it('keep the trace of a lane that stalls in the state folder, and say so with --verbose', async () => {
      const stall = async (line: string) => {
        const { shell } = await cli(
          line,
          { put: async () => summary },
          {
            env: environment(),
            onConnect: ({ lane }) => lane!.onStall!('x.sqlog'),
          },
        );
        assert.match(shell.connections[0]!.lane!.stallFolder!, /hawser.lane-stalls$/);
        return shell.err();
      };
      assert.match(await stall('put -v a /'), /the lane stalled; what led to it is in x\.sqlog/);
      assert.doesNotMatch(await stall('put a /'), /stalled/);
    });
  });

  describe('an interrupted transfer', () => {
    const interrupted: Client['put'] = (_s, _d, options) =>
      new Promise((_, reject) => {
        options?.onEvent?.({ type: 'start', transfer: 't77', kind: 'upload', source: 'a', destination: '/' });
        options?.signal?.addEventListener('abort', () => reject(new HawserError('interrupted', 'Interrupted.')));
      });
    const interrupt = async (line: string) => {
      const shell = createMemoryShell({ argv: line.split(' '), env: environment(), cwd: folder(), client: { put: interrupted } });
      const { run } = await import('./main.ts');
      const ended = run(shell.argv, shell);
      // The verb loads its modules first; it is listening once the command is kept with the server's id.
      while (keptCommands(environment())[0]?.transfer !== 't77') await new Promise((resolve) => setImmediate(resolve));
      shell.stop.abort();
      return { code: await ended, shell };
    };

    it('ends with 130, is kept, and prints the line that goes on with it', async () => {
      const { code, shell } = await interrupt('put a /');
      assert.equal(code, 130);
      assert.match(shell.err(), /Go on with: {2}hawser resume t77\n/);
      const [kept] = keptCommands(environment());
      assert.deepEqual(kept?.argv, ['put', 'a', '/']);
      assert.equal(kept?.reason, 'interrupted');
      assert.doesNotMatch(JSON.stringify(kept), /secret-token/);
    });

    it('is run again by resume, and forgotten when it is done', async () => {
      await interrupt('put a /');
      const runs: (readonly PutSource[])[] = [];
      const put: Client['put'] = async (sources) => {
        runs.push(sources);
        return summary;
      };
      const { code, shell } = await cli('resume', { put });
      assert.equal(code, 0, shell.err());
      assert.deepEqual(runs, [['a']]);
      assert.deepEqual(keptCommands(environment()), []);
      const again = await cli('resume', { put });
      assert.match(again.shell.out(), /nothing to resume/);
    });

    it('is let go on by the server too when its id is given', async () => {
      await interrupt('put a /');
      const resumed: string[] = [];
      const resume = async (id: string) => {
        resumed.push(id);
        return { ...transfer, id };
      };
      assert.equal((await cli('resume t77', { resume, put: async () => summary })).code, 0);
      assert.deepEqual(resumed, ['t77']);
      assert.deepEqual(keptCommands(environment()), []);
    });

    it('is forgotten when the same command is repeated by hand', async () => {
      await interrupt('put a /');
      await cli('put a /', { put: async () => summary });
      assert.deepEqual(keptCommands(environment()), []);
    });

    it('is forgotten when it is cancelled', async () => {
      await interrupt('put a /');
      await cli('cancel t77', { cancel: async () => transfer });
      assert.deepEqual(keptCommands(environment()), []);
    });

    it('is forgotten when it is cancelled and its server is gone, or never knew of it', async () => {
      await interrupt('put a /');
      assert.equal((await cli('cancel t77', { cancel: refuse('unreachable') })).code, 7);
      assert.deepEqual(keptCommands(environment()), []);
      await cli('put a /', { put: refuse('unreachable') });
      const [kept] = keptCommands(environment());
      const { code, shell } = await cli(`cancel ${kept?.id}`);
      assert.deepEqual([code, shell.connections.length], [0, 0]);
      assert.match(shell.out(), /Forgotten/);
      assert.deepEqual(keptCommands(environment()), []);
    });

    it('is controlled at the server that it ran on, while there is a token for it', async () => {
      const env = { ...environment(), XDG_CONFIG_HOME: folder() };
      const whoami = async () => ({ id: 'i', name: 'me', role: 'admin' as const });
      await cli('login http://far.example:1 --name far --token hws_a', { whoami }, { env });
      const put: Client['put'] = async (_sources, destination, options) => {
        options?.onEvent?.({ type: 'start', transfer: 't77', kind: 'upload', source: 'a', destination });
        throw new HawserError('unreachable', 'Gone.');
      };
      await cli('put a far:/', { put }, { env });
      const pausedAt = async () => {
        const { shell } = await cli('pause t77', { pause: async () => transfer }, { env });
        return shell.connections.map(({ url }) => url);
      };
      assert.deepEqual(await pausedAt(), ['http://far.example:1']);
      await cli('logout far', { forgetLane: () => undefined }, { env });
      assert.deepEqual(await pausedAt(), ['https://h:1']);
    });

    it('says the line in JSON too', async () => {
      const { shell } = await interrupt('put --json a /');
      assert.equal(shell.events().at(-1)?.resume, 'hawser resume t77');
    });

    it('is kept when another try can help, and only then', async () => {
      assert.equal((await cli('put a /', { put: refuse('unreachable') })).code, 7);
      assert.equal(keptCommands(environment()).length, 1);
      assert.equal((await cli('put a /', { put: refuse('not_found') })).code, 4);
      assert.equal(keptCommands(environment()).length, 0);
      const some = (code: string) => ({
        put: async () => ({ ...summary, filesFailed: 1, failures: [{ path: 'a', code, message: 'x' }] }),
      });
      await cli('put a /', some('no_space'));
      assert.equal(keptCommands(environment()).length, 1);
      for (const code of ['exists', 'transfer_cancelled', 'superseded']) {
        await cli('put a /', some(code));
        assert.equal(keptCommands(environment()).length, 0, code);
      }
    });
  });
});
