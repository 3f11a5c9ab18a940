import assert from 'node:assert/strict';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import {
  api,
  apiCalls,
  broken,
  bytes,
  engine,
  isCode,
  local,
  MIB,
  options,
  partials,
  put,
  troubled,
  WHO,
} from '../../test/client/get-fixture.ts';
import { toHex } from '../core/hex.ts';
import { blake3 } from '../engine/blake3.ts';
import type { Api } from './api-contract.ts';
import type { TransferEvent } from './contract.ts';
import { runGet } from './get.ts';

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
