/** One folder, one environment and one fake client for the tests of verbs. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'node:test';
import type { Client, LaneInfo, LanePathInfo, TransferInfo, TransferSummary } from '../client/contract.ts';
import { type ErrorCode, HawserError } from '../core/errors.ts';
import type { FileInfo } from '../engine/contract.ts';
import { type MemoryShellOptions, runInMemory } from './memory-shell.ts';

/** Call inside `describe`: every test gets a fresh folder, which holds configuration and state. */
export function useCommandLine() {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hawser-cli-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const environment = () => ({
    XDG_CONFIG_HOME: folder,
    XDG_STATE_HOME: folder,
    HAWSER_URL: 'https://h:1',
    HAWSER_TOKEN: 'secret-token',
  });
  return {
    folder: () => folder,
    environment,
    /** Runs a command line, split at its spaces. */
    cli: (line: string, client: Partial<Client> = {}, options: MemoryShellOptions = {}) =>
      runInMemory(line.split(' '), { env: environment(), cwd: folder, client, ...options }),
  };
}

/** A client method that fails. */
export function refuse(code: ErrorCode): () => Promise<never> {
  return () => Promise.reject(new HawserError(code, `It is ${code}.`));
}

export const summary: TransferSummary = {
  transfer: 't1',
  filesDone: 1,
  filesSkipped: 0,
  filesFailed: 0,
  bytesDone: 3,
  bytesSent: 3,
  elapsedMs: 10,
  failures: [],
  targets: ['/in/a'],
};

export const entry = (path: string, change: Partial<FileInfo> = {}): FileInfo => ({
  path,
  kind: 'file',
  size: 1536,
  mode: 0o640,
  mtimeNs: 1_795_176_000_123_456_789n,
  version: 'v',
  digest: null,
  etag: null,
  ...change,
});

export const transfer: TransferInfo = {
  id: 't1',
  kind: 'upload',
  state: 'active',
  priority: 'normal',
  owner: 'o',
  source: 'a',
  destination: '/in/',
  filesTotal: 1,
  bytesTotal: 100,
  filesDone: 0,
  bytesDone: 42,
  created: '2026-11-20T12:00:00.000Z',
  updated: '2026-11-20T12:00:00.000Z',
  ended: null,
  error: null,
};

export const lanePath = (change: Partial<LanePathInfo> = {}): LanePathInfo => ({
  id: 0,
  address: '192.0.2.7:40001',
  state: 'active',
  rttMs: 12.4,
  sentBytes: 2000,
  sentBytesPerSecond: 1e6,
  sentLossRate: 0.02,
  receivedBytes: 4_000_000,
  receivedBytesPerSecond: 2e6,
  receivedLossRate: 0.01,
  ...change,
});

/** An upload over two paths, of which one is dead. */
export const lane = (change: Partial<LaneInfo> = {}): LaneInfo => ({
  id: 'aaaaaaaaaaaa',
  owner: 'owner',
  opened: '2026-11-20T12:00:00.000Z',
  policy: 'fair',
  limitedBy: 'application',
  paths: [
    lanePath(),
    lanePath({
      id: 1,
      address: '192.0.2.99:40002',
      state: 'failed',
      rttMs: 250,
      receivedBytes: 0,
      receivedBytesPerSecond: 0,
      receivedLossRate: 0,
    }),
  ],
  ...change,
});
