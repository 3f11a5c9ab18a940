/** hawser demo */
import type { Command } from 'commander';
import { EXIT, HawserError } from '../../core/errors.ts';
import { DATA_PACKET_BYTES, IP_UDP_BYTES, SYMBOL_BYTES } from '../../core/lane/contract.ts';
import { formatBytes, formatDuration, formatRate, parseRate, parseSize } from '../../core/units.ts';
import { createCanvas, type DemoState, drawDemo, plainDemoLine } from '../demo/drawing.ts';
import { createDemoWatch } from '../demo/watch.ts';
import { weatherLimit } from '../demo/weather.ts';
import { openDemoWorld } from '../demo/world.ts';
import { value, wholeNumber } from '../options.ts';
import { note, type Shell, say, sayJson, wantsColour } from '../shell.ts';

interface Flags {
  readonly loss: number;
  readonly rtt: number;
  /** Bytes a second. */
  readonly rate?: number;
  readonly size?: number;
  readonly seed: number;
  readonly json?: boolean;
}

export function define(program: Command, shell: Shell): void {
  program
    .command('demo')
    .summary('watch a file cross a very bad link, on this machine')
    .description(
      'Sends a file of random bytes from this machine to itself over the lane, through a relay that loses, delays and limits its packets, and shows how it goes. Needs no server, no network and no rights; nothing stays behind.',
    )
    .option('--loss <percent>', 'packets lost, in each direction', wholeNumber('--loss', 0, 60), 30)
    .option('--rtt <ms>', 'round trip of the link', wholeNumber('--rtt', 1, 2000), 200)
    .option('--rate <rate>', 'what the link lets through (default: 100mbit)', value('--rate', parseRate))
    .option('--size <size>', 'bytes to send (default: 64MiB)', value('--size', parseSize))
    .option('--seed <n>', 'which packets are lost', wholeNumber('--seed', 0, 2 ** 32 - 1), 1)
    .option('--json', 'print JSON, one object a line')
    .action(async (flags: Flags) => {
      shell.exitCode = await demo(shell, flags);
    });
}

async function demo(shell: Shell, flags: Flags): Promise<number> {
  const { loss, rtt, rate = parseRate('100mbit'), size = parseSize('64MiB'), seed } = flags;
  const weather = { lossShare: loss / 100, delayMs: rtt / 2, bitsPerSecond: rate * 8, queueMs: QUEUE_MS, seed };
  const limit = weatherLimit(weather, SYMBOL_BYTES, DATA_PACKET_BYTES + IP_UDP_BYTES);
  const link = `A link of ${(rate * 8) / 1e6} Mbit/s and ${rtt} ms that loses ${loss} % of the packets each way: it can carry ${formatRate(limit)}.`;
  const stop = shell.stopSignal();
  const enough = AbortSignal.timeout(MOST_MS);
  const signal = AbortSignal.any([stop, enough]);
  try {
    const world = await openDemoWorld(size, weather, signal);
    try {
      return await show(shell, world, { link, bytesTotal: size, limitBytesPerSecond: limit }, signal);
    } finally {
      await world.close();
    }
  } catch (error) {
    if (stop.aborted) throw new HawserError('interrupted', 'Interrupted; nothing stays behind.', { cause: error });
    if (enough.aborted) {
      note(
        shell,
        `hawser: ${MOST_MS / 1000} s are enough for a demo, and it was not done: try a smaller --size or a lower --loss.`,
      );
      return EXIT.failed;
    }
    throw error;
  }
}

type World = Awaited<ReturnType<typeof openDemoWorld>>;

async function show(
  shell: Shell,
  world: World,
  facts: { link: string; bytesTotal: number; limitBytesPerSecond: number },
  signal: AbortSignal,
): Promise<number> {
  const client = await shell.createClient(world.client);
  const startedMs = shell.nowMs();
  const watch = createDemoWatch(facts, startedMs);
  const tell = createTeller(shell);
  if (!wantsColour(shell, shell.stdout) && !shell.json) say(shell, facts.link);
  const tick = (): void => {
    watch.handleTick(shell.nowMs(), world.relay.report());
    tell(watch.state(shell.nowMs()));
  };
  const ticker = setInterval(tick, TICK_MS);
  try {
    const summary = await client.put([world.source], '/arrived.mxf', { signal, onEvent: watch.handleEvent });
    const [failure] = summary.failures;
    if (failure) throw new HawserError('io_error', `The demo's file did not arrive: ${failure.message}`);
    const elapsedMs = shell.nowMs() - startedMs;
    const { transport } = client.info();
    watch.verifying();
    const { matches, digest } = await client.verify('/arrived.mxf', world.digest);
    tick();
    const share = facts.bytesTotal / (elapsedMs / 1000) / facts.limitBytesPerSecond;
    const exit = matches ? EXIT.done : EXIT.integrity;
    if (shell.json) {
      const { bytesTotal: bytes, limitBytesPerSecond } = facts;
      sayJson(shell, {
        event: 'done',
        bytes,
        elapsedMs,
        limitBytesPerSecond,
        share,
        lossShare: watch.lossShare(),
        transport,
        digest,
        matches,
        exit,
      });
      return exit;
    }
    say(shell);
    say(
      shell,
      `${formatBytes(facts.bytesTotal)} in ${formatDuration(elapsedMs)} by ${transport}: ${(share * 100).toFixed(0)} % of what the link can carry, start and end included. ` +
        `${(watch.lossShare() * 100).toFixed(1)} % of the packets were lost.`,
    );
    say(
      shell,
      `${digest}  ${matches ? 'read again by the server: every byte is as it was' : 'WRONG: this is a defect, please report it'}`,
    );
    return exit;
  } finally {
    clearInterval(ticker);
    client.close();
  }
}

/** A picture on a terminal, a line a second elsewhere. */
function createTeller(shell: Shell): (state: DemoState) => void {
  if (wantsColour(shell, shell.stdout) && !shell.json) {
    const canvas = createCanvas((text) => shell.stdout.write(text));
    const unicode = showsUnicode(shell.env);
    return (state) => canvas.draw(drawDemo(state, { columns: shell.stdout.columns, colour: true, unicode }));
  }
  let nextMs = Number.NEGATIVE_INFINITY;
  return (state) => {
    if (shell.nowMs() < nextMs) return;
    nextMs = shell.nowMs() + PLAIN_EVERY_MS;
    const { phase, elapsedMs, bytesDone, bytesTotal, transport, lane } = state;
    if (shell.json) sayJson(shell, { event: 'progress', phase, elapsedMs, bytesDone, bytesTotal, transport, lane });
    else say(shell, plainDemoLine(state));
  };
}

/** A locale that is named and is not UTF-8 means it. */
function showsUnicode({ LC_ALL, LC_CTYPE, LANG, TERM }: Shell['env']): boolean {
  const locale = LC_ALL || LC_CTYPE || LANG || 'UTF-8';
  return /utf-?8/i.test(locale) && TERM !== 'linux';
}

/** Ctrl-C ends it earlier. */
const MOST_MS = 30_000;
const QUEUE_MS = 200;
const TICK_MS = 100;
const PLAIN_EVERY_MS = 1000;
