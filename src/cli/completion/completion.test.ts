import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { runInMemory } from '../memory-shell.ts';
import { VERB_NAMES } from '../program.ts';

const has = (program: string) => spawnSync(program, ['--version']).error === undefined;
const script = async (shell: string) => (await runInMemory(['completion', shell])).shell.out();

describe('completion for bash', { skip: !has('bash') && 'bash is not installed' }, () => {
  let folder = '';
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'hawser-completion-'));
    writeFileSync(join(folder, 'hawser.bash'), await script('bash'));
    writeFileSync(join(folder, 'two words.txt'), '');
  });
  after(() => rmSync(folder, { recursive: true }));

  /** What Tab offers after these words; the last is the one being typed. */
  const offered = (...words: string[]) => {
    const text = `source ./hawser.bash
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _hawser
printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr, status } = spawnSync('bash', ['--norc', '-c', text, 'bash', 'hawser', ...words], { cwd: folder });
    assert.equal(status, 0, String(stderr));
    return String(stdout)
      .split('\n')
      .filter((line) => line !== '');
  };

  it('is well-formed', () => {
    const { status, stderr } = spawnSync('bash', ['-n', join(folder, 'hawser.bash')]);
    assert.equal(status, 0, String(stderr));
  });
  it('offers every verb', () => assert.deepEqual(offered('').toSorted(), [...VERB_NAMES, 'help'].toSorted()));
  it('offers verbs by their beginning', () => assert.deepEqual(offered('p').toSorted(), ['pause', 'profiles', 'put']));
  it('offers options', () => assert.deepEqual(offered('put', '--par'), ['--parallel']));
  it('offers the values of an option', () => assert.deepEqual(offered('put', '--priority', ''), ['critical', 'high', 'normal']));
  it('offers nothing for a free value', () => assert.deepEqual(offered('put', '--limit-rate', ''), []));
  it('offers files, with spaces', () => assert.deepEqual(offered('put', 'two'), ['two words.txt']));
  it('offers files for options that take one', () => assert.deepEqual(offered('serve', '--config', 'haw'), ['hawser.bash']));
  it('offers sub-verbs and their options', () => {
    assert.deepEqual(offered('token', '').toSorted(), ['create', 'list', 'revoke']);
    assert.deepEqual(offered('token', 'create', 'ci', '--role', ''), ['read', 'write', 'admin']);
    assert.deepEqual(offered('token', 'create', '--ex'), ['--expires']);
  });
  it('offers shells', () => assert.deepEqual(offered('completion', 'f'), ['fish']));
});

for (const [shell, args] of [
  ['zsh', ['-n']],
  ['fish', ['--no-execute']],
] as const) {
  it(`completion for ${shell} is well-formed`, { skip: !has(shell) && `${shell} is not installed` }, async () => {
    const { status, stderr } = spawnSync(shell, [...args, '/dev/stdin'], { input: await script(shell) });
    assert.equal(status, 0, String(stderr));
  });

  it(`completion for ${shell} names every verb and every option of put`, async () => {
    const text = await script(shell);
    for (const verb of VERB_NAMES) assert.match(text, new RegExp(`\\b${verb}\\b`));
    for (const option of ['chunk-size', 'limit-rate', 'no-preserve', 'exclude', 'overwrite'])
      assert.match(text, new RegExp(option));
  });
}

it('a shell that there is no completion for is a usage error', async () => {
  const { code, shell } = await runInMemory(['completion', 'cmd']);
  assert.equal(code, 2);
  assert.match(shell.err(), /bash, zsh, fish/);
});
