/**
 * The erasure code by itself, on one thread: the kernel's sums, a repair symbol, a block decoded, parity over chunks. Time is
 * the process's CPU time. `--peer` installs another code from the npm registry into a folder that goes at the end, and does
 * the same blocks with it. Options: --rounds 9 --peer --write
 */
import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { createBlockEncoder, decodeBlock } from '../src/core/fec/codec.ts';
import { createSimdKernel, type Kernel } from '../src/core/fec/kernel.ts';
import { createPlainKernel } from '../src/core/fec/kernel-plain.ts';
import { encodeStripe, recoverStripe } from '../src/core/fec/stripe.ts';
import { main, Skip } from './cleanup.ts';
import { interleave, median, times } from './figures.ts';
import { publish, say, table } from './report.ts';
import { scratch } from './scratch.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '9' },
    peer: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

const SYMBOL_BYTES = 1280;
const CHUNK_BYTES = 256 * 1024;
/** At least so much CPU time goes into one figure. */
const ROUND_US = 100_000;
const ENCODED = `a new block's repair, 100 + 10 × ${SYMBOL_BYTES} B`;
const PEER = { name: '@subspace/reed-solomon-erasure.wasm', version: '0.2.5' };

/** What is timed: `bytes` is how many source bytes it multiplies and adds, over all outputs. */
interface Work {
  readonly name: string;
  readonly bytes: number;
  run(): void;
}

await main(async () => {
  const peer = options.peer ? loadPeer() : null;
  const pairs = blocks(peer);
  // The peer makes its matrix anew in every call: symbols of 64 bytes show what that costs it.
  const matrixOnly = peer && peerEncode(peer, 100, 10, 64);
  const works = [...kernelWorks(), ...pairs.flatMap(({ ours, theirs }) => (theirs ? [ours, theirs] : [ours]))];
  if (matrixOnly) works.push(matrixOnly);
  const medians = await measureAll(works);
  const us = (work: Work) => medians.get(work.name)!;
  const body = [
    table(
      ['', 'µs', 'GB/s of multiply-add'],
      works.map((work) => [work.name, us(work).toFixed(us(work) < 10 ? 3 : 1), (work.bytes / us(work) / 1000).toFixed(2)]),
    ),
  ];
  const ratios = pairs.flatMap(({ ours, theirs }) => (theirs ? [[ours.name, times(us(theirs) / us(ours))]] : []));
  const encoded = pairs.find(({ ours }) => ours.name === ENCODED);
  if (encoded?.theirs && matrixOnly) {
    const arithmetic = us(encoded.theirs) - us(matrixOnly);
    ratios.push([`${ENCODED}, less the peer's time for 64 B`, times(arithmetic / us(encoded.ours))]);
  }
  if (ratios.length > 0)
    body.push(table([`times the speed of ${PEER.name} ${PEER.version}`, 'goal for blocks: at least 20'], ratios));
  body.push(
    `Median CPU time of ${options.rounds} rounds on one thread after a warm-up. The copies into and out of WebAssembly's memory count.`,
  );
  publish({ id: 'fec', title: 'The erasure code', command: 'npm run bench:fec', body }, options.write);
});

function kernelWorks(): Work[] {
  const plain = kernelWork(createPlainKernel(128 * SYMBOL_BYTES), 'dot', 100);
  const simd = createSimdKernel(128 * SYMBOL_BYTES);
  if (simd === null) return [plain];
  return [
    kernelWork(simd, 'dot', 1),
    kernelWork(simd, 'dot', 100),
    kernelWork(simd, 'dot2', 100),
    kernelWork(simd, 'sum', 100),
    plain,
  ];
}

function kernelWork(kernel: Kernel, operation: 'dot' | 'dot2' | 'sum', count: number): Work {
  randomFillSync(kernel.arena);
  for (let i = 0; i < kernel.coefficients.length; i++) kernel.coefficients[i] = 2 + (i % 254);
  return {
    name: `kernel ${kernel.name}: ${operation} of ${count} × ${SYMBOL_BYTES} B`,
    bytes: count * SYMBOL_BYTES * (operation === 'dot2' ? 2 : 1),
    run: () => kernel[operation](100 * SYMBOL_BYTES, 0, SYMBOL_BYTES, count, SYMBOL_BYTES),
  };
}

interface Pair {
  readonly ours: Work;
  readonly theirs: Work | null;
}

function blocks(peer: Peer | null): Pair[] {
  return [
    { ours: oneRepair(100), theirs: null },
    { ours: encodeBlock(), theirs: peer && peerEncode(peer, 100, 10, SYMBOL_BYTES) },
    { ours: decode(103, 31), theirs: peer && peerDecode(peer, 103, 31, SYMBOL_BYTES) },
    { ours: decode(103, 1), theirs: peer && peerDecode(peer, 103, 1, SYMBOL_BYTES) },
    { ours: stripe(10, 3), theirs: peer && peerEncode(peer, 10, 3, CHUNK_BYTES) },
    { ours: stripe(10, 1), theirs: peer && peerEncode(peer, 10, 1, CHUNK_BYTES) },
    { ours: recover(10, 3), theirs: peer && peerDecode(peer, 10, 3, CHUNK_BYTES) },
  ];
}

function oneRepair(k: number): Work {
  const encoder = createBlockEncoder();
  const source = randomFillSync(new Uint8Array(k * SYMBOL_BYTES));
  const out = new Uint8Array(SYMBOL_BYTES);
  let symbol = k;
  return {
    name: `one more repair symbol, k = ${k}`,
    bytes: source.length,
    run() {
      symbol = symbol === 254 ? k + 1 : symbol + 1;
      encoder.repair(0, source, k, SYMBOL_BYTES, symbol, out);
    },
  };
}

