/** The story of the README, with real processes over TLS: every verb, pipes, JSON, and every exit code. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { blake3 } from '@napi-rs/blake-hash';
import { commandLine, type Ended, jsonLines, type Serving, serve } from './cli-process.ts';

describe('the command line, end to end', () => {
  const root = mkdtempSync(join(tmpdir(), 'hawser-e2e-cli-'));
  const work = join(root, 'work');
  const data = join(root, 'data');
  mkdirSync(work);
  const cli = commandLine(join(root, 'home'), work);
  const at = (name: string) => join(work, name);
  const film = randomBytes(9 * 1024 * 1024 + 17);
  const filmDigest = blake3(film).toString('hex');
  let server: Serving;
  /** Bytes that the server has not seen yet, or it would make the file from a copy. */
  const newFile = (name: string): Buffer => {
    const bytes = randomBytes(film.length);
    writeFileSync(at(name), bytes);
    return bytes;
  };

  /** Runs a command line, split at its spaces, and wants this exit code. */
  const run = async (line: string, code = 0, options: Parameters<typeof cli.run>[1] = {}): Promise<Ended> => {
    const ended = await cli.run(line.split(' '), options);
    assert.equal(ended.code, code, `hawser ${line}\n${ended.out}${ended.err}`);
    return ended;
  };

  before(async () => {
    writeFileSync(at('film.mxf'), film, { mode: 0o640 });
    utimesSync(at('film.mxf'), 1_700_000_000, 1_700_000_000.5);
    mkdirSync(at('photos/deep/empty'), { recursive: true });
    for (let index = 0; index < 40; index++) writeFileSync(at(`photos/deep/${index}.jpg`), `picture ${index}`);
    writeFileSync(at('photos/größe ☃.txt'), 'odd name');
    symlinkSync('deep/1.jpg', at('photos/link'));
    server = await serve(cli, [data]);
  });
  after(async () => {
    server.process.kill('SIGKILL');
    rmSync(root, { recursive: true, force: true });
  });

  it('serve writes an admin token that only its owner can read', () => {
    assert.equal(server.adminTokenFile, join(data, '.hawser', 'admin-token'));
    assert.equal(statSync(server.adminTokenFile).mode & 0o777, 0o600);
    assert.match(server.fingerprint ?? '', /^[0-9a-f]{64}$/);
  });

  it('login is refused with 3 for a wrong token, and nothing is saved', async () => {
    const { err } = await run(`login ${server.url} --token hws_aaaaaaaaaaaa_${'a'.repeat(52)}`, 3);
    assert.match(err, /^hawser: [^\n]+\n$/);
    assert.match((await run('ls /', 2)).err, /hawser login/);
  });

  it('login is refused with 3 for another fingerprint than was asked for', async () => {
    await run(`login ${server.url} --fingerprint ${'0'.repeat(64)}`, 3, { input: readFileSync(server.adminTokenFile) });
  });

  it('login pins the certificate, says so, and takes the token from stdin', async () => {
    const { out } = await run(`login ${server.url}`, 0, { input: readFileSync(server.adminTokenFile) });
    assert.match(out, new RegExp(`pinned[^]*${server.fingerprint}`));
    assert.match((await run('profiles')).out, /^\* {2}default {2}https:\/\/localhost:/);
    assert.equal(statSync(join(root, 'home/config/hawser/profiles.json')).mode & 0o777, 0o600);
  });

  it('put sends a file and a folder', async () => {
    const { out, err } = await run('put film.mxf photos /incoming/');
    assert.equal(out, '');
    assert.match(err, /4[23] files, .* verified/);
    assert.ok(readFileSync(join(data, 'incoming/film.mxf')).equals(film));
    assert.equal(readFileSync(join(data, 'incoming/photos/größe ☃.txt'), 'utf8'), 'odd name');
    assert.equal(readlinkSync(join(data, 'incoming/photos/link')), 'deep/1.jpg');
    assert.ok(lstatSync(join(data, 'incoming/photos/deep/empty')).isDirectory());
    const { mode, mtimeMs } = statSync(join(data, 'incoming/film.mxf'));
    assert.deepEqual([mode & 0o777, mtimeMs], [0o640, 1_700_000_000_500]);
  });

  it('put again sends nothing', async () => {
    const done = jsonLines((await run('put --json film.mxf photos /incoming/')).out).at(-1);
    assert.equal(done?.event, 'done');
    assert.deepEqual([done?.bytesSent, done?.filesFailed, done?.exit], [0, 0, 0]);
  });

  it('put --json tells start, files and the end', async () => {
    const events = jsonLines((await run('put --json photos /json/')).out);
    assert.equal(events[0]?.event, 'start');
    assert.equal(events.filter(({ event }) => event === 'file').length >= 41, true);
    assert.equal(events.at(-1)?.event, 'done');
  });

  it('ls -l lists names, sizes and times', async () => {
    const { out } = await run('ls -l /incoming');
    assert.match(out, /^-rw-r----- +9437201 {2}2023-11-14 22:13:20 {2}film\.mxf\ndrwx.* photos\/\n$/);
    const names = jsonLines((await run('ls -R --json /incoming/photos')).out).map(({ path }) => path);
    assert.ok(names.includes('/incoming/photos/größe ☃.txt') && names.includes('/incoming/photos/deep/39.jpg'));
  });

  it('stat shows the digest that b3sum would print', async () => {
    const [entry] = jsonLines((await run('stat --json --digest /incoming/film.mxf')).out);
    assert.deepEqual([entry?.digest, entry?.size, entry?.mtimeNs], [filmDigest, film.length, '1700000000500000000']);
  });

  it('get brings a file and a folder back as they were', async () => {
    await run('get /incoming/film.mxf /incoming/photos back/');
    assert.ok(readFileSync(at('back/film.mxf')).equals(film));
    execFileSync('diff', ['-r', '--no-dereference', at('photos'), at('back/photos')]);
    assert.equal(statSync(at('back/film.mxf')).mtimeMs, 1_700_000_000_500);
  });

  it('pipes go in and out', async () => {
    await run('put - /stream.bin', 0, { input: film });
    assert.ok(readFileSync(join(data, 'stream.bin')).equals(film));
    const child = cli.start(['get', '/stream.bin', '-']);
    const pieces: Buffer[] = [];
    child.stdout.on('data', (piece: Buffer) => pieces.push(piece));
    await once(child, 'close');
    assert.equal(child.exitCode, 0);
    assert.ok(Buffer.concat(pieces).equals(film));
  });

  it('a reader that closes the pipe ends get quietly', async () => {
    const child = cli.start(['get', '/stream.bin', '-']);
    let err = '';
    child.stderr.on('data', (piece) => {
      err += piece;
    });
    await once(child.stdout, 'data');
    child.stdout.destroy();
    await once(child, 'close');
    assert.deepEqual([child.exitCode, err], [1, '']);
  });

  it('output that cannot be written ends with 6 and a sentence', { skip: !existsSync('/dev/full') && 'no /dev/full' }, () => {
    for (const line of ['ls -R /', 'get /stream.bin -']) {
      const full = openSync('/dev/full', 'w');
      const { code, err } = cli.runOnto(full, line.split(' '));
      closeSync(full);
      assert.equal(code, 6, err);
      assert.match(err, /^hawser: [^\n]*ENOSPC[^\n]*\n$/);
    }
  });

  it('verify says intact, and ends with 5 for another digest and for changed bytes', async () => {
    assert.match((await run('verify /incoming/film.mxf')).out, /intact/);
    await run(`verify /incoming/film.mxf --digest ${filmDigest}`);
    assert.match((await run(`verify /incoming/film.mxf --digest ${'0'.repeat(64)}`, 5)).err, new RegExp(filmDigest));
  });

  it('mkdir, mv and rm change what is there; what is in the way ends with 1', async () => {
    await run('mkdir -p /a/b/c');
    await run('mv /stream.bin /a/b');
    await run('mv /a/b/stream.bin /a/moved.bin');
    assert.ok(statSync(join(data, 'a/moved.bin')).isFile());
    await run('mv /a/moved.bin /incoming/film.mxf', 1);
    await run('rm /a', 1);
    await run('rm -r /a');
    await run('rm /a', 4);
  });

  it('overwrite never leaves what is there', async () => {
    writeFileSync(at('note'), 'one');
    await run('put note /notes/');
    writeFileSync(at('note'), 'other');
    await run('put --overwrite never note /notes/');
    assert.equal(readFileSync(join(data, 'notes/note'), 'utf8'), 'one');
    await run('put note /notes/');
    assert.equal(readFileSync(join(data, 'notes/note'), 'utf8'), 'other');
  });

  it('status and history show transfers', async () => {
    const [status] = jsonLines((await run('status --json')).out);
    assert.deepEqual(status?.transfers, []);
    assert.match((await run('status')).out, /Nothing is under way/);
    const ended = jsonLines((await run('history --json')).out);
    assert.ok(ended.some(({ kind, state }) => kind === 'upload' && state === 'done'));
    assert.ok(ended.some(({ kind, state }) => kind === 'download' && state === 'done'));
  });

  it('tokens can be made, used and revoked; a role that does not suffice ends with 3', async () => {
    const made = await run('token create reader --role read --expires 1h');
    const env = { HAWSER_TOKEN: made.out.trim() };
    await run('ls /', 0, { env });
    await run('rm /incoming/film.mxf', 3, { env });
    await run('put note /notes/', 3, { env: { ...env, XDG_STATE_HOME: join(root, 'state-of-reader') } });
    const reader = jsonLines((await run('token list --json')).out).find(({ name }) => name === 'reader');
    await run(`token revoke ${reader?.id}`);
    await run('ls /', 3, { env });
  });

  it('the environment replaces profiles', async () => {
    const lonely = commandLine(join(root, 'other-home'), work);
    const env = { HAWSER_URL: server.url, HAWSER_TOKEN: readFileSync(server.adminTokenFile, 'utf8').trim() };
    assert.equal((await lonely.run(['ls', '/'], { env })).code, 3);
    const pinned = await lonely.run(['ls', '/'], { env: { ...env, HAWSER_FINGERPRINT: server.fingerprint ?? '' } });
    assert.equal(pinned.code, 0, pinned.err);
    const insecure = await lonely.run(['ls', '--insecure', '/'], { env });
    assert.deepEqual([insecure.code, /warning: --insecure/.test(insecure.err)], [0, true]);
  });

  it('what is not there ends with 4, what is not well-formed with 2', async () => {
    for (const line of ['stat /none', 'ls /none', 'get /none .', 'put none /', 'verify /none', 'pause t-none']) {
      assert.match((await run(line, 4)).err, /^hawser: /, line);
    }
    for (const line of ['put', 'ls --nosuch', 'get /../x .', 'nosuch']) await run(line, 2);
  });

  it('a server that cannot be reached ends with 7', async () => {
    const closed = createServer();
    await once(closed.listen(0, '127.0.0.1'), 'listening');
    const { port } = closed.address() as { port: number };
    await new Promise((resolve) => closed.close(resolve));
    const env = {
      HAWSER_URL: `https://127.0.0.1:${port}`,
      HAWSER_TOKEN: 'x',
      XDG_STATE_HOME: join(root, 'state-of-unreachable'),
    };
    await run('ls /', 7, { env });
    await run('doctor', 7, { env });
    const { out } = await run('put --json --retries 0 note /', 7, { env });
    assert.equal(jsonLines(out).at(-1)?.code, 'unreachable');
    await run(`login https://127.0.0.1:${port} --token x`, 7);
  });

  it('a disk that is full ends with 6', async (t) => {
    const full = join(root, 'full');
    mkdirSync(full);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', full]);
    if (mounted.status !== 0) return t.skip('a small file system cannot be mounted here');
    const small = await serve(cli, [full]);
    try {
      const env = {
        HAWSER_URL: small.url,
        HAWSER_TOKEN: readFileSync(small.adminTokenFile, 'utf8').trim(),
        HAWSER_FINGERPRINT: small.fingerprint ?? '',
        XDG_STATE_HOME: join(root, 'state-of-full'),
      };
      await run('put film.mxf /', 6, { env });
      assert.equal((await run('ls /', 0, { env })).out, '');
    } finally {
      await small.stop();
      spawnSync('umount', [full]);
    }
  });

  it('Ctrl-C ends put with 130 and prints the line that goes on with it', async () => {
    const other = newFile('other.mxf');
    const child = cli.start(['put', '--json', '--limit-rate', '1MB/s', 'other.mxf', '/interrupted/']);
    let out = '';
    child.stdout.on('data', (piece) => {
      out += piece;
      if (/"event":"progress"/.test(out) && !child.killed) child.kill('SIGINT');
    });
    await once(child, 'close');
    assert.equal(child.exitCode, 130, out);
    const last = jsonLines(out).at(-1);
    assert.equal(last?.code, 'interrupted');
    const { transfer } = jsonLines(out)[0] ?? {};
    assert.equal(last?.resume, `hawser resume ${transfer}`);
    assert.match((await run('status')).out, /hawser put --json --limit-rate 1MB\/s other\.mxf \/interrupted\//);
    await run(`resume ${transfer}`);
    assert.ok(readFileSync(join(data, 'interrupted/other.mxf')).equals(other));
    assert.match((await run('resume')).out, /nothing to resume/);
  });

  it('pause holds a put, resume lets it go on, cancel ends it', async () => {
    newFile('paused.mxf');
    newFile('cancelled.mxf');
    const child = cli.start(['put', '--json', '--limit-rate', '2MB/s', 'paused.mxf', '/paused/']);
    const lines = linesOf(child.stdout);
    const id = String((await lines.next()).value?.transfer);
    await run(`pause ${id}`);
    const [status] = jsonLines((await run('status --json')).out);
    assert.deepEqual(
      (status as { transfers: { id: string; state: string }[] }).transfers.map(({ id, state }) => ({ id, state })),
      [{ id, state: 'paused' }],
    );
    await run(`resume ${id}`);
    const last = await drain(lines);
    assert.deepEqual([last?.event, child.exitCode ?? (await once(child, 'close'))[0]], ['done', 0]);

    const second = cli.start(['put', '--json', '--limit-rate', '1MB/s', 'cancelled.mxf', '/cancelled/']);
    const events = linesOf(second.stdout);
    await run(`cancel ${(await events.next()).value?.transfer}`);
    const end = await drain(events);
    assert.equal(second.exitCode ?? (await once(second, 'close'))[0], 1);
    assert.match(JSON.stringify(end), /transfer_cancelled/);
  });

  it('doctor finds nothing wrong', async () => {
    const checks = jsonLines((await run('doctor --json')).out);
    assert.deepEqual(
      checks.filter(({ state }) => state === 'failed'),
      [],
    );
    const { exit, verdict } = checks.at(-1) ?? {};
    assert.deepEqual([exit, (verdict as string[]).length > 0], [0, true]);
  });

  it('version asks the server too', async () => {
    assert.match((await run('version --server')).out, /^hawser [^\n]+\nhttps:\/\/localhost:\d+ runs hawser \d/);
  });

  it('a certificate that changed ends with 3, and says what to do', async () => {
    const other = await serve(cli, [join(root, 'data2')]);
    const file = join(root, 'home/config/hawser/profiles.json');
    const saved = readFileSync(file, 'utf8');
    writeFileSync(file, saved.replaceAll(server.url, other.url));
    assert.match((await run('ls /', 3)).err, /is not the one that was pinned/);
    assert.match((await run(`login ${other.url}`, 3, { input: 'x' })).err, new RegExp(`--fingerprint ${other.fingerprint}`));
    await run(`login ${other.url} --fingerprint ${other.fingerprint}`, 0, { input: readFileSync(other.adminTokenFile) });
    await run('ls /');
    writeFileSync(file, saved);
    assert.equal(await other.stop(), 0);
  });

  it('serve ends with 0 at SIGTERM and at SIGINT, and goes on where it was', async () => {
    assert.equal(await server.stop(), 0);
    const token = readFileSync(server.adminTokenFile, 'utf8');
    const again = await serve(cli, [data]);
    assert.equal(again.fingerprint, server.fingerprint);
    assert.equal(readFileSync(again.adminTokenFile, 'utf8'), token);
    await run(`login ${again.url} --name again --fingerprint ${again.fingerprint}`, 0, { input: token });
    assert.match((await run('ls again:/incoming')).out, /film\.mxf/);
    again.process.kill('SIGINT');
    await once(again.process, 'close');
    assert.equal(again.process.exitCode, 0);
    await run('logout again');
    await run('ls again:/', 2);
  });

  it('serve that cannot start ends with 2 or 1 and a sentence', async () => {
    writeFileSync(at('file'), '');
    const { code, err } = await cli.run(['serve', 'file', '--listen', 'localhost:0']);
    assert.notEqual(code, 0);
    assert.match(err, /^hawser: [^\n]+\n$/);
  });
});

async function* linesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<Record<string, unknown>, void, undefined> {
  let rest = '';
  for await (const piece of stream) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield JSON.parse(line);
  }
}

async function drain(
  lines: AsyncGenerator<Record<string, unknown>, void, undefined>,
): Promise<Record<string, unknown> | undefined> {
  let last: Record<string, unknown> | undefined;
  for await (const line of lines) last = line;
  return last;
}
