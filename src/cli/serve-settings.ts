/** What `hawser serve` is told, by its options and its configuration file: parsed once, checked as a whole. */
import type { LanePolicy } from '../core/lane/contract.ts';
import { usage } from './failure.ts';

export interface Listen {
  readonly host: string;
  readonly port: number;
}

export interface ServeSettings {
  readonly dir: string;
  readonly listen: Listen;
  readonly plainHttp: boolean;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly state?: string;
  readonly logLevel: LogLevel;
  /** UDP port of the lane; null: none. Default: as `listen`. */
  readonly lanePort?: number | null;
  readonly laneForbid?: readonly LanePolicy['kind'][];
  readonly laneAdvertise?: readonly { readonly host: string; readonly port: number }[];
  /** Folder for the lanes' traces. */
  readonly laneTrace?: string;
}

export type LogLevel = (typeof LOG_LEVELS)[number];

/** The options as commander gives them, and the keys of the file as they are written. */
export interface ServeInput {
  readonly dir?: string;
  readonly listen?: string;
  readonly http?: boolean;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly state?: string;
  readonly logLevel?: string;
  readonly lane?: string;
  readonly laneForbid?: string;
  readonly laneAdvertise?: string;
  readonly laneTrace?: string;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export const DEFAULT_PORT = 7420;

/** Options win over the file. */
export function serveSettings(options: ServeInput, file: ServeInput): ServeSettings {
  const { dir = './hawser-data', listen = '', http = false, tlsCert, tlsKey, state, logLevel = 'warn' } = { ...file, ...options };
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw usage(`--tls-${tlsCert === undefined ? 'key' : 'cert'} is given alone: --tls-cert and --tls-key belong together.`);
  }
  const { lane, laneForbid, laneAdvertise, laneTrace } = { ...file, ...options };
  if (http && tlsCert !== undefined)
    throw usage('--http serves without encryption, so --tls-cert has no use: leave one of them out.');
  return {
    dir,
    listen: parseListen(listen),
    plainHttp: http,
    logLevel: parseLogLevel(logLevel),
    ...(tlsCert === undefined || tlsKey === undefined ? {} : { tlsCert, tlsKey }),
    ...(state === undefined ? {} : { state }),
    ...(lane === undefined ? {} : { lanePort: parseLanePort(lane) }),
    ...(laneForbid === undefined ? {} : { laneForbid: parseForbidden(laneForbid) }),
    ...(laneAdvertise === undefined ? {} : { laneAdvertise: laneAdvertise.split(',').map(parseAdvertised) }),
    ...(laneTrace === undefined ? {} : { laneTrace }),
  };
}

/** JSON with the names of the options. Throws `usage` that names what is wrong and where. */
export function parseServeFile(text: string, file: string): ServeInput {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw usage(`The configuration ${file} is not JSON (${(error as Error).message}): correct it.`, file);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw usage(`The configuration ${file} must be one JSON object, with keys like "listen".`, file);
  }
  const input: Record<string, string | boolean> = {};
  for (const [key, item] of Object.entries(value)) {
    if (!Object.hasOwn(KEYS, key)) {
      throw usage(
        `The configuration ${file} has the key "${key}", which there is not: use ${Object.keys(KEYS).join(', ')}.`,
        key,
      );
    }
    const [name, kind] = KEYS[key as keyof typeof KEYS];
    const found = typeof item;
    if (found !== kind) throw usage(`In the configuration ${file} "${key}" must be a ${kind}: correct it.`, key);
    input[name] = item as string | boolean;
  }
  return input;
}

/** "HOST:PORT", "HOST", "PORT", ":PORT" (every address), "[::1]:PORT". */
export function parseListen(text: string): Listen {
  const match = /^(?:(\d{1,5})|(?:\[([0-9a-f:.%]+)\]|([^:[\]\s]*))(?::(\d{1,5}))?)$/i.exec(text.trim());
  if (match === null) throw badListen(text);
  const [, portAlone, bracketed, name, portText] = match;
  const port = Number(portAlone ?? portText ?? DEFAULT_PORT);
  if (port > 65535) throw badListen(text);
  if (bracketed !== undefined) return { host: bracketed, port };
  const every = name === '' && portText !== undefined;
  return { host: every ? EVERY_ADDRESS : name || 'localhost', port };
}

export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host);
}

function parseLanePort(text: string): number | null {
  if (text === 'off') return null;
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65535) return port;
  throw usage(`--lane "${text}" is no UDP port: give a number, or "off" for no lane.`, text);
}

function parseForbidden(text: string): LanePolicy['kind'][] {
  const names = text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && name !== 'none');
  return names.map((name) => {
    const kind = POLICIES.find((known) => known === name);
    if (kind === undefined) throw usage(`--lane-forbid names "${name}": use ${POLICIES.join(', ')} or none.`, name);
    return kind;
  });
}

function parseAdvertised(text: string): { host: string; port: number } {
  try {
    const { host, port } = parseListen(text.trim());
    if (host !== EVERY_ADDRESS && port > 0) return { host, port };
  } catch {}
  throw usage(`--lane-advertise names "${text}": give addresses that clients can send to, as HOST:PORT.`, text);
}

function badListen(text: string) {
  return usage(`--listen "${text}" is not an address: write HOST:PORT, HOST, PORT, :PORT (every address) or [::1]:PORT.`, text);
}

function parseLogLevel(text: string): LogLevel {
  const level = LOG_LEVELS.find((name) => name === text);
  if (level !== undefined) return level;
  throw usage(`The log level "${text}" is unknown: use ${LOG_LEVELS.join(', ')}.`, text);
}

/** Both families, where the system has both. */
export const EVERY_ADDRESS = '::';

const POLICIES = ['fair', 'background', 'high', 'fixed'] as const;

const KEYS = {
  dir: ['dir', 'string'],
  listen: ['listen', 'string'],
  http: ['http', 'boolean'],
  'tls-cert': ['tlsCert', 'string'],
  'tls-key': ['tlsKey', 'string'],
  state: ['state', 'string'],
  'log-level': ['logLevel', 'string'],
  lane: ['lane', 'string'],
  'lane-forbid': ['laneForbid', 'string'],
  'lane-advertise': ['laneAdvertise', 'string'],
  'lane-trace': ['laneTrace', 'string'],
} as const;
