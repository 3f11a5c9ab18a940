/** From remote paths, profiles and the environment to a client: which server is meant, and why we trust it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Client, ClientOptions } from '../client/contract.ts';
import { usage } from './failure.ts';
import { stateFolder } from './folders.ts';
import { laneOptions, type TransferFlags } from './options.ts';
import { findProfile, type Profile, type Profiles, readProfiles } from './profiles.ts';
import { parseRemote, pathOnServer, type Remote, serverUrl } from './remote.ts';
import { note, type Rerun, type Shell } from './shell.ts';

export interface Server {
  readonly url: string;
  readonly token?: string;
  readonly fingerprint?: string;
  readonly caCert?: string;
  /** Name of the profile it came from; null when it came from the environment alone. */
  readonly profile: string | null;
}

export interface Connection {
  readonly client: Client;
  readonly server: Server;
  /** The paths on that server, in the order of the arguments. */
  readonly paths: readonly string[];
}

export interface ConnectOptions extends Partial<Pick<TransferFlags, 'transport' | 'policy' | 'path' | 'laneTrace' | 'verbose'>> {
  readonly insecure?: boolean;
}

type Env = Readonly<Record<string, string | undefined>>;

/** Runs `work` with a client for the server that all of `remotes` are on, and closes it. No remotes: the default server. */
export async function withServer<T>(
  shell: Shell,
  remotes: readonly string[],
  options: ConnectOptions,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const { server, paths } = resolveRemotes(remotes, readProfiles(shell.env), shell.env, shell.rerun);
  const { lane, ...rest } = clientOptions(shell, server, options);
  const stalls: string[] = [];
  const stallFolder = join(stateFolder(shell.env), 'lane-stalls');
  const client = await shell.createClient({ ...rest, lane: { ...lane, stallFolder, onStall: (file) => stalls.push(file) } });
  try {
    return await work({ client, server, paths });
  } finally {
    await client.close();
    // Not before: while it works, a progress bar may have the terminal.
    if (options.verbose) for (const file of stalls) note(shell, `hawser: the lane stalled; what led to it is in ${file}`);
  }
}

/** Throws `usage` when the remotes are on more than one server. */
export function resolveRemotes(
  remotes: readonly string[],
  profiles: Profiles,
  env: Env,
  rerun: Rerun | null = null,
): { server: Server; paths: string[] } {
  const texts = remotes.length === 0 ? ['/'] : remotes;
  const found = texts.map((text) => resolveRemote(parseRemote(text), profiles, env, rerun));
  const first = found[0]!;
  for (const [index, { server }] of found.entries()) {
    if (server.url === first.server.url && server.token === first.server.token) continue;
    throw usage(
      `"${texts[0]}" is on ${first.server.url} and "${texts[index]}" on ${server.url}: one command works on one server.`,
      texts[index],
    );
  }
  return { server: first.server, paths: found.map(({ path }) => path) };
}

/** Options of createClient; warns on stderr about what weakens the connection. */
export function clientOptions(shell: Shell, server: Server, options: ConnectOptions): ClientOptions {
  if (options.insecure)
    note(shell, 'hawser: warning: --insecure accepts any certificate: anyone on the way can read and change all.');
  return {
    url: server.url,
    ...(server.token === undefined ? {} : { token: server.token }),
    ...(options.insecure ? { insecure: true } : {}),
    ...(server.fingerprint === undefined || options.insecure ? {} : { fingerprint: server.fingerprint }),
    ...(server.caCert === undefined || options.insecure ? {} : { caCert: server.caCert }),
    ...laneOptions(options),
    stateFolder: stateFolder(shell.env),
  };
}

/** 64 lower-case hex digits, from any of the ways people write a SHA-256 fingerprint. */
export function parseFingerprint(text: string, from: string): string {
  const hex = text
    .trim()
    .replace(/^sha-?256[:\s=]/i, '')
    .replaceAll(/[:\s]/g, '')
    .toLowerCase();
  if (/^[0-9a-f]{64}$/.test(hex)) return hex;
  throw usage(`${from} "${text}" is not a SHA-256 fingerprint: give its 64 hex digits, with or without colons.`, text);
}

function resolveRemote(remote: Remote, profiles: Profiles, env: Env, rerun: Rerun | null): { server: Server; path: string } {
  if (remote.kind === 'profile') {
    return { server: fromProfile(remote.name, findProfile(profiles, remote.name)), path: remote.path };
  }
  if (remote.kind === 'default') return { server: defaultServer(profiles, env, rerun), path: remote.path };
  return resolveUrl(remote, profiles, env);
}

