/**
 * The engine against a bad disk, bad networks and rude clients. Safety: at every power cut a recorded block is intact on disk,
 * an acknowledged block is recorded, and what is published is, byte for byte, something that a client sent whole.
 * Liveness: once the faults stop, every client finishes.
 */
import assert from 'node:assert/strict';
import { toHex } from '../../src/core/hex.ts';
import { encodeBlockHeader, markRunning } from '../../src/core/wire/block-frames.ts';
import { decodeDigestRecords } from '../../src/core/wire/digest-records.ts';
import { blake3 } from '../../src/engine/blake3.ts';
import { BlockMap, isUndigested } from '../../src/engine/block-map.ts';
import type { Engine, Principal, UploadStatus } from '../../src/engine/contract.ts';
import { createEngine } from '../../src/engine/engine.ts';
import type { MetaStore } from '../../src/store/meta/contract.ts';
import { createMemoryMeta } from '../../src/store/meta/memory.ts';
import { type DiskOptions, SimDisk } from './disk.ts';
import { between, type Random, World } from './world.ts';

export interface SimResult {
  readonly steps: number;
  readonly crashes: number;
}

const WHO: Principal = { id: 'tester', name: 'tester', role: 'write' };
const FAULTY_STEPS = 600;

/** One run. Throws, with the seed in the message, when something that may never happen did. */
export async function simulateUploads(seed: number, disk: DiskOptions = {}): Promise<SimResult> {
  const sim = new Simulation(seed, disk);
  try {
    return await sim.run();
  } catch (error) {
    throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
  }
}

class Simulation {
  readonly world: World;
  readonly disk: SimDisk;
  readonly meta: MetaStore;
  engine: Engine;
  /** A server serves only after it has recovered. */
  ready: Promise<void> = Promise.resolve();
  /** Digests that some client asked to be published under a path: nothing else may ever be seen there. */
  readonly promised = new Map<string, Set<string>>();
  /** Acknowledged blocks of each path that only one client writes to: "path" -> block -> digest. */
  readonly acknowledged = new Map<string, Map<number, string>>();
  /** Blocks that were sent with a running digest: path -> "block digest". Their own digests are not recorded. */
  readonly running = new Map<string, Set<string>>();
  #finished = 0;
  #failure: unknown;

  constructor(seed: number, disk: DiskOptions) {
    this.world = new World(seed);
    this.disk = new SimDisk(this.world, disk);
    this.meta = createMemoryMeta({ beforeCommit: (method) => this.world.step(method) });
    this.engine = this.start();
  }

  start(): Engine {
    const { clock, random } = this.world;
    const bytes = (count: number) => Uint8Array.from({ length: count }, () => Math.floor(random() * 256));
    return createEngine({ files: this.disk.store(), meta: this.meta, clock, random: bytes, patienceMs: 200 });
  }

