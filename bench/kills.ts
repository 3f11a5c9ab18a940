/**
 * kill -9 of client and server at random moments of `hawser put` and `hawser get`, over TLS, until each file is through. Checked at
 * every kill: nothing half-visible, in the folder and in the server's listing; bytes sent again are at most those in flight plus
 * those of the last second. Checked at the end of every file: its digest, and that nothing is left over.
 * Options: --kills 300 --size 256MiB --seed N --rate 64MB/s (of every second file; the others run free) --where memory|disk --write
 *
 * In a short run all that was sent was sent within the last second; the runs with a rate are long enough for the bound to bite.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { parseSize } from '../src/core/units.ts';
import { createBlake3 } from '../src/engine/blake3.ts';
import { atEnd, main } from './cleanup.ts';
import { mebibytes, seededRandom } from './figures.ts';
import { type HawserServer, hawserCommand, startHawser } from './hawser.ts';
import { type Kill, type Kind, reportKills, type Victim } from './kills-report.ts';
import { freePort } from './peers.ts';
import { type Counter, type Relay, startRelay } from './relay.ts';
import { say } from './report.ts';
import { randomFile, scratch } from './scratch.ts';

const { values: options } = parseArgs({
  options: {
    kills: { type: 'string', default: '300' },
    size: { type: 'string', default: '256MiB' },
    seed: { type: 'string' },
    rate: { type: 'string', default: '64MB/s' },
    where: { type: 'string', default: 'memory' },
    write: { type: 'boolean', default: false },
  },
});
const wanted = Number(options.kills);
const sizeBytes = parseSize(options.size);
const seed = Number(options.seed ?? randomInt(1, 2 ** 31));

interface World {
  server: HawserServer;
  readonly folder: string;
  readonly port: number;
  readonly relay: Relay;
  /** Two contents that take turns under one name, so that a replaced file is seen whole, old or new. */
  readonly sources: readonly { readonly path: string; readonly digest: string }[];
  /** Bytes on the wire for one byte of content, and time of a whole undisturbed run. */
  readonly usual: Map<string, { readonly wirePerByte: number; readonly ms: number }>;
}

const failures: string[] = [];
const NAME = 'kills.bin';
/** Handshakes, headers and questions of a run that starts again, beside the content. */
const PROTOCOL_BYTES = 512 * 1024;
/** More than questions and answers take. */
const MOVING_BYTES = 1 << 20;

await main(async () => {
  say(`bench: seed ${seed} (again: --seed ${seed})`);
  const startedMs = performance.now();
  const world = await setUp();
  for (const kind of ['put', 'get'] as const) for (const limited of [false, true]) await calibrate(world, kind, limited);
  const kills: Kill[] = [];
  let files = 0;
  while (kills.length < wanted) {
    const random = seededRandom(seed + files * 7919);
    const kind = files % 4 >= 3 ? 'get' : 'put';
    const limited = files % 2 === 1 || files % 8 === 4;
    const before = kills.length;
    try {
      await transfer(world, kind, limited, files, random, kills);
    } catch (error) {
      // What was found until then is still worth reading, and the run has failed.
      check(false, `file ${files}: the run broke off: ${(error as Error).message}`);
      break;
    }
    files++;
    const again = kills.slice(before).reduce((sum, kill) => sum + kill.againBytes, 0);
    const what = `${kind}${limited ? ` at ${options.rate}` : ''}`;
    say(
      `bench: file ${files}: ${what}, ${kills.length - before} kills, ${mebibytes(again)} sent again; ${kills.length} of ${wanted}`,
    );
  }
  await world.server.stop();
  const tookMs = performance.now() - startedMs;
  reportKills(kills, { files, size: options.size, seed, tookMs, failures, write: options.write });
  if (failures.length > 0) process.exitCode = 1;
});

