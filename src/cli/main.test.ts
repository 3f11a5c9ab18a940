import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMemoryShell } from './memory-shell.ts';
import { VERB_NAMES } from './program.ts';
import { refuse, useCommandLine } from './test-command-line.ts';

describe('the command line', () => {
  const { cli } = useCommandLine();

  describe('usage errors end with 2 and one sentence', () => {
    for (const [line, says] of [
      ['nosuch', /Unknown command 'nosuch'/],
      ['pt', /Did you mean put/],
      ['put', /hawser put --help/],
      ['put a', /where to/],
      ['get /a', /where to/],
      ['put --nosuch a /', /'--nosuch'/],
      ['put --parallel 0 a /', /--parallel is "0"/],
      ['put --chunk-size 1K a /', /--chunk-size: "1K" is not between/],
      ['put --limit-rate fast a /', /--limit-rate: "fast"/],
      ['put --priority urgent a /', /critical, high, normal/],
      ['put --transport pigeon a /', /auto, https/],
      ['put --overwrite maybe a /', /always, newer, never/],
      ['put a b', /"b" is not a remote path/],
      ['put a /x/../y', /contains ".."/],
      ['put - b /x', /Standard input \(-\) must be the only source/],
      ['put - /x/', /Standard input has no name/],
      ['get /a /b -', /one file can go to standard output/],
      ['get /a https://h/b', /is remote/],
      ['get /a other:/b .', /no profile "other"/],
      ['mv /a', /mv needs/],
      ['verify /a --digest xyz', /--digest "xyz"/],
      ['history -n 0', /--limit is "0"/],
      ['token create x --role king', /read, write, admin/],
      ['token create x --expires never', /--expires: "never"/],
      ['serve --listen ::1:80', /--listen "::1:80"/],
      ['serve --config /nonexistent.json', /"\/nonexistent.json" cannot be read/],
      ['login ftp://x', /https:\/\/ or http:\/\//],
      ['logout', /No profile is the default/],
      ['profiles use nosuch', /no profile "nosuch"/],
      ['mkdir', /hawser mkdir --help/],
      ['pause', /hawser pause --help/],
      ['bench', /bench needs a command: see "hawser bench --help"/],
      ['token nosuch', /Unknown command 'nosuch': see "hawser token --help"/],
      ['help nosuch', /no verb "nosuch": see "hawser --help"/],
    ] as const) {
      it(line, async () => {
        const { code, shell } = await cli(line);
        assert.equal(code, 2, shell.err());
        assert.match(shell.err(), says);
        assert.match(shell.err(), /^hawser: [^\n]*\.\n$/);
        assert.equal(shell.out(), '');
      });
    }

    it('and as an event with --json', async () => {
      const { code, shell } = await cli('put --json a');
      assert.equal(code, 2);
      assert.equal(shell.events()[0]?.code, 'usage');
      assert.equal(shell.err(), '');
    });
  });

  describe('help', () => {
    for (const verb of VERB_NAMES) {
      it(`${verb} --help ends with 0`, async () => {
        const { code, shell } = await cli(`${verb} --help`);
        assert.equal(code, 0);
        assert.match(shell.out(), new RegExp(`^Usage: hawser ${verb}`));
        assert.equal(shell.err(), '');
      });
    }

    it('lists every verb', async () => {
      const { code, shell } = await cli('--help');
      assert.equal(code, 0);
      for (const verb of VERB_NAMES) assert.match(shell.out(), new RegExp(`^ {2}${verb} `, 'm'));
    });

    it('is what no arguments give, with 2', async () => {
      const shell = createMemoryShell();
      const { run } = await import('./main.ts');
      assert.equal(await run([], shell), 2);
      assert.match(shell.out(), /^Usage: hawser/);
    });
  });

  describe('exit codes', () => {
    for (const [code, exit] of [
      ['exists', 1],
      ['request_invalid', 2],
      ['forbidden', 3],
      ['certificate_changed', 3],
      ['not_found', 4],
      ['digest_mismatch', 5],
      ['no_space', 6],
      ['unreachable', 7],
    ] as const) {
      it(`${code} ends with ${exit}`, async () => {
        const { code: ended, shell } = await cli('stat /a', { stat: refuse(code) });
        assert.equal(ended, exit);
        assert.equal(shell.err(), `hawser: It is ${code}.\n`);
      });
    }
  });
});
