/** A pack while it is being built: entries one after the other in one reused buffer, files read straight into their places. */
import fs from 'node:fs';
import { pathToBytes } from '../../core/path.ts';
import { encodePackEntry, encodePackHeader, PACK_DIGEST_AT, PACK_HEADER_BYTES, type PackEntry } from '../../core/wire/pack.ts';
import { blake3Hex } from '../../engine/blake3.ts';
import { changedFailure, localFailure } from './local.ts';
import { sourceFlags } from './source-file.ts';
import type { SourceEntry } from './walk.ts';

/** An entry of the pack and where it lies. */
export interface Packed {
  readonly kind: PackEntry['kind'];
  /** Remote. */
  readonly path: string;
  /** Content bytes. */
  readonly size: number;
  readonly mtimeNs: bigint;
  /** Hex, of a file; else empty. */
  readonly digest: string;
  readonly start: number;
  readonly end: number;
}

export type AddResult = 'added' | 'full' | 'too-large';

export class PackBuffer {
  readonly #buffer: Buffer;
  readonly #maxFileBytes: number;
  readonly #preserve: boolean;
  readonly #flags: number;
  #entries: Packed[] = [];
  #length = 0;

  /** `maxBytes`: of the whole pack; must have room for one file of `maxFileBytes` with its header. */
  constructor(options: { maxBytes: number; maxFileBytes: number; preserve: boolean; follow: boolean }) {
    this.#buffer = Buffer.allocUnsafeSlow(options.maxBytes);
    this.#maxFileBytes = options.maxFileBytes;
    this.#preserve = options.preserve;
    this.#flags = sourceFlags(options.follow);
  }

  get entries(): readonly Packed[] {
    return this.#entries;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#entries = [];
    this.#length = 0;
  }

  /** Only these entries stay, in ascending order of their places. */
  keep(indices: readonly number[]): void {
    const kept: Packed[] = [];
    let at = 0;
    for (const index of indices) {
      const entry = this.#entries[index]!;
      this.#buffer.copyWithin(at, entry.start, entry.end);
      kept.push({ ...entry, start: at, end: at + entry.end - entry.start });
      at += entry.end - entry.start;
    }
    this.#entries = kept;
    this.#length = at;
  }

  /** A folder or a link. `path_invalid` when the server could not take it. */
  add(entry: SourceEntry, path: string): AddResult {
    const kind = entry.kind === 'link' ? 'link' : 'folder';
    const header = encodePackEntry({
      kind,
      path,
      ...(this.#preserve && { mode: entry.mode, mtimeNs: entry.mtimeNs }),
      ...(entry.target !== undefined && { target: entry.target }),
      digest: NO_DIGEST,
      size: 0,
    });
    if (this.#length + header.length > this.#buffer.length) return 'full';
    this.#buffer.set(header, this.#length);
    this.#put(kind, path, header.length, 0, entry.mtimeNs, '');
    return 'added';
  }

  /**
   * Reads a file into the pack. 'too-large': it has grown beyond what packs take. A file that changes while it is read is read
   * once more, then it fails with source_changed; other failures are local_io and local_not_found.
   */
  addFile(entry: SourceEntry, path: string): AddResult {
    let { size, mode, mtimeNs } = entry;
    for (let attempt = 0; ; attempt++) {
      if (size > this.#maxFileBytes) return 'too-large';
      const headerBytes = PACK_HEADER_BYTES + pathLength(path);
      const contentAt = this.#length + headerBytes;
      if (contentAt + size > this.#buffer.length) return 'full';
      const read = this.#read(entry, contentAt, size);
      if (read.got === size && read.size === size && read.mtimeNs === mtimeNs) {
        const digest = blake3Hex(this.#buffer.subarray(contentAt, contentAt + size));
        const header = this.#preserve ? { kind: 'file' as const, mode, mtimeNs, size } : { kind: 'file' as const, size };
        encodePackHeader(this.#buffer, this.#length, header, headerBytes - PACK_HEADER_BYTES, 0);
        this.#buffer.write(digest, this.#length + PACK_DIGEST_AT, 'hex');
        this.#writePath(path, this.#length + PACK_HEADER_BYTES);
        this.#put('file', path, headerBytes, size, mtimeNs, digest);
        return 'added';
      }
      if (attempt === RE_READS) throw changedFailure(entry.local);
      ({ size, mode, mtimeNs } = read);
    }
  }

  /** Up to `size` bytes at `at`, and what the file is afterwards. */
  #read(entry: SourceEntry, at: number, size: number): { got: number; size: number; mode: number; mtimeNs: bigint } {
    let fd = -1;
    try {
      fd = fs.openSync(entry.local, this.#flags);
      let got = 0;
      while (got < size) {
        const part = fs.readSync(fd, this.#buffer, at + got, size - got, null);
        if (part === 0) break;
        got += part;
      }
      const after = fs.fstatSync(fd, { bigint: true });
      return { got, size: Number(after.size), mode: Number(after.mode) & 0o777, mtimeNs: after.mtimeNs };
    } catch (error) {
      throw localFailure(error, entry.local);
    } finally {
      if (fd !== -1) fs.closeSync(fd);
    }
  }

  #writePath(path: string, at: number): void {
    if (ASCII.test(path)) this.#buffer.write(path, at, 'latin1');
    else this.#buffer.set(pathToBytes(path), at);
  }

  /** The header is in its place, and so is the content. */
  #put(kind: PackEntry['kind'], path: string, headerBytes: number, size: number, mtimeNs: bigint, digest: string): void {
    const start = this.#length;
    this.#length = start + headerBytes + size;
    this.#entries.push({ kind, path, size, mtimeNs, digest, start, end: this.#length });
  }
}

/** Bytes of the path; most are plain ASCII, whose length is known. */
function pathLength(path: string): number {
  return ASCII.test(path) ? path.length : pathToBytes(path).length;
}

const ASCII = /^[\0-\x7f]*$/;
const NO_DIGEST = new Uint8Array(32);
/** A file that changed between the walk and the read, or during the read, is read again; one that always changes is not. */
const RE_READS = 2;
