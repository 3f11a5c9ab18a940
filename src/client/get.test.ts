import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { HawserError } from '../core/errors.ts';
import { toHex } from '../core/hex.ts';
import { blake3 } from '../engine/blake3.ts';
import type { Engine, Principal } from '../engine/contract.ts';
import { createEngine } from '../engine/engine.ts';
import type { FileStore } from '../store/files/contract.ts';
import { openFileSystemStore } from '../store/files/filesystem.ts';
import { createMemoryMeta } from '../store/meta/memory.ts';
import type { Api } from './api-contract.ts';
import type { TransferEvent, TransferOptions } from './contract.ts';
import { createEngineApi } from './get/engine-api.ts';
import { runGet } from './get.ts';

const MIB = 1 << 20;
const WHO: Principal = { id: 'me', name: 'me', role: 'admin' };
const SEED = Number(process.env.HAWSER_SEED ?? 20261120);

let work: string;
let remote: string;
let files: FileStore;
let engine: Engine;
let api: Api;
let count = 0;

before(async () => {
  console.log(`seed ${SEED}`);
  work = fs.mkdtempSync(join(tmpdir(), 'hawser-get-'));
  remote = join(work, 'remote');
  fs.mkdirSync(remote);
  files = await openFileSystemStore({ root: remote });
  engine = createEngine({ files, meta: createMemoryMeta() });
  api = createEngineApi(engine, WHO);
});

after(async () => {
  await files.close();
  fs.rmSync(work, { recursive: true, force: true });
});

/** Bytes that depend on the seed and differ everywhere. */
function bytes(length: number, salt = 0): Buffer {
  const data = Buffer.alloc(length);
  let state = (SEED + salt * 7919) >>> 0 || 1;
  for (let at = 0; at + 4 <= length; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    data.writeUInt32LE(state, at);
  }
  return data;
}

function put(path: string, data: Uint8Array): void {
  fs.mkdirSync(join(remote, path, '..'), { recursive: true });
  fs.writeFileSync(join(remote, path), data);
}

/** A new local folder for each test. */
function local(): string {
  const folder = join(work, `local${++count}`);
  fs.mkdirSync(folder);
  return folder;
}

function options(more: TransferOptions = {}): TransferOptions & { events: TransferEvent[] } {
  const events: TransferEvent[] = [];
  return { stateFolder: join(work, 'state'), onEvent: (event) => events.push(event), events, ...more };
}

interface Trouble {
  /** Called for each piece of a body; throws to break the connection. */
  piece?: (piece: Uint8Array, path: string) => Uint8Array;
  before?: (path: string, start: number) => void | Promise<void>;
  frames?: { path: string; start: number; end: number }[];
}

/** The same Api over a worse network. */
function troubled(trouble: Trouble): Api {
  async function* through(body: AsyncIterable<Uint8Array>, path: string) {
    for await (const piece of body) yield trouble.piece?.(piece, path) ?? piece;
  }
  return {
    ...apiCalls(),
    getFrames: async (path, query, call) => {
      await trouble.before?.(path, query.start);
      trouble.frames?.push({ path, start: query.start, end: query.end });
      const frames = await api.getFrames(path, query, call);
      return { ...frames, body: through(frames.body, path) };
    },
    readPack: async (paths, query, call) => through(await api.readPack(paths, query, call), 'pack'),
  };
}

function apiCalls(): Api {
  const { transport, capabilities, createTransfer, getTransfer, changeTransfer, readPack } = api;
  const { getFrames, fileDigests, stat, listPage, digest } = api;
  return {
    ...({ transport, capabilities, createTransfer, getTransfer, changeTransfer, readPack } as Api),
    ...{ getFrames, fileDigests, stat, listPage, digest },
  };
}

function broken(): HawserError {
  return new HawserError('unreachable', 'The connection was reset.');
}

const isCode = (code: string) => (error: unknown) => error instanceof HawserError && error.code === code;
const partials = (folder: string) => fs.readdirSync(folder).filter((name) => name.includes('hawser-partial'));

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