async function setUp(): Promise<World> {
  const folder = scratch(options.where === 'disk' ? 'disk' : 'memory', sizeBytes * 5.5);
  const sources = ['old.bin', 'new.bin'].map((name) => {
    const path = join(folder, name);
    randomFile(path, sizeBytes);
    return { path, digest: digestOf(path) };
  });
  mkdirSync(join(folder, 'got'));
  const port = await freePort();
  const server = await serve(folder, port);
  return { server, folder, port, relay: await startRelay(port), sources, usual: new Map() };
}

function serve(folder: string, port: number): Promise<HawserServer> {
  return startHawser({ dir: join(folder, 'served'), listen: `127.0.0.1:${port}` });
}

/** One run without kills: how long it takes, and how many bytes the protocol adds. */
async function calibrate(world: World, kind: Kind, limited: boolean): Promise<void> {
  const counter = counterOf(world, kind);
  const source = sourceFor(world, kind);
  const [bytesBefore, startedMs] = [counter.total, performance.now()];
  const client = startClient(world, kind, limited, source.path, stateFolder(world));
  const code = await client.exited;
  if (code !== 0) throw new Error(`An undisturbed ${kind} ended with ${code}: ${client.output()}`);
  const ms = performance.now() - startedMs;
  const wirePerByte = (counter.total - bytesBefore) / sizeBytes;
  if (!(wirePerByte >= 1 && wirePerByte < 1.1))
    throw new Error(`An undisturbed ${kind} moved ${wirePerByte} bytes for each byte of the file.`);
  world.usual.set(`${kind}${limited}`, { wirePerByte, ms });
  check(digestOf(targetOf(world, kind)) === source.digest, `an undisturbed ${kind} arrived wrong`);
  if (kind === 'get') rmSync(targetOf(world, 'get'));
}

/** A put brings the content that is not there, or nothing would be sent; a get fetches what is there. */
function sourceFor(world: World, kind: Kind): World['sources'][number] {
  const target = targetOf(world, 'put');
  const there = existsSync(target) ? digestOf(target) : null;
  return world.sources.find(({ digest }) => (digest === there) === (kind === 'get'))!;
}

