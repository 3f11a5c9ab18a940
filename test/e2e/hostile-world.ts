/** What hostile tests run against: two real servers with real folders, tokens of every kind, and links that lead astray. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type RunningServer, startServer } from '../../src/server/compose.ts';
import { exchange, requestBytes, type Target } from './hostile-client.ts';

interface HostileWorld {
  /** Holds "served", what `plain` serves, and "outside", which nobody may reach. */
  home: string;
  plain: RunningServer;
  secure: RunningServer;
  /** Of the plain server, but for `foreign`. */
  token: { admin: string; write: string; read: string; expired: string; revoked: string; foreign: string };
  /** Id of an upload of 200 000 bytes by the admin, at epoch 1. */
  upload: string;
}

/** Filled by setUpWorld. */
export const world = {} as HostileWorld;

export async function setUpWorld(): Promise<void> {
  world.home = await mkdtemp(join(tmpdir(), 'hawser-hostile-'));
  const served = join(world.home, 'served');
  await mkdir(join(world.home, 'outside', 'folder'), { recursive: true });
  await writeFile(join(world.home, 'outside', 'secret'), 'not for you');
  await mkdir(join(served, 'folder', 'deep'), { recursive: true });
  await writeFile(join(served, 'file.txt'), '0123456789');
  await writeFile(join(served, 'folder', 'deep', 'other'), Buffer.alloc(100_000, 7));
  await symlink('../outside/secret', join(served, 'out-file'));
  await symlink('../outside', join(served, 'out-folder'));
  await symlink(join(world.home, 'outside', 'secret'), join(served, 'out-absolute'));
  await symlink('circle-b', join(served, 'circle-a'));
  await symlink('circle-a', join(served, 'circle-b'));
  const own = { listen: { host: '127.0.0.1', port: 0 }, logLevel: 'silent', limits } as const;
  world.plain = await startServer({ dir: served, plainHttp: true, ...own });
  world.secure = await startServer({ dir: join(world.home, 'secure'), ...own });
  world.token = {
    admin: world.plain.adminToken!,
    write: await makeToken({ name: 'w', role: 'write' }),
    read: await makeToken({ name: 'r', role: 'read' }),
    expired: await makeToken({ name: 'e', role: 'admin', expiresSeconds: 1 }),
    revoked: await makeToken({ name: 'x', role: 'admin' }),
    foreign: world.secure.adminToken!,
  };
  const revoked = await api('DELETE', `/api/v1/tokens/${world.token.revoked.slice(4, 16)}`);
  assert.equal(revoked.status, 204);
  const made = await api('POST', '/api/v1/uploads', JSON.stringify({ path: '/upload', size: 200_000 }));
  world.upload = JSON.parse(made.body).id;
  // The token's second has to pass before the case that needs it; asking is the way to know.
  while ((await api('GET', '/api/v1/whoami', undefined, world.token.expired)).status === 200) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export async function tearDownWorld(): Promise<void> {
  await Promise.all([world.plain.close(), world.secure.close()]);
  await rm(world.home, { recursive: true });
}

export const target = (): Target => ({ port: world.plain.port, secure: false });

export interface Ask {
  bearer?: string | null;
  headers?: string[];
  json?: string | undefined;
  body?: string | Uint8Array;
}

/** A request that is well-formed where the case does not say otherwise. */
export function ask(
  method: string,
  url: string,
  { bearer = world.token.admin, headers = [], json, body = json ?? '' }: Ask = {},
): Buffer {
  const lines = ['Host: x', ...(bearer === null ? [] : [`Authorization: Bearer ${bearer}`]), ...headers];
  if (json !== undefined) lines.push('Content-Type: application/json');
  const sized = headers.some((one) => /^(content-length|transfer-encoding)/i.test(one));
  if (body.length > 0 && !sized) lines.push(`Content-Length: ${Buffer.byteLength(body)}`);
  return requestBytes(`${method} ${url} HTTP/1.1`, lines, body);
}

/** The server answers, and nothing has changed. */
export async function stillWell(before: string): Promise<void> {
  const answer = await exchange(target(), [ask('GET', '/api/v1/entries/file.txt')]);
  assert.equal(answer.status, 200, answer.body);
  assert.equal(await snapshot(), before);
}

export async function secureStillWell(): Promise<void> {
  const answer = await exchange({ port: world.secure.port, secure: true }, [ask('GET', '/health', { bearer: null })]);
  assert.equal(answer.status, 200);
}

/** Everything in the served folder but Hawser's own, and everything beside it. */
export async function snapshot(): Promise<string> {
  const lines: string[] = [];
  const visit = async (folder: string, shown: string): Promise<void> => {
    for (const name of (await readdir(folder)).sort()) {
      if (shown === '/served' && name === '.hawser') continue;
      const path = join(folder, name);
      const info = await lstat(path, { bigint: true });
      let content = '';
      if (info.isFile())
        content = createHash('sha256')
          .update(await readFile(path))
          .digest('hex');
      else if (info.isSymbolicLink()) content = await readlink(path);
      lines.push(`${shown}/${name} ${info.mode} ${info.mtimeNs} ${content}`);
      if (info.isDirectory()) await visit(path, `${shown}/${name}`);
    }
  };
  await visit(join(world.home, 'served'), '/served');
  await visit(join(world.home, 'outside'), '/outside');
  return lines.join('\n');
}

const api = (method: string, url: string, json?: string, bearer = world.plain.adminToken!) =>
  exchange(target(), [ask(method, url, { bearer, json })]);

async function makeToken(body: object): Promise<string> {
  return JSON.parse((await api('POST', '/api/v1/tokens', JSON.stringify(body))).body).token;
}

/** Short, so that what waits for them is over soon. */
const limits = { headersMs: 400, handshakeMs: 400, bodyIdleMs: 400, drainMs: 400, closeMs: 2_000 };
