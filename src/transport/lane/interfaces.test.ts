import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { test } from 'node:test';
import { choosePaths } from './interfaces.ts';

const entry = (address: string, more: { internal?: boolean; scopeid?: number } = {}): NetworkInterfaceInfo =>
  ({
    address,
    family: address.includes(':') ? 'IPv6' : 'IPv4',
    internal: false,
    netmask: '',
    mac: '',
    cidr: null,
    ...more,
  }) as NetworkInterfaceInfo;

const here = {
  lo: [entry('127.0.0.1', { internal: true }), entry('::1', { internal: true, scopeid: 0 })],
  eth0: [entry('fe80::1', { scopeid: 2 }), entry('2001:db8::1', { scopeid: 0 }), entry('192.0.2.1')],
  wlan0: [entry('fe80::2', { scopeid: 3 }), entry('2001:db8::2', { scopeid: 0 })],
  tun0: [entry('fe80::3', { scopeid: 4 })],
};

test('an address for each interface that is named, in that order, IPv4 before IPv6, never one of the link alone', () => {
  assert.deepEqual(choosePaths(['wlan0', 'eth0', 'wlan0'], here), [
    { address: '2001:db8::2', name: 'wlan0' },
    { address: '192.0.2.1', name: 'eth0' },
  ]);
});

test('with those to leave out, all others but this machine to itself', () => {
  assert.deepEqual(choosePaths(['!wlan0'], here), [{ address: '192.0.2.1', name: 'eth0' }]);
  assert.deepEqual(choosePaths(['eth0', 'wlan0', '!eth0'], here), [{ address: '2001:db8::2', name: 'wlan0' }]);
});

test('this machine to itself, when it is named', () => {
  assert.deepEqual(choosePaths(['lo'], here), [{ address: '127.0.0.1', name: 'lo' }]);
});

test('an interface that there is not is named, with those that there are', () => {
  for (const name of ['eth1', '!eth1'])
    assert.throws(() => choosePaths([name], here), {
      code: 'request_invalid',
      message: /"eth1" here: there is lo, eth0, wlan0, tun0/,
    });
});

test('interfaces without an address that others can reach are none', () => {
  assert.throws(() => choosePaths(['tun0'], here), { code: 'request_invalid', message: /has an address/ });
  assert.throws(() => choosePaths(['!eth0', '!wlan0'], here), { code: 'request_invalid' });
});
