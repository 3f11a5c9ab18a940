import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { HEADER_BYTES, MAX_SOURCE_SYMBOLS, MAX_SYMBOLS, SYMBOL_BYTES, SYMBOL_HEAD_BYTES, TAG_BYTES } from './contract.ts';
import {
  expandPacketNumber,
  newHeader,
  newSymbolHead,
  PACKET_NUMBER_LIMIT,
  readHeader,
  readSymbolHead,
  symbolBytes,
  writeHeader,
  writeSymbolHead,
} from './wire.ts';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const packetNumber = fc.oneof(
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 0, max: PACKET_NUMBER_LIMIT - 1 }),
  fc.integer({ min: -3, max: 3 }).map((away) => 2 ** 32 + away),
);

test('a header comes out as it went in, its packet number cut to 32 bits', () => {
  const header = fc.record(
    {
      kind: fc.constantFrom('data' as const, 'control' as const),
      ackNow: fc.boolean(),
      probe: fc.boolean(),
      keyPhase: fc.boolean(),
      idHigh: u32,
      idLow: u32,
      packetNumberLow: packetNumber,
    },
    { noNullPrototype: true },
  );
  fc.assert(
    fc.property(header, (sent) => {
      const datagram = new Uint8Array(60).fill(0xa5);
      writeHeader(datagram, sent);
      const read = newHeader();
      assert.ok(readHeader(datagram, read));
      assert.deepEqual(read, { ...sent, packetNumberLow: sent.packetNumberLow % 2 ** 32 });
      assert.deepEqual(datagram.subarray(HEADER_BYTES), new Uint8Array(60 - HEADER_BYTES).fill(0xa5));
    }),
  );
});

test('of the 256 first bytes only the 16 of this version with free bits zero begin a header', () => {
  const datagram = new Uint8Array(40);
  const into = newHeader();
  const ours = [];
  for (let flags = 0; flags < 256; flags++) {
    datagram[0] = flags;
    if (readHeader(datagram, into)) ours.push(flags);
  }
  // Version 1 in the upper two bits, and the lowest two bits free.
  assert.deepEqual(
    ours,
    Array.from({ length: 16 }, (_, i) => 0x40 + 4 * i),
  );
});

test('a datagram without room for one sealed byte is not read, and leaves what was read before', () => {
  const header = { ...newHeader(), idHigh: 7, idLow: 8 };
  const datagram = new Uint8Array(HEADER_BYTES + 1 + TAG_BYTES);
  writeHeader(datagram, newHeader());
  for (let length = 0; length < datagram.length; length++) assert.ok(!readHeader(datagram.subarray(0, length), header));
  assert.deepEqual(header, { ...newHeader(), idHigh: 7, idLow: 8 });
  assert.ok(readHeader(datagram, header));
  assert.equal(header.idHigh, 0);
});

test('a packet number within 2^31 of the expected one is found again from its low half', () => {
  const away = fc.oneof(fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 }), fc.integer({ min: -70_000, max: 70_000 }));
  fc.assert(
    fc.property(packetNumber, away, (largest, distance) => {
      const number = largest + 1 + distance;
      fc.pre(number >= 0 && number < PACKET_NUMBER_LIMIT);
      assert.equal(expandPacketNumber(largest, number % 2 ** 32), number);
    }),
    { numRuns: 2000 },
  );
  assert.equal(expandPacketNumber(-1, 0), 0);
  assert.equal(expandPacketNumber(-1, 0xffff_ffff), 0xffff_ffff);
  // RFC 9000 A.3's own example has 16 bits; this is the same with 32.
  assert.equal(expandPacketNumber(0xa82f_30ea, 0xa82f_9b32), 0xa82f_9b32);
});

test('whatever the low half, the packet number is a packet number', () => {
  const largest = fc.oneof(packetNumber, fc.constantFrom(-1, PACKET_NUMBER_LIMIT - 1, PACKET_NUMBER_LIMIT - 2 ** 31));
  fc.assert(
    fc.property(largest, u32, (from, low) => {
      const number = expandPacketNumber(from, low);
      assert.ok(number >= 0 && number < PACKET_NUMBER_LIMIT, String(number));
      assert.equal(number % 2 ** 32, low);
    }),
    { numRuns: 2000 },
  );
});

test('a symbol head comes out as it went in', () => {
  fc.assert(
    fc.property(
      u32,
      fc.integer({ min: 0, max: MAX_SYMBOLS - 1 }),
      fc.integer({ min: 1, max: MAX_SOURCE_SYMBOLS }),
      fc.integer({ min: 1, max: SYMBOL_BYTES }),
      (block, symbol, sourceSymbols, lastBytes) => {
        const plain = new Uint8Array(SYMBOL_HEAD_BYTES + symbolBytes(symbol, sourceSymbols, lastBytes));
        writeSymbolHead(plain, 0, block, symbol, sourceSymbols, lastBytes);
        const head = newSymbolHead();
        assert.ok(readSymbolHead(plain, head));
        assert.deepEqual(head, { block, symbol, sourceSymbols, lastBytes });
      },
    ),
  );
});

test('a symbol is read only with exactly its bytes', () => {
  const into = newSymbolHead();
  const reads = (symbol: number, sourceSymbols: number, lastBytes: number, bytes: number) => {
    const plain = new Uint8Array(SYMBOL_HEAD_BYTES + bytes);
    writeSymbolHead(plain, 0, 9, symbol, sourceSymbols, lastBytes);
    return readSymbolHead(plain, into);
  };
  for (let symbol = 0; symbol < 256; symbol++) {
    for (const sourceSymbols of [0, 1, 2, 102, 103, 104, 255]) {
      for (const lastBytes of [0, 1, 700, 1280, 1281, 0xffff]) {
        const valid = symbol < 255 && sourceSymbols >= 1 && sourceSymbols <= 103 && lastBytes >= 1 && lastBytes <= 1280;
        const short = sourceSymbols === 1 || symbol === sourceSymbols - 1;
        for (const bytes of [0, 1, 699, 700, 701, 1279, 1280, 1281]) {
          const expected = valid && bytes === (short ? lastBytes : 1280);
          assert.equal(
            reads(symbol, sourceSymbols, lastBytes, bytes),
            expected,
            `${symbol} ${sourceSymbols} ${lastBytes} ${bytes}`,
          );
        }
      }
    }
  }
});
