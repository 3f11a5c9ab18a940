import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { runPut } from '../../src/client/put.ts';
import { broken, createEngineApi, WHO } from './engine-api.ts';
import { bytes, folder, options } from './put-fixture.ts';

for (const refused of [false, true]) {
  test(`far away the completion is asked for before the last blocks are answered${refused ? ', and again when that failed' : ''}`, {
    timeout: 30_000,
  }, async () => {
    const server = createEngineApi();
    server.rttMs = 100;
    const file = path.join(folder(), 'film');
    fs.writeFileSync(file, bytes(1_100_000, 7));
    // No block is answered before somebody asks for the completion.
    const asked = Promise.withResolvers<void>();
    let completions = 0;
    server.onCall = (name, count) => {
      if (name !== 'completeUpload') return;
      completions++;
      asked.resolve();
      if (refused && count === 1) throw broken();
    };
    server.onAnswer = async (name) => {
      if (name === 'putBlocks') await asked.promise;
    };
    const summary = await runPut(server.api, [file], '/in/', options());
    assert.equal(summary.filesDone, 1);
    assert.deepEqual(await server.content('/in/film'), bytes(1_100_000, 7));
    assert.equal(completions, refused ? 2 : 1);
    assert.equal((await server.engine.getTransfer(WHO, summary.transfer)).state, 'done');
    assert.ok(!server.calls.includes('createTransfer'), 'its transfer began with its upload');
  });
}

describe('far away the first blocks leave with the request that begins the upload', () => {
  const SIZE = 3_000_000;

  async function world(change: (server: ReturnType<typeof createEngineApi>) => void | Promise<void>) {
    const server = createEngineApi();
    server.rttMs = 100;
    const file = path.join(folder(), 'film');
    fs.writeFileSync(file, bytes(SIZE, 11));
    await change(server);
    const summary = await runPut(server.api, [file], '/in/', options());
    assert.equal(summary.filesDone, 1);
    assert.deepEqual(await server.content('/in/film'), bytes(SIZE, 11));
    assert.deepEqual(await server.engine.listUploads(WHO, { limit: 10 }), []);
    return { server, summary };
  }

  test('and wait there for it', { timeout: 30_000 }, async () => {
    const left = Promise.withResolvers<void>();
    const { summary } = await world((server) => {
      server.onCall = async (name) => {
        if (name === 'putBlocks') left.resolve();
        // Were they sent afterwards, this would never end.
        if (name === 'createUpload') await left.promise;
      };
    });
    assert.equal(summary.bytesSent, SIZE);
  });

  test('and go again when they were lost, or damaged', async () => {
    for (const fault of ['lost', 'damaged'] as const) {
      const { server } = await world((server) => {
        server.onCall = (name, count) => {
          if (fault === 'lost' && name === 'putBlocks' && count === 1) throw broken();
        };
        let pieces = 0;
        server.onPiece = (_name, piece) => {
          if (fault === 'damaged' && pieces++ === 0) piece[1000]! ^= 1;
        };
      });
      assert.ok(server.calls.filter((name) => name === 'putBlocks').length > 1, fault);
    }
  });

  test('and are let go when an unfinished upload goes on', async () => {
    await world(async ({ engine }) => {
      const half = await engine.createUpload(WHO, { path: '/in/film', size: SIZE });
      assert.equal(half.resumed, false);
    });
  });
});

test('an upload that was opened before it turned out that it cannot be is not left behind', async () => {
  const server = createEngineApi();
  const from = folder();
  fs.writeFileSync(path.join(from, 'small'), bytes(10));
  fs.writeFileSync(path.join(from, 'film'), bytes(2_000_000, 8));
  await runPut(server.api, [path.join(from, 'small')], '/taken', options());
  await assert.rejects(runPut(server.api, [path.join(from, 'film')], '/taken/', options()), { code: 'not_folder' });
  assert.deepEqual(await server.engine.listUploads(WHO, { limit: 10 }), []);
  await server.engine.makeFolder(WHO, '/folder', {});
  const { targets } = await runPut(server.api, [path.join(from, 'film')], '/folder', options());
  assert.deepEqual(targets, ['/folder/film']);
  assert.deepEqual(await server.engine.listUploads(WHO, { limit: 10 }), []);
});