/** One file with as many kills as it takes. */
async function transfer(
  world: World,
  kind: Kind,
  limited: boolean,
  index: number,
  random: () => number,
  kills: Kill[],
): Promise<void> {
  const { relay } = world;
  const counter = counterOf(world, kind);
  const { wirePerByte, ms: wholeMs } = world.usual.get(`${kind}${limited}`)!;
  const source = sourceFor(world, kind);
  const visible = visibleCheck(world, kind, source.digest);
  const state = stateFolder(world);
  const start = () => startClient(world, kind, limited, source.path, state);
  const [killsBefore, startedMs] = [kills.length, performance.now()];
  let client = start();
  let safeBytes = 0;
  let bytesBefore = counter.total;
  let sinceMs = performance.now();
  for (;;) {
    const restMs = Math.max(0.15, 1 - safeBytes / sizeBytes) * wholeMs;
    const victim: Victim = random() < 0.5 ? 'client' : 'server';
    const waitMs = random() * restMs;
    // Most wait until content moves: a run that starts again is at first busy with connections, and with waiting to retry.
    const early = random() < 0.2;
    // After the kill of a server the client is still there, and its run goes on.
    const moved = early ? null : await Promise.race([client.exited, moves(client, counter, bytesBefore)]);
    const ended = moved ?? (await Promise.race([client.exited, sleep(waitMs, null)]));
    if (ended !== null) {
      check(ended === 0, `file ${index}: ${kind} ended with ${ended}: ${client.output()}`);
      break;
    }
    if (kills.length >= wanted) continue;

    const inFlightBytes = relay.inFlightBytes();
    const lastSecondBytes = counter.lastSecond(sinceMs);
    const sentBytes = counter.total - bytesBefore;
    if (victim === 'client') client.process.kill('SIGKILL');
    else process.kill(world.server.pid, 'SIGKILL');
    relay.pause();
    if (victim === 'client') await client.exited;
    else {
      await world.server.stop('SIGKILL');
      world.server = await serve(world.folder, world.port);
    }
    // A client that lives still has what it received; it writes down what is safe about once a second.
    if (kind === 'get' && victim === 'server') await sleep(1200);
    const safe = await safeNow(world, kind);
    const after = await visible(`file ${index}, ${kind}, kill ${kills.length + 1} (${victim})`, safe === 0 || safe === null);
    // Nothing unfinished is there: it is through, or nothing had become safe yet.
    const safeAfter = safe ?? (after ? sizeBytes : 0);
    // What arrived after the last look at it counts for this attempt: it can be more than was sent in it.
    const againBytes = Math.max(0, Math.round(sentBytes / wirePerByte) - Math.max(0, safeAfter - safeBytes));
    const bites = sentBytes > lastSecondBytes + inFlightBytes;
    kills.push({ kind, victim, againBytes, inFlightBytes, lastSecondBytes, moving: sentBytes > MOVING_BYTES, bites });
    check(
      againBytes <= inFlightBytes + lastSecondBytes + PROTOCOL_BYTES,
      `file ${index}, kill ${kills.length}: ${kind}, ${victim}: ${mebibytes(againBytes)} of ${mebibytes(sentBytes)} are sent again; in flight were ${mebibytes(inFlightBytes)}, of the last second ${mebibytes(lastSecondBytes)}`,
    );
    safeBytes = safeAfter;
    bytesBefore = counter.total;
    sinceMs = performance.now();
    relay.resume();
    if (victim === 'client') client = start();
  }
  check(digestOf(targetOf(world, kind)) === source.digest, `file ${index}: ${kind} ended, and what arrived is not what was sent`);
  checkNothingLeft(world, kind, index);
  const tookMs = performance.now() - startedMs;
  // Undisturbed and faster than thought: the next kills come earlier, or they would miss.
  if (kills.length === killsBefore && tookMs < wholeMs) world.usual.set(`${kind}${limited}`, { wirePerByte, ms: tookMs });
  rmSync(state, { recursive: true });
  if (kind === 'get') rmSync(targetOf(world, 'get'));
}

/** Resolves, with null, when content moves or the client has ended. */
async function moves(client: RunningClient, counter: Counter, bytesBefore: number): Promise<null> {
  const alive = () => client.process.exitCode === null && client.process.signalCode === null;
  while (alive() && counter.total - bytesBefore <= MOVING_BYTES) await sleep(10);
  return null;
}

interface RunningClient {
  readonly process: ChildProcess;
  /** Exit code; 137 when killed. */
  readonly exited: Promise<number>;
  output(): string;
}

function startClient(world: World, kind: Kind, limited: boolean, source: string, state: string): RunningClient {
  const args = kind === 'put' ? ['put', source, `/${NAME}`] : ['get', `/${NAME}`, targetOf(world, 'get')];
  const limit = limited ? ['--limit-rate', options.rate] : [];
  const command = hawserCommand(world.server, [...args, '--quiet', ...limit], {
    stateIn: state,
    url: `https://127.0.0.1:${world.relay.port}`,
  });
  // One command, again and again: what its state says of the source stays.
  const env = { ...process.env, ...command.env, XDG_STATE_HOME: state, XDG_CONFIG_HOME: state };
  const child = spawn(command.argv[0]!, command.argv.slice(1), { env, stdio: ['ignore', 'pipe', 'pipe'] });
  const pieces: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece: Buffer) => pieces.push(piece));
  const exited = new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? 137)));
  const forget = atEnd(() => void child.kill('SIGKILL'));
  void exited.then(forget);
  return { process: child, exited, output: () => Buffer.concat(pieces).toString().trim().slice(-2000) };
}

