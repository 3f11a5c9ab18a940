import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { holdWriteErrors } from './linger.ts';

/** Answers the first bytes and closes at once, in a thread of its own, so that it can do so while the client does not look. */
const SERVER = `
  const { workerData: flag, parentPort } = require('node:worker_threads');
  const server = require('node:net').createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.pause().write('refused', () => socket.destroy()));
    socket.on('close', () => { Atomics.store(flag, 0, 1); Atomics.notify(flag, 0); });
  });
  server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`;

/** What the client reads when its next write meets a connection that the server has answered on and closed. */
async function readAfterFailedWrite(): Promise<string> {
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const server = new Worker(SERVER, { eval: true, workerData: flag });
  try {
    const [port] = await once(server, 'message');
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    holdWriteErrors(socket, 10_000);
    let read = '';
    socket.on('data', (piece) => {
      read += piece;
    });
    socket.on('error', () => {});
    socket.write('a');
    Atomics.wait(flag, 0, 0);
    // The first write after the close is answered with a reset; the second one meets it.
    socket.write(Buffer.alloc(1000));
    setImmediate(() => socket.write(Buffer.alloc(1000)));
    await new Promise((resolve) => socket.once('close', resolve));
    return read;
  } finally {
    await server.terminate();
  }
}

it('an answer that came before the connection was closed is read although a write fails', async () => {
  assert.equal(await readAfterFailedWrite(), 'refused');
});
