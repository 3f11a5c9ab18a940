import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CODES, type ErrorCode, HawserError } from '../core/errors.ts';
import { exitOfFailures, failureOf, printFailure } from './failure.ts';
import { createMemoryShell } from './memory-shell.ts';

describe('the exit code of a failure', () => {
  it('is that of its code, for every code', () => {
    for (const [code, { exit }] of Object.entries(CODES))
      assert.equal(failureOf(new HawserError(code as ErrorCode, 'x')).exit, exit);
  });

  it('is told from what the system says', () => {
    const system = (code: string) => Object.assign(new Error('x'), { code, syscall: 'open', path: '/f' });
    assert.equal(failureOf(system('ENOENT')).exit, 4);
    assert.equal(failureOf(system('ENOSPC')).exit, 6);
    assert.equal(failureOf(system('EACCES')).code, 'local_io');
    assert.match(failureOf(system('EACCES')).message, /"\/f" \(EACCES\)/);
  });

  it('is 1 for a defect of ours, which says so', () => {
    assert.equal(failureOf(new TypeError('oops')).exit, 1);
    assert.match(failureOf('text').message, /report/);
  });
});

describe('the exit code of a transfer with failed files', () => {
  const of = (...codes: string[]) => exitOfFailures(codes.map((code) => ({ code })));
  it('is 0 without any, theirs when they agree, else 1', () => {
    assert.equal(of(), 0);
    assert.equal(of('digest_mismatch', 'block_mismatch'), 5);
    assert.equal(of('no_space', 'quota_exceeded'), 6);
    assert.equal(of('no_space', 'digest_mismatch'), 1);
    assert.equal(of('local_io'), 1);
    assert.equal(of('a_code_of_a_newer_server'), 1);
  });

  it('is 1 when not all of them are known, or when only a name was bad', () => {
    assert.equal(exitOfFailures([{ code: 'no_space' }], 2), 1);
    assert.equal(of('path_invalid'), 1);
  });
});

describe('a printed failure', () => {
  it('is one line that cannot drive the terminal', () => {
    const shell = createMemoryShell();
    printFailure(shell, failureOf(new HawserError('not_found', 'There is no "/a\x1b[2J\nb".')));
    assert.equal(shell.err(), 'hawser: There is no "/a\\x1b[2J\\nb".\n');
  });

  it('is an event with --json', () => {
    const shell = createMemoryShell({ argv: ['ls', '--json'] });
    printFailure(shell, failureOf(new HawserError('not_found', 'No.', { value: '/a' })));
    assert.deepEqual(shell.events(), [{ event: 'error', code: 'not_found', message: 'No.', exit: 4, retry: false, value: '/a' }]);
  });
});
