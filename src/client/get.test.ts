import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  api,
  broken,
  bytes,
  engine,
  isCode,
  local,
  MIB,
  options,
  partials,
  put,
  remote,
  troubled,
  WHO,
} from '../../test/client/get-fixture.ts';
import { runGet } from './get.ts';

describe('get of a tree', () => {
  it('brings every byte, mode and time, and leaves nothing else', async () => {
    put('tree/small.txt', bytes(1000, 1));
    put('tree/empty', new Uint8Array());
    put('tree/deep/er/large.bin', bytes(3 * MIB + 17, 2));
    put('tree/deep-er/middle.bin', bytes(300_000, 3));
    fs.writeFileSync(Buffer.concat([Buffer.from(join(remote, 'tree/odd-')), Buffer.from([0xff, 0xfe])]), 'odd');
    fs.symlinkSync('deep/er/large.bin', join(remote, 'tree/link'));
    fs.mkdirSync(join(remote, 'tree/none'));
    fs.chmodSync(join(remote, 'tree/small.txt'), 0o4755);
    fs.utimesSync(join(remote, 'tree/small.txt'), 1, 1_234_567_890.123456);
    fs.utimesSync(join(remote, 'tree/deep/er/large.bin'), 1, 1_034_567_890.5);
    fs.chmodSync(join(remote, 'tree/deep'), 0o555);
    fs.utimesSync(join(remote, 'tree/deep/er'), 1, 1_134_567_890);
    fs.utimesSync(join(remote, 'tree'), 1, 1_134_567_891);
    const to = local();
    const run = options();
    const summary = await runGet(api, ['/tree'], to, run);
    const copy = join(to, 'tree');
    assert.deepEqual(
      fs.readdirSync(copy, { encoding: 'latin1' }).sort(),
      fs.readdirSync(join(remote, 'tree'), { encoding: 'latin1' }).sort(),
    );
    for (const name of ['small.txt', 'empty', 'deep/er/large.bin', 'deep-er/middle.bin']) {
      assert.ok(fs.readFileSync(join(copy, name)).equals(fs.readFileSync(join(remote, 'tree', name))), name);
    }
    assert.equal(fs.readFileSync(Buffer.concat([Buffer.from(join(copy, 'odd-')), Buffer.from([0xff, 0xfe])]), 'utf8'), 'odd');
    assert.equal(fs.readlinkSync(join(copy, 'link')), 'deep/er/large.bin');
    assert.equal(fs.statSync(join(copy, 'small.txt')).mode & 0o7777, 0o755, 'without its set-id bit');
    assert.equal(fs.statSync(join(copy, 'deep')).mode & 0o777, 0o555);
    for (const name of ['small.txt', 'deep/er/large.bin', 'deep/er', '.', 'none', 'link']) {
      const theirs = fs.lstatSync(join(remote, 'tree', name), { bigint: true }).mtimeNs;
      const ours = fs.lstatSync(join(copy, name), { bigint: true }).mtimeNs;
      assert.ok(ours - theirs <= 1000n && theirs - ours <= 1000n, `${name}: ${ours} ${theirs}`);
    }
    assert.deepEqual(partials(join(copy, 'deep/er')), []);
    assert.equal(summary.filesDone, 6);
    assert.equal(summary.filesFailed, 0);
    assert.deepEqual(summary.targets, [copy]);
    const record = await engine.getTransfer(WHO, summary.transfer);
    assert.deepEqual([record.state, record.filesDone, record.bytesDone], ['done', 6, summary.bytesDone]);
    assert.equal(run.events.at(0)?.type, 'start');
    assert.equal(run.events.at(-1)?.type, 'done');

    const again = await runGet(api, ['/tree'], to, options());
    assert.deepEqual([again.filesDone, again.filesSkipped, again.bytesSent], [0, 6, 0]);
    // Also into the folder that is read-only now.
    fs.chmodSync(join(copy, 'deep/er'), 0o755);
    fs.rmSync(join(copy, 'deep/er/large.bin'));
    const third = await runGet(api, ['/tree'], to, options());
    assert.deepEqual([third.filesDone, third.filesSkipped], [1, 5]);
    fs.chmodSync(join(copy, 'deep'), 0o755);
    fs.chmodSync(join(remote, 'tree/deep'), 0o755);
  });

  it('places sources by the rules of cp', async () => {
    put('cp/a', bytes(10));
    put('cp/sub/b', bytes(20));
    const to = local();
    const get = (sources: string[], destination: string) => runGet(api, sources, destination, options());
    assert.deepEqual((await get(['/cp/a'], `${to}/new`)).targets, [`${to}/new`]);
    assert.deepEqual((await get(['/cp/a'], `${to}/made/`)).targets, [`${to}/made/a`]);
    assert.deepEqual((await get(['/cp/a', '/cp/sub'], `${to}/both`)).targets, [`${to}/both/a`, `${to}/both/sub`]);
    assert.deepEqual((await get(['/cp/sub'], `${to}/renamed`)).targets, [`${to}/renamed`]);
    assert.equal(fs.readFileSync(`${to}/renamed/b`).length, 20);
    assert.equal(fs.readFileSync(`${to}/both/sub/b`).length, 20);
    await assert.rejects(get(['/cp/a', '/cp/sub/../a'], to), isCode('path_invalid'));
    await assert.rejects(get(['/cp/gone'], to), isCode('not_found'));
    await assert.rejects(get(['/cp/a'], `${to}/no/where`), isCode('local_io'));
    await assert.rejects(get(['/cp/sub'], `${to}/new`), isCode('local_io'));
  });

  it('leaves out what is excluded, and keeps what is not to be overwritten', async () => {
    put('some/keep.txt', bytes(10));
    put('some/cache/x', bytes(10));
    put('some/a.tmp', bytes(10));
    const to = local();
    const first = await runGet(api, ['/some'], to, options({ exclude: ['*.tmp', 'cache'] }));
    assert.deepEqual(fs.readdirSync(join(to, 'some')), ['keep.txt']);
    assert.equal(first.filesDone, 1);
    fs.writeFileSync(join(to, 'some/keep.txt'), 'mine');
    const exclude = ['*.tmp', 'cache/'];
    assert.equal((await runGet(api, ['/some'], to, options({ overwrite: 'never', exclude }))).filesSkipped, 1);
    assert.equal((await runGet(api, ['/some'], to, options({ overwrite: 'newer', exclude }))).filesSkipped, 1);
    assert.equal(fs.readFileSync(join(to, 'some/keep.txt'), 'utf8'), 'mine');
    assert.equal((await runGet(api, ['/some'], to, options({ exclude }))).filesDone, 1);
    assert.equal(fs.readFileSync(join(to, 'some/keep.txt')).length, 10);
  });

  it('goes on inside a pack after the connection broke', async () => {
    for (let i = 0; i < 300; i++) put(`many/${i}`, bytes(5000 + i, i));
    let pieces = 0;
    const worse = troubled({
      piece: (piece) => {
        if (++pieces === 3 || pieces === 5) throw broken();
        return piece;
      },
    });
    const to = local();
    const summary = await runGet(worse, ['/many'], to, options());
    assert.ok(pieces > 5);
    assert.equal(summary.filesDone, 300);
    for (let i = 0; i < 300; i++) assert.ok(fs.readFileSync(join(to, 'many', `${i}`)).equals(bytes(5000 + i, i)), `${i}`);
    assert.deepEqual(partials(join(to, 'many')), []);
  });

  it('counts what fails and brings the rest', async () => {
    put('mixed/a', bytes(10));
    put('mixed/b', bytes(10));
    put('mixed/c', bytes(400_000));
    const to = local();
    fs.mkdirSync(join(to, 'mixed/b'), { recursive: true });
    const summary = await runGet(api, ['/mixed'], to, options());
    assert.equal(summary.filesDone, 2);
    assert.deepEqual(
      summary.failures.map(({ path, code }) => [path, code]),
      [['/mixed/b', 'local_io']],
    );
  });

  it('goes on under the new name where it was interrupted, and goes into it the next time', async () => {
    put('renamed/big', bytes(3 * MIB, 6));
    const to = join(local(), 'mine');
    const stop = new AbortController();
    const first = troubled({
      piece: (piece) => {
        stop.abort();
        return piece;
      },
    });
    await assert.rejects(runGet(first, ['/renamed'], to, options({ signal: stop.signal })), isCode('interrupted'));
    assert.ok(fs.statSync(to).isDirectory());
    await runGet(api, ['/renamed'], to, options());
    assert.deepEqual(fs.readdirSync(to), ['big']);
    await runGet(api, ['/renamed'], to, options());
    assert.deepEqual(fs.readdirSync(to).sort(), ['big', 'renamed']);
  });
});
