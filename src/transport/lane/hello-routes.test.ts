import assert from 'node:assert/strict';
import test from 'node:test';
import { HELLO_BYTES } from './hello.ts';
import { HelloRoutes } from './hello-routes.ts';
import type { DatagramPort, OutgoingBatch } from './port.ts';

test('a hello is said a few times while an answer may be on its way, then close together for a second, then rarely', async () => {
  const route = { pathId: 0, metered: false, label: '', local: '127.0.0.1', device: null, host: '127.0.0.1', port: 1 };
  const opened = Promise.withResolvers<void>();
  const greeting = new HelloRoutes(
    { op: 'greet', lane: 1, hello: new Uint8Array(HELLO_BYTES), routes: [route], segmentation: true, expectedRttMs: null },
    {
      nowUs: () => 0,
      openPort: async () => ({}) as DatagramPort,
      closePort: () => undefined,
      post: () => undefined,
      wake: opened.resolve,
    },
  );
  await opened.promise;
  const sentMs: number[] = [];
  let nowUs = 0;
  const batch = { packets: [new Uint8Array(HELLO_BYTES)], count: 0, full: false, add: () => sentMs.push(nowUs / 1000) };
  while (nowUs < 4e6) nowUs = greeting.transmit(nowUs, batch as unknown as OutgoingBatch);
  const between = (fromMs: number, toMs: number): number => sentMs.filter((ms) => ms >= fromMs && ms < toMs).length;
  assert.ok(between(0, 200) <= 10, `${between(0, 200)}`);
  assert.ok(between(200, 1200) >= 60, `${between(200, 1200)}`);
  assert.ok(between(2000, 3000) <= 20, `${between(2000, 3000)}`);
});