  async run(): Promise<SimResult> {
    const rivals = this.world.random() < 0.5;
    const paths = ['/alone', '/other', ...(rivals ? ['/other'] : [])];
    for (const [i, path] of paths.entries()) {
      const single = paths.filter((other) => other === path).length === 1;
      this.client(`client ${i}`, path, single).then(
        () => this.#finished++,
        (error) => {
          this.#failure ??= error;
        },
      );
    }
    await this.world.run(
      () => {
        if (this.#failure) throw this.#failure;
        return this.#finished === paths.length;
      },
      { crashChance: () => (this.faulty ? 0.01 : 0), crash: () => this.crash(), maxSteps: 20_000 },
    );
    this.checkPublished();
    return { steps: this.world.steps, crashes: this.world.crashes };
  }

  get faulty(): boolean {
    return this.world.steps < FAULTY_STEPS;
  }

  async crash(): Promise<void> {
    this.disk.crash();
    await this.checkRecorded();
    this.checkPublished();
    this.engine = this.start();
    this.ready = this.engine.recover();
    this.ready.catch(() => undefined);
  }

  /** Every recorded block is on the disk, whole. */
  async checkRecorded(): Promise<void> {
    for (const upload of await this.meta.listUploads({ limit: 1000 })) {
      if (upload.state !== 'receiving') continue;
      const file = this.disk.staged.get(upload.id);
      const blocks = BlockMap.from(await this.meta.loadBlocks(upload.id));
      for (const [start, end] of blocks.safe.entries()) {
        for (let i = start; i < end; i++) {
          const at = i * upload.blockBytes;
          const bytes = file?.durable.subarray(at, Math.min(at + upload.blockBytes, upload.size ?? Number.MAX_SAFE_INTEGER));
          const digest = toHex(blake3(bytes ?? new Uint8Array()));
          const recorded = blocks.digest(i)!;
          const intact = isUndigested(recorded)
            ? this.running.get(upload.path)?.has(`${i} ${digest}`)
            : digest === toHex(recorded);
          assert.ok(intact, `the recorded block ${i} of ${upload.path} (${upload.id}) is not intact`);
        }
      }
    }
  }

  checkPublished(): void {
    for (const [path, { bytes }] of this.disk.published) {
      const digest = toHex(blake3(bytes));
      assert.ok(this.promised.get(path)?.has(digest), `${path} shows bytes that nobody sent whole`);
    }
  }

  /** A call to the server: fails when the power goes out meanwhile. */
  async call<T>(work: (engine: Engine) => Promise<T>): Promise<T> {
    return await Promise.race([this.ready.then(() => work(this.engine)), this.world.outage.promise]);
  }

  async client(name: string, path: string, single: boolean): Promise<void> {
    const { random } = this.world;
    let content = makeContent(random);
    for (let attempt = 0; ; attempt++) {
      assert.ok(attempt < 400, `${name} tries for ever`);
      if (this.faulty && random() < 0.15) {
        content = random() < 0.5 ? changeContent(random, content) : makeContent(random);
        this.acknowledged.delete(path);
      }
      try {
        if (await this.attempt(path, content, single)) {
          assert.deepEqual(single ? this.disk.published.get(path)?.bytes : content, content, `${path} is not what was sent last`);
          if (!this.faulty) return;
          this.acknowledged.delete(path);
        }
      } catch (error) {
        if ((error as { code?: string }).code === 'ERR_ASSERTION') throw error;
        if (process.env.SIM_LOG) console.log(this.world.steps, name, (error as Error).stack?.split('\n').slice(0, 4).join(' | '));
        await Promise.race([this.world.clock.sleep(random() * 500), this.world.outage.promise]).catch(() => undefined);
      }
    }
  }

  /** One try at sending it all. True when the server says that it is in place. */
  async attempt(path: string, content: Uint8Array, single: boolean): Promise<boolean> {
    const { random } = this.world;
    const digest = toHex(blake3(content));
    const dedup = random() < 0.3 ? { digest } : {};
    const promises = this.promised.get(path) ?? new Set();
    this.promised.set(path, promises.add(digest));
    const upload = await this.call((engine) => engine.createUpload(WHO, { path, size: content.length, ...dedup }));
    if (upload.state === 'done') return true;
    if (single && !upload.deduplicated) await this.checkAcknowledged(path, upload);
    const wanted = upload.deduplicated ? [] : await this.differing(upload, content);
    await this.send(path, upload, content, wanted);
    if (this.faulty && random() < 0.1) {
      const lie = toHex(blake3(new Uint8Array([1, 2, 3])));
      await assert.rejects(
        this.call((engine) => engine.completeUpload(WHO, upload.id, { epoch: upload.epoch, size: content.length, digest: lie })),
      );
    }
    for (;;) {
      const result = await this.call((engine) =>
        engine.completeUpload(WHO, upload.id, { epoch: upload.epoch, size: content.length, digest }),
      );
      if (result.done) return true;
    }
  }

  async checkAcknowledged(path: string, upload: UploadStatus): Promise<void> {
    if (!upload.resumed) {
      // A new upload: what was acknowledged before must have been published, or it is lost.
      if (this.acknowledged.get(path)?.size) assert.ok(this.disk.published.has(path), `the upload of ${path} is lost`);
      this.acknowledged.delete(path);
      return;
    }
    const safe = await this.digests(upload);
    for (const [index, digest] of this.acknowledged.get(path) ?? []) {
      const there = safe.digest(index);
      assert.equal(there && toHex(there), digest, `block ${index} of ${path} was acknowledged and is not there`);
    }
  }

  async digests(upload: UploadStatus): Promise<BlockMap> {
    for (;;) {
      const answer = await this.call((engine) => engine.uploadDigests(WHO, upload.id));
      if (answer.done) return BlockMap.from(decodeDigestRecords(answer.value));
    }
  }

  async differing(upload: UploadStatus, content: Uint8Array): Promise<number[]> {
    const safe = await this.digests(upload);
    const count = Math.ceil(content.length / upload.blockBytes);
    return Array.from({ length: count }, (_, i) => i).filter((i) => {
      const there = safe.digest(i);
      return !there || toHex(there) !== toHex(blake3(blockOf(content, i, upload.blockBytes)));
    });
  }

  async send(path: string, upload: UploadStatus, content: Uint8Array, wanted: readonly number[]): Promise<void> {
    const { random } = this.world;
    // In order, most blocks may have running digests; else hardly any of those that try can be verified.
    const inOrder = random() < 0.5;
    const runningChance = inOrder || random() < 0.2 ? random() : 0;
    const shuffled = inOrder ? wanted : [...wanted].sort(() => random() - 0.5);
    const requests = between(random, 1, 3);
    const groups = Array.from({ length: requests }, (_, k) => shuffled.filter((_, i) => i % requests === k));
    const outcomes = await Promise.allSettled(
      groups
        .filter((group) => group.length > 0)
        .map(async (group) => {
          await this.call((engine) =>
            engine.receiveBlocks(WHO, upload.id, upload.epoch, this.body(upload, content, group, runningChance)),
          );
          const acknowledged = this.acknowledged.get(path) ?? new Map<number, string>();
          for (const i of group) acknowledged.set(i, toHex(blake3(blockOf(content, i, upload.blockBytes))));
          this.acknowledged.set(path, acknowledged);
        }),
    );
    for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  }

  /** Frames, cut into pieces anywhere, with damage and breaks while faults are on. */
  async *body(
    upload: UploadStatus,
    content: Uint8Array,
    group: readonly number[],
    runningChance: number,
  ): AsyncGenerator<Uint8Array> {
    const { random } = this.world;
    for (const i of group) {
      const data = blockOf(content, i, upload.blockBytes);
      const own = blake3(data);
      const runs = random() < runningChance;
      const digest = runs ? blake3(content.subarray(0, i * upload.blockBytes + data.length)) : own;
      const frame = Buffer.concat([encodeBlockHeader(i * upload.blockBytes, data.length, digest), data]);
      if (runs) {
        markRunning(frame);
        const sent = this.running.get(upload.path) ?? new Set();
        this.running.set(upload.path, sent.add(`${i} ${toHex(own)}`));
      }
      if (this.faulty && random() < 0.05) frame[between(random, 44, frame.length - 1)]! ^= 1;
      for (let at = 0; at < frame.length; ) {
        await this.world.step('network');
        if (this.faulty && random() < 0.02) throw new Error('the connection broke');
        const end = Math.min(frame.length, at + between(random, 1, upload.blockBytes));
        yield frame.subarray(at, end);
        at = end;
      }
    }
  }
}

function blockOf(content: Uint8Array, index: number, blockBytes: number): Uint8Array {
  return content.subarray(index * blockBytes, (index + 1) * blockBytes);
}

function makeContent(random: Random): Uint8Array {
  const size = random() < 0.1 ? 0 : between(random, 1, 5 * 65536);
  return new Uint8Array(size)
    .fill(between(random, 1, 250))
    .map((byte, i) => (i % 4096 === 0 ? Math.floor(random() * 256) : byte));
}

/** The same size, with some bytes changed: a source that was edited in place. */
function changeContent(random: Random, content: Uint8Array): Uint8Array {
  const changed = content.slice();
  for (let i = 0; i < 3 && changed.length > 0; i++) changed[between(random, 0, changed.length - 1)]! ^= 0x55;
  return changed;
}
