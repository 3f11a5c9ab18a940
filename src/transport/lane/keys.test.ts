import assert from 'node:assert/strict';
import { hkdfSync } from 'node:crypto';
import { describe, it } from 'node:test';
import { createKeySchedule, KEY_BYTES, type Suite } from './keys.ts';

const secret = Uint8Array.from({ length: 32 }, (_, i) => i);
const clientRandom = Uint8Array.from({ length: 32 }, (_, i) => 255 - i);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
/** Extract and Expand at once, by Node. */
const byNode = (label: string, bytes: number): string =>
  hex(new Uint8Array(hkdfSync('sha256', secret, clientRandom, `hawser lane v1 ${label}`, bytes)));

describe('key schedule of a lane', () => {
  for (const suite of Object.keys(KEY_BYTES) as Suite[]) {
    it(`${suite}: derives what HKDF does from the labels`, () => {
      const schedule = createKeySchedule({ suite, secret, clientRandom });
      for (const direction of ['c2s', 's2c'] as const) {
        const { key, iv } = schedule.keys(direction, 0);
        assert.equal(hex(key), byNode(`${direction} key`, KEY_BYTES[suite]));
        assert.equal(hex(iv), byNode(`${direction} iv`, 12));
      }
    });
  }

  it('has the values that it always had', () => {
    const schedule = createKeySchedule({ suite: 'aes-128-gcm', secret, clientRandom });
    const { high, low } = schedule.connectionId('s2c', 3);
    assert.deepEqual(
      {
        key0: hex(schedule.keys('c2s', 0).key),
        key2: hex(schedule.keys('c2s', 2).key),
        id: high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0'),
      },
      GOLDEN,
    );
    assert.equal(GOLDEN.id, byNode('cid s2c 3', 8));
  });

  it('gives each direction, path and phase its own', () => {
    const schedule = createKeySchedule({ suite: 'aes-256-gcm', secret, clientRandom });
    const seen = new Set<string>();
    for (const direction of ['c2s', 's2c'] as const) {
      for (let n = 0; n < 4; n++) {
        const { key, iv } = schedule.keys(direction, n);
        seen.add(hex(key)).add(hex(iv));
        const { high, low } = schedule.connectionId(direction, n);
        seen.add(`${high} ${low}`);
      }
    }
    assert.equal(seen.size, 2 * 4 * 3);
  });

  it('depends on both ends', () => {
    const key = (options: { secret?: Uint8Array; clientRandom?: Uint8Array }): string =>
      hex(createKeySchedule({ suite: 'aes-128-gcm', secret, clientRandom, ...options }).keys('c2s', 0).key);
    const other = new Uint8Array(32).fill(7);
    assert.equal(new Set([key({}), key({ secret: other }), key({ clientRandom: other })]).size, 3);
  });

  it('takes no short secret', () => {
    const short = new Uint8Array(31);
    assert.throws(() => createKeySchedule({ suite: 'aes-128-gcm', secret: short, clientRandom }), RangeError);
    assert.throws(() => createKeySchedule({ suite: 'aes-128-gcm', secret, clientRandom: short }), RangeError);
  });
});

/** By an HKDF written for this in another language. */
const GOLDEN = {
  key0: '398fa50775a84c5c7b786c74d6118b76',
  key2: '19403407c48102fbbbc309e23705210a',
  id: '19c1fa3d654ca252',
};