function encodeBlock(): Work {
  const [k, repairs] = [100, 10];
  const encoder = createBlockEncoder();
  const source = randomFillSync(new Uint8Array(k * SYMBOL_BYTES));
  const out = new Uint8Array(SYMBOL_BYTES);
  return {
    name: ENCODED,
    bytes: source.length * repairs,
    run() {
      for (let i = 0; i < repairs; i++) encoder.repair(1, source, k, SYMBOL_BYTES, k + i, out);
      encoder.forget(1);
    },
  };
}

function decode(k: number, missing: number): Work {
  const encoder = createBlockEncoder();
  const block = randomFillSync(new Uint8Array(k * SYMBOL_BYTES));
  const present = new Uint8Array(k).fill(1);
  const repairEsi = Array.from({ length: missing }, (_, i) => k + i);
  const repairSymbols = repairEsi.map((symbol) => {
    const out = new Uint8Array(SYMBOL_BYTES);
    encoder.repair(2, block, k, SYMBOL_BYTES, symbol, out);
    return out;
  });
  for (let i = 0; i < missing; i++) present[Math.floor((i * k) / missing)] = 0;
  return {
    name: `a block decoded, k = ${k}, ${missing} missing`,
    bytes: missing * k * SYMBOL_BYTES,
    run: () => decodeBlock({ k, symbolBytes: SYMBOL_BYTES, block, present, repairEsi, repairSymbols }),
  };
}

function stripe(k: number, parities: number): Work {
  const chunks = Array.from({ length: k }, () => randomFillSync(new Uint8Array(CHUNK_BYTES)));
  const parity = Array.from({ length: parities }, () => new Uint8Array(CHUNK_BYTES));
  return {
    name: `parity, ${k} + ${parities} × 256 KiB`,
    bytes: k * parities * CHUNK_BYTES,
    run: () => encodeStripe(chunks, parity),
  };
}

function recover(k: number, missing: number): Work {
  const chunks = Array.from({ length: k }, () => randomFillSync(new Uint8Array(CHUNK_BYTES)));
  const parity = Array.from({ length: missing }, () => new Uint8Array(CHUNK_BYTES));
  encodeStripe(chunks, parity);
  const present = new Uint8Array(k).fill(1).fill(0, 0, missing);
  return {
    name: `${missing} chunks recovered, ${k} + ${missing} × 256 KiB`,
    bytes: k * missing * CHUNK_BYTES,
    run: () => recoverStripe({ chunks, present, parity }),
  };
}

/** Of the peer's interface what is used: all symbols one after the other in `shards`; 0 when it went well. */
interface Peer {
  encode(shards: Uint8Array, sources: number, repairs: number): number;
  reconstruct(shards: Uint8Array, sources: number, repairs: number, available: boolean[]): number;
}

function loadPeer(): Peer {
  const folder = scratch('disk', 50 << 20);
  const args = ['install', '--prefix', folder, '--ignore-scripts', '--no-save', `${PEER.name}@${PEER.version}`];
  const { status, stderr } = spawnSync('npm', args, { encoding: 'utf8' });
  if (status !== 0) throw new Skip(`bench: npm could not install ${PEER.name}, run without --peer: ${stderr.trim()}`);
  const home = join(folder, 'node_modules', PEER.name, 'dist');
  const { ReedSolomonErasure } = createRequire(import.meta.url)(join(home, 'index.js'));
  return ReedSolomonErasure.fromBytes(readFileSync(join(home, 'reed_solomon_erasure_bg.wasm')));
}

function peerEncode(peer: Peer, k: number, repairs: number, symbolBytes: number): Work {
  const shards = randomFillSync(new Uint8Array((k + repairs) * symbolBytes));
  return {
    name: `peer: repair, ${k} + ${repairs} × ${symbolBytes} B`,
    bytes: k * repairs * symbolBytes,
    run: () => expectOk(peer.encode(shards, k, repairs)),
  };
}

/** Decodes what its own encoder made. */
function peerDecode(peer: Peer, k: number, missing: number, symbolBytes: number): Work {
  const shards = randomFillSync(new Uint8Array((k + missing) * symbolBytes));
  expectOk(peer.encode(shards, k, missing));
  const lost = new Set(Array.from({ length: missing }, (_, i) => Math.floor((i * k) / missing)));
  const available = Array.from({ length: k + missing }, (_, i) => !lost.has(i));
  return {
    name: `peer: decode, k = ${k} × ${symbolBytes} B, ${missing} missing`,
    bytes: missing * k * symbolBytes,
    run: () => expectOk(peer.reconstruct(shards, k, missing, [...available])),
  };
}

function expectOk(result: number): void {
  if (result !== 0) throw new Error(`${PEER.name} answered ${result}`);
}

/** Median µs of CPU time of each. */
async function measureAll(works: readonly Work[]): Promise<Map<string, number>> {
  const contenders = works.map((work) => ({ name: work.name, run: async () => timeOf(work) }));
  const results = await interleave(contenders, Number(options.rounds), (name, round, us) => {
    if (round > 0) say(`${round} ${name}: ${us.toFixed(2)} µs`);
  });
  return new Map([...results].map(([name, values]) => [name, median(values)]));
}

/** Repeats for ROUND_US of CPU time, so that neither the clock's grain nor one interruption counts. */
function timeOf({ run }: Work): number {
  let usedUs = 0;
  let runs = 0;
  for (let batch = 1; usedUs < ROUND_US; batch *= 2) {
    const before = process.cpuUsage();
    for (let i = 0; i < batch; i++) run();
    const { user, system } = process.cpuUsage(before);
    usedUs += user + system;
    runs += batch;
  }
  return usedUs / runs;
}
