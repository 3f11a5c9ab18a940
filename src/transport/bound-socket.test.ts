import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connectBy, waysFrom } from './bound-socket.ts';
import type { LocalPath } from './local-paths.ts';

const LINUX = process.platform === 'linux';
const path = (name: string, device: string | null = null): LocalPath => ({ name, device, addresses: [], metered: false });

async function listen(context: TestContext): Promise<{ port: number; accepted: Promise<Socket> }> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection').then(([socket]) => socket as Socket);
  context.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, accepted };
}

for (const device of [null, 'lo']) {
  const name = `a connection has the local address that was asked for${device ? ', also when it is bound to an interface' : ''}`;
  test(name, { skip: !LINUX && 'has one loopback address' }, async (context) => {
    const { port, accepted } = await listen(context);
    const socket = connectBy({ family: 4, local: '127.0.0.2', remote: '127.0.0.1', device }, port);
    context.after(() => socket.destroy());
    const served = await accepted;
    context.after(() => served.destroy());
    assert.equal(served.remoteAddress, '127.0.0.2');
    served.write('down');
    assert.equal(String((await once(socket, 'data'))[0]), 'down');
    socket.write('up');
    assert.equal(String((await once(served, 'data'))[0]), 'up');
  });
}

test('a refused connection says so', async (context) => {
  const { port } = await listen(context);
  const socket = connectBy(
    { family: 4, local: '127.0.0.1', remote: '127.0.0.1', device: LINUX ? 'lo' : null },
    port === 1 ? 2 : 1,
  );
  const [error] = await new Promise<Error[]>((resolve) => socket.once('error', (error) => resolve([error])));
  assert.equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED');
});

test('ways are the pairs of one family, the wanted family first; without one it is said', async () => {
  assert.deepEqual(await waysFrom(path('127.0.0.2'), '127.0.0.1', undefined), [
    { family: 4, local: '127.0.0.2', remote: '127.0.0.1', device: null },
  ]);
  await assert.rejects(waysFrom(path('127.0.0.2'), '::1', undefined), { code: 'unreachable', message: /families/ });
  await assert.rejects(waysFrom(path('no-such-network'), '127.0.0.1', 4), { code: 'unreachable', message: /no address now/ });
});
