/** A server that is told to stop while a client is in the middle of something, and gone. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { startServer } from '../../src/server/compose.ts';
import { MIB, writeContent } from './content.ts';
import { openWorld } from './fixture.ts';

test('the client of a lane was killed in the middle of a put, and the server does not wait for it', async (context) => {
  const world = openWorld(context);
  // Nobody's patience ends it.
  const limits = { closeMs: HOUR_MS, drainMs: HOUR_MS, bodyIdleMs: HOUR_MS, sendIdleMs: HOUR_MS };
  const running = await startServer({ dir: world.path('served'), listen: { port: 0 }, logLevel: 'silent', limits });
  const { port, fingerprint, adminTokenFile } = running;
  const server = { http: false, port, fingerprint, token: readFileSync(adminTokenFile, 'utf8').trim() };
  writeContent(world.path('film.mxf'), 64 * MIB, 1);
  const options = ['--json', '--transport', 'lane', '--limit-rate', '16MB/s'];
  const run = world.hawser(server, ['put', ...options, world.path('film.mxf'), '/']);
  await run.event(({ event, bytesDone }) => event === 'progress' && bytesDone > 8 * MIB);
  const { signal } = await run.kill();
  await running.close();
  assert.equal(signal, 'SIGKILL', 'it was in the middle');
});

const HOUR_MS = 3600_000;
