import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { describe, it } from 'node:test';
import { HEADER_BYTES, TAG_BYTES } from '../../core/lane/contract.ts';
import { KEY_BYTES, type Suite } from './keys.ts';
import { NativeMemory, native } from './native.ts';
import { type CipherMaker, chooseCipher, createOpen, createSeal, passesSelfTest } from './seal.ts';
import { createEvpCipher } from './seal-evp.ts';
import { createNodeCipher } from './seal-node.ts';

const AT = 21;
const makers: [string, CipherMaker, string | false][] = [
  ['node:crypto', createNodeCipher, false],
  ['OpenSSL', createEvpCipher, native() === null && 'there is no node:ffi here'],
];
const suites = Object.keys(KEY_BYTES) as Suite[];
const keysOf = (suite: Suite) => ({
  key: Uint8Array.from({ length: KEY_BYTES[suite] }, (_, i) => 3 * i + 1),
  iv: Uint8Array.from({ length: 12 }, (_, i) => 200 + i),
});

function packetOf(plain: Uint8Array): NativeMemory {
  const memory = new NativeMemory(2048);
  for (let i = 0; i < HEADER_BYTES; i++) memory.bytes[AT + i] = 0x40 + i;
  memory.bytes.set(plain, AT + HEADER_BYTES);
  return memory;
}

const plainOf = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, i) => i * 11);
const copy = (memory: NativeMemory): Uint8Array => memory.bytes.slice();

for (const [name, make, skip] of makers) {
  for (const suite of suites) {
    describe(`${suite} by ${name}`, { skip }, () => {
      const seal = skip ? null! : createSeal(suite, keysOf(suite), make);
      const open = skip ? null! : createOpen(suite, keysOf(suite), make);

      it('opens what it sealed, of any length', () => {
        for (const bytes of [1, 2, 15, 16, 17, 31, 64, 1199, 1287, 1288, 1400]) {
          const plain = plainOf(bytes);
          const memory = packetOf(plain);
          seal.seal(memory, AT, bytes, 7, 1, bytes);
          assert.notDeepEqual(memory.bytes.subarray(AT + HEADER_BYTES, AT + HEADER_BYTES + bytes), plain);
          assert.equal(open.open(memory, AT, HEADER_BYTES + bytes + TAG_BYTES, 7, 1, bytes), true);
          assert.deepEqual(memory.bytes.subarray(AT + HEADER_BYTES, AT + HEADER_BYTES + bytes), plain);
        }
      });

      it('writes nothing beside the packet', () => {
        const memory = packetOf(plainOf(100));
        const before = copy(memory);
        seal.seal(memory, AT, 100, 0, 0, 1);
        const end = AT + HEADER_BYTES + 100 + TAG_BYTES;
        assert.deepEqual(memory.bytes.subarray(0, AT + HEADER_BYTES), before.subarray(0, AT + HEADER_BYTES));
        assert.deepEqual(memory.bytes.subarray(end), before.subarray(end));
      });

      it('refuses a packet with any one byte changed, and then takes the whole one', () => {
        const bytes = HEADER_BYTES + 40 + TAG_BYTES;
        const memory = packetOf(plainOf(40));
        seal.seal(memory, AT, 40, 1, 0, 9);
        const sealed = copy(memory);
        for (let i = 0; i < bytes; i++) {
          memory.bytes.set(sealed);
          memory.bytes[AT + i]! ^= 1 << (i % 8);
          assert.equal(open.open(memory, AT, bytes, 1, 0, 9), false, `byte ${i}`);
        }
        memory.bytes.set(sealed);
        assert.equal(open.open(memory, AT, bytes - 1, 1, 0, 9), false, 'cut short');
        memory.bytes.set(sealed);
        assert.equal(open.open(memory, AT, bytes, 1, 0, 9), true);
      });

      it('refuses it as another path, kind or number', () => {
        const bytes = HEADER_BYTES + 40 + TAG_BYTES;
        const memory = packetOf(plainOf(40));
        const number = 2 ** 40 + 5;
        seal.seal(memory, AT, 40, 1, 0, number);
        const sealed = copy(memory);
        const cases: [number, number, number][] = [
          [2, 0, number],
          [1, 1, number],
          [1, 0, number + 1],
          [1, 0, number - 2 ** 40],
          [1, 0, number + 2 ** 32],
          [1 + 2 ** 24, 0, number],
        ];
        for (const [path, kind, other] of cases) {
          memory.bytes.set(sealed);
          assert.equal(open.open(memory, AT, bytes, path, kind, other), false, `${path} ${kind} ${other}`);
        }
        memory.bytes.set(sealed);
        assert.equal(open.open(memory, AT, bytes, 1, 0, number), true);
      });

      it('is the AEAD of that name, with the nonce as documented', () => {
        const { key, iv } = keysOf(suite);
        const nonce = iv.map((byte, i) => byte ^ [1, 2, 3, 4, 1, 0, 5, 6, 7, 8, 9, 10][i]!);
        // However the header ends: OpenSSL takes that for a length, and takes something off it.
        for (const end of [0, 7, 0xffe7, 0xffe8, 0xfff7, 0xfff8, 0xffff]) {
          const memory = packetOf(plainOf(33));
          memory.bytes.set([end >> 8, end & 0xff], AT + HEADER_BYTES - 2);
          const header = memory.bytes.slice(AT, AT + HEADER_BYTES);
          seal.seal(memory, AT, 33, 0x01020304, 1, 0x0506_0708_090a);
          const cipher = createCipheriv(suite as 'aes-128-gcm', key, nonce, { authTagLength: 16 });
          cipher.setAAD(header, { plaintextLength: 33 });
          const sealed = Buffer.concat([header, cipher.update(plainOf(33)), cipher.final(), cipher.getAuthTag()]);
          assert.deepEqual(Buffer.from(memory.bytes.subarray(AT, AT + sealed.length)), sealed, `${end}`);
          assert.equal(open.open(memory, AT, sealed.length, 0x01020304, 1, 0x0506_0708_090a), true);
          assert.deepEqual(memory.bytes.slice(AT, AT + HEADER_BYTES), header);
        }
      });
    });
  }
}

