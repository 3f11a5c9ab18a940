import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { LaneSocket, type SocketLane } from './lane-socket.ts';

interface Made {
  readonly socket: LaneSocket;
  readonly calls: string[];
  readonly written: Uint8Array[];
}

function make({ allowHalfOpen = true, mostMemory = Infinity, room = { bytes: Infinity } } = {}): Made {
  const calls: string[] = [];
  const written: Uint8Array[] = [];
  const lane: SocketLane = {
    write(_socket, bytes) {
      room.bytes -= bytes.length;
      calls.push(`write ${bytes.length}`);
      written.push(bytes);
    },
    end: () => calls.push('end'),
    reset: () => calls.push('reset'),
    abandon: () => calls.push('abandon'),
    consumed: (_stream, bytes) => calls.push(`consumed ${bytes}`),
    memory: (bytes) => new Uint8Array(Math.min(bytes, mostMemory)),
    room: () => room.bytes,
    recycle: (bytes) => calls.push(`recycle ${bytes.length}`),
    forget: () => calls.push('forget'),
    hold: () => calls.push('hold'),
    release: () => calls.push('release'),
    remoteAddress: '2001:db8::1',
    remotePort: 9,
  };
  return { socket: new LaneSocket(lane, 4, { allowHalfOpen }), calls, written };
}

