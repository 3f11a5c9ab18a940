import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { encodePackEntry, PACK_HEADER_BYTES, PackAssembler, type PackEntry } from './pack.ts';

const MAX = 100;
const digest = fc.uint8Array({ minLength: 32, maxLength: 32 });
const attributes = {
  path: fc.constantFrom('/a', '/a/b c', '/é/\u{1f600}', '/\udcff', `/${'x'.repeat(200)}`, '/'),
  mode: fc.option(fc.integer({ min: 0, max: 0o777 }), { nil: undefined }),
  mtimeNs: fc.option(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), { nil: undefined }),
};
const member = fc.oneof(
  fc
    .record({ kind: fc.constant('file' as const), ...attributes, digest, content: fc.uint8Array({ maxLength: MAX }) })
    .map((file) => ({ ...file, size: file.content.length })),
  fc.record({
    kind: fc.constant('folder' as const),
    ...attributes,
    digest,
    size: fc.constant(0),
    content: fc.constant(new Uint8Array()),
  }),
  fc.record({
    kind: fc.constantFrom('link' as const, 'error' as const),
    ...attributes,
    target: fc.constantFrom('../up', 'not_found: There is none.', '\udc80'),
    digest,
    size: fc.constant(0),
    content: fc.constant(new Uint8Array()),
  }),
);

test('entries come out as they went in, wherever the stream is cut', () => {
  fc.assert(
    fc.property(
      fc.array(member, { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 8 }),
      (members, cuts) => {
        const wanted = members.map(({ content, ...entry }) => ({ entry: defined(entry), content }));
        const stream = Buffer.concat(wanted.flatMap(({ entry, content }) => [encodePackEntry(entry), content]));
        const found: unknown[] = [];
        const assembler = new PackAssembler({ maxContentBytes: MAX });
        let at = 0;
        for (let i = 0; at < stream.length; i++) {
          const piece = Uint8Array.from(stream.subarray(at, at + cuts[i % cuts.length]!));
          assembler.push(piece, (entry, content) => found.push({ entry, content: Uint8Array.from(content) }));
          at += piece.length;
          piece.fill(0xee);
        }
        assert.deepEqual(found, wanted);
        assert.equal(assembler.pendingBytes, 0);
      },
    ),
    { numRuns: 500 },
  );
});

test('an entry that lies whole in a piece is not copied', () => {
  const piece = Buffer.concat([encodePackEntry(file(3)), Uint8Array.of(1, 2, 3)]);
  let same = false;
  new PackAssembler({ maxContentBytes: 3 }).push(piece, (_, content) => {
    same = content.buffer === piece.buffer;
  });
  assert.ok(same);
});

test('a pack that ends inside an entry leaves it pending', () => {
  const assembler = new PackAssembler({ maxContentBytes: 3 });
  assembler.push(encodePackEntry(file(3)), never);
  assert.equal(assembler.pendingBytes, PACK_HEADER_BYTES + 2);
});

test('kinds, flags and lengths that cannot be right are refused, whole or in single bytes', () => {
  const link: PackEntry = { kind: 'link', path: '/l', target: 't', digest: new Uint8Array(32), size: 0 };
  const wrong: [string, PackEntry, (bytes: Uint8Array) => void, string][] = [
    ['kind 4', file(1), (b) => b.fill(4, 0, 1), 'frame_invalid'],
    ['reserved flag', file(1), (b) => b.fill(4, 1, 2), 'frame_invalid'],
    ['no path', file(1), (b) => b.fill(0, 12, 14), 'frame_invalid'],
    ['path too long', file(1), (b) => b.fill(0x10, 12, 14), 'frame_invalid'],
    ['target of a file', file(1), (b) => b.fill(1, 15, 16), 'frame_invalid'],
    ['link without target', link, (b) => b.fill(0, 14, 16), 'frame_invalid'],
    ['target too long', link, (b) => b.fill(0x20, 14, 16), 'frame_invalid'],
    ['content of a link', link, (b) => b.fill(1, 19, 20), 'frame_invalid'],
    ['content too long', file(1), (b) => b.fill(0xff, 16, 20), 'frame_invalid'],
    ['relative path', file(0), (b) => b.fill(0x61, 52, 53), 'path_invalid'],
    ['NUL in the path', file(0), (b) => b.fill(0, 53, 54), 'path_invalid'],
    ['NUL in the target', link, (b) => b.fill(0, 54, 55), 'frame_invalid'],
  ];
  for (const [name, entry, spoil, code] of wrong) {
    const bytes = encodePackEntry(entry);
    spoil(bytes);
    assert.throws(() => new PackAssembler({ maxContentBytes: 10 }).push(bytes, never), { code }, name);
    const slow = new PackAssembler({ maxContentBytes: 10 });
    const pushEach = () => {
      for (const byte of bytes) slow.push(Uint8Array.of(byte), never);
    };
    assert.throws(pushEach, { code }, name);
  }
  const reserved = encodePackEntry({ ...file(0), path: '/.hawser/hawser.db' });
  assert.throws(() => new PackAssembler({ maxContentBytes: 10 }).push(reserved, never), { code: 'path_reserved' });
});

test('any bytes are either entries or a typed error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      // A valid beginning leads further in than noise would.
      const stream = Buffer.concat([encodePackEntry(file(1)).subarray(0, bytes.length % 55), bytes]);
      try {
        new PackAssembler({ maxContentBytes: 50 }).push(stream, () => {});
      } catch (error) {
        assert.equal((error as Error).name, 'HawserError');
      }
    }),
    { numRuns: 1000 },
  );
});

test('only permission bits travel', () => {
  let mode: number | undefined;
  const bytes = encodePackEntry({ ...file(0), mode: 0o104755 });
  bytes[2] = 0x89;
  new PackAssembler({ maxContentBytes: 0 }).push(bytes, (entry) => {
    mode = entry.mode;
  });
  assert.equal(mode, 0o755);
});

test('what does not fit into an entry is refused when it is written', () => {
  assert.throws(() => encodePackEntry({ ...file(0), target: 'x' }), { code: 'path_invalid' });
  assert.throws(() => encodePackEntry({ ...file(0), kind: 'link', target: 'x'.repeat(4097) }), { code: 'path_invalid' });
  assert.throws(() => encodePackEntry({ ...file(0), digest: new Uint8Array(31) }), { code: 'internal' });
});

function file(size: number): PackEntry {
  return { kind: 'file', path: '/f', digest: new Uint8Array(32), size };
}

function defined<T extends object>(entry: T): T & PackEntry {
  return Object.fromEntries(Object.entries(entry).filter(([, value]) => value !== undefined)) as T & PackEntry;
}

function never(): never {
  assert.fail('nothing whole has arrived yet');
}