describe('AES-128-GCM', () => {
  it('has the tag of test case 2 of the GCM specification, but for the associated data', {
    skip: native() === null && 'no node:ffi',
  }, () => {
    // Key, nonce and plaintext of zeros: the ciphertext does not depend on the associated data.
    for (const make of [createNodeCipher, createEvpCipher]) {
      const seal = createSeal('aes-128-gcm', { key: new Uint8Array(16), iv: new Uint8Array(12) }, make);
      const memory = packetOf(new Uint8Array(16));
      seal.seal(memory, AT, 16, 0, 0, 0);
      const sealed = Buffer.from(memory.bytes.subarray(AT + HEADER_BYTES, AT + HEADER_BYTES + 16)).toString('hex');
      assert.equal(sealed, '0388dace60b6a392f328c2b971b2fe78');
    }
  });
});

describe('choice of the AEAD', () => {
  it('passes over a maker that seals wrongly, opens what is forged, or throws', () => {
    const spoilt =
      (change: Partial<ReturnType<CipherMaker>>): CipherMaker =>
      (suite, use, key) => ({
        ...createNodeCipher(suite, use, key),
        ...change,
      });
    assert.equal(passesSelfTest(createNodeCipher, 'aes-128-gcm'), true);
    assert.equal(passesSelfTest(spoilt({ seal() {} }), 'aes-128-gcm'), false);
    assert.equal(passesSelfTest(spoilt({ open: () => true }), 'aes-128-gcm'), false);
    assert.equal(passesSelfTest(spoilt({ open: () => false }), 'aes-128-gcm'), false);
    const throwing = (): never => {
      throw new Error('no such cipher');
    };
    assert.equal(passesSelfTest(throwing, 'aes-128-gcm'), false);
  });

  it('takes OpenSSL where it can be called', { skip: native() === null && 'there is no node:ffi here' }, () => {
    for (const suite of suites) assert.equal(chooseCipher(suite), createEvpCipher);
  });
});