const mebibyte = 1 << 20;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a stream as a socket', () => {
  it('copies what is written, for its owner may use it again', async () => {
    const { socket, written } = make();
    const bytes = Buffer.from('first');
    await new Promise((resolve) => socket.write(bytes, resolve));
    bytes.write('XXXXX');
    assert.equal(Buffer.from(written[0]!).toString(), 'first');
    assert.equal(written[0]!.buffer.byteLength, 5, 'its buffer can be handed over');
  });

  it('writes in one piece what was corked', async () => {
    const { socket, calls } = make();
    socket.cork();
    for (const text of ['a', 'bc', 'def']) socket.write(text);
    socket.uncork();
    await turn();
    assert.deepEqual(calls, ['hold', 'write 6']);
  });

  it('writes in several pieces what is larger than the memory that there is', async () => {
    const { socket, written } = make({ mostMemory: 4 });
    socket.cork();
    for (const text of ['a', 'bcdefghij', 'kl']) socket.write(text);
    socket.uncork();
    await turn();
    assert.deepEqual(
      written.map((bytes) => Buffer.from(bytes).toString()),
      ['abcd', 'efgh', 'ijkl'],
    );
  });

  it('gives the thread what there is room for, and takes more when it has all', async () => {
    const room = { bytes: 600_000 };
    const { socket, calls } = make({ room });
    const done: number[] = [];
    for (let i = 0; i < 2; i++) socket.write(Buffer.alloc(mebibyte), () => done.push(i));
    await turn();
    assert.deepEqual(calls, ['hold', `write ${mebibyte / 2}`], 'in whole pieces');
    socket.handleRoom();
    await turn();
    assert.deepEqual([calls.length, done], [2, []]);
    for (const most of [1, 2]) {
      room.bytes = mebibyte;
      socket.handleRoom();
      await turn();
      assert.deepEqual([socket.queuedBytes, done.length], [Math.min(2, most + 0.5) * mebibyte, most]);
    }
  });

  it('counts as written what was sent and what waits in the stream: progress is what leaves', async () => {
    const { socket } = make();
    for (let i = 0; i < 3; i++) socket.write(Buffer.alloc(mebibyte));
    await turn();
    const progress = (): number => socket.bytesWritten - socket.writableLength;
    assert.equal(progress(), 0);
    socket.handleSent(1000);
    assert.equal(progress(), 1000);
    socket.handleSent(mebibyte - 1000);
    await turn();
    assert.equal(progress(), mebibyte);
  });

  it('gives credit only for what the reader has taken', async () => {
    const { socket, calls } = make();
    const pieces = Array.from({ length: 16 }, () => new Uint8Array(100_000));
    for (const piece of pieces) socket.handleData(piece);
    socket.read(0);
    await turn();
    const given = (): number =>
      calls.filter((call) => call.startsWith('consumed')).reduce((sum, call) => sum + Number(call.split(' ')[1]), 0);
    assert.ok(given() <= 300_000, `${given()} bytes of credit for a reader that took none`);
    let read = 0;
    socket.on('data', (bytes: Buffer) => {
      read += bytes.length;
    });
    while (read < 1_600_000) await turn();
    await turn();
    assert.equal(given(), 1_600_000);
    assert.equal(socket.bytesRead, 1_600_000);
  });

  it('hands its bytes to whoever diverts them, the rest to its reader, in order, and gives their memory back', async () => {
    const { socket, calls } = make();
    const diverted: number[] = [];
    let most = 5;
    socket.divert((bytes) => {
      const taken = Math.min(most, bytes.length);
      most -= taken;
      diverted.push(...bytes.subarray(0, taken));
      return taken;
    });
    const read: number[] = [];
    socket.on('data', (bytes: Buffer) => read.push(...bytes));
    await turn();
    for (const piece of [[1, 2, 3], [4, 5, 6], [7]]) socket.handleData(Uint8Array.from(piece));
    await turn();
    assert.deepEqual(
      [diverted, read],
      [
        [1, 2, 3, 4, 5],
        [6, 7],
      ],
    );
    assert.deepEqual(
      calls.filter((call) => call.startsWith('recycle')),
      ['recycle 3'],
    );
    assert.equal(
      calls.filter((call) => call.startsWith('consumed')).reduce((sum, call) => sum + Number(call.split(' ')[1]), 0),
      7,
    );
  });

  it('diverts nothing while it is paused, and all of it afterwards', async () => {
    const { socket } = make();
    const diverted: number[] = [];
    socket.divert((bytes) => {
      diverted.push(...bytes);
      if (diverted.length % 2 === 0) socket.pause();
      return bytes.length;
    });
    socket.on('data', () => assert.fail('nothing is left over'));
    await turn();
    for (let i = 0; i < 6; i++) socket.handleData(Uint8Array.of(i));
    await turn();
    assert.deepEqual(diverted, [0, 1]);
    socket.resume();
    await turn();
    assert.deepEqual(diverted, [0, 1, 2, 3]);
    socket.handleEnd();
    const ended = once(socket, 'end');
    socket.resume();
    await turn();
    socket.resume();
    await ended;
    assert.deepEqual(diverted, [0, 1, 2, 3, 4, 5]);
  });

  it('ends its reader after the last byte, and its writer with it unless half-open is allowed', async () => {
    for (const allowHalfOpen of [true, false]) {
      const { socket, calls } = make({ allowHalfOpen });
      socket.handleData(Buffer.from('last'));
      socket.handleEnd();
      const pieces: Buffer[] = [];
      socket.on('data', (bytes: Buffer) => pieces.push(bytes));
      await once(socket, 'end');
      assert.equal(Buffer.concat(pieces).toString(), 'last');
      await turn();
      assert.equal(calls.includes('end'), !allowHalfOpen);
      socket.destroy();
    }
  });

  it('resets the stream when it is destroyed in the middle', async () => {
    const { socket, calls } = make();
    socket.write('some');
    socket.destroy();
    await once(socket, 'close');
    assert.deepEqual(calls, ['hold', 'write 4', 'release', 'reset', 'forget']);
  });

  it('lets arrive what it wrote and ended, whatever the peer still has to say', async () => {
    const { socket, calls } = make();
    socket.write('answer');
    socket.destroySoon();
    await once(socket, 'close');
    assert.deepEqual(calls, ['hold', 'write 6', 'end', 'release', 'abandon', 'forget']);
  });

  it('needs no word to the peer when both have ended', async () => {
    const { socket, calls } = make();
    socket.handleEnd();
    socket.resume();
    socket.end();
    await once(socket, 'close');
    assert.deepEqual(calls, ['hold', 'end', 'release', 'forget']);
  });

  it('fails as a socket does when the peer resets, and says nothing back', async () => {
    const { socket, calls } = make();
    const failed = once(socket, 'error');
    socket.handleReset();
    assert.equal((await failed)[0].code, 'ECONNRESET');
    assert.deepEqual(calls, ['hold', 'release', 'forget']);
  });

  it('fails what waits to be written when it is destroyed', async () => {
    const { socket } = make({ room: { bytes: mebibyte } });
    const errors: unknown[] = [];
    for (let i = 0; i < 4; i++) socket.write(Buffer.alloc(mebibyte), (error) => errors.push(error?.message));
    const closed = new Promise<void>((resolve) => socket.on('error', () => {}).on('close', resolve));
    socket.handleReset();
    await closed;
    await turn();
    assert.equal(errors.length, 4);
    // The first had been taken; of what became of it, nobody can tell.
    assert.equal(errors.filter((error) => error !== undefined).length, 3, String(errors));
  });

  it('reports silence once its time is set, and not when bytes move', async () => {
    const { socket } = make();
    const timeout = once(socket, 'timeout');
    socket.setTimeout(1);
    await timeout;
    let late = false;
    socket.setTimeout(50_000, () => {
      late = true;
    });
    socket.setTimeout(0);
    assert.equal(late, false);
    socket.destroy();
  });

  it('holds the process as long as it lives and is not unreferenced', () => {
    const { socket, calls } = make();
    socket.unref().unref();
    socket.ref().ref();
    socket.destroy();
    socket.ref();
    assert.deepEqual(
      calls.filter((call) => call === 'hold' || call === 'release'),
      ['hold', 'release', 'hold', 'release'],
    );
  });

  it('has the peer’s current address', () => {
    const { socket } = make();
    assert.deepEqual([socket.remoteAddress, socket.remotePort, socket.remoteFamily], ['2001:db8::1', 9, 'IPv6']);
  });
});
