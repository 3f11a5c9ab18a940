/** `hawser demo` as a person runs it: a file through bad weather, and nothing left behind. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { commandLine, jsonLines } from './cli-process.ts';

describe('hawser demo', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'hawser-e2e-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  /** Its temporary folder is below ours, so that what it leaves shows. */
  const env = () => ({ TMPDIR: folder });
  const leftovers = () => readdirSync(folder).filter((name) => name.startsWith('hawser-demo-'));

  it('brings a file through a link that loses a fifth of the packets, over the lane, byte by byte', async () => {
    const args = ['demo', '--json', '--size', '1MB', '--loss', '20', '--rtt', '20', '--seed', '7'];
    const { code, out, err } = await commandLine(folder, folder).run(args, { env: env() });
    assert.equal(code, 0, `seed 7: ${err}${out}`);
    const done = jsonLines(out).at(-1)!;
    assert.deepEqual([done.event, done.bytes, done.matches, done.transport], ['done', 1_000_000, true, 'lane']);
    assert.match(String(done.digest), /^[0-9a-f]{64}$/);
    assert.ok(Number(done.lossShare) > 0.1 && Number(done.lossShare) < 0.3, `seed 7: ${done.lossShare} was lost`);
    assert.deepEqual(leftovers(), []);
  });

  it('prints plain lines where there is no terminal', async () => {
    const { code, out } = await commandLine(folder, folder).run(['demo', '--size', '100KB', '--rtt', '10', '--loss', '0'], {
      env: env(),
    });
    assert.equal(code, 0);
    assert.doesNotMatch(out, /\x1b/);
    assert.match(out, /^A link of 100 Mbit\/s and 10 ms that loses 0 % of the packets each way/);
    assert.match(out, /read again by the server: every byte is as it was\n$/);
  });

  it('cleans up when it is interrupted', async () => {
    const child = commandLine(folder, folder).start(['demo', '--json', '--rate', '5mbit'], env());
    const err = text(child.stderr);
    // It has begun: the server is there, and packets are under way.
    await once(child.stdout, 'data');
    assert.equal(leftovers().length, 1);
    child.kill('SIGINT');
    child.stdout.resume();
    await once(child, 'close');
    assert.deepEqual([child.exitCode, leftovers()], [130, []], await err);
  });
});
