/** What every MetaStore does, whatever it stands on. Run by meta.test.ts for each implementation. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MetaStore, TransferRecord } from '../../src/store/meta/contract.ts';
import { filesContract } from './meta-files.contract.ts';
import { anUpload, aToken, aTransfer, DIGEST, MTIMES, plain, run } from './meta-records.ts';

export function metaContract(name: string, open: () => Promise<MetaStore>): void {
  const check = (behaviour: string, test: (meta: MetaStore) => Promise<void>) =>
    it(behaviour, async () => {
      const meta = await open();
      try {
        await test(meta);
      } finally {
        await meta.close();
      }
    });

  describe(`${name}: tokens`, () => {
    check('come back as they were given, and are gone once removed', async (meta) => {
      const forever = aToken({ id: 'b', expiresMs: null });
      const soon = aToken({ id: 'a', role: 'read', name: 'Zoë’s "laptop"', expiresMs: 1_800_000_000_000 });
      await meta.addToken(forever);
      await meta.addToken(soon);
      assert.deepEqual(plain(await meta.getToken('a')), plain(soon));
      assert.equal(await meta.getToken('c'), null);
      assert.deepEqual(plain(await meta.listTokens()), plain([soon, forever]));
      assert.equal(await meta.removeToken('a'), true);
      assert.equal(await meta.removeToken('a'), false);
      assert.equal(await meta.getToken('a'), null);
      assert.deepEqual(plain(await meta.listTokens()), plain([forever]));
    });

    check('are listed oldest first', async (meta) => {
      for (const [id, createdMs] of Object.entries({ a: 3, b: 1, c: 2 })) await meta.addToken(aToken({ id, createdMs }));
      assert.deepEqual(ids(await meta.listTokens()), ['b', 'c', 'a']);
    });

    check('refuse an id that is taken, and keep the first', async (meta) => {
      await meta.addToken(aToken({ id: 'a', role: 'read' }));
      await assert.rejects(meta.addToken(aToken({ id: 'a', role: 'admin' })), { code: 'exists', value: 'a' });
      assert.equal((await meta.getToken('a'))?.role, 'read');
    });

    check('keep the hash when the caller uses its buffer again', async (meta) => {
      const secretHash = new Uint8Array(32).fill(7);
      await meta.addToken(aToken({ id: 'a', secretHash }));
      secretHash.fill(0);
      (await meta.getToken('a'))!.secretHash.fill(1);
      assert.deepEqual([...(await meta.getToken('a'))!.secretHash], new Array(32).fill(7));
    });
  });

  describe(`${name}: transfers`, () => {
    check('come back as they were given, with sizes beyond 32 bits', async (meta) => {
      const transfer = aTransfer({
        id: 'a',
        bytesTotal: Number.MAX_SAFE_INTEGER,
        bytesDone: 2 ** 40,
        error: 'The disk "x" is full.',
      });
      await meta.addTransfer(transfer);
      assert.deepEqual(plain(await meta.getTransfer('a')), plain(transfer));
      assert.equal(await meta.getTransfer('b'), null);
      await assert.rejects(meta.addTransfer(aTransfer({ id: 'a' })), { code: 'exists', value: 'a' });
    });

    check('keep text for people as UTF-8 can carry it', async (meta) => {
      await meta.addTransfer(aTransfer({ id: 'a', source: 'odd\udcff name', destination: '/日本\u{1f6a2}' }));
      const transfer = await meta.updateTransfer('a', { error: '\ud800', updatedMs: 2 });
      assert.deepEqual(
        [transfer?.source, transfer?.destination, transfer?.error],
        ['odd\ufffd name', '/日本\u{1f6a2}', '\ufffd'],
      );
    });

    check('are listed newest first, page by page, of one owner and state', async (meta) => {
      // b and c are of the same millisecond: the id decides.
      const times = { a: 10, b: 20, c: 20, d: 30, e: 5 };
      for (const [id, createdMs] of Object.entries(times)) {
        await meta.addTransfer(
          aTransfer({ id, createdMs, owner: id === 'd' ? 'other' : 'me', state: id === 'a' ? 'done' : 'active' }),
        );
      }
      assert.deepEqual(ids(await meta.listTransfers({ limit: 10 })), ['d', 'c', 'b', 'a', 'e']);
      assert.deepEqual(ids(await meta.listTransfers({ limit: 10, owner: 'me' })), ['c', 'b', 'a', 'e']);
      assert.deepEqual(ids(await meta.listTransfers({ limit: 10, owner: 'me', state: 'active' })), ['c', 'b', 'e']);
      const seen: string[] = [];
      let before: { createdMs: number; id: string } | undefined;
      for (;;) {
        const page = await meta.listTransfers({ limit: 2, ...(before === undefined ? {} : { before }) });
        seen.push(...ids(page));
        before = page.at(-1);
        if (before === undefined) break;
      }
      assert.deepEqual(seen, ['d', 'c', 'b', 'a', 'e']);
      assert.deepEqual(await meta.listTransfers({ limit: 0 }), []);
      assert.deepEqual(await meta.listTransfers({ limit: -1 }), []);
    });

    check('change in the given fields only, and answer with what is there now', async (meta) => {
      const transfer = aTransfer({ id: 'a', filesDone: 1, bytesDone: 10, error: 'x' });
      await meta.addTransfer(transfer);
      let expected: TransferRecord = { ...transfer, filesDone: 3, bytesDone: 110, updatedMs: 50 };
      assert.deepEqual(plain(await meta.updateTransfer('a', { addFiles: 2, addBytes: 100, updatedMs: 50 })), plain(expected));
      expected = { ...expected, filesDone: 7, bytesDone: 70, updatedMs: 60 };
      assert.deepEqual(plain(await meta.updateTransfer('a', { filesDone: 7, bytesDone: 70, updatedMs: 60 })), plain(expected));
      expected = { ...expected, filesDone: 9, bytesDone: 71, updatedMs: 61 };
      const both = { filesDone: 8, addFiles: 1, bytesDone: 70, addBytes: 1, updatedMs: 61 };
      assert.deepEqual(plain(await meta.updateTransfer('a', both)), plain(expected));
      expected = { ...expected, state: 'done', priority: 'high', filesTotal: null, endedMs: 70, error: null, updatedMs: 70 };
      const change = { state: 'done', priority: 'high', filesTotal: null, endedMs: 70, error: null, updatedMs: 70 } as const;
      assert.deepEqual(plain(await meta.updateTransfer('a', change)), plain(expected));
      assert.deepEqual(plain(await meta.getTransfer('a')), plain(expected));
      assert.equal(await meta.updateTransfer('b', { updatedMs: 1 }), null);
    });

    check('lose no count when many add at once', async (meta) => {
      await meta.addTransfer(aTransfer({ id: 'a', filesDone: 0, bytesDone: 0 }));
      await Promise.all(
        Array.from({ length: 50 }, (_, i) => meta.updateTransfer('a', { addFiles: 1, addBytes: i, updatedMs: i })),
      );
      const transfer = await meta.getTransfer('a');
      assert.deepEqual([transfer?.filesDone, transfer?.bytesDone], [50, 1225]);
    });

    check('are forgotten once they ended and stayed unchanged', async (meta) => {
      for (const state of ['active', 'paused', 'cancelled', 'done', 'failed'] as const) {
        await meta.addTransfer(aTransfer({ id: `${state}-old`, state, updatedMs: 99 }));
        await meta.addTransfer(aTransfer({ id: `${state}-new`, state, updatedMs: 100 }));
      }
      assert.equal(await meta.pruneTransfers(100), 3);
      assert.equal(await meta.pruneTransfers(100), 0);
      assert.deepEqual(
        ids(await meta.listTransfers({ limit: 20 }))
          .filter((id) => id.endsWith('old'))
          .sort(),
        ['active-old', 'paused-old'],
      );
      assert.equal((await meta.listTransfers({ limit: 20 })).length, 7);
    });
  });

  describe(`${name}: uploads`, () => {
    check('come back as they were given, with exact times and odd names', async (meta) => {
      const path = '/in%20coming/100%/\udcff\udc80 日本 \u{1f6a2} "quoted\' _';
      for (const [index, mtimeNs] of MTIMES.entries()) {
        const upload = anUpload({ id: `u${index}`, path, mtimeNs, size: Number.MAX_SAFE_INTEGER });
        await meta.addUpload(upload);
        assert.deepEqual(plain(await meta.getUpload(`u${index}`)), plain(upload));
      }
      assert.equal(await meta.getUpload('other'), null);
      const bare = anUpload({ id: 'bare', transfer: null, size: null, mode: null, mtimeNs: null, digest: null });
      await meta.addUpload(bare);
      assert.deepEqual(plain(await meta.getUpload('bare')), plain(bare));
      await assert.rejects(meta.addUpload(bare), { code: 'exists', value: 'bare' });
    });

    check('are found by path and owner: the newest that is not done', async (meta) => {
      await meta.addUpload(anUpload({ id: 'z', path: '/x', createdMs: 1, size: 5 }));
      await meta.addUpload(anUpload({ id: 'c', path: '/x', createdMs: 2, state: 'publishing' }));
      await meta.addUpload(anUpload({ id: 'b', path: '/x', createdMs: 2 }));
      await meta.addUpload(anUpload({ id: 'd', path: '/x', createdMs: 3, state: 'done' }));
      await meta.addUpload(anUpload({ id: 'e', path: '/x', createdMs: 4, owner: 'other' }));
      await meta.addUpload(anUpload({ id: 'f', path: '/x/y', createdMs: 5 }));
      assert.equal((await meta.findUpload('/x', 'me'))?.id, 'c');
      await meta.updateUpload('c', { state: 'done' });
      assert.equal((await meta.findUpload('/x', 'me'))?.id, 'b');
      await meta.removeUpload('b');
      await meta.removeUpload('z');
      assert.equal(await meta.findUpload('/x', 'me'), null);
    });

    check('are not taken for one whose path is alike only when escaped', async (meta) => {
      await meta.addUpload(anUpload({ id: 'a', path: '/%FF' }));
      assert.equal(await meta.findUpload('/\udcff', 'me'), null);
      assert.equal((await meta.findUpload('/%FF', 'me'))?.id, 'a');
    });

    check('are listed by id, page by page, of one owner, transfer and state', async (meta) => {
      await meta.addUpload(anUpload({ id: 'c' }));
      await meta.addUpload(anUpload({ id: 'a', transfer: 't1' }));
      await meta.addUpload(anUpload({ id: 'b', owner: 'other' }));
      await meta.addUpload(anUpload({ id: 'd', transfer: 't1', state: 'done' }));
      assert.deepEqual(ids(await meta.listUploads({ limit: 3 })), ['a', 'b', 'c']);
      assert.deepEqual(ids(await meta.listUploads({ limit: 3, after: 'b' })), ['c', 'd']);
      assert.deepEqual(ids(await meta.listUploads({ limit: 9, owner: 'me' })), ['a', 'c', 'd']);
      assert.deepEqual(ids(await meta.listUploads({ limit: 9, transfer: 't1', state: 'receiving' })), ['a']);
    });

    check('change in the given fields only', async (meta) => {
      const upload = anUpload({ id: 'a' });
      await meta.addUpload(upload);
      assert.deepEqual(plain(await meta.updateUpload('a', {})), plain(upload));
      const change = { state: 'publishing', digest: DIGEST, epoch: 4, updatedMs: 77 } as const;
      assert.deepEqual(plain(await meta.updateUpload('a', change)), plain({ ...upload, ...change }));
      const rest = {
        transfer: null,
        size: null,
        mode: null,
        mtimeNs: null,
        overwrite: 'never',
        state: 'done',
        expiresMs: 1,
      } as const;
      assert.deepEqual(plain(await meta.updateUpload('a', rest)), plain({ ...upload, ...change, ...rest }));
      assert.deepEqual(plain(await meta.getUpload('a')), plain({ ...upload, ...change, ...rest }));
      assert.equal(await meta.updateUpload('b', {}), null);
      assert.equal(await meta.updateUpload('b', { state: 'publishing' }), null);
      assert.equal(await meta.updateUpload('b', { epoch: 2 }), null);
    });

    check('expire when their time is past, the longest first', async (meta) => {
      await meta.addUpload(anUpload({ id: 'a', expiresMs: 20 }));
      await meta.addUpload(anUpload({ id: 'b', expiresMs: 10, state: 'done' }));
      await meta.addUpload(anUpload({ id: 'c', expiresMs: 30 }));
      assert.deepEqual(ids(await meta.expiredUploads(30, 10)), ['b', 'a']);
      assert.deepEqual(ids(await meta.expiredUploads(31, 1)), ['b']);
      assert.deepEqual(await meta.expiredUploads(10, 10), []);
    });
  });

  describe(`${name}: blocks`, () => {
    check('come back in the order recorded, overlaps included', async (meta) => {
      await meta.addUpload(anUpload({ id: 'a', updatedMs: 1 }));
      await meta.addUpload(anUpload({ id: 'b' }));
      await meta.recordBlocks('a', [run(8, 2, 1), run(0, 1, 2)], 40);
      await meta.recordBlocks('b', [run(5, 1, 9)], 41);
      await meta.recordBlocks('a', [run(8, 1, 3)], 42);
      assert.deepEqual(plain(await meta.loadBlocks('a')), plain([run(8, 2, 1), run(0, 1, 2), run(8, 1, 3)]));
      assert.deepEqual(plain(await meta.loadBlocks('b')), plain([run(5, 1, 9)]));
      assert.equal((await meta.getUpload('a'))?.updatedMs, 42);
      assert.deepEqual(await meta.loadBlocks('c'), []);
    });

    check('begin anew after being cleared', async (meta) => {
      await meta.addUpload(anUpload({ id: 'a' }));
      await meta.recordBlocks('a', [run(0, 3, 1)], 1);
      await meta.clearBlocks('a');
      await meta.clearBlocks('c');
      assert.deepEqual(await meta.loadBlocks('a'), []);
      await meta.recordBlocks('a', [run(1, 1, 2)], 1);
      assert.deepEqual(plain(await meta.loadBlocks('a')), plain([run(1, 1, 2)]));
    });

    check('go with their upload, and do not come back with a new one of its id', async (meta) => {
      await meta.addUpload(anUpload({ id: 'a' }));
      await meta.recordBlocks('a', [run(0, 3, 1)], 1);
      await meta.removeUpload('a');
      await meta.removeUpload('a');
      assert.deepEqual(await meta.loadBlocks('a'), []);
      await assert.rejects(meta.recordBlocks('a', [run(0, 1, 1)], 2), { code: 'upload_not_found', value: 'a' });
      await meta.addUpload(anUpload({ id: 'a' }));
      assert.deepEqual(await meta.loadBlocks('a'), []);
    });

    check('are recorded all or not at all', async (meta) => {
      await meta.addUpload(anUpload({ id: 'a', updatedMs: 1 }));
      const torn = { first: 4, digests: new Uint8Array(33) };
      for (const bad of [
        torn,
        { first: 4, digests: new Uint8Array(0) },
        { ...run(0, 1, 1), first: -1 },
        { ...run(0, 1, 1), first: 0.5 },
      ]) {
        await assert.rejects(meta.recordBlocks('a', [run(0, 1, 1), bad], 2), { code: 'internal' });
      }
      await assert.rejects(meta.recordBlocks('a', [run(0, 1, 1)], 2.5), { code: 'internal' });
      assert.deepEqual(await meta.loadBlocks('a'), []);
      assert.equal((await meta.getUpload('a'))?.updatedMs, 1);
      await meta.recordBlocks('a', [], 3);
      assert.equal((await meta.getUpload('a'))?.updatedMs, 3);
    });

    check('keep the digests when the caller uses its buffer again before the answer', async (meta) => {
      await meta.addUpload(anUpload({ id: 'a' }));
      const digests = new Uint8Array(64).fill(5);
      const first = meta.recordBlocks('a', [{ first: 0, digests }], 1);
      const second = meta.recordBlocks('a', [{ first: 2, digests }], 1);
      digests.fill(0);
      await Promise.all([first, second]);
      (await meta.loadBlocks('a'))[0]!.digests.fill(1);
      assert.deepEqual(plain(await meta.loadBlocks('a')), plain([run(0, 2, 5), run(2, 2, 5)]));
    });

    check('of requests at once are all kept', async (meta) => {
      await meta.addUpload(anUpload({ id: 'a' }));
      await Promise.all(
        Array.from({ length: 30 }, (_, i) => meta.recordBlocks('a', [run(2 * i, 1, i), run(2 * i + 1, 1, i)], i)),
      );
      const firsts = (await meta.loadBlocks('a')).map(({ first }) => first);
      assert.deepEqual(
        firsts.sort((a, b) => a - b),
        Array.from({ length: 60 }, (_, i) => i),
      );
    });
  });

  filesContract(name, check);

  describe(`${name}: closing`, () => {
    it('waits for what was asked before, and may be repeated', async () => {
      const meta = await open();
      const token = meta.addToken(aToken({ id: 'a' }));
      const got = meta.getToken('a');
      await Promise.all([meta.close(), meta.close()]);
      await token;
      assert.equal((await got)?.id, 'a');
      await meta.close();
    });
  });
}

function ids(records: readonly { id: string }[]): string[] {
  return records.map(({ id }) => id);
}
