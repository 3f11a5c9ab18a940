/**
 * QUIC for comparison: quiche (with its CUBIC) by way of @currentspace/http3. It is no dependency of the project: a benchmark
 * that wants it has it installed into a folder of its own, once.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { BENCH } from '../report.ts';

export interface QuicStream extends NodeJS.ReadWriteStream {}

interface QuicSession {
  on(event: 'stream', listener: (stream: QuicStream) => void): this;
  on(event: 'error', listener: (error: Error) => void): this;
  openStream(): QuicStream;
  close(): unknown;
}

/** What is used of the package. */
export interface Quic {
  createQuicServer(options: object): {
    on(event: 'session', listener: (session: QuicSession) => void): unknown;
    on(event: 'error', listener: (error: Error) => void): unknown;
    listen(port: number, host: string): Promise<{ port: number }>;
  };
  connectQuicAsync(authority: string, options: object): Promise<QuicSession>;
}

/** Null, or why there is no QUIC here, as a sentence. */
export function installQuic(): string | null {
  if (existsSync(MODULE)) return null;
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(join(FOLDER, 'package.json'), '{"private":true}\n');
  const npm = spawnSync('npm', ['install', '--no-audit', '--no-fund', '--ignore-scripts', `${PACKAGE}@${VERSION}`], {
    cwd: FOLDER,
    encoding: 'utf8',
    timeout: 120_000,
  });
  if (npm.status === 0 && existsSync(MODULE)) return null;
  const why =
    (npm.stderr ?? npm.error?.message ?? '').split('\n').find((line) => /error/i.test(line)) ?? 'npm did not end in time';
  return `${PACKAGE}@${VERSION} could not be installed (${why.trim()}).`;
}

export async function loadQuic(): Promise<Quic> {
  return (await import(pathToFileURL(MODULE).href)) as Quic;
}

const PACKAGE = '@currentspace/http3';
const VERSION = '0.9.0';
const FOLDER = join(BENCH, 'build', 'quic');
const MODULE = join(FOLDER, 'node_modules', PACKAGE, 'dist', 'index.js');
