/** Hostile block frames and packs: lengths, offsets, digests and paths that are not so. */
import assert from 'node:assert/strict';
import { encodeBlockHeader } from '../../src/core/wire/block-frames.ts';
import { encodePackEntry } from '../../src/core/wire/pack.ts';
import { blake3 } from '../../src/engine/blake3.ts';
import { type HostileCase, hostile } from './hostile-case.ts';
import { ask, world } from './hostile-world.ts';

export const FRAME_CASES: readonly HostileCase[] = [
  // Frames.
  hostile('frame with a huge length', 400, 'frame_invalid', () =>
    blocks(frame(0, 0xffffffff, new Uint8Array(32), Buffer.alloc(100))),
  ),
  hostile('frame of no bytes', 400, 'frame_invalid', () => blocks(Buffer.alloc(44))),
  hostile('frame with a negative offset', 400, 'frame_invalid', () => {
    const bytes = Buffer.from(goodFrame(0, 65_536));
    bytes.writeBigInt64BE(-65_536n, 0);
    return blocks(bytes);
  }),
  hostile('frame between blocks', 400, 'frame_invalid', () => blocks(goodFrame(100, 65_536))),
  hostile('frame beyond the file', 400, 'frame_invalid', () => blocks(goodFrame(65_536 * 100, 65_536))),
  hostile('short frame in the middle', 400, 'frame_invalid', () => blocks(goodFrame(0, 1000))),
  hostile('frame with a wrong digest', 422, 'block_mismatch', () =>
    blocks(frame(0, 65_536, new Uint8Array(32), Buffer.alloc(65_536))),
  ),
  hostile('frame with a wrong running digest', 422, 'block_mismatch', () => {
    const bytes = frame(0, 65_536, new Uint8Array(32), Buffer.alloc(65_536));
    bytes[0] = 0x80;
    return blocks(bytes);
  }),
  hostile('running digest over what never came', 409, 'running_digest_early', () => {
    const bytes = goodFrame(65_536, 65_536);
    bytes[0] = 0x80;
    return blocks(bytes);
  }),
  hostile('half a frame', 400, 'body_incomplete', () => blocks(goodFrame(0, 65_536).subarray(0, 1000))),
  hostile('half a header', 400, 'body_incomplete', () => blocks(goodFrame(0, 65_536).subarray(0, 20))),
  hostile('noise for frames', 400, 'frame_invalid', () => blocks(Buffer.alloc(100_000, 0xa5))),
  hostile('frames of an older epoch', 409, 'superseded', () => blocks(goodFrame(0, 65_536), 0)),
  hostile('frames without an epoch', 400, 'request_invalid', () =>
    ask('PUT', `/api/v1/uploads/${world.upload}/blocks`, { headers: [BLOCKS], body: goodFrame(0, 65_536) }),
  ),
  hostile('frames for two epochs', 400, 'request_invalid', () => blocks(goodFrame(0, 65_536), '1&epoch=1')),
  hostile('frames as JSON', 415, 'media_type_unsupported', () =>
    ask('PUT', `/api/v1/uploads/${world.upload}/blocks?epoch=1`, { headers: ['Content-Type: application/json'], body: '{}' }),
  ),
  hostile('frames for no upload', 404, 'upload_not_found', () =>
    ask('PUT', '/api/v1/uploads/nope/blocks?epoch=1', { headers: [BLOCKS], body: goodFrame(0, 65_536) }),
  ),
  hostile('completing what is not there', 409, 'upload_incomplete', () =>
    postJson(`/api/v1/uploads/${world.upload}/complete`, JSON.stringify({ epoch: 1, size: 200_000, digest: '0'.repeat(64) })),
  ),

  // Packs.
  hostile('pack that climbs out', 400, 'path_invalid', () => pack(rawEntry('/../outside/new', 'x'))),
  hostile('pack with a relative path', 400, 'path_invalid', () => pack(rawEntry('etc/new', 'x'))),
  hostile('pack with a NUL in a path', 400, 'path_invalid', () => pack(rawEntry('/a\0b', 'x'))),
  hostile('pack into the state folder', 403, 'path_reserved', () => pack(rawEntry('/.hawser/admin-token', 'x'))),
  hostile(
    'pack through a link outside',
    200,
    'path_escapes',
    () => pack(rawEntry('/out-folder/new', 'x')),
    failedEntry('path_escapes'),
  ),
  hostile(
    'pack with a link that leaves',
    200,
    'link_escapes',
    () => pack(rawEntry('/link', '', { kind: 2, target: '../../etc/passwd', digest: new Uint8Array(32) })),
    failedEntry('link_escapes'),
  ),
  hostile(
    'pack with an absolute link',
    200,
    'link_escapes',
    () => pack(rawEntry('/link', '', { kind: 2, target: '/etc/passwd', digest: new Uint8Array(32) })),
    failedEntry('link_escapes'),
  ),
  hostile(
    'pack with a wrong digest',
    200,
    'block_mismatch',
    () => pack(rawEntry('/new', 'x', { digest: new Uint8Array(32) })),
    failedEntry('block_mismatch'),
  ),
  hostile(
    'pack onto what must stay',
    200,
    'exists',
    () => pack(rawEntry('/file.txt', 'x'), '?overwrite=never'),
    failedEntry('exists'),
  ),
  hostile('pack of an unknown kind', 400, 'frame_invalid', () => pack(rawEntry('/new', 'x', { kind: 9 }))),
  hostile('pack entry with 4 GiB of content', 400, 'frame_invalid', () =>
    pack(rawEntry('/new', 'x', { contentBytes: 0xffffffff })),
  ),
  hostile('pack entry with a path of 65535 bytes', 400, 'frame_invalid', () =>
    pack(rawEntry('/new', 'x', { pathBytes: 0xffff })),
  ),
  hostile('half a pack', 400, 'body_incomplete', () => pack(rawEntry('/new', 'x').subarray(0, 30))),
];

