/**
 * Keeps the shape of the project: which folder may import which, what core may not touch, how long a file may be. Each
 * message says what to do instead.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, it } from 'node:test';

const ROOT = resolve(import.meta.dirname, '..');

/** The layer of a file below src/, and the layers that it may import. Contracts are open to everybody above core. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  core: [],
  store: ['core'],
  transport: ['core'],
  engine: ['core', 'store'],
  client: ['core', 'engine', 'transport', 'store'],
  server: ['core', 'store', 'transport', 'engine', 'client'],
  cli: ['core', 'store', 'transport', 'engine', 'client', 'server'],
};

/** Imports of concrete stores that would tie the engine or the client to one of them. */
const CONTRACT_ONLY: Record<string, RegExp> = {
  engine: /store\/(files|meta)\/contract\.ts$/,
  client: /store\/(files|meta)\/contract\.ts$|store\/files\/native\.ts$/,
};

const BANNED_IN_CORE: readonly (readonly [RegExp, string])[] = [
  [/\bDate\b/, 'core has no clock: take nowMs as an argument'],
  [/\bMath\.random\b/, 'core has no chance: take a random number as an argument'],
  [/\bPromise\b|\basync\b|\bawait\b/, 'core has no promises: return what the caller has to do'],
  [/\bsetTimeout\b|\bsetInterval\b/, 'core has no timers: say when to wake it'],
  [/from 'node:/, 'core has no node: modules: move it to store, transport or engine'],
  [/\bBuffer\b/, 'core has no Buffer: use Uint8Array'],
];

const sources = walk(join(ROOT, 'src')).filter((file) => file.endsWith('.ts'));

describe('the shape of src/', () => {
  it('has files', () => assert.ok(sources.length > 30, 'the walk found too little to mean anything'));

  for (const file of sources) {
    const name = relative(ROOT, file);
    const layer = name.split('/')[1] ?? '';
    const text = readFileSync(file, 'utf8');
    const isTest = file.endsWith('.test.ts');

    it(`${name}: imports point down`, () => {
      const allowed = MAY_IMPORT[layer];
      assert.ok(allowed, `src/${layer} is not a layer: see ARCHITECTURE.md`);
      for (const target of imports(text)) {
        if (!target.startsWith('.')) continue;
        const path = relative(join(ROOT, 'src'), resolve(dirname(file), target));
        if (isTest) continue;
        const other = path.split('/')[0] ?? '';
        assert.ok(
          other === layer || allowed.includes(other),
          `${name} imports ${path}, but ${layer} may only import ${allowed.join(', ') || 'nothing'}`,
        );
        const contracts = CONTRACT_ONLY[layer];
        if (contracts && other === 'store') {
          assert.match(
            path,
            contracts,
            `${name} imports ${path}: ${layer} knows stores by their contracts; compose.ts names concrete ones`,
          );
        }
      }
    });

    it(`${name}: keeps to one idea`, () => {
      const lines = text.split('\n').length;
      assert.ok(lines <= (isTest ? 700 : 450), `${name} has ${lines} lines: there are two ideas in it, give each its file`);
      assert.doesNotMatch(name, /(^|\/)(utils?|helpers?|common|misc|types)(\.|\/)/, `${name}: name it after what it is for`);
    });

    if (layer === 'core' && !isTest) {
      it(`${name}: is pure`, () => {
        const code = withoutComments(text);
        for (const [pattern, instead] of BANNED_IN_CORE) assert.doesNotMatch(code, pattern, `${name}: ${instead}`);
      });
    }
  }
});

describe('the project', () => {
  it('stands alone: no word of what lies outside it', () => {
    const files = [...sources, ...walk(join(ROOT, 'docs')), ...walk(join(ROOT, 'bench')), ...walk(join(ROOT, 'test'))];
    for (const file of [...files, join(ROOT, 'README.md'), join(ROOT, 'ARCHITECTURE.md'), join(ROOT, 'package-lock.json')]) {
      if (file.endsWith('tidy.test.ts')) continue;
      const text = readFileSync(file, 'utf8');
      assert.doesNotMatch(
        text,
        /\.\.\/shared\/|\/work\/main|"resolved": "http/,
        `${relative(ROOT, file)} names something outside the project`,
      );
    }
  });
});

function imports(text: string): string[] {
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:])\/\/.*$/gm, '$1');
}

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === 'out' || entry.name === 'build' ? [] : walk(path);
    return [path];
  });
}
