import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LocalPath } from '../local-paths.ts';
import { type FoundEndpoint, findEndpoints, planRoutes } from './routes.ts';

const local = (name: string, addresses: string[], metered = false): LocalPath => ({ name, device: name, addresses, metered });
const at = (...addresses: string[]): FoundEndpoint => ({
  host: addresses[0]!,
  port: 7420,
  addresses: addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
});
/** "0 eth0 192.0.2.1>203.0.113.1": path, interface, from, to. */
const drawn = (endpoints: FoundEndpoint[], locals: LocalPath[], maxPaths = 8) =>
  planRoutes(endpoints, locals, maxPaths).map(
    (route) => `${route.pathId} ${route.device ?? '-'} ${route.local}>${route.host}${route.metered ? ' metered' : ''}`,
  );

const ETH = local('eth0', ['192.0.2.1', '2001:db8::1']);
const WLAN = local('wlan0', ['198.51.100.1']);
const WWAN = local('wwan0', ['10.0.0.1'], true);

test('one address of the server and no network named: one path, and the addresses of a name are tried side by side', () => {
  assert.deepEqual(drawn([at('203.0.113.1')], []), ['0 - 0.0.0.0>203.0.113.1']);
  assert.deepEqual(drawn([at('203.0.113.1', '2001:db8::9')], []), ['0 - 0.0.0.0>203.0.113.1', '0 - ::>2001:db8::9']);
});

test('several addresses that the server gave are used at once, IPv4 and IPv6 together', () => {
  assert.deepEqual(drawn([at('203.0.113.1'), at('2001:db8::9')], []), ['0 - 0.0.0.0>203.0.113.1', '1 - ::>2001:db8::9']);
});

test('a path for each network, by the families that both have', () => {
  assert.deepEqual(drawn([at('203.0.113.1', '2001:db8::9')], [ETH, WLAN]), [
    '0 eth0 192.0.2.1>203.0.113.1',
    '0 eth0 2001:db8::1>2001:db8::9',
    '1 wlan0 198.51.100.1>203.0.113.1',
  ]);
});

test('a path for each pair of network and address, each having one before any has a second', () => {
  const endpoints = [at('203.0.113.1'), at('203.0.113.2')];
  assert.deepEqual(drawn(endpoints, [ETH, WLAN]), [
    '0 eth0 192.0.2.1>203.0.113.1',
    '1 wlan0 198.51.100.1>203.0.113.2',
    '2 eth0 192.0.2.1>203.0.113.2',
    '3 wlan0 198.51.100.1>203.0.113.1',
  ]);
  // A pair whose families differ is none.
  assert.deepEqual(drawn([at('203.0.113.1'), at('2001:db8::9')], [WLAN]), ['0 wlan0 198.51.100.1>203.0.113.1']);
});

test('what is one path too many is tried beside another one, from the same network if there is one', () => {
  const endpoints = [at('203.0.113.1'), at('203.0.113.2')];
  assert.deepEqual(drawn(endpoints, [ETH, WLAN], 2), [
    '0 eth0 192.0.2.1>203.0.113.1',
    '0 eth0 192.0.2.1>203.0.113.2',
    '1 wlan0 198.51.100.1>203.0.113.2',
    '1 wlan0 198.51.100.1>203.0.113.1',
  ]);
  assert.deepEqual(drawn(endpoints, [], 1), ['0 - 0.0.0.0>203.0.113.1', '0 - 0.0.0.0>203.0.113.2']);
});

test('a metered network comes last, and is not crowded out', () => {
  const endpoints = [at('203.0.113.1'), at('203.0.113.2')];
  assert.deepEqual(drawn([at('203.0.113.1')], [WWAN, ETH]), [
    '0 eth0 192.0.2.1>203.0.113.1',
    '1 wwan0 10.0.0.1>203.0.113.1 metered',
  ]);
  assert.deepEqual(
    drawn(endpoints, [ETH, WLAN, WWAN], 3).filter((route) => !/^[01] .*[^d]$/.test(route)),
    ['2 wwan0 10.0.0.1>203.0.113.1 metered', '2 wwan0 10.0.0.1>203.0.113.2 metered'],
  );
});

test('labels say what tells a path from the others', () => {
  const labels = (endpoints: FoundEndpoint[], locals: LocalPath[]) => planRoutes(endpoints, locals, 8).map(({ label }) => label);
  assert.deepEqual(labels([at('203.0.113.1')], [WLAN]), ['wlan0']);
  assert.deepEqual(labels([at('203.0.113.1'), at('2001:db8::9')], []), ['203.0.113.1:7420', '[2001:db8::9]:7420']);
  assert.deepEqual(labels([at('203.0.113.1'), at('2001:db8::9')], [WLAN]), ['wlan0 to 203.0.113.1:7420']);
});

test('families that differ everywhere, and names that nobody knows, are said', async () => {
  assert.throws(() => planRoutes([at('2001:db8::9')], [WLAN], 8), { code: 'unreachable', message: /families/ });
  await assert.rejects(findEndpoints([{ host: 'no-such-host.invalid', port: 1 }]), { code: 'unreachable' });
  const [found] = await findEndpoints([{ host: '::1', port: 1 }]);
  assert.deepEqual(found, { host: '::1', port: 1, addresses: [{ address: '::1', family: 6 }] });
});
