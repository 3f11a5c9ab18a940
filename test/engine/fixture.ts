/** A whole engine on a temporary folder, and the little that its tests need of a client. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { toHex } from '../../src/core/hex.ts';
import { encodeBlockHeader, markRunning } from '../../src/core/wire/block-frames.ts';
import { encodePackEntry } from '../../src/core/wire/pack.ts';
import { blake3 } from '../../src/engine/blake3.ts';
import { systemClock } from '../../src/engine/clock.ts';
import type { Engine, Principal, UploadStatus } from '../../src/engine/contract.ts';
import { createEngine, type EngineOptions } from '../../src/engine/engine.ts';
import { openFileSystemStore } from '../../src/store/files/filesystem.ts';
import { openSqliteMeta } from '../../src/store/meta/sqlite.ts';

export const WRITER: Principal = { id: 'writer', name: 'writer', role: 'write' };
export const READER: Principal = { id: 'reader', name: 'reader', role: 'read' };
export const OTHER: Principal = { id: 'other', name: 'other', role: 'write' };
export const ADMIN: Principal = { id: 'admin', name: 'admin', role: 'admin' };

export interface Fixture {
  readonly engine: Engine;
  readonly root: string;
  readonly clock: { offsetMs: number };
}

export async function openEngine(context: TestContext, options: Partial<EngineOptions> = {}): Promise<Fixture> {
  const root = await mkdtemp(join(tmpdir(), 'hawser-engine-'));
  const files = await openFileSystemStore({ root, state: join(root, '.hawser') });
  const meta = await openSqliteMeta(':memory:');
  const clock = { offsetMs: 0 };
  const engine = createEngine({
    files,
    meta,
    clock: { now: () => Date.now() + clock.offsetMs, sleep: systemClock.sleep, after: systemClock.after },
    ...options,
  });
  await engine.recover();
  context.after(async () => {
    await engine.drain();
    await meta.close();
    await files.close();
    await rm(root, { recursive: true, force: true });
  });
  return { engine, root, clock };
}

/** Bytes that differ from place to place and from one seed to another. */
export function content(size: number, seed = 1): Uint8Array {
  let state = seed * 2654435761;
  return Uint8Array.from({ length: size }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
}

export const digestOf = (bytes: Uint8Array): string => toHex(blake3(bytes));

export function frame(bytes: Uint8Array, index: number, blockBytes: number): Uint8Array {
  const data = bytes.subarray(index * blockBytes, (index + 1) * blockBytes);
  return Buffer.concat([encodeBlockHeader(index * blockBytes, data.length, blake3(data)), data]);
}

export async function* body(...pieces: (Uint8Array | Error | Promise<void>)[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) {
    if (piece instanceof Error) throw piece;
    if (piece instanceof Promise) await piece;
    else yield piece;
  }
}

export function frames(bytes: Uint8Array, upload: UploadStatus, indices?: readonly number[]): Uint8Array[] {
  const all = Array.from({ length: Math.ceil(bytes.length / upload.blockBytes) }, (_, i) => i);
  return (indices ?? all).map((index) => frame(bytes, index, upload.blockBytes));
}

/** All frames of a file, with running digests. */
export function runningFrames(bytes: Uint8Array, { blockBytes }: UploadStatus): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / blockBytes) }, (_, index) => {
    const data = bytes.subarray(index * blockBytes, (index + 1) * blockBytes);
    const header = encodeBlockHeader(
      index * blockBytes,
      data.length,
      blake3(bytes.subarray(0, index * blockBytes + data.length)),
    );
    markRunning(header);
    return Buffer.concat([header, data]);
  });
}

/** The whole of an upload in one go. */
export async function send(
  engine: Engine,
  path: string,
  bytes: Uint8Array,
  who = WRITER,
  more: { transfer?: string; mtimeNs?: bigint } = {},
) {
  const upload = await engine.createUpload(who, { path, size: bytes.length, ...more });
  await engine.receiveBlocks(who, upload.id, upload.epoch, body(...frames(bytes, upload)));
  const done = await engine.completeUpload(who, upload.id, { epoch: upload.epoch, size: bytes.length, digest: digestOf(bytes) });
  if (!done.done) throw new Error('the digest took too long');
  return done.value;
}

export function packEntry(path: string, bytes: Uint8Array, digest = blake3(bytes)): Uint8Array {
  return Buffer.concat([
    encodePackEntry({ kind: 'file', path, digest, size: bytes.length, mode: 0o640, mtimeNs: 1_700_000_000_123_456_789n }),
    bytes,
  ]);
}

export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(new Uint8Array(piece));
  return Buffer.concat(pieces);
}

export const refusal = (code: string) => (error: unknown) => (error as { code?: string }).code === code;
