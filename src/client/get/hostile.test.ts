import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { HawserError } from '../../core/errors.ts';
import { encodePackEntry } from '../../core/wire/pack.ts';
import { blake3 } from '../../engine/blake3.ts';
import type { FileInfo } from '../../engine/contract.ts';
import type { Api } from '../api-contract.ts';
import { runGet } from '../get.ts';

const work = fs.mkdtempSync(join(tmpdir(), 'hawser-hostile-'));
let count = 0;

after(() => fs.rmSync(work, { recursive: true, force: true }));

function entry(path: string, kind: FileInfo['kind'], more: Partial<FileInfo> = {}): FileInfo {
  const size = kind === 'file' ? 5 : 0;
  return { path, kind, size, mode: 0o644, mtimeNs: 1_000_000_000n, version: 'v', digest: null, etag: '"v"', ...more };
}

/** A server that lists whatever it is told to, and gives "pwned" as every file's content. */
function serving(entries: readonly FileInfo[], next: (page: number) => string | null = () => null): Api {
  let page = 0;
  const transfer = { id: 't', state: 'active' };
  const content = Buffer.from('pwned');
  const calls = {
    transport: { info: () => ({ transport: 'memory', remote: '', httpVersion: '', rttMs: null }) },
    capabilities: async () => ({ smallFileBytes: 1 << 20 }),
    createTransfer: async () => transfer,
    getTransfer: async () => transfer,
    changeTransfer: async () => transfer,
    stat: async (path: string) => entry(path, 'folder', { mode: 0o755 }),
    listPage: async () => ({ entries, next: next(page++) }),
    async *pack(paths: readonly string[]) {
      for (const path of paths) {
        yield Buffer.concat([
          encodePackEntry({ kind: 'file', path, mode: 0o4777, size: content.length, digest: blake3(content) }),
          content,
        ]);
      }
    },
    async readPack(paths: readonly string[]) {
      return this.pack(paths);
    },
  };
  return calls as unknown as Api;
}

interface Ground {
  /** Where the fetch goes. */
  readonly to: string;
  /** What must stay as it is. */
  readonly outside: string;
}

function ground(): Ground {
  const base = join(work, `${++count}`);
  fs.mkdirSync(join(base, 'to/src'), { recursive: true });
  fs.mkdirSync(join(base, 'outside'));
  fs.writeFileSync(join(base, 'outside/file'), 'mine');
  return { to: join(base, 'to'), outside: join(base, 'outside') };
}

function assertUntouched({ to, outside }: Ground): void {
  assert.deepEqual(fs.readdirSync(outside), ['file']);
  assert.equal(fs.readFileSync(join(outside, 'file'), 'utf8'), 'mine');
  assert.deepEqual(fs.readdirSync(join(to, '..')).sort(), ['outside', 'to']);
}

const options = { stateFolder: join(work, 'state') };
const isCode = (code: string) => (error: unknown) => error instanceof HawserError && error.code === code;

