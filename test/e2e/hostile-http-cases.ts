/** Hostile JSON, routes and HTTP: what parsers, routers and proxies have been broken with. */
import assert from 'node:assert/strict';
import { type HostileCase, hostile } from './hostile-case.ts';
import { requestBytes } from './hostile-client.ts';
import { ask, world } from './hostile-world.ts';

export const HTTP_CASES: readonly HostileCase[] = [
  // JSON.
  hostile('not JSON', 400, 'request_invalid', () => postJson('/api/v1/move', '{"from":')),
  hostile('no body', 400, 'request_invalid', () => ask('POST', '/api/v1/move')),
  hostile('not UTF-8', 400, 'request_invalid', () =>
    ask('POST', '/api/v1/move', { headers: ['Content-Type: application/json'], body: Buffer.from([0x22, 0xff, 0x22]) }),
  ),
  hostile('JSON nested 100 000 deep', 400, 'request_invalid', () =>
    postJson('/api/v1/packs/read', '['.repeat(100_000) + ']'.repeat(100_000)),
  ),
  hostile('__proto__', 400, 'request_invalid', () =>
    postJson('/api/v1/move', '{"from":"/file.txt","to":"/b","__proto__":{"overwrite":"always"}}'),
  ),
  hostile('unknown field', 400, 'request_invalid', () => postJson('/api/v1/move', '{"from":"/file.txt","to":"/b","force":true}')),
  hostile('numbers as text', 400, 'request_invalid', () => postJson('/api/v1/uploads', '{"path":"/a","size":"5"}')),
  hostile('negative size', 400, 'request_invalid', () => postJson('/api/v1/uploads', '{"path":"/a","size":-1}')),
  hostile('size beyond exact integers', 400, 'request_invalid', () =>
    postJson('/api/v1/uploads', '{"path":"/a","size":9007199254740993}'),
  ),
  hostile('fractional size', 400, 'request_invalid', () => postJson('/api/v1/uploads', '{"path":"/a","size":0.5}')),
  hostile('time beyond 64 bits', 400, 'request_invalid', () =>
    postJson('/api/v1/uploads', '{"path":"/a","size":1,"mtimeNs":"9999999999999999999"}'),
  ),
  hostile('more paths than a request lists', 400, 'request_invalid', () =>
    postJson('/api/v1/packs/read', JSON.stringify({ paths: new Array(70_000).fill('/a') })),
  ),
  hostile('JSON as a form', 415, 'media_type_unsupported', () =>
    ask('POST', '/api/v1/move', { headers: ['Content-Type: application/x-www-form-urlencoded'], body: 'from=/file.txt&to=/b' }),
  ),
  hostile('JSON as a plain text', 415, 'media_type_unsupported', () =>
    ask('POST', '/api/v1/move', { headers: ['Content-Type: text/plain'], body: '{"from":"/file.txt","to":"/b"}' }),
  ),
  hostile('body without a type', 415, 'media_type_unsupported', () =>
    ask('POST', '/api/v1/move', { body: '{"from":"/file.txt","to":"/b"}' }),
  ),

  // Routes, methods and queries.
  hostile('unknown route', 404, 'route_not_found', () => ask('GET', '/api/v1/shell')),
  hostile('unknown version', 404, 'route_not_found', () => ask('GET', '/api/v9/files/file.txt')),
  hostile('the root', 404, 'route_not_found', () => ask('GET', '/')),
  hostile('route with a trailing slash', 404, 'route_not_found', () => ask('GET', '/api/v1/whoami/')),
  hostile(
    'method that the route lacks',
    405,
    'method_not_allowed',
    () => ask('PATCH', FILE),
    ({ headers }) => assert.match(headers.get('allow')!, /GET/),
  ),
  hostile('TRACE', 405, 'method_not_allowed', () => ask('TRACE', FILE)),
  hostile(
    'OPTIONS from another origin',
    405,
    'method_not_allowed',
    () => ask('OPTIONS', FILE, { headers: ['Origin: https://evil.example', 'Access-Control-Request-Method: PUT'] }),
    ({ headers }) => assert.ok(![...headers.keys()].some((name) => name.startsWith('access-control'))),
  ),
  hostile('CONNECT', 405, 'method_not_allowed', () =>
    requestBytes('CONNECT example.com:443 HTTP/1.1', ['Host: example.com:443']),
  ),
  hostile('method nobody knows', 400, 'request_invalid', () => requestBytes('BREW /coffee HTTP/1.1', ['Host: x'])),
  hostile('unknown parameter', 400, 'request_invalid', () => ask('GET', `${FILE}?shell=1`)),
  hostile('limit of a billion', 400, 'request_invalid', () => ask('GET', '/api/v1/folders/?limit=1000000000')),
  hostile('a thousand parameters', 400, 'request_invalid', () => ask('GET', `/api/v1/whoami?${'a=1&'.repeat(1000)}`)),
  hostile('probe of a terabyte', 400, 'request_invalid', () => ask('GET', '/api/v1/probe?bytes=1099511627776')),
  hostile('identifier with a slash', 400, 'request_invalid', () => ask('GET', '/api/v1/uploads/..%2f..%2fsecret')),
  hostile('upgrade to a socket', 404, 'route_not_found', () =>
    ask('GET', '/socket', { headers: ['Connection: Upgrade', 'Upgrade: websocket'] }),
  ),

  // HTTP itself.
  hostile('headers of 20 KiB', 431, 'header_too_large', () => ask('GET', FILE, { headers: [`X: ${'x'.repeat(20 * KIB)}`] })),
  hostile('URL of 20 KiB', 431, 'header_too_large', () => ask('GET', `/api/v1/files/${'x'.repeat(20 * KIB)}`)),
  hostile('ten thousand headers', 431, 'header_too_large', () => ask('GET', FILE, { headers: new Array(10_000).fill('A: b') })),
  hostile('length and chunks', 400, 'request_invalid', () =>
    ask('PUT', FILE, {
      headers: [OCTETS, 'Content-Length: 5', 'Transfer-Encoding: chunked'],
      body: '0\r\n\r\nGET /x HTTP/1.1\r\n\r\n',
    }),
  ),
  hostile('two lengths', 400, 'request_invalid', () =>
    ask('PUT', FILE, { headers: [OCTETS, 'Content-Length: 1', 'Content-Length: 2'], body: 'ab' }),
  ),
  hostile('length with a sign', 400, 'request_invalid', () =>
    ask('PUT', FILE, { headers: [OCTETS, 'Content-Length: +1'], body: 'a' }),
  ),
  hostile('negative length', 400, 'request_invalid', () =>
    ask('PUT', FILE, { headers: [OCTETS, 'Content-Length: -1'], body: 'a' }),
  ),
  hostile('coding that is not chunked', 400, 'request_invalid', () =>
    ask('PUT', FILE, { headers: [OCTETS, 'Transfer-Encoding: xchunked'], body: 'a' }),
  ),
  hostile('chunked written oddly', 400, 'request_invalid', () =>
    ask('PUT', FILE, { headers: [OCTETS, 'Transfer-Encoding : chunked'], body: '0\r\n\r\n' }),
  ),
  hostile('chunk size that is no number', 400, 'request_invalid', () =>
    ask('PUT', FILE, { headers: [OCTETS, 'Transfer-Encoding: chunked'], body: 'zz\r\nabc\r\n' }),
  ),
  hostile('chunk size beyond 64 bits', 400, 'request_invalid', () =>
    ask('PUT', FILE, { headers: [OCTETS, 'Transfer-Encoding: chunked'], body: 'fffffffffffffffff\r\nabc\r\n' }),
  ),
  hostile('header folded over lines', 400, 'request_invalid', () => ask('GET', FILE, { headers: ['X: a\r\n b'] })),
  hostile('header with a bare line feed', 400, 'request_invalid', () => ask('GET', FILE, { headers: ['X: a\nY: b\r'] })),
  hostile('header with a NUL', 400, 'request_invalid', () => ask('GET', FILE, { headers: ['X: a\0b'] })),
  hostile('header without a name', 400, 'request_invalid', () => ask('GET', FILE, { headers: [': b'] })),
  hostile('no host', 400, 'request_invalid', () =>
    requestBytes(`GET ${FILE} HTTP/1.1`, [`Authorization: Bearer ${world.token.admin}`]),
  ),
  hostile('two hosts', 400, 'request_invalid', () => ask('GET', FILE, { headers: ['Host: y'] })),
  hostile('GET with a body', 400, 'request_invalid', () => ask('GET', FILE, { body: 'GET /x HTTP/1.1\r\n\r\n' })),
  hostile('line feed in the request line', 400, 'request_invalid', () => requestBytes('GET /a\nb HTTP/1.1', ['Host: x'])),
  hostile('HTTP/0.9', 400, 'request_invalid', () => 'GET /\r\n\r\n'),
  hostile('HTTP/3.7', 400, 'request_invalid', () => requestBytes('GET / HTTP/3.7', ['Host: x'])),
  hostile('an HTTP/2 preface in the clear', 400, 'request_invalid', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  hostile('noise', 400, 'request_invalid', () => Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 197 + 91) & 0xff))),
  hostile('TLS in the clear', 400, 'request_invalid', () => Buffer.from('16030100c8010000c40303', 'hex')),
  hostile('slow headers', 408, 'request_timeout', () => 'GET / HTTP/1.1\r\nHost: x\r\nX: '),
  hostile('an expectation that nobody knows', 417, null, () =>
    ask('PUT', FILE, { headers: [OCTETS, 'Expect: miracles', 'Content-Length: 1'] }),
  ),
  hostile(
    'refused before "100 Continue"',
    401,
    'token_missing',
    () => ask('PUT', FILE, { bearer: null, headers: [OCTETS, 'Expect: 100-continue', 'Content-Length: 1000000'] }),
    ({ bytes }) => assert.ok(!bytes.toString('latin1').includes('100 Continue')),
  ),
  hostile('a smuggled second request stays a body', 401, 'token_missing', () =>
    ask('PUT', FILE, {
      bearer: null,
      headers: [OCTETS],
      body: requestBytes('DELETE /api/v1/entries/file.txt HTTP/1.1', ['Host: x', `Authorization: Bearer ${world.token.admin}`]),
    }),
  ),
];

const postJson = (url: string, json: string) => ask('POST', url, { json });
const KIB = 1024;
const FILE = '/api/v1/files/file.txt';
const OCTETS = 'Content-Type: application/octet-stream';
