/**
 * Digests of local files that were sent before, so that the server can be asked whether it has the content already. A digest
 * counts only for the same device, inode, size and mtime, and the server verifies what it uses, so a stale one costs time at
 * most. Kept as lines of JSON, which several processes may append to at once.
 */
import fs from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { isDigestHex } from '../../core/hex.ts';

export interface DigestCache {
  get(key: string): Promise<string | undefined>;
  /** `mtimeNs` of the file: one that has just been written may change once more within its clock's tick, and is not kept. */
  put(key: string, digest: string, mtimeNs: bigint): void;
  /** Writes what is new. Failing to is no failure of the transfer. */
  save(): Promise<void>;
}

export function openDigestCache(folder: string, nowMs: () => number = Date.now): DigestCache {
  const file = path.join(folder, 'digests.jsonl');
  const fresh = new Map<string, string>();
  let loading: Promise<Loaded> | null = null;
  return {
    async get(key) {
      loading ??= load(file);
      return fresh.get(key) ?? (await loading).known.get(key);
    },
    put(key, digest, mtimeNs) {
      if (nowMs() - Number(mtimeNs / 1_000_000n) >= SETTLED_MS) fresh.set(key, digest);
    },
    async save() {
      if (fresh.size === 0) return;
      try {
        loading ??= load(file);
        const { known, count } = await loading;
        for (const [key, digest] of fresh) if (known.get(key) === digest) fresh.delete(key);
        await fs.mkdir(folder, { recursive: true, mode: 0o700 });
        if (count + fresh.size > MOST_LINES) await rewrite(file, new Map([...known, ...fresh]));
        else await fs.appendFile(file, lines(fresh), { mode: 0o600 });
        fresh.clear();
      } catch {
        // A read-only home is no reason to fail: next time the file is hashed again.
      }
    },
  };
}

/** $XDG_STATE_HOME/hawser, or ~/.local/state/hawser. */
export function defaultStateFolder(): string {
  const base = process.env.XDG_STATE_HOME;
  return path.join(base && path.isAbsolute(base) ? base : path.join(os.homedir(), '.local', 'state'), 'hawser');
}

interface Loaded {
  readonly known: ReadonlyMap<string, string>;
  /** Lines in the file, repeated ones included. */
  readonly count: number;
}

async function load(file: string): Promise<Loaded> {
  const known = new Map<string, string>();
  let count = 0;
  try {
    // Something else has written to it: forgotten, and replaced when something new is to be kept.
    if ((await fs.stat(file)).size > MOST_BYTES) return { known, count: MOST_LINES };
    for (const line of (await fs.readFile(file, 'utf8')).split('\n')) {
      count++;
      const entry = parseLine(line);
      if (entry) known.set(...entry);
    }
  } catch {
    // None yet, or not readable: nothing is known.
  }
  return { known, count };
}

function parseLine(line: string): [string, string] | null {
  try {
    const value: unknown = JSON.parse(line);
    if (!Array.isArray(value)) return null;
    const [key, digest] = value;
    return typeof key === 'string' && isDigestHex(digest) ? [key, digest] : null;
  } catch {
    return null;
  }
}

/** Keeps the newest half, so that this happens once in a long while. */
async function rewrite(file: string, all: ReadonlyMap<string, string>): Promise<void> {
  const kept = [...all].slice(-MOST_LINES / 2);
  const next = `${file}.${process.pid}`;
  await fs.writeFile(next, lines(kept), { mode: 0o600 });
  await fs.rename(next, file);
}

function lines(entries: Iterable<readonly [string, string]>): string {
  let text = '';
  for (const entry of entries) text += `${JSON.stringify(entry)}\n`;
  return text;
}

const MOST_LINES = 100_000;
const MOST_BYTES = 64 * 1024 * 1024;
const SETTLED_MS = 2000;
