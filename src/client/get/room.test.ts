import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { FileInfo } from '../../engine/contract.ts';
import { keptBy } from './attributes.ts';
import { checkRoom } from './room.ts';

const MIB = 1 << 20;
const MTIME_NS = 1_700_000_000_000_000_000n;
const work = fs.realpathSync(fs.mkdtempSync(join(tmpdir(), 'hawser-room-')));
after(() => fs.rmSync(work, { recursive: true }));

function folder(): string {
  return fs.mkdtempSync(join(work, 'to-'));
}

function wanted(mebibytes: number, ...names: string[]) {
  const info = { kind: 'file', path: `/${names.join('/')}`, size: mebibytes * MIB, mtimeNs: MTIME_NS } as unknown as FileInfo;
  return { info, names };
}

/** With so much free, and what is there of the files allocated to the last byte. */
function check(trunk: string, freeMebibytes: number | null, files: ReturnType<typeof wanted>[], overwrite?: 'never' | 'newer') {
  checkRoom(trunk, files, keptBy(overwrite), () => (freeMebibytes === null ? null : freeMebibytes * MIB));
}

const full = { code: 'local_no_space' };

describe('room for what is to be fetched', () => {
  it('is told of with both figures and the folder', () => {
    const trunk = folder();
    check(trunk, 10, [wanted(10, 'film')]);
    assert.throws(() => check(trunk, 10, [wanted(11, 'film')]), {
      ...full,
      message: `11.0 MiB are still to come, and there are 10.0 MiB of free space for them in "${trunk}": free some, or choose another destination.`,
    });
    assert.throws(() => check(trunk, 10, [wanted(6, 'new', 'a'), wanted(6, 'new', 'b')]), full);
  });

  it('is not doubted where nobody knows how much is free', () => {
    check(folder(), null, [wanted(1e9, 'film')]);
    // Linux counts no blocks there.
    if (process.platform === 'linux') checkRoom('/proc', [wanted(1e9, 'film')], keptBy('always'));
    checkRoom(join(work, 'gone'), [wanted(1e9, 'film')], keptBy('always'));
  });

  it('is needed for what is not there yet: a partial file counts with what it has, not with its size', () => {
    const trunk = folder();
    const partial = join(trunk, '.film.hawser-partial');
    fs.writeFileSync(partial, Buffer.alloc(4 * MIB, 1));
    fs.truncateSync(partial, 11 * MIB);
    check(trunk, 7, [wanted(11, 'film')]);
    assert.throws(() => check(trunk, 6, [wanted(11, 'film')]), full);
  });

  it('is not needed for what is here, and what the user wants to keep', () => {
    const trunk = folder();
    fs.writeFileSync(join(trunk, 'film'), Buffer.alloc(4 * MIB, 1));
    assert.throws(() => check(trunk, 3, [wanted(4, 'film')]), full, 'the old one stays until the new one is whole');
    check(trunk, 3, [wanted(4, 'film')], 'never');
    check(trunk, 3, [wanted(4, 'film')], 'newer');
    fs.utimesSync(join(trunk, 'film'), 1_700_000_000, 1_700_000_000);
    check(trunk, 3, [wanted(4, 'film')]);
  });

  it('comes from the files that are replaced, one after another', () => {
    const trunk = folder();
    for (const name of ['a', 'b']) fs.writeFileSync(join(trunk, name), Buffer.alloc(4 * MIB, 1));
    check(trunk, 2, [wanted(5, 'a'), wanted(5, 'b')]);
    assert.throws(() => check(trunk, 2, [wanted(5, 'a'), wanted(6, 'b')]), full);
  });
});
