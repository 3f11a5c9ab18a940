/** Files to send, made from a seed, and what there is to say about files that arrived. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { toHex } from '../../src/core/hex.ts';
import { createBlake3 } from '../../src/engine/blake3.ts';

export const KIB = 1 << 10;
export const MIB = 1 << 20;

export interface ContentOptions {
  /** Every byte has its high bit set, so that a relay can tell content from the protocol around it. */
  readonly marked?: boolean;
}

/** Incompressible, the same for the same seed; long contents begin with the shorter ones of their seed. */
export function content(bytes: number, seed: number, { marked = false }: ContentOptions = {}): Buffer {
  const key = Buffer.alloc(16);
  key.writeUInt32BE(seed >>> 0);
  const stream = createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bytes));
  if (marked) for (let at = 0; at < stream.length; at++) stream[at]! |= 0x80;
  return stream;
}

/** Makes the folders above it too. */
export function writeContent(file: string, bytes: number, seed: number, options: ContentOptions = {}): void {
  mkdirSync(dirname(file), { recursive: true });
  const handle = openSync(file, 'w');
  writeSync(handle, content(bytes, seed, options));
  closeSync(handle);
}

/** By b3sum where it is installed, so that what we call BLAKE3 is what the world calls so. */
export async function digestOf(file: string): Promise<string> {
  if (existsSync(B3SUM)) {
    const { stdout } = await promisify(execFile)(B3SUM, ['--no-names', '--', file]);
    return stdout.trim();
  }
  const hash = createBlake3();
  hash.update(readFileSync(file));
  return toHex(hash.digest());
}

export async function assertSameFile(actual: string, expected: string): Promise<void> {
  assert.equal(lstatSync(actual).size, lstatSync(expected).size, `${actual} has the size of ${expected}`);
  assert.equal(await digestOf(actual), await digestOf(expected), `${actual} has the digest of ${expected}`);
}

export interface Listed {
  readonly kind: 'file' | 'folder' | 'link' | 'other';
  readonly mode: number;
  readonly mtimeNs: bigint;
  /** Of files: digest; of links: target. */
  readonly content: string;
}

/** All below `root` by the bytes of its path (as latin-1), and `root` itself as ".". Hawser's own state is left out, partial files too. */
export function listTree(root: string): Map<string, Listed> {
  const found = new Map<string, Listed>();
  const { mode, mtimeNs } = lstatSync(root, { bigint: true });
  found.set('.', { kind: 'folder', mode: Number(mode) & 0o7777, mtimeNs, content: '' });
  const visit = (folder: Buffer, prefix: string) => {
    for (const name of readdirSync(folder, { encoding: 'latin1' }).sort()) {
      if ((prefix === '' && name === '.hawser') || name.includes(PARTIAL)) continue;
      const path = Buffer.concat([folder, Buffer.from('/'), Buffer.from(name, 'latin1')]);
      const stats = lstatSync(path, { bigint: true });
      const common = { mode: Number(stats.mode) & 0o7777, mtimeNs: stats.mtimeNs };
      const key = prefix + name;
      if (stats.isSymbolicLink()) {
        found.set(key, { ...common, kind: 'link', content: readlinkSync(path, { encoding: 'latin1' }) });
      } else if (stats.isDirectory()) {
        found.set(key, { ...common, kind: 'folder', content: '' });
        visit(path, `${key}/`);
      } else if (stats.isFile()) {
        const hash = createBlake3();
        hash.update(readFileSync(path));
        found.set(key, { ...common, kind: 'file', content: toHex(hash.digest()) });
      } else found.set(key, { ...common, kind: 'other', content: '' });
    }
  };
  visit(Buffer.from(root), '');
  return found;
}

/** Names of partial files and their notes that a fetch left in `folder`. */
export const leftovers = (folder: string): string[] =>
  existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes(PARTIAL)) : [];

const PARTIAL = '.hawser-partial';
const B3SUM = '/usr/bin/b3sum';
