import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { test } from 'node:test';
import { addressesNow, choosePaths } from './local-paths.ts';

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

const path = (name: string, addresses: string[], more: { device?: string | null; metered?: boolean } = {}) => ({
  name,
  device: name,
  addresses,
  metered: false,
  ...more,
});

test('a path for each interface that is named, in that order, IPv4 before IPv6, no address of the link alone', () => {
  assert.deepEqual(choosePaths(['wlan0', 'eth0', 'wlan0'], here), [
    path('wlan0', ['2001:db8::2']),
    path('eth0', ['192.0.2.1', '2001:db8::1']),
  ]);
});

test('with those to leave out, all others but this machine to itself', () => {
  assert.deepEqual(choosePaths(['!wlan0'], here), [path('eth0', ['192.0.2.1', '2001:db8::1'])]);
  assert.deepEqual(choosePaths(['eth0', 'wlan0', '!eth0'], here), [path('wlan0', ['2001:db8::2'])]);
});

test('this machine to itself, when it is named', () => {
  assert.deepEqual(choosePaths(['lo'], here), [path('lo', ['127.0.0.1', '::1'])]);
});

test('an address of this machine is a path, by the interface that has it', () => {
  assert.deepEqual(choosePaths(['192.0.2.1', '2001:db8::1:metered', '127.0.0.2'], here), [
    path('192.0.2.1', ['192.0.2.1'], { device: 'eth0' }),
    path('2001:db8::1', ['2001:db8::1'], { device: 'eth0', metered: true }),
    path('127.0.0.2', ['127.0.0.2'], { device: null }),
  ]);
});

test('a metered interface is marked; together with those to leave out it does not leave out the rest', () => {
  assert.deepEqual(choosePaths(['eth0', 'wlan0:metered'], here), [
    path('eth0', ['192.0.2.1', '2001:db8::1']),
    path('wlan0', ['2001:db8::2'], { metered: true }),
  ]);
  assert.deepEqual(choosePaths(['!tun0', 'wlan0:metered'], here), [
    path('eth0', ['192.0.2.1', '2001:db8::1']),
    path('wlan0', ['2001:db8::2'], { metered: true }),
  ]);
  assert.deepEqual(choosePaths(['wlan0:metered'], here), [path('wlan0', ['2001:db8::2'], { metered: true })]);
});

test('the addresses of an interface are those that it has now', () => {
  const [eth0] = choosePaths(['eth0'], here);
  assert.deepEqual(addressesNow(eth0!, { eth0: [entry('198.51.100.7')] }), ['198.51.100.7']);
  assert.deepEqual(addressesNow(eth0!, {}), []);
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
