import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { it } from 'node:test';
import { createConnections } from './connections.ts';

const dialer = { dial: async () => new Socket(), tls: () => undefined, rttMs: () => null };
const options = { stallMs: 1000 };

it('keeps what lies idle, and of that the newest when there is a limit', async () => {
  for (const [most, kept] of [
    [undefined, 5],
    [2, 2],
    [0, 0],
  ] as const) {
    const connections = createConnections(dialer, 5, most);
    const used = await Promise.all(Array.from({ length: 5 }, () => connections.acquire(options)));
    for (const connection of used) connections.release(connection, 60_000);
    const newest = used.slice(5 - kept).map(({ socket }) => socket);
    assert.deepEqual(
      used.map(({ socket }) => socket).filter((socket) => !socket.destroyed),
      newest,
    );
    const again = await Promise.all(Array.from({ length: 5 }, () => connections.acquire(options)));
    assert.equal(again.filter(({ reused }) => reused).length, kept);
    for (const connection of again) connections.discard(connection);
    connections.close();
  }
});