function resolveUrl(remote: Remote & { kind: 'url' }, profiles: Profiles, env: Env): { server: Server; path: string } {
  const candidates = [...savedServers(profiles)];
  if (env.HAWSER_URL) candidates.unshift(environmentServer(serverUrl(env.HAWSER_URL), profiles, env));
  // The longest address wins: behind a proxy one server may live below another.
  candidates.sort((a, b) => b.url.length - a.url.length);
  for (const server of candidates) {
    const path = pathOnServer(remote, server.url);
    if (path !== null) return { server, path };
  }
  const path = pathOnServer(remote, remote.origin) ?? '/';
  // A token that was set for HAWSER_URL is not for other servers.
  const server = env.HAWSER_URL ? { url: remote.origin, profile: null } : environmentServer(remote.origin, profiles, env);
  if (server.token === undefined) {
    throw usage(`No profile is for ${remote.origin}: run "hawser login ${remote.origin}", or set HAWSER_URL and HAWSER_TOKEN.`);
  }
  return { server, path };
}

function defaultServer(profiles: Profiles, env: Env, rerun: Rerun | null): Server {
  if (rerun !== null) return rerunServer(rerun, profiles, env);
  if (env.HAWSER_URL) return environmentServer(serverUrl(env.HAWSER_URL), profiles, env);
  if (profiles.default !== null) {
    return withEnvironment(fromProfile(profiles.default, findProfile(profiles, profiles.default)), env);
  }
  const names = Object.keys(profiles.profiles);
  if (names.length > 0)
    throw usage(`No profile is the default (there are: ${names.join(', ')}): run "hawser profiles use NAME".`);
  throw usage('No server is known yet: run "hawser login URL", or set HAWSER_URL and HAWSER_TOKEN.');
}

function rerunServer(rerun: Rerun, profiles: Profiles, env: Env): Server {
  if (env.HAWSER_URL && serverUrl(env.HAWSER_URL) === rerun.url) return environmentServer(rerun.url, profiles, env);
  const saved = savedServers(profiles).filter((server) => server.url === rerun.url);
  const server = saved.find(({ profile }) => profile === rerun.profile) ?? saved[0];
  if (server !== undefined) return server;
  throw usage(
    `The command ran on ${rerun.url}, for which there is no profile: log in again, or set HAWSER_URL and HAWSER_TOKEN.`,
  );
}

function environmentServer(url: string, profiles: Profiles, env: Env): Server {
  const saved = savedServers(profiles).find((server) => server.url === url);
  return withEnvironment(saved ?? { url, profile: null }, env);
}

function withEnvironment(server: Server, env: Env): Server {
  const { HAWSER_TOKEN: token, HAWSER_FINGERPRINT: fingerprint, HAWSER_CACERT: caFile } = env;
  const { fingerprint: savedPin, caCert: savedCa, ...rest } = server;
  const saved = {
    ...(savedPin === undefined ? {} : { fingerprint: savedPin }),
    ...(savedCa === undefined ? {} : { caCert: savedCa }),
  };
  const given = {
    ...(fingerprint ? { fingerprint: parseFingerprint(fingerprint, 'HAWSER_FINGERPRINT') } : {}),
    ...(caFile ? { caCert: readCaCert(caFile) } : {}),
  };
  return { ...rest, ...(token ? { token } : {}), ...(Object.keys(given).length > 0 ? given : saved) };
}

/** PEM text of the file that HAWSER_CACERT names. */
export function readCaCert(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw usage(`HAWSER_CACERT names "${file}", which cannot be read (${(error as NodeJS.ErrnoException).code}).`, file);
  }
  if (text.includes('-----BEGIN CERTIFICATE-----')) return text;
  throw usage(`HAWSER_CACERT names "${file}", which holds no PEM certificate.`, file);
}

/** The default profile first, so that it wins among profiles for the same server. */
function savedServers(profiles: Profiles): Server[] {
  const names = Object.keys(profiles.profiles);
  names.sort((a, b) => Number(b === profiles.default) - Number(a === profiles.default));
  return names.map((name) => fromProfile(name, findProfile(profiles, name)));
}

function fromProfile(name: string, profile: Profile): Server {
  return { ...profile, profile: name };
}
