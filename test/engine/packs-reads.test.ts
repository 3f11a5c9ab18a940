import assert from 'node:assert/strict';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { BlockAssembler } from '../../src/core/wire/block-frames.ts';
import { encodePackEntry, PackAssembler } from '../../src/core/wire/pack.ts';
import { blake3 } from '../../src/engine/blake3.ts';
import type { ByteSink, ByteSource } from '../../src/engine/contract.ts';
import { body, collect, content, digestOf, openEngine, packEntry, READER, refusal, send, WRITER } from './fixture.ts';

/** A body that comes straight into the reader's memory; `after` is called before it ends. */
function poured(bytes: Uint8Array, after: (sink: ByteSink) => void): ByteSource {
  return {
    ...body(),
    async pour(sink) {
      sink.room().set(bytes);
      await sink.take(bytes.length);
      after(sink);
    },
  };
}

describe('packs', () => {
  it('stores each entry on its own and says which failed', async (t) => {
    const { engine, root } = await openEngine(t);
    const bytes = content(300);
    const pack = Buffer.concat([
      packEntry('/d/one', bytes),
      packEntry('/d/damaged', bytes, blake3(content(3))),
      encodePackEntry({ kind: 'link', path: '/d/out', target: '../../etc/passwd', digest: new Uint8Array(32), size: 0 }),
      encodePackEntry({ kind: 'folder', path: '/empty', digest: new Uint8Array(32), size: 0, mode: 0o700 }),
      packEntry('/d/two', bytes),
    ]);
    const result = await engine.receivePack(WRITER, {}, body(pack.subarray(0, 50), pack.subarray(50)));
    assert.deepEqual([result.stored, result.bytes], [3, 600]);
    assert.deepEqual(
      result.failed.map(({ index, code }) => [index, code]),
      [
        [1, 'block_mismatch'],
        [2, 'link_escapes'],
      ],
    );
    assert.deepEqual(new Uint8Array(await readFile(join(root, 'd/two'))), bytes);
    const info = await engine.stat(READER, '/d/two');
    assert.deepEqual([info.digest, info.mtimeNs, info.mode], [digestOf(bytes), 1_700_000_000_123_456_789n, 0o640]);
  });

  it('publishes the whole entries of a pack that breaks off', async (t) => {
    const { engine } = await openEngine(t);
    const pack = Buffer.concat([packEntry('/a', content(300)), packEntry('/b', content(300))]);
    await assert.rejects(engine.receivePack(WRITER, {}, body(pack.subarray(0, pack.length - 1))), refusal('body_incomplete'));
    assert.equal((await engine.stat(READER, '/a')).size, 300);
    await assert.rejects(engine.stat(READER, '/b'), refusal('not_found'));
  });

  it('does not use memory again that a broken body may still be written to', async (t) => {
    const { engine, root } = await openEngine(t);
    let lent: Uint8Array = new Uint8Array();
    const broken = poured(packEntry('/a', content(300)), (sink) => {
      lent = sink.room();
      throw new Error('the connection broke');
    });
    await assert.rejects(engine.receivePack(WRITER, {}, broken), /the connection broke/);
    const bytes = content(5000);
    await engine.receivePack(
      WRITER,
      {},
      poured(packEntry('/b', bytes), () => lent.fill(0)),
    );
    assert.deepEqual(new Uint8Array(await readFile(join(root, 'b'))), bytes);
  });

  it('says what is missing: absent, other size, time or digest, or changed on disk', async (t) => {
    const { engine, root } = await openEngine(t);
    const bytes = content(300);
    await engine.receivePack(WRITER, {}, body(packEntry('/a', bytes), packEntry('/b', bytes)));
    await appendFile(join(root, 'b'), 'x');
    const mtimeNs = 1_700_000_000_123_456_789n;
    const missing = await engine.missingEntries(READER, [
      { path: '/a', size: 300, mtimeNs },
      { path: '/a', size: 300, mtimeNs, digest: digestOf(bytes) },
      { path: '/a', size: 300, mtimeNs, digest: digestOf(content(1)) },
      { path: '/a', size: 301, mtimeNs },
      { path: '/a', size: 300, mtimeNs: mtimeNs + 1n },
      { path: '/b', size: 300, mtimeNs },
      { path: '/c', size: 300, mtimeNs },
    ]);
    assert.deepEqual(missing, [2, 3, 4, 5, 6]);
  });

  it('reads many files, with an error in the place of one that is not there', async (t) => {
    const { engine } = await openEngine(t);
    await engine.receivePack(WRITER, {}, body(packEntry('/a', content(300)), packEntry('/b', content(0))));
    const seen: [string, string, number][] = [];
    const assembler = new PackAssembler({ maxContentBytes: 1 << 20 });
    for await (const piece of engine.readPack(READER, {}, ['/a', '/nowhere', '/b'])) {
      assembler.push(piece, (entry, bytes) => seen.push([entry.kind, entry.path, bytes.length]));
    }
    assert.deepEqual(seen, [
      ['file', '/a', 300],
      ['error', '/nowhere', 0],
      ['file', '/b', 0],
    ]);
  });
});

