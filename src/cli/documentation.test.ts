import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type CompletionVerb, completionModel } from './completion/model.ts';
import { createMemoryShell } from './memory-shell.ts';
import { buildProgram } from './program.ts';

const text = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
const verbs = completionModel(await buildProgram([], createMemoryShell()));

describe('docs/cli.md', () => {
  const check = (verb: CompletionVerb) => {
    it(`has ${verb.name} and its options`, () => {
      assert.match(text, new RegExp(`(\`|hawser )${verb.name}\\b`));
      for (const { long, short } of verb.options) {
        if (long === '--help') continue;
        const named = text.includes(long) || (short !== null && new RegExp(`\`${verb.name} [^\`]*\\[${short}\\]`).test(text));
        assert.ok(named, `${verb.name} ${long} is not in docs/cli.md`);
      }
    });
    for (const sub of verb.verbs) check(sub);
  };
  for (const verb of verbs) check(verb);
});
