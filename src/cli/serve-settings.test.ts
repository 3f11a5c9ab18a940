import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EVERY_ADDRESS, isLoopbackHost, parseListen, parseServeFile, serveSettings } from './serve-settings.ts';

describe('--listen', () => {
  for (const [text, host, port] of [
    ['', 'localhost', 7420],
    ['8080', 'localhost', 8080],
    [':8080', EVERY_ADDRESS, 8080],
    ['files.example.org', 'files.example.org', 7420],
    ['0.0.0.0:1', '0.0.0.0', 1],
    ['[::1]:7421', '::1', 7421],
    ['[::]', '::', 7420],
    ['localhost:0', 'localhost', 0],
  ] as const) {
    it(`${JSON.stringify(text)} is ${host} port ${port}`, () => assert.deepEqual(parseListen(text), { host, port }));
  }
  for (const text of [':', ':x', '::1:80', 'a:b', 'a:70000', '70000', 'a b', '[::1', 'http://x:1']) {
    it(`${JSON.stringify(text)} is refused`, () => assert.throws(() => parseListen(text), /is not an address/));
  }
});

describe('settings of serve', () => {
  it('have defaults', () => {
    const expected = { dir: './hawser-data', listen: { host: 'localhost', port: 7420 }, plainHttp: false, logLevel: 'warn' };
    assert.deepEqual(serveSettings({}, {}), expected);
  });

  it('come from the options first, then from the file', () => {
    const file = parseServeFile('{"dir":"/srv","listen":":1","http":true,"log-level":"error","state":"/s"}', 'f.json');
    const settings = serveSettings({ listen: ':2' }, file);
    assert.deepEqual(settings, {
      dir: '/srv',
      listen: { host: EVERY_ADDRESS, port: 2 },
      plainHttp: true,
      logLevel: 'error',
      state: '/s',
    });
  });

  it('name the key of the file that is unknown or of the wrong kind', () => {
    assert.throws(() => parseServeFile('{"listn":"x"}', 'f.json'), /f\.json has the key "listn"/);
    assert.throws(() => parseServeFile('{"constructor":"x"}', 'f.json'), /"constructor"/);
    assert.throws(() => parseServeFile('{"http":"yes"}', 'f.json'), /"http" must be a boolean/);
    assert.throws(() => parseServeFile('{', 'f.json'), /f\.json is not JSON/);
    assert.throws(() => parseServeFile('[]', 'f.json'), /must be one JSON object/);
  });

  it('want certificate and key together, and not with --http', () => {
    assert.throws(() => serveSettings({ tlsCert: 'c' }, {}), /--tls-cert is given alone/);
    assert.throws(() => serveSettings({ tlsKey: 'k' }, {}), /--tls-key is given alone/);
    assert.throws(() => serveSettings({ http: true, tlsCert: 'c', tlsKey: 'k' }, {}), /--http/);
    assert.throws(() => serveSettings({ logLevel: 'loud' }, {}), /"loud" is unknown/);
  });

  it('of the lane: a port or off, policies to forbid, and addresses to tell clients', () => {
    const { lanePort, laneForbid, laneAdvertise } = serveSettings(
      { lane: '7421', laneForbid: 'high, background', laneAdvertise: 'a.example:1, [2001:db8::1]:2' },
      { lane: 'off' },
    );
    assert.equal(lanePort, 7421);
    assert.deepEqual(laneForbid, ['high', 'background']);
    assert.deepEqual(laneAdvertise, [
      { host: 'a.example', port: 1 },
      { host: '2001:db8::1', port: 2 },
    ]);
    assert.equal(serveSettings({}, parseServeFile('{"lane":"off"}', 'f.json')).lanePort, null);
    assert.deepEqual(serveSettings({ laneForbid: 'none' }, {}).laneForbid, []);
    assert.equal(serveSettings({}, parseServeFile('{"lane-trace":"traces"}', 'f.json')).laneTrace, 'traces');
    for (const lane of ['', 'on', '70000', '-1', '7420x']) assert.throws(() => serveSettings({ lane }, {}), /--lane/, lane);
    assert.throws(() => serveSettings({ laneForbid: 'fast' }, {}), /--lane-forbid names "fast": use fair/);
    for (const laneAdvertise of ['a:b', ':7420', 'a:0'])
      assert.throws(() => serveSettings({ laneAdvertise }, {}), /--lane-advertise names/, laneAdvertise);
  });

  it('know loopback', () => {
    for (const host of ['localhost', '127.0.0.1', '127.1.2.3', '::1']) assert.equal(isLoopbackHost(host), true);
    for (const host of ['::', '0.0.0.0', '10.0.0.1', 'localhost.evil.org']) assert.equal(isLoopbackHost(host), false);
  });
});
