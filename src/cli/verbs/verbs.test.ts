import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Client } from '../../client/contract.ts';
import { HawserError } from '../../core/errors.ts';
import { entry, lane, refuse, transfer, useCommandLine } from '../test-command-line.ts';

describe('verbs', () => {
  const { cli, environment, folder } = useCommandLine();

  describe('ls', () => {
    const client: Partial<Client> = {
      stat: async (path) => entry(path, { kind: 'folder' }),
      async *list() {
        yield entry('/in/a\x1b[2J');
        yield entry('/in/sub', { kind: 'folder', mode: 0o755 });
        yield entry('/in/to', { kind: 'link', target: 'a', mode: 0o777 });
      },
    };

    it('lists names, safely', async () => {
      assert.equal((await cli('ls /in', client)).shell.out(), 'a\\x1b[2J\nsub/\nto\n');
    });

    it('-l adds mode, size, time and target; -h makes sizes readable', async () => {
      const { shell } = await cli('ls -lh /in', client);
      assert.equal(
        shell.out(),
        '-rw-r-----     1.5 KiB  2026-11-20 12:00:00  a\\x1b[2J\n' +
          'drwxr-xr-x           -  2026-11-20 12:00:00  sub/\n' +
          'lrwxrwxrwx     1.5 KiB  2026-11-20 12:00:00  to -> a\n',
      );
    });

    it('--json gives exact names and times', async () => {
      const [first] = (await cli('ls --json /in', client)).shell.events();
      assert.equal(first?.path, '/in/a\x1b[2J');
      assert.equal(first?.mtimeNs, '1795176000123456789');
    });

    it('of a file shows the file', async () => {
      assert.equal((await cli('ls /in/a', { stat: async (path) => entry(path) })).shell.out(), '/in/a\n');
    });
  });

  it('stat shows nanoseconds, also before 1970', async () => {
    const { shell } = await cli('stat /a', { stat: async (path) => entry(path, { mtimeNs: -1n }) });
    assert.match(shell.out(), /modified {2}1969-12-31T23:59:59\.999999999Z/);
    assert.match(shell.out(), /mode {6}-rw-r----- \(0640\)/);
  });

  it('rm goes on after a failure, and tells it by its exit code', async () => {
    const removed: string[] = [];
    const remove = async (path: string) => {
      if (path === '/b') throw new HawserError('not_found', 'There is no "/b".');
      removed.push(path);
    };
    const { code, shell } = await cli('rm /a /b /c/', { remove });
    assert.deepEqual([code, removed], [4, ['/a', '/c']]);
    assert.equal(shell.err(), 'hawser: There is no "/b".\n');
    assert.equal((await cli('rm -f /b', { remove })).code, 0);
  });

  it('rm and mv say which option does what was refused', async () => {
    const rm = await cli('rm /full', { remove: refuse('not_empty') });
    assert.match(rm.shell.err(), /"\/full" is not empty: "hawser rm -r"/);
    const mv = await cli('mv /a /b', { stat: refuse('not_found'), move: refuse('exists') });
    assert.match(mv.shell.err(), /"\/b" is there already: .*"hawser mv -f"/);
  });

  it('mv moves into a folder, and under a new name', async () => {
    const moves: string[] = [];
    const client: Partial<Client> = {
      stat: async (path) => (path === '/dir' ? entry(path, { kind: 'folder' }) : refuse('not_found')()),
      move: async (from, to, options) => {
        moves.push(`${from} ${to} ${options?.overwrite}`);
        return entry(to);
      },
    };
    await cli('mv /a /dir', client);
    await cli('mv -f /a /new', client);
    await cli('mv /a /b /other/', client);
    assert.deepEqual(moves, ['/a /dir/a false', '/a /new true', '/a /other/a false', '/b /other/b false']);
    assert.equal((await cli('mv /a /b /new', client)).code, 2);
  });

  it('verify ends with 5 when the bytes are others', async () => {
    const verify = async (path: string, expected?: string) => ({
      path,
      size: 1,
      digest: 'a'.repeat(64),
      recorded: 'a'.repeat(64),
      expected: expected ?? null,
      matches: expected === undefined,
    });
    assert.equal((await cli('verify /a', { verify })).code, 0);
    const { code, shell } = await cli(`verify /a --digest ${'B'.repeat(64)}`, { verify });
    assert.equal(code, 5);
    assert.match(shell.err(), /is a{64}, and should be b{64}/);
  });

  it('status shows transfers, what was left behind, and what this machine can resume', async () => {
    let transfers = [transfer];
    const client: Partial<Client> = {
      listTransfers: async (options) => (options?.state === 'active' ? transfers : []),
      listUploads: async () => [
        { id: 'u1', path: '/x', size: 2048, safeBytes: 1024, transfer: 'gone', created: '', expires: '2026-11-27T12:00:00.000Z' },
        { id: 'u2', path: '/y', size: 1, safeBytes: 0, transfer: 't1', created: '', expires: '' },
      ],
      listLanes: refuse('route_not_found'),
    };
    await cli('put a /', { put: refuse('unreachable') });
    assert.match((await cli('status', client)).shell.out(), /t1 +upload +active, still \d+ d \d\d h +42 B/);
    transfers = [{ ...transfer, updated: new Date().toISOString() }];
    const { shell } = await cli('status', client);
    assert.match(shell.out(), /t1 +upload +active +42 B \(42%\) +a +\/in\//);
    assert.match(shell.out(), /1\.0 KiB of 2\.0 KiB {2}expires 2026-11-27 12:00 {2}\/x/);
    assert.doesNotMatch(shell.out(), /\/y/);
    assert.match(shell.out(), /hawser put a \//);
    const [json] = (await cli('status --json', client)).shell.events();
    const told = json as { transfers: object[]; uploads: object[] };
    assert.deepEqual([told.transfers.length, told.uploads.length], [1, 2]);
  });

  it('status shows the paths of open lanes, in colour only on a terminal that wants it', async () => {
    const client: Partial<Client> = {
      listTransfers: async () => [],
      listUploads: async () => [],
      listLanes: async () => [lane()],
    };
    const { shell } = await cli('status', client);
    assert.match(shell.out(), /^Open lanes, path by path:\nLANE .*\n.* active .*\n.* failed .*\n$/);
    const red = /\x1b\[31mfailed\x1b\[39m/;
    assert.match((await cli('status', client, { terminal: true })).shell.out(), red);
    const env = { ...environment(), NO_COLOR: '1' };
    assert.doesNotMatch((await cli('status', client, { terminal: true, env })).shell.out(), /\x1b/);
    const [json] = (await cli('status --json', client)).shell.events();
    assert.deepEqual(json?.lanes, [lane()]);
  });

  it('history shows what ended, newest first', async () => {
    const ended = (id: string, time: string) => ({ ...transfer, id, state: 'done' as const, ended: time });
    const listTransfers: Client['listTransfers'] = async (options) =>
      options?.state === 'done' ? [ended('old', '2026-01-01T00:00:00Z'), ended('new', '2026-02-01T00:00:00Z')] : [];
    const { shell } = await cli('history --json', { listTransfers });
    assert.deepEqual(
      shell.events().map(({ id }) => id),
      ['new', 'old'],
    );
  });

  it('token create prints the token alone on stdout', async () => {
    const createToken: Client['createToken'] = async ({ name, role, expiresSeconds }) => {
      assert.deepEqual([name, role, expiresSeconds], ['ci', 'read', 604_800]);
      return { id: 'i', name, role, created: '', expires: null, token: 'hws_x' };
    };
    const { shell } = await cli('token create ci --role read --expires 7d', { createToken });
    assert.equal(shell.out(), 'hws_x\n');
  });

  it('login over plain HTTP saves no pin, and reads the token from stdin', async () => {
    const env = { XDG_CONFIG_HOME: folder() };
    const whoami = async () => ({ id: 'i', name: 'admin', role: 'admin' as const });
    const { code, shell } = await cli('login http://far.example:1', { whoami }, { env, stdin: ['hws_', 'a\nrest'] });
    assert.equal(code, 0, shell.err());
    assert.match(shell.err(), /is not encrypted/);
    assert.deepEqual(
      shell.connections.map(({ stateFolder: _, ...options }) => options),
      [{ url: 'http://far.example:1', token: 'hws_a' }],
    );
    assert.doesNotMatch(shell.out(), /hws_a/);
    const list = await cli('profiles --json', {}, { env });
    assert.deepEqual(list.shell.events(), [{ name: 'default', url: 'http://far.example:1', default: true, fingerprint: null }]);
    let forgotten = 0;
    const forgetLane = () => void forgotten++;
    assert.equal((await cli('logout', { forgetLane }, { env })).code, 0);
    assert.equal(forgotten, 1);
    assert.deepEqual((await cli('profiles --json', {}, { env })).shell.events(), []);
  });

  it('login without any token is a usage error, and saves nothing', async () => {
    const { code } = await cli('login http://localhost:1', {}, { env: { XDG_CONFIG_HOME: folder() } });
    assert.equal(code, 2);
  });

  it('login that the server refuses saves nothing', async () => {
    const env = { XDG_CONFIG_HOME: folder(), HAWSER_TOKEN: 'x' };
    assert.equal((await cli('login http://localhost:1', { whoami: refuse('token_invalid') }, { env })).code, 3);
    assert.deepEqual((await cli('profiles --json', {}, { env })).shell.events(), []);
  });

  it('version prints ours, and theirs when asked', async () => {
    const { shell } = await cli('version');
    assert.match(shell.out(), /^hawser \d+\.\d+\.\d+ \(Node\.js /);
    assert.match((await cli('--version')).shell.out(), /^hawser /);
    const capabilities = (async () => ({ version: '9.9.9' })) as unknown as Client['capabilities'];
    assert.match((await cli('version --server', { capabilities })).shell.out(), /https:\/\/h:1 runs hawser 9\.9\.9/);
  });
});
