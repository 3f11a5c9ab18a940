/** Tests of what only the memory store has: hooks, and crashes. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HawserError } from '../../src/core/errors.ts';
import { createMemoryStore, type MemoryStore } from '../../src/store/files/memory.ts';
import { aFile, codeOf, names, put, read, refuses, text } from './files-fixtures.ts';

export function memoryTests(): void {
  describe('memory: hooks', () => {
    test('a step that the hook refuses does not happen', async () => {
      let refused = '';
      const store = createMemoryStore({
        beforeOp(op, detail) {
          if (op === refused) throw new HawserError('no_space', `No room for ${detail}.`);
        },
      });
      const staging = await store.createStaging('a', 4);
      for (refused of [
        'write',
        'sync',
        'publish',
        'putMany',
        'getMany',
        'stat',
        'list',
        'openRead',
        'makeFolder',
        'move',
        'remove',
      ]) {
        const steps: Record<string, () => Promise<unknown>> = {
          write: () => staging.write(0, text('abcd')),
          sync: () => staging.sync(),
          publish: () => staging.publish('/a', 4, {}),
          putMany: async () => {
            const [result] = await store.putMany([aFile('/many')], 'always');
            throw result;
          },
          getMany: () => store.getMany(['/a'], 1),
          stat: () => store.stat('/'),
          list: () => store.list('/', { limit: 1 }),
          openRead: () => store.openRead('/a'),
          makeFolder: () => store.makeFolder('/made'),
          move: () => store.move('/a', '/b'),
          remove: () => store.remove('/a'),
        };
        await refuses('no_space', steps[refused]!());
      }
      refused = '';
      assert.deepEqual(await names(store), []);
      await staging.publish('/a', 4, {});
      assert.equal(await read(store, '/a'), '\0\0\0\0', 'the refused write left nothing');
    });
  });

  describe('memory: a crash', () => {
    test('keeps what was synced, and each later write whole, in part or not at all', async () => {
      const fates = [
        { numbers: [0.1], late: '....', last: '....' },
        { numbers: [0.5], late: 'late', last: 'last' },
        { numbers: [0.9, 0.5], late: 'la..', last: 'la..' },
      ];
      for (const first of fates) {
        for (const second of fates) {
          const numbers = [...first.numbers, ...second.numbers];
          const store = createMemoryStore({ random: () => numbers.shift()! });
          const staging = await store.createStaging('a', 12);
          await staging.write(0, text('SYNC'));
          await staging.sync();
          await staging.write(4, text('late'));
          await staging.write(8, text('last'));
          store.crash();
          await refuses('io_error', staging.write(0, text('dead')));
          for (const time of ['once', 'twice']) {
            const into = Buffer.alloc(12);
            assert.equal(await (await store.openStaging('a')).read(0, into), 12);
            assert.equal(into.toString().replaceAll('\0', '.'), `SYNC${first.late}${second.last}`, time);
            store.crash();
          }
        }
      }
    });

    test('may lose a staging file that was never synced', async () => {
      for (const [fate, ids] of [
        [0.4, ['a']],
        [0.6, []],
      ] as const) {
        const store = createMemoryStore({ random: () => fate });
        await store.createStaging('a', 1);
        store.crash();
        assert.deepEqual(await store.listStaging(), ids);
      }
    });

    test('does not keep a write that came after the sync was called', async () => {
      let release = (): void => {};
      const store = createMemoryStore({
        random: () => 0,
        beforeOp: (op) => (op === 'sync' ? new Promise<void>((resolve) => (release = resolve)) : undefined),
      });
      const staging = await store.createStaging('a', 2);
      await staging.write(0, text('1'));
      const syncing = staging.sync();
      await staging.write(1, text('2'));
      release();
      await syncing;
      store.crash();
      const into = Buffer.alloc(2);
      await (await store.openStaging('a')).read(0, into);
      assert.equal(into.toString(), '1\0');
    });

    test('leaves a publish that had not returned in place or not, whole either way', async () => {
      for (const [fate, content, staged] of [
        [0.9, 'new', []],
        [0.1, 'old', ['b']],
      ] as const) {
        const store: MemoryStore = createMemoryStore({
          random: () => fate,
          beforeOp(op, detail) {
            if (op === 'published' && detail === '/a' && armed) store.crash();
          },
        });
        let armed = false;
        await put(store, '/a', 'old');
        armed = true;
        const staging = await store.createStaging('b', 3);
        await staging.write(0, text('new'));
        await refuses('io_error', staging.publish('/a', 3, {}));
        assert.equal(await read(store, '/a'), content);
        assert.deepEqual(await store.listStaging(), staged);
        if (staged.length > 0) {
          armed = false;
          await (await store.openStaging('b')).publish('/a', 3, {});
          assert.equal(await read(store, '/a'), 'new', 'the staged bytes are whole, too');
        }
      }
    });

    test('fails what is under way and leaves a batch with whole files', async () => {
      const store: MemoryStore = createMemoryStore({
        beforeOp(op, detail) {
          if (op === 'putMany' && detail === '/b') store.crash();
        },
      });
      await refuses('io_error', store.putMany([aFile('/a', 'first'), aFile('/b'), aFile('/c')], 'always'));
      assert.deepEqual(await names(store), ['/a']);
      assert.equal(codeOf((await store.putMany([aFile('/d')], 'always'))[0]), 'stored');
    });
  });
}