/** Bytes of the unfinished transfer that are safe; null when there is none. */
async function safeNow(world: World, kind: Kind): Promise<number | null> {
  if (kind === 'get') {
    const file = join(world.folder, 'got', `.${NAME}.hawser-partial.state`);
    if (!existsSync(file)) return null;
    const { safe } = JSON.parse(readFileSync(file, 'utf8')) as { safe: [number, number][] };
    return safe.reduce((sum, [start, end]) => sum + end - start, 0);
  }
  // What the server had received when its client died becomes safe a moment later.
  let before: number | null = Number.NaN;
  for (let i = 0; i < 200; i++) {
    const { uploads } = await ask(world, '/api/v1/uploads');
    const one = (uploads as { path: string; safeBytes: number }[]).find(({ path }) => path === `/${NAME}`);
    const now = one?.safeBytes ?? null;
    if (now === before) return now;
    before = now;
    await sleep(40);
  }
  return before;
}

/** Says whether the new content is there now. Fails when anything but the whole old or new file can be seen. */
function visibleCheck(world: World, kind: Kind, digest: string) {
  const target = targetOf(world, kind);
  const allowed = new Map<string, boolean>([[digest, true]]);
  // Two moments: before the transfer, the old file may stand there.
  const old = existsSync(target) ? digestOf(target) : null;
  if (old !== null && old !== digest) allowed.set(old, false);
  let known: { stamp: string; isNew: boolean } | null = null;
  return async (when: string, unfinishedIsEmpty: boolean): Promise<boolean> => {
    const names = readdirSync(join(target, '..')).filter((name) => name !== '.hawser' && !/^\..*\.hawser-partial/.test(name));
    check(
      names.every((name) => name === NAME),
      `${when}: the folder shows ${names.join(', ')}`,
    );
    if (kind === 'put') {
      const { entries } = await ask(world, '/api/v1/folders/');
      const listed = entries as { path: string; size: number }[];
      check(
        listed.every(({ path, size }) => path === `/${NAME}` && size === sizeBytes),
        `${when}: the server lists ${JSON.stringify(listed)}`,
      );
    }
    if (!existsSync(target)) {
      check(old === null, `${when}: the old file is gone and the new one is not there`);
      return false;
    }
    const { ino, mtimeMs, ctimeMs, size } = statSync(target);
    const stamp = [ino, mtimeMs, ctimeMs, size].join();
    if (known?.stamp !== stamp) {
      const found = digestOf(target);
      check(allowed.has(found), `${when}: half a file is visible, ${size} bytes with the digest ${found}`);
      known = { stamp, isNew: allowed.get(found) === true };
    }
    return known.isNew && unfinishedIsEmpty;
  };
}

function checkNothingLeft(world: World, kind: Kind, index: number): void {
  const got = readdirSync(join(world.folder, 'got')).filter((name) => kind === 'put' || name !== NAME);
  const staged = readdirSync(join(world.folder, 'served', '.hawser', 'staging'));
  check(got.length + staged.length === 0, `file ${index}: after the ${kind} these are left: ${[...got, ...staged].join(', ')}`);
}

function ask(world: World, path: string): Promise<Record<string, unknown>> {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${world.server.token}` };
    const call = request(new URL(path, world.server.url), { headers, rejectUnauthorized: false, agent: false }, (response) => {
      text(response).then((body) => {
        if (response.statusCode === 200) resolve(JSON.parse(body));
        else reject(new Error(`GET ${path} answered ${response.statusCode}: ${body}`));
      }, reject);
    });
    call.once('error', reject).end();
  });
}

function check(holds: boolean, message: string): void {
  if (holds) return;
  failures.push(message);
  say(`bench: WRONG: ${message}`);
}

function digestOf(path: string): string {
  const hash = createBlake3();
  hash.update(readFileSync(path));
  return Buffer.from(hash.digest()).toString('hex');
}

function counterOf({ relay }: World, kind: Kind): Counter {
  return kind === 'put' ? relay.up : relay.down;
}

function targetOf({ folder }: World, kind: Kind): string {
  return kind === 'put' ? join(folder, 'served', NAME) : join(folder, 'got', NAME);
}

function stateFolder({ folder }: World): string {
  return mkdtempSync(join(folder, 'state-'));
}
