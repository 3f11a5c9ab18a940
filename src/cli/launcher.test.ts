/** bin/hawser.js as a process: exit codes, the right Node.js, quiet warnings. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const launcher = fileURLToPath(new URL('../../bin/hawser.js', import.meta.url));
const older = ['/usr/bin/node', '/usr/local/bin/node'].find((file) => {
  if (!existsSync(file)) return false;
  const { stdout } = spawnSync(file, ['-p', 'process.versions.node'], { encoding: 'utf8' });
  return Number(stdout?.split('.')[0]) < 24;
});

/** A copy of the launcher in a folder of its own, with an entry that does what `source` says. */
function project(source: string, layout: 'src' | 'dist' = 'src'): { folder: string; bin: string } {
  const folder = mkdtempSync(join(tmpdir(), 'hawser-launcher-'));
  mkdirSync(join(folder, 'bin'));
  mkdirSync(join(folder, layout, 'cli'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  copyFileSync(launcher, join(folder, 'bin', 'hawser.js'));
  const extension = layout === 'src' ? 'ts' : 'js';
  mkdirSync(join(folder, layout, 'transport'));
  writeFileSync(join(folder, layout, 'transport', `own-imports.${extension}`), 'export function trustOwnImports() {}');
  writeFileSync(join(folder, layout, 'cli', `early-lane.${extension}`), 'export function startEarlyLane() {}');
  writeFileSync(join(folder, layout, 'cli', `main.${extension}`), source);
  return { folder, bin: join(folder, 'bin', 'hawser.js') };
}

describe('the launcher', () => {
  it('passes arguments and the exit code', () => {
    const { status, stderr } = spawnSync(process.execPath, [launcher, 'nosuch'], { encoding: 'utf8' });
    assert.equal(status, 2);
    assert.match(stderr, /^hawser: Unknown command 'nosuch'/);
  });

  for (const layout of ['src', 'dist'] as const) {
    it(`runs ${layout}`, (t) => {
      const { folder, bin } = project(`export async function start() { console.log('${layout}'); }`, layout);
      t.after(() => rmSync(folder, { recursive: true }));
      assert.equal(spawnSync(process.execPath, [bin], { encoding: 'utf8' }).stdout, `${layout}\n`);
    });
  }

  it('hides the warnings that we cause, and no others', (t) => {
    const source = `export async function start() {
      process.emitWarning('FFI is an experimental feature and might change at any time', 'ExperimentalWarning');
      process.emitWarning('Teleporting is an experimental feature', 'ExperimentalWarning');
      process.emitWarning('FFI is old', 'DeprecationWarning');
    }`;
    const { folder, bin } = project(source);
    t.after(() => rmSync(folder, { recursive: true }));
    const { stderr } = spawnSync(process.execPath, [bin], { encoding: 'utf8' });
    assert.match(stderr, /Teleporting/);
    assert.match(stderr, /FFI is old/);
    assert.doesNotMatch(stderr, /FFI is an experimental/);
  });

  it('keeps what was compiled for one command when another ran in between', (t) => {
    const { folder, bin } = project(`export async function start() {}`);
    t.after(() => rmSync(folder, { recursive: true }));
    const { NODE_COMPILE_CACHE: _, ...outside } = process.env;
    const env = { ...outside, TMPDIR: folder, NODE_DEBUG_NATIVE: 'COMPILE_CACHE' };
    const run = (command: string) => spawnSync(process.execPath, [bin, command], { env, encoding: 'utf8' }).stderr;
    const ofEntry = /V8 code cache for ESM file:.*main\.ts was (accepted|rejected)/;
    assert.doesNotMatch(run('put') + run('ls'), ofEntry);
    assert.equal(ofEntry.exec(run('put'))?.[1], 'accepted');
    assert.equal(ofEntry.exec(run('ls'))?.[1], 'accepted');
  });

  describe('on a Node.js that is too old', { skip: older === undefined && 'there is none on this machine' }, () => {
    const old = older ?? '';

    it('runs the pinned one instead, with arguments, input and exit code', () => {
      const { stdout, status } = spawnSync(old, [launcher, 'version'], { encoding: 'utf8' });
      assert.equal(status, 0);
      assert.match(stdout, new RegExp(`Node\\.js ${process.versions.node}`));
      assert.equal(spawnSync(old, [launcher, 'nosuch']).status, 2);
    });

    it('says what to do when there is no pinned one', (t) => {
      const { folder, bin } = project('');
      t.after(() => rmSync(folder, { recursive: true }));
      const { status, stderr } = spawnSync(old, [bin, 'version'], { encoding: 'utf8' });
      assert.equal(status, 1);
      assert.match(stderr, /^hawser: Node\.js .* is too old: .*npm ci.*\n$/);
    });

    it('passes signals on', async (t) => {
      const { folder, bin } = project(`export async function start() {
        process.once('SIGTERM', () => process.exit(7));
        setInterval(() => {}, 1000);
        console.log('up');
      }`);
      t.after(() => rmSync(folder, { recursive: true }));
      symlinkSync(fileURLToPath(new URL('../../node_modules', import.meta.url)), join(folder, 'node_modules'));
      const child = spawn(old, [bin], { stdio: ['ignore', 'pipe', 'inherit'] });
      const ended = once(child, 'exit');
      await once(child.stdout, 'data');
      child.kill('SIGTERM');
      assert.deepEqual(await ended, [7, null]);
    });
  });
});
