import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { api, apiCalls, broken, bytes, isCode, local, MIB, options, put, troubled } from '../../test/client/get-fixture.ts';
import { HawserError } from '../core/errors.ts';
import { toHex } from '../core/hex.ts';
import { blake3 } from '../engine/blake3.ts';
import type { Api } from './api-contract.ts';
import type { TransferOptions } from './contract.ts';
import { runGet } from './get.ts';

describe('get and the server', () => {
  it('ends a request that hangs when the server says that the transfer is paused', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    put('hang', bytes(2 * MIB, 30));
    const to = local();
    const hanging = Promise.withResolvers<void>();
    let requests = 0;
    const server: Api = {
      ...apiCalls(),
      getFrames: async (path, query, call) => {
        if (++requests > 1) return await api.getFrames(path, query, call);
        hanging.resolve();
        return await new Promise((_, reject) => {
          call?.signal?.addEventListener('abort', () => reject(new HawserError('interrupted', 'The request was ended.')));
        });
      },
      changeTransfer: async (id, change, call) => {
        const info = await api.changeTransfer(id, change, call);
        return requests === 1 ? { ...info, state: 'paused' } : info;
      },
    };
    const run = options({ parallel: 1 });
    const get = runGet(server, ['/hang'], to, run);
    await hanging.promise;
    t.mock.timers.tick(2000);
    await get;
    const notices = run.events.flatMap((event) => (event.type === 'notice' ? [event.code] : []));
    assert.deepEqual(notices, ['transfer_paused', 'transfer_resumed']);
    assert.ok(fs.readFileSync(join(to, 'hang')).equals(bytes(2 * MIB, 30)));
  });

  it('waits while the server is still hashing the file', async () => {
    put('slow', bytes(MIB, 31));
    let asked = 0;
    const slow: Api = {
      ...apiCalls(),
      digest: async (path, call) => (++asked < 3 ? { done: false, hashedBytes: 1, size: MIB } : await api.digest(path, call)),
    };
    const to = local();
    const summary = await runGet(slow, ['/slow'], to, options());
    assert.equal(summary.filesDone, 1);
    assert.equal(asked, 3);
  });

  it('does not begin its transfer twice when the first answer was lost', async () => {
    put('/lost', bytes(1000));
    const ids: string[] = [];
    const losing: Api = {
      ...apiCalls(),
      createTransfer: async (request, call) => {
        ids.push((await api.createTransfer(request, call)).id);
        if (ids.length === 1) throw broken();
        return api.getTransfer(ids[1]!);
      },
    };
    await runGet(losing, ['/lost'], local(), options());
    assert.equal(ids.length, 2);
    assert.equal(ids[0], ids[1]);
  });

  it('gives up on a server that is not there, and leaves no listener behind', async () => {
    const gone: Api = { ...apiCalls(), createTransfer: () => Promise.reject(broken()) };
    const { signal } = new AbortController();
    const added = signal.addEventListener.bind(signal);
    const listeners = new Set<unknown>();
    signal.addEventListener = (type: string, listener: never, more?: never) => {
      listeners.add(listener);
      added(type, listener, more);
    };
    signal.removeEventListener = (_: string, listener: never) => void listeners.delete(listener);
    await assert.rejects(runGet(gone, ['/x'], local(), options({ retries: 1, signal })), isCode('unreachable'));
    assert.equal(listeners.size, 0);
  });

  it('says on the server why it ended', async () => {
    const ended: (string | undefined)[] = [];
    const told: Api = {
      ...apiCalls(),
      changeTransfer: (id, change, call) => {
        ended.push(change.state, change.error);
        return api.changeTransfer(id, change, call);
      },
    };
    await assert.rejects(runGet(told, ['/is/not/there'], local(), options()), isCode('not_found'));
    assert.equal(ended[0], 'failed');
    assert.match(ended[1] ?? '', /is\/not/);
  });
});

describe('get to a stream', () => {
  const SIZE = 9 * MIB + 99;

  async function collect(from: Api, path: string, more: TransferOptions = {}): Promise<Buffer> {
    const pieces: Buffer[] = [];
    await runGet(from, [path], async (piece) => void pieces.push(Buffer.from(piece)), options(more));
    return Buffer.concat(pieces);
  }

  it('hands on every byte in order, across broken connections', async () => {
    put('stream', bytes(SIZE, 20));
    assert.ok((await collect(api, '/stream')).equals(bytes(SIZE, 20)));
    let pieces = 0;
    const rough = troubled({
      piece: (piece) => {
        if (++pieces % 23 === 0) throw broken();
        return piece;
      },
    });
    assert.ok((await collect(rough, '/stream', { parallel: 4, chunkBytes: 512 * 1024 })).equals(bytes(SIZE, 20)));
    put('nothing', new Uint8Array());
    assert.equal((await collect(api, '/nothing')).length, 0);
  });

  it('ends when the file changes, when it differs from its digest, and when nobody takes it', async () => {
    put('stream2', bytes(SIZE, 21));
    const changing = troubled({
      before: (_, start) => {
        if (start === 4 * MIB) put('stream2', bytes(SIZE, 22));
      },
    });
    await assert.rejects(collect(changing, '/stream2', { parallel: 1, chunkBytes: MIB }), isCode('changed'));
    const wrong = toHex(blake3(bytes(3)));
    const lying: Api = { ...apiCalls(), stat: async (path, call) => ({ ...(await api.stat(path, call)), digest: wrong }) };
    await assert.rejects(collect(lying, '/stream2'), isCode('digest_mismatch'));
    const writer = () => Promise.reject(new Error('EPIPE'));
    await assert.rejects(runGet(api, ['/stream2'], writer, options()), isCode('local_io'));
    const stop = new AbortController();
    const stuck = () => {
      stop.abort();
      return new Promise<void>(() => undefined);
    };
    await assert.rejects(runGet(api, ['/stream2'], stuck, options({ signal: stop.signal })), isCode('interrupted'));
    await assert.rejects(runGet(api, ['/'], writer, options()), isCode('is_folder'));
  });
});
