import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { Api } from '../../src/client/api-contract.ts';
import { runPut } from '../../src/client/put.ts';
import { broken, createEngineApi } from './engine-api.ts';
import { bytes, folder, options } from './put-fixture.ts';

test("a pack whose answer got lost is not taken for someone else's files", async () => {
  const server = createEngineApi();
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(tree);
  for (let i = 0; i < 30; i++) fs.writeFileSync(path.join(tree, `f${i}`), bytes(3000, i));
  server.onAnswer = (name, count) => {
    if (name === 'putPack' && count === 1) throw broken();
  };
  const summary = await runPut(server.api, [tree], '/', options({ overwrite: 'never' }));
  assert.deepEqual([summary.filesDone, summary.filesFailed, summary.bytesSent], [30, 0, 90_000]);
});

for (const packBytes of [0, 1000, 16 * 1024, 16 * 1024 + 1, 17 * 1024, 256 * 1024 + 16 * 1024, 300_000]) {
  test(`a server that takes packs of ${packBytes} bytes gets everything, and no pack with files that is longer`, async () => {
    const server = createEngineApi();
    const packs: number[] = [];
    const capabilities: Api['capabilities'] = async (call) => ({ ...(await server.api.capabilities(call)), packBytes });
    const putPack: Api['putPack'] = (query, body, length, call) => {
      packs.push(length);
      return server.api.putPack(query, body, length, call);
    };
    const tree = path.join(folder(), 'tree');
    fs.mkdirSync(path.join(tree, 'sub'), { recursive: true });
    for (let i = 0; i < 12; i++) fs.writeFileSync(path.join(tree, `sub/f${i}`), bytes(i * 23_000, i));
    fs.symlinkSync('sub/f3', path.join(tree, 'link'));
    const summary = await runPut({ ...server.api, capabilities, putPack }, [tree], '/in', options());
    assert.deepEqual([summary.filesDone, summary.filesFailed], [13, 0]);
    for (let i = 0; i < 12; i++) assert.deepEqual(await server.content(`/in/sub/f${i}`), bytes(i * 23_000, i), `f${i}`);
    // A folder or a link has no other way, so one of them goes alone, however little the server takes.
    assert.ok(Math.max(...packs) <= Math.max(packBytes, 200), `${Math.max(...packs)}`);
  });
}

test('a full pack leaves before the files of the next are read', async () => {
  const server = createEngineApi();
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(tree);
  for (let i = 0; i < 12; i++) fs.writeFileSync(path.join(tree, `f${i}`), bytes(100_000, i));
  const steps: string[] = [];
  const putPack: Api['putPack'] = async (query, body, length, call) => {
    steps.push('begins');
    const pieces: Uint8Array[] = [];
    for await (const piece of body as AsyncIterable<Uint8Array>) pieces.push(Buffer.from(piece));
    steps.push('left');
    return server.api.putPack(query, Buffer.concat(pieces), length, call);
  };
  await runPut({ ...server.api, putPack }, [tree], '/in/', options());
  assert.deepEqual(steps.slice(0, 4), ['begins', 'left', 'begins', 'left']);
});

test('a server that takes packs of no entries gets one at a time', async () => {
  const server = createEngineApi();
  const capabilities: Api['capabilities'] = async (call) => ({ ...(await server.api.capabilities(call)), packEntries: 0 });
  const tree = path.join(folder(), 'tree');
  fs.mkdirSync(tree);
  for (let i = 0; i < 40; i++) fs.writeFileSync(path.join(tree, `f${i}`), 'x');
  const summary = await runPut({ ...server.api, capabilities }, [tree], '/in', options());
  assert.equal(summary.filesDone, 40);
  assert.equal(String(await server.content('/in/f39')), 'x');
});
