import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, describe, it } from 'node:test';
import type { PathSnapshot } from '../../core/lane/contract.ts';
import { listenLanes } from './listen.ts';
import { openClientLane } from './open.ts';
import { keepStallTrace, StallWatch } from './stall-trace.ts';
import { startThread } from './worker-host.ts';

const root = mkdtempSync(join(tmpdir(), 'hawser-stall-'));
after(() => rmSync(root, { recursive: true }));

const SECOND = 1e6;
const path = (mode: string, state = 'active') => ({ mode, state }) as PathSnapshot;
const silent = { paths: [path('stalled')] };
const well = { paths: [path('cruise')] };

describe('a stall is noticed', () => {
  it('once, when nothing was answered for two seconds', () => {
    const watch = new StallWatch();
    assert.equal(watch.handle(0, silent), false);
    assert.equal(watch.handle(1.9 * SECOND, silent), false);
    assert.equal(watch.handle(2 * SECOND, silent), true);
    // However long it lasts, its beginning is what is worth keeping.
    for (let at = 3; at < 1000; at++) assert.equal(watch.handle(at * SECOND, silent), false);
  });

  it('again only when it went on in between, and the trace has moved on', () => {
    const watch = new StallWatch();
    const stall = (fromS: number): boolean => {
      watch.handle(fromS * SECOND, well);
      watch.handle((fromS + 1) * SECOND, silent);
      return watch.handle((fromS + 3) * SECOND, silent);
    };
    assert.equal(stall(0), true);
    assert.equal(stall(10), false);
    assert.equal(stall(31), true);
  });

  it('only when every path is silent, and not before there is one', () => {
    const watch = new StallWatch();
    const both = { paths: [path('stalled'), path('ramp')] };
    for (let at = 0; at < 10; at++) assert.equal(watch.handle(at * SECOND, both), false);
    for (let at = 10; at < 20; at++) assert.equal(watch.handle(at * SECOND, { paths: [] }), false);
    const dead = { paths: [path('stalled'), path('cruise', 'failed')] };
    watch.handle(20 * SECOND, dead);
    assert.equal(watch.handle(22 * SECOND, dead), true);
  });
});

describe('what a stall leaves', () => {
  const keep = (folder: string, nowMs: number, events: string[] = ['{"n":1}'], laneId = 'abc') =>
    keepStallTrace({ folder, laneId, role: 'client', nowMs, events });

  it('is a trace that its owner alone can read, in a folder that is made', () => {
    const file = keep(join(root, 'made', 'here'), 0)!;
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.equal(statSync(join(root, 'made', 'here')).mode & 0o777, 0o700);
    const [head, event] = readFileSync(file, 'utf8')
      .split('\x1e')
      .slice(1)
      .map((text) => JSON.parse(text));
    assert.equal(head.trace.common_fields.group_id, 'abc');
    assert.deepEqual(event, { n: 1 });
  });

  it('is bounded in size, the newest of it, and in number, the newest of them', () => {
    const folder = join(root, 'bounded');
    const text = JSON.stringify({ x: 'x'.repeat(1000) });
    const last = JSON.stringify({ last: true });
    let newest = '';
    for (let day = 0; day < 20; day++) newest = keep(folder, day * 86_400_000, [...Array(2000).fill(text), last])!;
    assert.equal(readdirSync(folder).length, 16);
    assert.ok(readdirSync(folder).includes(basename(newest)));
    assert.ok(statSync(newest).size <= (1 << 20) + 500);
    assert.ok(readFileSync(newest, 'utf8').endsWith(`${last}\n`));
  });

  it('stays in its folder whatever the server calls the lane, and does without where it cannot be written', () => {
    const folder = join(root, 'here');
    const file = keep(folder, 1, [], '../../../etc/x')!;
    assert.equal(join(folder, basename(file)), file);
    mkdirSync(join(root, 'file'));
    assert.equal(keep(join(root, 'file', 'x'.repeat(300)), 1), null);
  });
});

it('a lane whose packets stop leaves its trace, and tells of it', { timeout: 60_000 }, async () => {
  const threads = [startThread(), startThread()] as const;
  const listener = await listenLanes({
    host: '127.0.0.1',
    port: 0,
    onStream: (_id, socket) => socket.resume(),
    thread: threads[0],
  });
  const relay = createSocket('udp4').bind(0, '127.0.0.1');
  await once(relay, 'listening');
  let [isDown, client] = [false, 0];
  relay.on('message', (datagram, { port }) => {
    if (isDown) return;
    if (port !== listener.port) client = port;
    relay.send(datagram, port === listener.port ? client : listener.port, '127.0.0.1');
  });
  const secrets = { secret: randomBytes(32), clientRandom: randomBytes(32) };
  const parameters = { laneId: 'lane', suite: 'aes-128-gcm', ...secrets, maxPaths: 1, policy: { kind: 'fair' } } as const;
  listener.add(parameters);
  const link = await openClientLane({
    ...parameters,
    endpoints: [{ host: '127.0.0.1', port: relay.address().port }],
    stallFolder: join(root, 'stalls'),
    thread: threads[1],
  });
  try {
    const socket = link.connect().on('error', () => undefined);
    const stalled = once(link, 'stalled');
    socket.write(Buffer.alloc(100_000));
    isDown = true;
    socket.write(Buffer.alloc(4 << 20));
    const [file] = (await stalled) as [string];
    const names = readFileSync(file, 'utf8')
      .split('\x1e')
      .slice(2)
      .map((text) => JSON.parse(text).name);
    assert.equal(names.at(-1), 'lane:stalled');
    assert.ok(names.includes('rate:decision') || names.includes('path:state'), `${names}`);
  } finally {
    relay.close();
    await Promise.all(threads.map((thread) => thread.stop()));
  }
});
