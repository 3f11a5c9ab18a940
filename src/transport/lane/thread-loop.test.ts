import assert from 'node:assert/strict';
import test from 'node:test';
import type { NativePoller } from './linux-sockets.ts';
import { createThreadLoop } from './thread-loop.ts';

test('a bulk transfer lets datagrams come together, for no longer than the lane says', async () => {
  // 100 Mbit/s: 40 packets are 4.3 ms.
  const spacingUs = 107;
  for (const [mostGatherUs, expectedUs] of [
    [Infinity, 4000],
    [1000, 1000],
  ] as const) {
    const { promise, resolve } = Promise.withResolvers<void>();
    let nowUs = 0;
    let steppedUs = 0;
    let waitedUs = 0;
    const poller = {
      wait(timeoutUs: number) {
        // Before the first step there is nothing to wait for but messages.
        waitedUs = timeoutUs === Infinity ? 0 : timeoutUs;
        nowUs += waitedUs;
        return false;
      },
    };
    const loop = createThreadLoop({
      nowUs: () => nowUs,
      poller: poller as unknown as NativePoller,
      step(atUs) {
        const bulkOut = Math.round((atUs - steppedUs) / spacingUs);
        steppedUs = atUs;
        const isOver = nowUs > 1e6;
        if (isOver) {
          loop.setActive(false);
          resolve();
        }
        return { wakeUs: isOver ? Infinity : nowUs + 750, bulkIn: 0, bulkOut, mostGatherUs };
      },
    });
    loop.setActive(true);
    await promise;
    assert.equal(waitedUs, expectedUs);
  }
});