describe('get of a large file', () => {
  const SIZE = 5 * MIB + 4321;

  it('resumes where an interrupted fetch ended, without what is there', async () => {
    put('big', bytes(SIZE, 4));
    const to = local();
    const stop = new AbortController();
    let seen = 0;
    const first = troubled({
      piece: (piece) => {
        seen += piece.length;
        if (seen > 2 * MIB) stop.abort();
        return piece;
      },
    });
    await assert.rejects(runGet(first, ['/big'], to, options({ signal: stop.signal })), isCode('interrupted'));
    assert.deepEqual(partials(to), ['.big.hawser-partial', '.big.hawser-partial.state']);
    assert.equal(fs.existsSync(join(to, 'big')), false);
    const state = JSON.parse(fs.readFileSync(join(to, '.big.hawser-partial.state'), 'utf8'));
    const kept = state.safe.reduce((sum: number, [start, end]: [number, number]) => sum + end - start, 0);
    assert.ok(kept >= MIB);
    const summary = await runGet(api, ['/big'], to, options());
    assert.ok(summary.bytesSent < SIZE - kept + 10_000, `${summary.bytesSent} of ${SIZE} with ${kept} kept`);
    assert.equal(summary.bytesDone, SIZE);
    assert.ok(fs.readFileSync(join(to, 'big')).equals(bytes(SIZE, 4)));
    assert.deepEqual(partials(to), []);
  });

  it('compares blocks when the sidecar is gone, and fetches only what differs', async () => {
    put('big2', bytes(SIZE, 5));
    const to = local();
    const half = bytes(SIZE, 5).subarray(0, 3 * MIB);
    half[70_000] = (half[70_000] ?? 0) ^ 1;
    fs.writeFileSync(join(to, '.big2.hawser-partial'), half);
    const frames: { start: number; end: number; path: string }[] = [];
    await runGet(troubled({ frames }), ['/big2'], `${to}/big2`, options());
    assert.deepEqual(frames.map(({ start }) => start).sort((a, b) => a - b)[0], 65536);
    const fetched = frames.reduce((sum, { start, end }) => sum + end - start, 0);
    assert.equal(fetched, 65536 + SIZE - 3 * MIB);
    assert.ok(fs.readFileSync(join(to, 'big2')).equals(bytes(SIZE, 5)));
  });

  it('keeps equal blocks when the file changes half-way', async () => {
    const old = bytes(SIZE, 6);
    const now = Buffer.concat([old, bytes(100_000, 7)]);
    now[4 * MIB] = (now[4 * MIB] ?? 0) ^ 1;
    put('moving', old);
    const to = local();
    const run = options({ parallel: 1, chunkBytes: MIB });
    const frames: { start: number; end: number; path: string }[] = [];
    let moved = false;
    const changing = troubled({
      frames,
      before: (_, start) => {
        if (start === 3 * MIB && !moved) {
          moved = true;
          put('moving', now);
        }
      },
    });
    const summary = await runGet(changing, ['/moving'], to, run);
    assert.ok(fs.readFileSync(join(to, 'moving')).equals(now));
    assert.equal(run.events.filter((event) => event.type === 'notice' && event.code === 'source_changed').length, 1);
    assert.equal(frames.filter(({ start }) => start === 0).length, 1, 'the first blocks are not fetched again');
    assert.equal(summary.bytesDone, now.length);
    const last = run.events.findLast((event) => event.type === 'progress');
    assert.deepEqual([last?.bytesDone, last?.bytesTotal], [now.length, now.length]);
  });

  it('survives broken connections and damaged blocks', async () => {
    put('rough', bytes(SIZE, 8));
    let pieces = 0;
    const rough = troubled({
      piece: (piece) => {
        pieces++;
        if (pieces === 7 || pieces === 20) throw broken();
        if (pieces !== 12) return piece;
        const damaged = Buffer.from(piece);
        damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 0x40;
        return damaged;
      },
    });
    const to = local();
    const run = options();
    const summary = await runGet(rough, ['/rough'], `${to}/`, run);
    assert.ok(fs.readFileSync(join(to, 'rough')).equals(bytes(SIZE, 8)));
    const codes = run.events.flatMap((event) => (event.type === 'notice' ? [event.code] : []));
    assert.ok(codes.includes('unreachable') && codes.includes('block_mismatch'), codes.join());
    assert.ok(summary.bytesSent < SIZE * 1.5);
  });

  it('repairs what was damaged on the local disk, and says so', async () => {
    put('damaged', bytes(SIZE, 9));
    const to = local();
    const stop = new AbortController();
    const slow = troubled({
      before: (_, start) => {
        if (start >= 2 * MIB) stop.abort();
      },
    });
    const fixed = { parallel: 1, chunkBytes: MIB };
    await assert.rejects(runGet(slow, ['/damaged'], to, options({ ...fixed, signal: stop.signal })), isCode('interrupted'));
    const fd = fs.openSync(join(to, '.damaged.hawser-partial'), 'r+');
    fs.writeSync(fd, 'rot', 100);
    fs.closeSync(fd);
    const run = options();
    await runGet(api, ['/damaged'], to, run);
    assert.ok(fs.readFileSync(join(to, 'damaged')).equals(bytes(SIZE, 9)));
    assert.ok(run.events.some((event) => event.type === 'notice' && event.code === 'digest_mismatch'));
  });

  it('refuses a file that is not what its digest says, and removes it', async () => {
    put('lie', bytes(SIZE, 10));
    const wrong = toHex(blake3(bytes(3)));
    const lying: Api = {
      ...apiCalls(),
      stat: async (path, call) => ({ ...(await api.stat(path, call)), digest: wrong }),
    };
    const to = local();
    await assert.rejects(runGet(lying, ['/lie'], to, options()), isCode('digest_mismatch'));
    assert.deepEqual(fs.readdirSync(to), []);
  });

  it('lets one process at a time fetch a file', async () => {
    put('locked', bytes(SIZE, 11));
    const to = local();
    const second: Promise<unknown>[] = [];
    const first = troubled({
      before: async () => {
        if (second.length > 0) return;
        second.push(assert.rejects(runGet(api, ['/locked'], to, options()), isCode('local_io')));
        await second[0];
      },
    });
    await runGet(first, ['/locked'], to, options());
    assert.equal(second.length, 1);
    await second[0];
    assert.deepEqual(partials(to), []);
    // A lock that a killed process left.
    fs.rmSync(join(to, 'locked'));
    fs.writeFileSync(
      join(to, '.locked.hawser-partial.lock'),
      JSON.stringify({ pid: 1, host: (await import('node:os')).hostname(), started: 'x' }),
    );
    await runGet(api, ['/locked'], to, options());
    assert.deepEqual(fs.readdirSync(to), ['locked']);
  });

  it('waits while it is paused, and stops when it is cancelled', async () => {
    put('paused', bytes(SIZE, 12));
    const to = local();
    let id = '';
    let did = '';
    const run = options({ parallel: 1, chunkBytes: MIB });
    const onEvent = (event: TransferEvent) => {
      run.events.push(event);
      if (event.type === 'start') id = event.transfer;
      if (event.type === 'notice' && event.code === 'transfer_paused') void engine.resumeTransfer(WHO, id);
    };
    const watched = troubled({
      before: async (_, start) => {
        if (start === MIB && did === '') {
          did = 'paused';
          await engine.pauseTransfer(WHO, id);
        }
      },
    });
    await runGet(watched, ['/paused'], to, { ...run, onEvent });
    assert.ok(run.events.some((event) => event.type === 'notice' && event.code === 'transfer_resumed'));
    assert.ok(fs.readFileSync(join(to, 'paused')).equals(bytes(SIZE, 12)));

    const cancelling = troubled({
      before: async (_, start) => {
        if (start === 2 * MIB) await engine.cancelTransfer(WHO, id);
      },
    });
    await assert.rejects(runGet(cancelling, ['/paused'], `${to}/again`, { ...run, onEvent }), isCode('transfer_cancelled'));
  });
});

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
