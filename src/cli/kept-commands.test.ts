import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { commandId, forgetCommand, isRunning, type KeptCommand, keepCommand, keptCommands } from './kept-commands.ts';

describe('kept commands', () => {
  let folder = '';
  const env = () => ({ XDG_STATE_HOME: folder });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hawser-state-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const command = (argv: string[], time: string): Omit<KeptCommand, 'process'> => ({
    id: commandId(argv, '/w', 'https://h'),
    transfer: null,
    argv,
    cwd: '/w',
    url: 'https://h',
    profile: null,
    time,
    reason: 'interrupted',
  });

  it('are listed oldest first, and gone when they are done', () => {
    const [first, second] = [command(['put', 'a', '/'], '2026-01-01'), command(['put', 'b', '/'], '2026-01-02')];
    assert.equal(keepCommand(env(), second), true);
    keepCommand(env(), first);
    assert.deepEqual(
      keptCommands(env()).map(({ argv }) => argv[1]),
      ['a', 'b'],
    );
    forgetCommand(env(), first.id);
    assert.deepEqual(
      keptCommands(env()).map(({ argv }) => argv[1]),
      ['b'],
    );
  });

  it('are one for the same command in the same folder', () => {
    for (const time of ['1', '2']) keepCommand(env(), command(['put', 'a', '/'], time));
    assert.equal(keptCommands(env()).length, 1);
    assert.notEqual(commandId(['put', 'a'], '/w', 'u'), commandId(['put', 'a'], '/v', 'u'));
    assert.notEqual(commandId(['put', 'a'], '/w', 'u'), commandId(['put', 'a'], '/w', 'v'));
  });

  it('that are damaged are passed over', () => {
    keepCommand(env(), command(['put', 'a', '/'], '1'));
    for (const [name, text] of [
      ['x.json', '{'],
      ['y.json', '{"argv":[]}'],
      ['z.json', 'null'],
    ] as const) {
      writeFileSync(join(folder, 'hawser', 'commands', name), text);
    }
    assert.equal(keptCommands(env()).length, 1);
  });

  it('that nobody can keep are no failure', () => {
    const file = join(folder, 'hawser');
    writeFileSync(file, '');
    assert.equal(keepCommand(env(), command(['put', 'a', '/'], '1')), false);
    assert.deepEqual(keptCommands(env()), []);
    forgetCommand(env(), 'x');
  });

  it('are known to run by process and start time, so that a reused process id does not count', () => {
    const dead = spawnSync('true').pid;
    const base = { ...command(['put', 'a', '/'], '1'), reason: null };
    assert.equal(isRunning({ ...base, process: { pid: dead, startedTicks: null } }), false);
    const parent = process.ppid;
    assert.equal(isRunning({ ...base, process: { pid: parent, startedTicks: 'of another process' } }), false);
    if (process.platform !== 'linux') return;
    const stat = readFileSync(`/proc/${parent}/stat`, 'latin1');
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
    assert.equal(isRunning({ ...base, process: { pid: parent, startedTicks: ticks } }), true);
    assert.equal(isRunning({ ...base, reason: 'interrupted', process: { pid: parent, startedTicks: ticks } }), false);
  });

  it('hold no token', () => {
    keepCommand(env(), command(['put', 'a', '/'], '1'));
    const [file = ''] = readdirSync(join(folder, 'hawser', 'commands'));
    assert.doesNotMatch(readFileSync(join(folder, 'hawser', 'commands', file), 'utf8'), /token/i);
  });
});
