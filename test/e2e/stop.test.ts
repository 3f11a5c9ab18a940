/** A server that is told to stop while a client is in the middle of something, and gone. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { startServer } from '../../src/server/compose.ts';
import type { Limits } from '../../src/server/limits.ts';
import { MIB, writeContent } from './content.ts';
import { openWorld } from './fixture.ts';

const HOUR_MS = 3600_000;
// Nobody's patience ends it.
const ENDLESS = { closeMs: HOUR_MS, drainMs: HOUR_MS, bodyIdleMs: HOUR_MS, sendIdleMs: HOUR_MS };

test('the client of a lane was killed in the middle of a put, and the server does not wait for it', async (context) => {
  const { running, run } = await putting(context, 'lane', { ...ENDLESS, lastAnswersMs: HOUR_MS });
  const { signal } = await run.kill();
  await running.close();
  assert.equal(signal, 'SIGKILL', 'it was in the middle');
});

test('a client stands still in the middle of a put over HTTPS, and the server does not wait for it', async (context) => {
  const { running, run } = await putting(context, 'https', ENDLESS);
  run.child.kill('SIGSTOP');
  await running.close();
  assert.equal(run.child.exitCode, null, 'it was in the middle');
});

async function putting(context: TestContext, transport: string, limits: Partial<Limits>) {
  const world = openWorld(context);
  const running = await startServer({ dir: world.path('served'), listen: { port: 0 }, logLevel: 'silent', limits });
  const { port, fingerprint, adminTokenFile } = running;
  const server = { http: false, port, fingerprint, token: readFileSync(adminTokenFile, 'utf8').trim() };
  writeContent(world.path('film.mxf'), 64 * MIB, 1);
  const options = ['--json', '--transport', transport, '--limit-rate', '16MB/s'];
  const run = world.hawser(server, ['put', ...options, world.path('film.mxf'), '/']);
  await run.event(({ event, bytesDone }) => event === 'progress' && bytesDone > 8 * MIB);
  return { running, run };
}
