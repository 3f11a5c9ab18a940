/** How soon bytes are safe, and how long none are: what the user of an upload sees. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { LanePair } from './pair.ts';
import { upload } from './uploads-over.ts';

for (const [cachedMbit, mostStartS, mostEndS] of [
  [100, 2.3, 4],
  [0, 2.9, 5],
] as const) {
  const who = cachedMbit > 0 ? 'a client that was here before' : 'a client that knows nothing';
  test(`where 30 % are lost in bursts of 16 packets, ${who} begins soon and never stands still`, () => {
    const [starts, ends] = [[] as number[], [] as number[]];
    for (let seed = 1; seed <= 40; seed++) {
      const link = { bitsPerSecond: 100e6, delayUs: 100_000, queueUs: 200_000, lossRate: 0.3, lossBurst: 16 };
      const known = cachedMbit > 0 ? { cachedBytesPerSecond: cachedMbit * 125_000, cachedRttUs: 200_000 } : {};
      const clientPath = { opened: true, rttUs: 200_000, ...known } as const;
      const pair = new LanePair({ seed, serverGuesses: true, paths: [{ up: link }], clientPath });
      const done = upload(pair, BYTES);
      assert.ok(
        pair.until(() => done.safeBytes === BYTES, 15e6),
        `seed ${seed}: ${done.safeBytes} bytes after 15 s`,
      );
      starts.push(done.safeUs[0]! / 1e6);
      ends.push(done.safeUs.at(-1)! / 1e6);
    }
    assert.ok(mean(starts) <= mostStartS, `first bytes safe after ${mean(starts)} s`);
    assert.ok(mean(ends) <= mostEndS, `all after ${mean(ends)} s`);
  });
}

for (const [dead, mostS] of [
  [0, 0.8],
  [1, 0.6],
] as const) {
  test(`when the ${dead === 0 ? 'nearer' : 'farther'} of two paths dies, bytes go on becoming safe: never none for ${mostS} s`, () => {
    for (let seed = 1; seed <= 8; seed++) {
      const link = { bitsPerSecond: 50e6, queueUs: 200_000 };
      const ways = [
        { ...link, delayUs: 20_000, lossRate: 0.02 },
        { ...link, delayUs: 100_000, lossRate: 0.1 },
      ];
      const pair = new LanePair({ seed, serverGuesses: true, paths: ways.map((up) => ({ up })) });
      const { safeUs } = upload(pair, Number.POSITIVE_INFINITY);
      const diedUs = 3e6 + seed * 137_000;
      pair.run(diedUs);
      for (const end of [pair.client, pair.server]) end.out[dead]!.options.up = false;
      pair.run(diedUs + 6e6);
      const after = [diedUs, ...safeUs.filter((us) => us > diedUs), diedUs + 6e6];
      const gapS = Math.max(...after.slice(1).map((us, i) => us - after[i]!)) / 1e6;
      assert.ok(gapS <= mostS, `seed ${seed}: nothing became safe for ${gapS} s`);
    }
  });
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

const BYTES = 10_000_000;
