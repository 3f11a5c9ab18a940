import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { encodePackEntry, PACK_HEADER_BYTES } from './pack.ts';
import { longestPackEntry, PackReader } from './pack-reader.ts';

const MAX = 300;
/** So small that most packs need several. */
const memory = () => new Uint8Array(longestPackEntry(MAX) + 100);

interface Read {
  readonly path: string;
  readonly content: Uint8Array;
  readonly was: string;
}

/** Puts the bytes where the reader wants them, in reads of at most the given sizes, which repeat; 0: other memory from here on. */
function feed(reader: PackReader, bytes: Uint8Array, sizes: readonly number[]): Read[] {
  const found: Read[] = [];
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!;
    if (size === 0) {
      reader.leave();
      continue;
    }
    const room = reader.room();
    assert.ok(room.length > 0);
    const part = bytes.subarray(at, at + Math.min(room.length, size));
    room.set(part);
    at += part.length;
    reader.push(part.length, ({ path }, content) => found.push({ path, content, was: hex(content) }));
  }
  return found;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const entry = (path: string, content: Uint8Array): Uint8Array =>
  Buffer.concat([encodePackEntry({ kind: 'file', path, digest: new Uint8Array(32), size: content.length }), content]);

describe('a pack read into memory of its own', () => {
  it('gives every entry as it was, whatever the sizes of the reads, and leaves its content in place', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 200 }), fc.uint8Array({ maxLength: MAX })), { minLength: 1, maxLength: 60 }),
        fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 2000 })), { maxLength: 6 }).map((sizes) => [...sizes, 777]),
        (files, sizes) => {
          const named = files.map(([length, content]) => ({ path: `/${'x'.repeat(length)}`, content }));
          const bytes = Buffer.concat(named.map(({ path, content }) => entry(path, content)));
          const reader = new PackReader({ maxContentBytes: MAX, take: memory });
          const found = feed(reader, bytes, sizes);
          assert.deepEqual(
            found.map(({ path, was }) => [path, was]),
            named.map(({ path, content }) => [path, hex(content)]),
          );
          assert.deepEqual(
            found.map(({ content }) => hex(content)),
            found.map(({ was }) => was),
          );
          assert.equal(reader.pendingBytes, 0);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('takes other memory only for what does not fit into the one it has', () => {
    let taken = 0;
    const take = () => {
      taken++;
      return memory();
    };
    const reader = new PackReader({ maxContentBytes: MAX, take });
    const one = entry('/a', new Uint8Array(MAX));
    const fitting = Math.floor(memory().length / one.length);
    feed(reader, Buffer.concat(new Array(fitting).fill(one)), [one.length]);
    assert.equal(taken, 1);
    feed(reader, one, [PACK_HEADER_BYTES, MAX]);
    assert.equal(taken, 2);
  });

  it('says how much of an entry has begun, and refuses one that cannot be', () => {
    const reader = new PackReader({ maxContentBytes: MAX, take: memory });
    assert.equal(reader.pendingBytes, 0);
    feed(reader, entry('/a', new Uint8Array(9)).subarray(0, 60), [7]);
    assert.equal(reader.pendingBytes, 60);
    const long = entry('/a', new Uint8Array(MAX + 1));
    assert.throws(() => feed(new PackReader({ maxContentBytes: MAX, take: memory }), long, [PACK_HEADER_BYTES]), {
      code: 'frame_invalid',
    });
    const short = new PackReader({ maxContentBytes: MAX, take: () => new Uint8Array(MAX) });
    assert.throws(() => short.room(), { code: 'internal' });
  });
});
