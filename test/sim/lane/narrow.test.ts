/** Paths that swallow packets of full size: never opened, and noticed when they become so. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { CheckedPair } from './checked-pair.ts';

const LINK = { bitsPerSecond: 20e6, delayUs: 20_000 };
const NARROW_BYTES = 1300;

for (const side of ['up', 'down'] as const) {
  test(`a path that is too narrow from the start is not opened (${side})`, () => {
    const narrow = { ...LINK, mtuBytes: NARROW_BYTES };
    const checked = new CheckedPair({
      seed: 1,
      paths: [side === 'up' ? { up: narrow, down: LINK } : { up: LINK, down: narrow }],
    });
    checked.exchange(100_000, 100_000);
    checked.pair.run(10e6);
    const { client } = checked.pair;
    assert.equal(client.lane.snapshot(client.host.clockUs).paths[0]?.state, 'opening');
    assert.equal(client.receivedBytes.size, 0);
  });

  test(`one that becomes too narrow ends the lane within seconds, with the reason (${side})`, () => {
    for (const seed of [1, 2, 3]) {
      for (const lossRate of [0, 0.2]) {
        const checked = new CheckedPair({ seed, paths: [{ up: { ...LINK, lossRate }, down: { ...LINK, lossRate } }] });
        checked.exchange(20_000_000, 20_000_000);
        checked.pair.run(2e6);
        const { client, server } = checked.pair;
        (side === 'up' ? client : server).out[0]!.options.mtuBytes = NARROW_BYTES;
        // Where packets are lost the last word may be too.
        const closed = () => [client.closed, server.closed].filter((reason) => reason !== null);
        const ends = lossRate === 0 ? 2 : 1;
        assert.ok(
          checked.pair.until(() => closed().length >= ends, 12e6),
          `seed ${seed}, loss ${lossRate}`,
        );
        for (const reason of closed()) assert.match(reason, /full size/);
      }
    }
  });
}

test('loss of nine packets in ten is not taken for a narrow path', () => {
  for (const seed of [1, 2, 3]) {
    const checked = new CheckedPair({ seed, paths: [{ up: LINK }] });
    checked.exchange(300_000, 300_000);
    checked.pair.run(100_000);
    for (const end of [checked.pair.client, checked.pair.server]) end.out[0]!.options.lossRate = 0.9;
    checked.finish(600e6);
  }
});
