/** Options that several verbs share, so that they read and mean the same everywhere. */
import { type Command, Option } from 'commander';
import type { ClientOptions, TransferOptions } from '../client/contract.ts';
import { HawserError } from '../core/errors.ts';
import type { LanePolicy } from '../core/lane/contract.ts';
import { parseRate, parseSize } from '../core/units.ts';
import { usage } from './failure.ts';

export interface CommonFlags {
  readonly insecure?: boolean;
  readonly json?: boolean;
}

export interface TransferFlags extends CommonFlags {
  readonly parallel?: number | 'auto';
  readonly chunkSize?: number | 'auto';
  readonly priority: 'critical' | 'high' | 'normal';
  readonly limitRate?: number;
  readonly preserve: boolean;
  readonly exclude?: readonly string[];
  readonly overwrite: 'always' | 'newer' | 'never';
  readonly retries?: number;
  readonly follow?: boolean;
  readonly quiet?: boolean;
  readonly verbose?: boolean;
  readonly transport?: 'auto' | 'https' | 'lane';
  readonly policy?: LanePolicy;
  readonly path?: readonly string[];
  readonly laneTrace?: string;
}

export function withConnection(command: Command): Command {
  return command.option('--insecure', 'accept any certificate (dangerous)').option('--json', 'print JSON, one object a line');
}

export function withTransfer(command: Command): Command {
  return withConnection(
    command
      .option('--parallel <n>', 'requests in flight: a number or "auto"', autoOr(wholeNumber('--parallel', 1, 256)))
      .option('--chunk-size <size>', 'bytes per request, 64KiB to 16MiB, or "auto"', autoOr(value('--chunk-size', parseChunk)))
      .addOption(choice('--priority <level>', 'who goes first on a busy server', ['critical', 'high', 'normal'], 'normal'))
      .option('--limit-rate <rate>', 'at most this fast, for example 5MB/s or 10mbit', value('--limit-rate', parseRate))
      .addOption(choice('--transport <name>', 'how to get there', ['auto', 'https', 'lane'], 'auto'))
      .option('--policy <name>', 'how hard the lane pushes: fair, background, high or fixed=RATE', value('--policy', parsePolicy))
      .option(
        '--path <names>',
        'networks to use at once: eth0,wlan0; !wlan0: all but it; wwan0:metered: when no other works',
        list,
      )
      .option('--lane-trace <file>', 'write what happens on the lane to a file (qlog, JSON-SEQ)')
      .option('--no-preserve', 'do not keep mode and modification time')
      .option('--exclude <glob>', 'leave out what matches (may be repeated)', collect)
      .addOption(choice('--overwrite <when>', 'what to do with files that are there', ['always', 'newer', 'never'], 'always'))
      .option(
        '--retries <n>',
        'failures in a row before giving up (default: about 15 minutes)',
        wholeNumber('--retries', 0, 1_000_000),
      )
      .option('--follow', 'send what links point to instead of links')
      .option('-q, --quiet', 'print errors only')
      .option('-v, --verbose', 'print every file and how it travels'),
  );
}

export function transferOptions(flags: TransferFlags): TransferOptions {
  return {
    priority: flags.priority,
    preserve: flags.preserve,
    overwrite: flags.overwrite,
    ...(flags.parallel === undefined || flags.parallel === 'auto' ? {} : { parallel: flags.parallel }),
    ...(flags.chunkSize === undefined || flags.chunkSize === 'auto' ? {} : { chunkBytes: flags.chunkSize }),
    ...(flags.limitRate === undefined ? {} : { limitRateBytesPerSecond: flags.limitRate }),
    ...(flags.retries === undefined ? {} : { retries: flags.retries }),
    ...(flags.exclude === undefined ? {} : { exclude: flags.exclude }),
    ...(flags.follow ? { follow: true } : {}),
  };
}

/** What of the flags is the client's, rather than one transfer's. */
export function laneOptions(flags: Partial<TransferFlags>): Pick<ClientOptions, 'transport' | 'paths' | 'lane'> {
  const lane = {
    ...(flags.policy === undefined ? {} : { policy: flags.policy }),
    // What may not be late is sent so that the loss of a path delays nothing.
    ...(flags.priority === 'critical' ? { redundant: true } : {}),
    ...(flags.laneTrace === undefined ? {} : { traceFile: flags.laneTrace }),
  };
  return {
    ...(flags.transport === undefined ? {} : { transport: flags.transport }),
    ...(flags.path === undefined ? {} : { paths: flags.path }),
    ...(Object.keys(lane).length === 0 ? {} : { lane }),
  };
}

export function choice(flags: string, description: string, values: readonly string[], preset?: string): Option {
  const option = new Option(flags, description).choices(values);
  return preset === undefined ? option : option.default(preset);
}

/** A whole number from `least` to `most`; `usage` for anything else. */
export function wholeNumber(name: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const number = Number(text);
    if (/^\d+$/.test(text) && number >= least && number <= most) return number;
    throw usage(`${name} is "${text}": give a whole number from ${least} to ${most}.`, text);
  };
}

/** Says which option a parser's complaint is about. */
export function value<T>(name: string, parse: (text: string) => T): (text: string) => T {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (error instanceof HawserError) throw usage(`${name}: ${error.message}`, text);
      throw error;
    }
  };
}

function autoOr<T>(parse: (text: string) => T): (text: string) => T | 'auto' {
  return (text) => (text === 'auto' ? text : parse(text));
}

function parseChunk(text: string): number {
  const bytes = parseSize(text);
  if (bytes >= 64 * 1024 && bytes <= 16 * 1024 * 1024) return bytes;
  throw usage(`"${text}" is not between 64KiB and 16MiB.`, text);
}

/** "fair", "background", "high", "fixed=50mbit". */
export function parsePolicy(text: string): LanePolicy {
  if (text === 'fair' || text === 'background' || text === 'high') return { kind: text };
  const rate = /^fixed=(.+)$/.exec(text)?.[1];
  if (rate !== undefined) return { kind: 'fixed', bytesPerSecond: parseRate(rate) };
  throw usage(`"${text}" is no policy: use fair, background, high or fixed=RATE.`, text);
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

function collect(text: string, before: readonly string[] = []): string[] {
  return [...before, text];
}