describe('reading', () => {
  it('gives ranges and verified frames, and refuses another version', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(1_000_000);
    const sent = await send(engine, '/a', bytes);
    const file = await engine.open(READER, '/a', { version: sent.version });
    assert.deepEqual(new Uint8Array(await collect(file.read(5, 900_001))), bytes.subarray(5, 900_001));
    const assembler = new BlockAssembler({ maxBlockBytes: 65536, take: (length) => new Uint8Array(length) });
    const got = new Uint8Array(bytes.length);
    for await (const piece of file.frames(65536, bytes.length, 65536)) {
      assembler.push(piece, (offset, digest, data) => {
        assert.equal(Buffer.from(digest).toString('hex'), digestOf(data));
        got.set(data, offset);
      });
    }
    assert.deepEqual(got.subarray(65536), bytes.subarray(65536));
    await assert.rejects(file.frames(1, 5, 65536).next(), refusal('range_invalid'));
    await file.close();
    await assert.rejects(engine.open(READER, '/a', { version: 'another' }), refusal('changed'));
    const digests = await engine.fileDigests(READER, '/a', { blockBytes: 65536, first: 1, count: 2 });
    assert.equal(Buffer.from(digests.subarray(8, 40)).toString('hex'), digestOf(bytes.subarray(65536, 131072)));
    assert.equal(digests.length, 8 + 64);
  });

  it('finds the digest of a file that was there before, and notices when it changes', async (t) => {
    const { engine, root } = await openEngine(t);
    await writeFile(join(root, 'old'), content(100_000));
    assert.equal((await engine.stat(READER, '/old')).digest, null);
    const found = await engine.digest(READER, '/old');
    assert.ok(found.done && found.value.digest === digestOf(content(100_000)));
    assert.equal((await engine.stat(READER, '/old')).digest, digestOf(content(100_000)));
    await appendFile(join(root, 'old'), 'x');
    assert.equal((await engine.stat(READER, '/old')).digest, null);
  });

  it('verifies by reading every byte again', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(100_000);
    await send(engine, '/a', bytes);
    const verify = async (expected: string | null) => {
      const result = await engine.verify(READER, '/a', expected);
      assert.ok(result.done);
      return result.value.matches;
    };
    assert.deepEqual(
      [await verify(null), await verify(digestOf(bytes)), await verify(digestOf(content(1)))],
      [true, true, false],
    );
  });

  it('answers "not yet" when the digest takes longer than a request should', async (t) => {
    const { engine, root } = await openEngine(t, { patienceMs: 0 });
    await writeFile(join(root, 'big'), content(3_000_000));
    let asked = 0;
    for (;;) {
      const answer = await engine.digest(READER, '/big');
      if (answer.done) break;
      asked++;
    }
    assert.ok(asked > 0);
  });
});

describe('names', () => {
  it('keeps the digest of a file that is moved, alone or in its folder', async (t) => {
    const { engine } = await openEngine(t);
    const bytes = content(1000);
    await send(engine, '/d/a', bytes);
    await engine.move(WRITER, '/d/a', '/d/b', 'never');
    assert.equal((await engine.stat(READER, '/d/b')).digest, digestOf(bytes));
    await engine.move(WRITER, '/d', '/e', 'never');
    assert.equal((await engine.stat(READER, '/e/b')).digest, digestOf(bytes));
    await assert.rejects(engine.move(WRITER, '/e', '/e/inside', 'never'), refusal('request_invalid'));
    await engine.remove(WRITER, '/e', { recursive: true });
    await assert.rejects(engine.stat(READER, '/e/b'), refusal('not_found'));
  });

  it('lets a reader change nothing', async (t) => {
    const { engine } = await openEngine(t);
    await send(engine, '/a', content(10));
    await assert.rejects(engine.remove(READER, '/a', { recursive: false }), refusal('forbidden'));
    await assert.rejects(engine.move(READER, '/a', '/b', 'never'), refusal('forbidden'));
    await assert.rejects(engine.makeFolder(READER, '/c', {}), refusal('forbidden'));
    await assert.rejects(engine.receivePack(READER, {}, body()), refusal('forbidden'));
    await assert.rejects(engine.putFile(READER, { path: '/x', size: null }, body(), {}), refusal('forbidden'));
    assert.equal((await engine.list(READER, '/', { limit: 10 })).entries.length, 1);
  });
});
