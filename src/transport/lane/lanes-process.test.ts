/** A lane's threads beside the rest of a process: its end, and defects in them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { application, ask, parameters } from '../../../test/transport/lanes-fixture.ts';
import { listenLanes } from './listen.ts';
import { openClientLane } from './open.ts';
import type { LaneParameters } from './thread-messages.ts';
import { startThread } from './worker-host.ts';

describe('a process with a lane', { timeout: 30_000 }, () => {
  it('ends by itself when nothing is left to do, and the server hears of it', async () => {
    const server = startThread();
    const app = application();
    const closed = Promise.withResolvers<string>();
    const listener = await listenLanes({
      host: '127.0.0.1',
      port: 0,
      thread: server,
      onStream: (_laneId, socket) => app.emit('connection', socket),
      onClosed: (laneId, reason) => (laneId === 'close' ? closed.resolve(reason) : undefined),
    });
    const program = ({ secret, clientRandom, ...rest }: LaneParameters): string => `
      import http from 'node:http';
      import { openClientLane } from '${new URL('./open.ts', import.meta.url).href}';
      const hex = (text) => Buffer.from(text, 'hex');
      const link = await openClientLane({
        ...${JSON.stringify(rest)},
        secret: hex('${Buffer.from(secret).toString('hex')}'),
        clientRandom: hex('${Buffer.from(clientRandom).toString('hex')}'),
        endpoints: [{ host: '127.0.0.1', port: ${listener.port} }],
      });
      const ask = (then) => http.get({ createConnection: () => link.connect(), path: '/bytes/9' }, (response) => {
        response.resume().on('end', then);
      });
      ask(async () => {
        console.log('answered');
        if (process.argv.at(-1) === 'close') await link.close('all is done');
      });`;
    const run = async (how: string): Promise<string> => {
      const lane = parameters(how);
      listener.add(lane);
      const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program(lane), '--', how]);
      return stdout;
    };
    assert.equal(await run('leave'), 'answered\n');
    assert.equal(await run('close'), 'answered\n');
    assert.equal(await closed.promise, 'all is done');
    await listener.close();
    await server.stop();
  });
});

describe('a defect in a lane', { timeout: 30_000 }, () => {
  it('ends that lane, and the thread goes on', async () => {
    const usual = new URL('../../core/lane/connection.ts', import.meta.url).href;
    const module = `import { createLane as usual } from '${usual}';
      export const createLane = (options) => {
        const lane = usual(options);
        if (options.capBytesPerSecond === 666) lane.handlePacket = () => { throw new Error('out of its mind'); };
        return lane;
      };`;
    const thread = startThread(`data:text/javascript,${encodeURIComponent(module)}`);
    const client = startThread();
    const closed = Promise.withResolvers<string>();
    const app = application();
    const listener = await listenLanes({
      host: '127.0.0.1',
      port: 0,
      thread,
      onStream: (_laneId, socket) => app.emit('connection', socket),
      onClosed: (laneId, reason) => closed.resolve(`${laneId}: ${reason}`),
    });
    const [good, bad] = [parameters('good'), parameters('bad')];
    listener.add(good);
    listener.add({ ...bad, capBytesPerSecond: 666 });
    const warned = once(process, 'warning');
    const endpoints = [{ host: '127.0.0.1', port: listener.port }];
    const stop = new AbortController();
    const doomed = openClientLane({ ...bad, endpoints, thread: client, signal: stop.signal });
    assert.equal(await closed.promise, 'bad: a defect in Hawser (out of its mind)');
    assert.match(String((await warned)[0]), /out of its mind/);
    stop.abort();
    await assert.rejects(doomed, { code: 'interrupted' });
    const link = await openClientLane({ ...good, endpoints, thread: client });
    assert.equal((await ask(link, '/bytes/7')).bytes.length, 7);
    await link.close();
    await listener.close();
    await Promise.all([thread.stop(), client.stop()]);
  });
});
