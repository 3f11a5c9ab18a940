import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { peerAddress } from './address.ts';

describe('address of a peer', () => {
  for (const [host, shown] of [
    ['127.0.0.1', '127.0.0.1'],
    ['255.1.2.254', '255.1.2.254'],
    ['::1', '::1'],
    ['::', '::'],
    ['2001:db8::1:0:ff', '2001:db8::1:0:ff'],
    ['2001:0db8:1:2:3:4:5:6', '2001:db8:1:2:3:4:5:6'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['fe80::1%7', 'fe80::1%7'],
  ] as const) {
    it(`reads and shows ${host}`, () => {
      const address = peerAddress(host, 54321);
      assert.equal(address.host, shown);
      assert.equal(address.port, 54321);
    });
  }

  it('is equal only with the same host and port', () => {
    const address = peerAddress('192.0.2.1', 1000);
    assert.equal(address.equals(peerAddress('192.0.2.1', 1000)), true);
    assert.equal(address.equals(peerAddress('192.0.2.1', 1001)), false);
    assert.equal(address.equals(peerAddress('192.0.2.2', 1000)), false);
    assert.equal(peerAddress('2001:db8::1', 1).equals(peerAddress('2001:db8::2', 1)), false);
    assert.equal(peerAddress('2001:db8::1', 1).equals(peerAddress('2001:db8::1', 1)), true);
    assert.equal(address.equals(peerAddress('::ffff:192.0.2.1', 1000)), false);
  });

  it('takes no names', () => {
    assert.throws(() => peerAddress('localhost', 1), RangeError);
    assert.throws(() => peerAddress('1.2.3', 1), RangeError);
  });
});
