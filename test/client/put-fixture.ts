/** What the tests of put share: folders and bytes to send, and an ear for its events. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';
import type { TransferEvent, TransferOptions } from '../../src/client/contract.ts';

export const root = fs.mkdtempSync(path.join(os.tmpdir(), 'hawser-put-'));
after(() => fs.rmSync(root, { recursive: true, force: true }));

let folders = 0;
export function folder(): string {
  const made = path.join(root, `w${folders++}`);
  fs.mkdirSync(made);
  return made;
}

/** Bytes that differ everywhere, and are the same for the same seed. */
export function bytes(length: number, seed = 1): Buffer {
  const out = Buffer.allocUnsafe(length);
  let state = (seed * 2654435761) >>> 0 || 1;
  for (let i = 0; i < length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    out[i] = state;
  }
  return out;
}

export function options(more: TransferOptions = {}): TransferOptions {
  return { stateFolder: path.join(root, 'state'), ...more };
}

export function watch(): {
  events: TransferEvent[];
  onEvent: (event: TransferEvent) => void;
  of: (type: string) => TransferEvent[];
} {
  const events: TransferEvent[] = [];
  return { events, onEvent: (event) => events.push(event), of: (type) => events.filter((event) => event.type === type) };
}
