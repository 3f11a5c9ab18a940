import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { it } from 'node:test';
import { codesDocument } from './codes-document.ts';

it('docs/codes.md is what the table of codes says', () => {
  const file = readFileSync(new URL('../../docs/codes.md', import.meta.url), 'utf8');
  assert.equal(file, codesDocument(), 'run:  node src/cli/codes-document.ts > docs/codes.md');
});
