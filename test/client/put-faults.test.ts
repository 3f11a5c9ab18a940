/**
 * Puts over a network where anything may fail at any time. Whatever happens, a put that resolves has delivered the bytes, and one
 * that is stopped goes on; HAWSER_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import type { TransferOptions } from '../../src/client/contract.ts';
import { runPut } from '../../src/client/put.ts';
import { interrupted } from '../../src/client/retry.ts';
import { HawserError } from '../../src/core/errors.ts';
import { broken, createEngineApi } from './engine-api.ts';

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'hawser-faults-'));
after(() => fs.rmSync(root, { recursive: true, force: true }));

/** Mulberry32: small, and the same everywhere. */
function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Waits take no time, but other things get their turn. */
const timing = {
  random: () => 0,
  sleep: async (_ms: number, signal?: AbortSignal) => {
    await new Promise(setImmediate);
    if (signal?.aborted) throw interrupted();
  },
};

function makeTree(random: () => number, folder: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const count = 3 + Math.floor(random() * 40);
  for (let i = 0; i < count; i++) {
    const name = `${'abc'[Math.floor(random() * 3)]}/${'xyz'[Math.floor(random() * 3)]}/f${i}`;
    const size = Math.floor(random() < 0.15 ? random() * 3_000_000 : random() * 20_000);
    const content = Buffer.alloc(size);
    for (let at = 0; at + 4 <= size; at += 64) content.writeUInt32LE((random() * 2 ** 32) >>> 0, at);
    files.set(name, content);
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), content);
  }
  return files;
}

const first = Number(process.env.HAWSER_SEED ?? Math.floor(Math.random() * 2 ** 31));
const runs = process.env.HAWSER_SEED ? 1 : 12;

for (let seed = first; seed < first + runs; seed++) {
  test(`whatever fails, the bytes arrive (HAWSER_SEED=${seed})`, async () => {
    const random = randomOf(seed);
    const folder = path.join(root, String(seed));
    fs.mkdirSync(folder);
    const files = makeTree(random, folder);
    const server = createEngineApi();
    const badness = random() * 0.15;
    const fault = () => {
      const kind = random();
      return kind < 0.7 ? broken() : kind < 0.9 ? new HawserError('busy', 'Busy.') : new HawserError('internal', 'A defect.');
    };
    server.onCall = () => {
      if (random() < badness) throw fault();
    };
    server.onAnswer = () => {
      if (random() < badness) throw broken();
    };
    server.onPiece = (_name, piece) => {
      if (random() < badness) throw broken();
      if (random() < badness / 4) piece[Math.floor(random() * piece.length)]! ^= 1;
    };
    const options: TransferOptions = {
      stateFolder: path.join(root, 'state'),
      overwrite: random() < 0.5 ? 'always' : 'newer',
      ...(random() < 0.5 && { parallel: 1 + Math.floor(random() * 6) }),
      ...(random() < 0.5 && { chunkBytes: 65536 * (1 + Math.floor(random() * 20)) }),
      ...(random() < 0.5 && { onEvent: () => undefined }),
    };
    let summary = null;
    for (let attempt = 0; attempt < 20 && !summary; attempt++) {
      const stop = new AbortController();
      const pieces = random() < 0.5 ? Math.floor(random() * 60) : Number.POSITIVE_INFINITY;
      let seen = 0;
      const cut = server.onPiece;
      server.onPiece = (name, piece) => {
        if (seen++ >= pieces) stop.abort();
        return cut(name, piece);
      };
      try {
        const result = await runPut(server.api, [folder], '/in/', { ...options, signal: stop.signal }, timing);
        if (result.filesFailed === 0) summary = result;
      } catch (error) {
        assert.ok(error instanceof HawserError, String(error));
        assert.ok(['interrupted', 'unreachable', 'busy', 'internal'].includes(error.code), error.message);
      }
      server.onPiece = cut;
    }
    assert.ok(summary, 'it never ended well');
    for (const [name, content] of files) {
      const target: string = `${summary.targets[0]}/${name}`;
      assert.ok((await server.content(target)).equals(content), target);
    }
    assert.equal(summary.filesDone + summary.filesSkipped, files.size);
  });
}