describe('get from a hostile server', () => {
  for (const path of [
    '/src/../../outside/file',
    '/outside/file',
    '/src',
    '/src/./x',
    '/other',
    'src/x',
    '/src/a\0b',
    '/srcx/y',
  ]) {
    it(`refuses the listed path ${JSON.stringify(path)}`, async () => {
      const place = ground();
      const get = runGet(serving([entry('/src/ok', 'file'), entry(path, 'file')]), ['/src'], place.to, options);
      await assert.rejects(get, (error) => isCode('protocol_error')(error) || isCode('path_invalid')(error));
      assertUntouched(place);
    });
  }

  it('does not follow a link that stands where a folder has to be', async () => {
    const place = ground();
    fs.symlinkSync(place.outside, join(place.to, 'src/dir'));
    const list = [
      entry('/src/dir', 'folder'),
      entry('/src/dir/file', 'file'),
      entry('/src/dir/new', 'file'),
      entry('/src/ok', 'file'),
    ];
    const summary = await runGet(serving(list), ['/src'], place.to, options);
    assertUntouched(place);
    assert.equal(summary.filesDone, 1);
    assert.equal(summary.filesFailed, 3);
    assert.ok(fs.lstatSync(join(place.to, 'src/dir')).isSymbolicLink());
  });

  it('does not write through a link that the server itself has just sent', async () => {
    const place = ground();
    const list = [
      entry('/src/d', 'link', { target: 'e' }),
      entry('/src/d/file', 'file'),
      entry('/src/e', 'folder', { mode: 0o755 }),
    ];
    const summary = await runGet(serving(list), ['/src'], place.to, options);
    assert.deepEqual(
      summary.failures.map(({ path }) => path),
      ['/src/d/file'],
    );
    assert.deepEqual(fs.readdirSync(join(place.to, 'src/e')), []);
  });

  it('replaces a link that has the name of a file, and not what it points to', async () => {
    const place = ground();
    fs.symlinkSync(join(place.outside, 'file'), join(place.to, 'src/file'));
    fs.symlinkSync(join(place.outside, 'file'), join(place.to, 'src/.other.hawser-partial'));
    await runGet(serving([entry('/src/file', 'file'), entry('/src/other', 'file')]), ['/src'], place.to, options);
    assertUntouched(place);
    assert.equal(fs.readFileSync(join(place.to, 'src/file'), 'utf8'), 'pwned');
    assert.ok(fs.lstatSync(join(place.to, 'src/other')).isFile());
    assert.equal(fs.statSync(join(place.to, 'src/file')).mode & 0o7000, 0, 'no set-id bit');
  });

  for (const target of ['/etc/passwd', '../../outside', '..', 'a/../../..', 'a/..', '', 'x\0y', './../..']) {
    it(`leaves out a link to ${JSON.stringify(target)}`, async () => {
      const place = ground();
      const summary = await runGet(serving([entry('/src/link', 'link', { target })]), ['/src'], place.to, options);
      assert.deepEqual(
        summary.failures.map(({ code }) => code),
        ['link_escapes'],
      );
      assert.deepEqual(fs.readdirSync(join(place.to, 'src')), []);
    });
  }

  it('keeps links that stay inside', async () => {
    const place = ground();
    const list = [
      entry('/src/d', 'folder', { mode: 0o755 }),
      entry('/src/d/up', 'link', { target: '../x/y' }),
      entry('/src/same', 'link', { target: './d' }),
    ];
    const summary = await runGet(serving(list), ['/src'], place.to, options);
    assert.equal(summary.filesDone, 2);
    assert.equal(fs.readlinkSync(join(place.to, 'src/d/up')), '../x/y');
  });

  it('takes no name that a partial file has', async () => {
    const place = ground();
    const names = ['.a.hawser-partial', '.a.hawser-partial.lock', '.a.hawser-partial.state'];
    const summary = await runGet(serving(names.map((name) => entry(`/src/${name}`, 'file'))), ['/src'], place.to, options);
    assert.deepEqual(
      summary.failures.map(({ code }) => code),
      names.map(() => 'path_reserved'),
    );
    assert.deepEqual(fs.readdirSync(join(place.to, 'src')), []);
  });

  it('does not replace a pipe', async () => {
    const place = ground();
    const { execFileSync } = await import('node:child_process');
    execFileSync('mkfifo', [join(place.to, 'src/pipe')]);
    const summary = await runGet(serving([entry('/src/pipe', 'file')]), ['/src'], place.to, options);
    assert.deepEqual(
      summary.failures.map(({ code }) => code),
      ['local_io'],
    );
    assert.ok(fs.lstatSync(join(place.to, 'src/pipe')).isFIFO());
  });

  it('does not read a list that never ends', async () => {
    const place = ground();
    const endless = serving([entry('/src/a', 'file')], (page) => (page < 3 ? `/src/${page}` : '/src/1'));
    await assert.rejects(runGet(endless, ['/src'], place.to, options), isCode('protocol_error'));
  });

  it('takes only the pack that was asked for', async () => {
    const place = ground();
    const server = serving([entry('/src/a', 'file')]);
    const swapped: Api = { ...server, readPack: () => server.readPack(['/outside/file'], {}) };
    (swapped as unknown as { pack: unknown }).pack = (server as unknown as { pack: unknown }).pack;
    await assert.rejects(runGet(swapped, ['/src'], place.to, { ...options, retries: 1 }), isCode('protocol_error'));
    assertUntouched(place);
  });
});
