import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { it } from 'node:test';
import { native } from './lane/native.ts';
import { waitingBytes } from './waiting-bytes.ts';

const skip = process.platform === 'linux' && native() ? false : 'the kernel does not say';

it('what nobody reads at the other end waits, in Node or in the kernel', { skip }, async () => {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const { port } = server.address() as { port: number };
  const socket = connect(port, '127.0.0.1');
  const [peer] = await accepted;
  try {
    assert.equal(waitingBytes(socket), 0);
    // More than the other end's kernel takes, and less than ours does.
    const bytes = 16 << 20;
    socket.write(Buffer.alloc(bytes));
    // What the peer has not read it may have received.
    assert.ok(waitingBytes(socket) > bytes / 4, `${waitingBytes(socket)}`);
    let received = 0;
    peer.on('data', (piece) => {
      received += piece.length;
    });
    peer.resume();
    while (received < bytes) await once(peer, 'data');
    // The last acknowledgement may be on its way.
    while (waitingBytes(socket) > 0) await new Promise(setImmediate);
  } finally {
    socket.destroy();
    peer.destroy();
    server.close();
  }
});
