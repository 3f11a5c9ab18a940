import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import type { Api } from '../api-contract.ts';
import { chooseUploadId } from '../chosen-ids.ts';
import { mayHaveHead, sendHead } from './head.ts';
import { readSource } from './sources.ts';
import type { Status } from './upload.ts';

const at = (rttMs: number | null) => ({ transport: { info: () => ({ rttMs }) } }) as unknown as Api;

test('blocks leave early only far away, and when the server is likely to want them', () => {
  assert.ok(mayHaveHead(at(100), 2e6, undefined, {}));
  assert.ok(!mayHaveHead(at(1), 2e6, undefined, {}));
  assert.ok(!mayHaveHead(at(null), 2e6, undefined, {}));
  assert.ok(!mayHaveHead(at(100), 2e6, 'ab', {}), 'it may have the same file already');
  assert.ok(mayHaveHead(at(100), 20e6, 'ab', {}), 'of a large one little is lost');
  assert.ok(!mayHaveHead(at(100), 2e6, undefined, { overwrite: 'newer' }));
  assert.ok(!mayHaveHead(at(100), 2e6, undefined, { limitRateBytesPerSecond: 1e6 }));
});

test('they are for a new upload of that id, and for no other', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'hawser-head-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'film');
  writeFileSync(file, Buffer.alloc(3_000_000, 7));
  let asked: { id: string; epoch: number; whenBegun: boolean | undefined } | null = null;
  const putBlocks: Api['putBlocks'] = (id, epoch, _body, _length, options) => {
    asked = { id, epoch, whenBegun: options?.whenBegun };
    return new Promise((_resolve, reject) => {
      options?.signal?.addEventListener('abort', () => reject(new Error('dropped')), { once: true });
    });
  };
  const id = chooseUploadId();
  const head = sendHead({ putBlocks } as Api, id, readSource(file, true), 3_000_000, false, new AbortController().signal);
  assert.match(id, /^[a-z2-7]{20}$/);
  assert.deepEqual(asked, { id, epoch: 1, whenBegun: true });
  assert.equal(head.bytes, 1024 * 1024);
  const fresh = { id, epoch: 1, blockBytes: 64 * 1024, state: 'receiving', deduplicated: false } as Status;
  assert.ok(head.fits(fresh));
  for (const other of [
    { id: chooseUploadId() },
    { epoch: 2 },
    { blockBytes: 128 * 1024 },
    { state: 'done' },
    { deduplicated: true },
  ])
    assert.ok(!head.fits({ ...fresh, ...other } as Status), JSON.stringify(other));
  await head.drop();
  await assert.rejects(head.safe);
});
