/** Hostile paths, links, tokens, ranges and bodies: what tries to reach files it must not, or to store what is not so. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type HostileCase, hostile } from './hostile-case.ts';
import { ask, world } from './hostile-world.ts';

export const FILE_CASES: readonly HostileCase[] = [
  // Paths.
  hostile('dot dot', 400, 'path_invalid', () => ask('GET', '/api/v1/files/../outside/secret')),
  hostile('dot dot, many', 400, 'path_invalid', () => ask('GET', `/api/v1/files/${'../'.repeat(40)}etc/passwd`)),
  hostile('dot dot, encoded', 400, 'path_invalid', () => ask('GET', '/api/v1/files/%2e%2e/outside/secret')),
  hostile('dot dot, encoded twice', 404, 'not_found', () => ask('GET', '/api/v1/files/%252e%252e/outside/secret')),
  hostile('dot dot behind an encoded slash', 400, 'path_invalid', () => ask('GET', '/api/v1/files/..%2foutside%2fsecret')),
  hostile('dot dot with backslashes', 404, 'not_found', () => ask('GET', '/api/v1/files/..%5coutside%5csecret')),
  hostile('overlong UTF-8 dots and slash', 404, 'not_found', () => ask('GET', '/api/v1/files/%c0%ae%c0%ae%c0%afoutside')),
  hostile('single dot', 400, 'path_invalid', () => ask('GET', '/api/v1/files/./file.txt')),
  hostile('absolute path after the prefix', 404, 'not_found', () => ask('GET', '/api/v1/files//etc/passwd')),
  hostile('NUL', 400, 'path_invalid', () => ask('GET', '/api/v1/files/file.txt%00.png')),
  hostile('percent without digits', 400, 'path_invalid', () => ask('GET', '/api/v1/files/100%')),
  hostile('name of 256 bytes', 400, 'path_invalid', () => ask('GET', `/api/v1/files/${'n'.repeat(256)}`)),
  hostile('path of 5000 bytes', 400, 'path_invalid', () => ask('GET', `/api/v1/files/${'abcd/'.repeat(1000)}`)),
  hostile('the state folder', 403, 'path_reserved', () => ask('GET', '/api/v1/files/.hawser/admin-token')),
  hostile('the state folder in capitals', 403, 'path_reserved', () => ask('GET', '/api/v1/files/.HAWSER/admin-token')),
  hostile('the state folder by an encoded name', 403, 'path_reserved', () =>
    ask('DELETE', '/api/v1/entries/%2ehawser?recursive=true'),
  ),
  hostile('writing into the state folder', 403, 'path_reserved', () =>
    ask('PUT', '/api/v1/files/.hawser/admin-token', { headers: [OCTETS], body: 'x' }),
  ),
  hostile('dot dot in JSON', 400, 'path_invalid', () =>
    postJson('/api/v1/move', '{"from":"/file.txt","to":"/../outside/moved"}'),
  ),
  hostile('NUL in JSON', 400, 'path_invalid', () => postJson('/api/v1/uploads', '{"path":"/a\\u0000b","size":1}')),
  hostile('relative path in JSON', 400, 'path_invalid', () => postJson('/api/v1/uploads', '{"path":"etc/passwd","size":1}')),
  hostile('high surrogate in JSON', 400, 'path_invalid', () => postJson('/api/v1/uploads', '{"path":"/\\ud800","size":1}')),
  hostile('surrogate that would be a slash', 400, 'path_invalid', () =>
    postJson('/api/v1/uploads', '{"path":"/a\\udc2fb","size":1}'),
  ),
  hostile('a cursor that is no path', 400, 'path_invalid', () => ask('GET', '/api/v1/folders/?after=..')),
  hostile('removing the root', 400, 'request_invalid', () => ask('DELETE', '/api/v1/entries/?recursive=true')),
  hostile('moving a folder into itself', 400, 'request_invalid', () =>
    postJson('/api/v1/move', '{"from":"/folder","to":"/folder/deep/in"}'),
  ),

  // Links that leave the folder.
  hostile('read through a link to a file outside', 403, 'path_escapes', () => ask('GET', '/api/v1/files/out-file')),
  hostile('read through an absolute link', 403, 'path_escapes', () => ask('GET', '/api/v1/files/out-absolute')),
  hostile('read through a link to a folder outside', 403, 'path_escapes', () => ask('GET', '/api/v1/files/out-folder/secret')),
  hostile('look through a link to a folder outside', 403, 'path_escapes', () => ask('GET', '/api/v1/entries/out-folder/secret')),
  hostile('follow a link outside', 403, 'path_escapes', () => ask('GET', '/api/v1/entries/out-file?follow=true')),
  hostile('list a folder outside', 403, 'path_escapes', () => ask('GET', '/api/v1/folders/out-folder')),
  hostile('write below a link to a folder outside', 403, 'path_escapes', () =>
    ask('PUT', '/api/v1/files/out-folder/new', { headers: [OCTETS], body: 'x' }),
  ),
  hostile('remove below a link to a folder outside', 403, 'path_escapes', () =>
    ask('DELETE', '/api/v1/entries/out-folder/secret'),
  ),
  hostile('move something outside', 403, 'path_escapes', () =>
    postJson('/api/v1/move', '{"from":"/file.txt","to":"/out-folder/file.txt"}'),
  ),
  hostile('make a folder outside', 403, 'path_escapes', () => ask('PUT', '/api/v1/folders/out-folder/new')),
  hostile('digest of a file outside', 403, 'path_escapes', () => ask('GET', '/api/v1/digests/out-file')),
  hostile('verify a file outside', 403, 'path_escapes', () => postJson('/api/v1/verify', '{"path":"/out-file"}')),
  hostile('blocks of a file outside', 403, 'path_escapes', () => ask('GET', '/api/v1/blocks/out-file?blockBytes=65536')),

  // Who asks.
  hostile('no token', 401, 'token_missing', () => ask('GET', FILE, { bearer: null })),
  hostile('cut token', 401, 'token_invalid', () => ask('GET', FILE, { bearer: world.token.admin.slice(0, -1) })),
  hostile('expired token', 401, 'token_expired', () => ask('GET', FILE, { bearer: world.token.expired })),
  hostile('revoked token', 401, 'token_invalid', () => ask('GET', FILE, { bearer: world.token.revoked })),
  hostile('another server’s token', 401, 'token_invalid', () => ask('GET', FILE, { bearer: world.token.foreign })),
  hostile('id of one token, secret of another', 401, 'token_invalid', () =>
    ask('GET', FILE, { bearer: world.token.admin.slice(0, 17) + world.token.read.slice(17) }),
  ),
  hostile('token as a password', 401, 'token_invalid', () =>
    ask('GET', FILE, { bearer: null, headers: [`Authorization: Basic ${btoa(`:${world.token.admin}`)}`] }),
  ),
  hostile('token in the query', 401, 'token_missing', () =>
    ask('GET', `${FILE}?access_token=${world.token.admin}`, { bearer: null }),
  ),
  hostile('a reader writes', 403, 'forbidden', () =>
    ask('PUT', '/api/v1/files/new', { bearer: world.token.read, headers: [OCTETS], body: 'x' }),
  ),
  hostile('a reader removes', 403, 'forbidden', () => ask('DELETE', '/api/v1/entries/file.txt', { bearer: world.token.read })),
  hostile('a writer makes a token', 403, 'forbidden', () =>
    postJson('/api/v1/tokens', '{"name":"me","role":"admin"}', world.token.write),
  ),
  hostile('a writer lists tokens', 403, 'forbidden', () => ask('GET', '/api/v1/tokens', { bearer: world.token.write })),
  hostile('another’s upload', 404, 'upload_not_found', () =>
    ask('GET', `/api/v1/uploads/${world.upload}`, { bearer: world.token.write }),
  ),
  hostile('blocks for another’s upload', 404, 'upload_not_found', () =>
    ask('PUT', `/api/v1/uploads/${world.upload}/blocks?epoch=1`, {
      bearer: world.token.write,
      headers: [BLOCKS],
      body: Buffer.alloc(1000),
    }),
  ),

  // Ranges.
  hostile('range beyond the file', 416, 'range_invalid', () => ask('GET', FILE, { headers: ['Range: bytes=10-'] })),
  hostile('absurd range', 416, 'range_invalid', () =>
    ask('GET', FILE, { headers: ['Range: bytes=99999999999999999999-99999999999999999999'] }),
  ),
  hostile(
    'negative range gets the whole file',
    200,
    null,
    () => ask('GET', FILE, { headers: ['Range: bytes=-5--1'] }),
    ({ body }) => assert.equal(body, '0123456789'),
  ),
  hostile(
    'a thousand overlapping ranges get the whole file',
    200,
    null,
    () => ask('GET', FILE, { headers: [`Range: bytes=${'0-9,'.repeat(1000)}0-9`] }),
    ({ body }) => assert.equal(body, '0123456789'),
  ),
  hostile('frames from the middle of a block', 416, 'range_invalid', () =>
    ask('GET', '/api/v1/files/folder/deep/other?blockBytes=65536', {
      headers: ['Accept: application/vnd.hawser.blocks', 'Range: bytes=1-'],
    }),
  ),
  hostile('frames of an absurd block size', 400, 'request_invalid', () =>
    ask('GET', `${FILE}?blockBytes=4294967296`, { headers: ['Accept: application/vnd.hawser.blocks'] }),
  ),

  // Bodies and digests.
  hostile('wrong SHA-256', 422, 'digest_mismatch', () =>
    ask('PUT', FILE, {
      headers: [OCTETS, `Content-Digest: sha-256=:${createHash('sha256').update('b').digest('base64')}:`],
      body: 'a',
    }),
  ),
  hostile('wrong BLAKE3', 422, 'digest_mismatch', () =>
    ask('PUT', FILE, { headers: [OCTETS, `Hawser-Digest: ${'0'.repeat(64)}`], body: 'a' }),
  ),
  hostile('malformed digest', 400, 'request_invalid', () =>
    ask('PUT', FILE, { headers: [OCTETS, 'Hawser-Digest: yes'], body: 'a' }),
  ),
  hostile('a part of a file', 400, 'request_invalid', () =>
    ask('PUT', FILE, { headers: [OCTETS, 'Content-Range: bytes 0-0/10'], body: 'a' }),
  ),
  hostile('never overwrite', 412, 'precondition_failed', () =>
    ask('PUT', FILE, { headers: [OCTETS, 'If-None-Match: *'], body: 'a' }),
  ),
  hostile('onto a folder', 409, 'is_folder', () => ask('PUT', '/api/v1/files/folder', { headers: [OCTETS], body: 'a' })),
  hostile('below a file', 409, 'not_folder', () => ask('PUT', '/api/v1/files/file.txt/below', { headers: [OCTETS], body: 'a' })),
  hostile('compressed', 415, 'media_type_unsupported', () =>
    ask('PUT', FILE, { headers: [OCTETS, 'Content-Encoding: gzip'], body: 'a' }),
  ),
  hostile('4 GiB announced, little sent', 408, 'request_timeout', () =>
    ask('PUT', FILE, { headers: [OCTETS, 'Content-Length: 4294967296'], body: 'abc' }),
  ),
  hostile('4 GiB of JSON announced', 413, 'body_too_large', () =>
    ask('POST', '/api/v1/move', { headers: ['Content-Type: application/json', 'Content-Length: 4294967296'], body: '{' }),
  ),
  hostile('2 MiB of JSON, chunked', 413, 'body_too_large', () =>
    Buffer.concat([
      ask('POST', '/api/v1/move', { headers: ['Content-Type: application/json', 'Transfer-Encoding: chunked'] }),
      Buffer.from('200000\r\n'),
      Buffer.alloc(0x200000, 0x20),
      Buffer.from('\r\n0\r\n\r\n'),
    ]),
  ),
  hostile('a body that never ends', 413, 'body_too_large', () =>
    Buffer.concat([
      ask('POST', '/api/v1/probe', { headers: [OCTETS, 'Transfer-Encoding: chunked'] }),
      ...Array.from({ length: 65 }, () =>
        Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(0x100000), Buffer.from('\r\n')]),
      ),
    ]),
  ),
  hostile('a slow body', 408, 'request_timeout', () =>
    ask('POST', '/api/v1/probe', { headers: [OCTETS, 'Content-Length: 10'], body: 'a' }),
  ),
  hostile('slow JSON', 408, 'request_timeout', () =>
    ask('POST', '/api/v1/move', { headers: ['Content-Type: application/json', 'Content-Length: 10'], body: '{' }),
  ),
];

const postJson = (url: string, json: string, bearer = world.token.admin) => ask('POST', url, { json, bearer });
const FILE = '/api/v1/files/file.txt';
const OCTETS = 'Content-Type: application/octet-stream';
const BLOCKS = 'Content-Type: application/vnd.hawser.blocks';