const frame = (offset: number, length: number, digest: Uint8Array, data: Uint8Array) =>
  Buffer.concat([encodeBlockHeader(offset, length, digest), data]);
const goodFrame = (offset: number, bytes: number) => frame(offset, bytes, blake3(Buffer.alloc(bytes, 1)), Buffer.alloc(bytes, 1));
const blocks = (body: Uint8Array, epoch: string | number = 1) =>
  ask('PUT', `/api/v1/uploads/${world.upload}/blocks?epoch=${epoch}`, { headers: [BLOCKS], body });
const pack = (body: Uint8Array, query = '') => ask('POST', `/api/v1/packs${query}`, { headers: [PACK], body });
function rawEntry(
  path: string,
  content: string,
  change: { kind?: number; pathBytes?: number; contentBytes?: number; digest?: Uint8Array; target?: string } = {},
): Buffer {
  const encoded = Buffer.from(
    encodePackEntry({ kind: 'file', path: '/x', digest: blake3(Buffer.from(content)), size: content.length }),
  );
  const head = encoded.subarray(0, encoded.length - 2);
  const target = Buffer.from(change.target ?? '');
  head.writeUInt8(change.kind ?? 0, 0);
  head.writeUInt16BE(change.pathBytes ?? Buffer.byteLength(path), 12);
  head.writeUInt16BE(target.length, 14);
  head.writeUInt32BE(change.contentBytes ?? content.length, 16);
  if (change.digest) head.set(change.digest, 20);
  return Buffer.concat([head, Buffer.from(path), target, Buffer.from(content)]);
}

/** The pack went through, without its one entry. */
function failedEntry(code: string): (answer: { body: string }) => void {
  return ({ body }) => {
    const { stored, failed } = JSON.parse(body);
    assert.deepEqual([stored, failed.length, failed[0]?.code], [0, 1, code]);
  };
}

const BLOCKS = 'Content-Type: application/vnd.hawser.blocks';
const PACK = 'Content-Type: application/vnd.hawser.pack';
const postJson = (url: string, json: string) => ask('POST', url, { json });
