import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { readDirectly } from './direct-body.ts';
import { LaneSocket } from './lane/lane-socket.ts';

async function serve(t: TestContext, handler: (request: IncomingMessage, response: ServerResponse) => void): Promise<number> {
  const server = http.createServer(handler).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function put(target: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`PUT ${target} HTTP/1.1\r\nhost: here\r\ncontent-length: ${body.length}\r\n\r\n`), body]);
}

/** Reads the whole body; `roomBytes` at a time. Null: not directly. `onTake` may throw or ask to wait. */
async function read(request: IncomingMessage, roomBytes: number, onTake?: (bytes: number) => Promise<void> | undefined) {
  const pieces: Buffer[] = [];
  let memory = Buffer.alloc(0);
  const room = () => {
    memory = Buffer.alloc(roomBytes);
    return memory;
  };
  const take = (bytes: number) => {
    pieces.push(memory.subarray(0, bytes));
    return onTake?.(bytes);
  };
  const direct = readDirectly(request, { room, take }, 0);
  if (!direct) return null;
  request.once('end', direct.handleEnd);
  request.once('close', () => request.complete || direct.fail(new Error('closed')));
  direct.start([]);
  await direct.done;
  return Buffer.concat(pieces);
}

describe('a body read directly', () => {
  const first = randomBytes(300_000);
  const second = randomBytes(70_000);

  it('is what was sent, also when the next request follows in the same packet', async (t) => {
    const got: (Buffer | null)[] = [];
    const port = await serve(t, async (request, response) => {
      got.push(await read(request, 10_000));
      response.end(request.url);
    });
    const socket = net.connect(port, '127.0.0.1');
    socket.write(
      Buffer.concat([
        put('/1', first),
        put('/2', second),
        Buffer.from('GET /3 HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n'),
      ]),
    );
    let answers = '';
    for await (const piece of socket) answers += piece;
    assert.deepEqual(got[0], first);
    // The second may have come whole with the first, and then there is nothing left to read directly.
    if (got[1]) assert.deepEqual(got[1], second);
    assert.equal(got[2], null);
    assert.equal(answers.match(/HTTP\/1.1 200/g)?.length, 3);
  });

  it('waits when it is asked to, and ends only after that', async (t) => {
    let waiting = 0;
    const port = await serve(t, async (request, response) => {
      const got = await read(request, 1 << 16, async () => {
        waiting++;
        await new Promise((resolve) => setImmediate(resolve));
        waiting--;
      });
      assert.equal(waiting, 0);
      assert.deepEqual(got, first);
      response.end('whole');
    });
    assert.equal(await (await fetch(`http://127.0.0.1:${port}/`, { method: 'PUT', body: first })).text(), 'whole');
  });

  it('fails with what the reader throws at the last byte, and leaves the connection as it should be', async (t) => {
    const port = await serve(t, async (request, response) => {
      let bytes = 0;
      const failing = read(request, 1 << 16, async (more) => {
        bytes += more;
        if (bytes === first.length) throw new Error('damaged');
      });
      await failing.then(
        () => response.end('nothing wrong'),
        (error) => response.end(error.message),
      );
    });
    for (const _ of [1, 2]) {
      assert.equal(await (await fetch(`http://127.0.0.1:${port}/`, { method: 'PUT', body: first })).text(), 'damaged');
    }
  });

  it('given up half-way comes the usual way from there', async (t) => {
    const port = await serve(t, async (request, response) => {
      let bytes = 0;
      await assert.rejects(
        read(request, 1000, (more) => {
          bytes += more;
          if (bytes > 100_000) throw new Error('enough');
          return undefined;
        }),
        /enough/,
      );
      const rest: Buffer[] = [];
      request.on('data', (piece) => rest.push(piece));
      request.on('end', () => response.end(String(Buffer.concat(rest).equals(first.subarray(bytes)))));
      request.resume();
    });
    assert.equal(await (await fetch(`http://127.0.0.1:${port}/`, { method: 'PUT', body: first })).text(), 'true');
  });
});

describe('a body read directly from a stream of a lane', () => {
  it('is what was sent, however it is cut, also when its reader has to be waited for', async () => {
    const bodies = [randomBytes(300_000), randomBytes(131_840)];
    for (const pieceBytes of [131_826, 10_000, 137]) {
      const got: (Buffer | null)[] = [];
      const server = http.createServer(async (request, response) => {
        const wait = () => (got.length === 0 ? new Promise<void>((resolve) => setImmediate(resolve)) : undefined);
        got.push(await read(request, 4096, wait));
        response.end();
      });
      let recycled = 0;
      const socket = new LaneSocket(
        {
          write: () => setImmediate(() => socket.handleSent(0)),
          end() {},
          reset() {},
          abandon() {},
          consumed() {},
          memory: (bytes) => new Uint8Array(bytes),
          room: () => Infinity,
          recycle: ({ length }) => {
            recycled += length;
          },
          forget() {},
          hold() {},
          release() {},
          remoteAddress: '192.0.2.1',
          remotePort: 9,
        },
        0,
        { allowHalfOpen: true },
      );
      server.emit('connection', socket);
      for (const [i, body] of bodies.entries()) {
        const sent = put(`/${i}`, body);
        for (let at = 0; at < sent.length; at += pieceBytes)
          socket.handleData(new Uint8Array(sent.subarray(at, at + pieceBytes)));
        while (got.length <= i) await new Promise((resolve) => setImmediate(resolve));
        assert.ok(got[i]?.equals(body), `body ${i} in pieces of ${pieceBytes}`);
      }
      assert.ok(recycled > 0, 'memory is given back');
      socket.destroy();
    }
  });
});
