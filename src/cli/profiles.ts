/** Saved servers: profiles.json in the configuration folder, mode 0600 because it holds tokens. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { usage } from './failure.ts';
import { configFolder, writePrivately } from './folders.ts';

export interface Profile {
  readonly url: string;
  readonly token: string;
  /** Hex SHA-256 of the certificate that was pinned; absent when the system trusts it. */
  readonly fingerprint?: string;
  /** PEM of the authority that was given at login. */
  readonly caCert?: string;
}

export interface Profiles {
  /** What `/path` means; null when there is none. */
  readonly default: string | null;
  readonly profiles: Readonly<Record<string, Profile>>;
}

type Env = Readonly<Record<string, string | undefined>>;

export function profilesFile(env: Env): string {
  return join(configFolder(env), 'profiles.json');
}

/** Empty when there is no file. Throws `usage` naming the file when it cannot be understood. */
export function readProfiles(env: Env): Profiles {
  const file = profilesFile(env);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { default: null, profiles: {} };
    throw error;
  }
  const decoded = decodeProfiles(text);
  if (decoded === null) throw usage(`The profiles file ${file} is damaged: repair it, or remove it and log in again.`, file);
  return decoded;
}

export function writeProfiles(env: Env, profiles: Profiles): void {
  writePrivately(profilesFile(env), JSON.stringify({ version: 1, ...profiles }, null, 2) + '\n', { synced: true });
}

/** With `profile` saved as `name`; it becomes the default when there was none. */
export function withProfile(all: Profiles, name: string, profile: Profile): Profiles {
  return { default: all.default ?? name, profiles: { ...all.profiles, [name]: profile } };
}

/** Without `name`. When it was the default, the only one left takes its place; among several nobody is chosen. */
export function withoutProfile(all: Profiles, name: string): Profiles {
  const profiles = Object.fromEntries(Object.entries(all.profiles).filter(([other]) => other !== name));
  const left = Object.keys(profiles);
  const fallback = left.length === 1 ? (left[0] ?? null) : null;
  return { default: all.default === name ? fallback : all.default, profiles };
}

/** Throws `usage` listing what there is. */
export function findProfile(all: Profiles, name: string): Profile {
  const profile = Object.hasOwn(all.profiles, name) ? all.profiles[name] : undefined;
  if (profile !== undefined) return profile;
  const known = Object.keys(all.profiles).join(', ');
  throw usage(
    `There is no profile "${name}"${known === '' ? '' : ` (there are: ${known})`}: make it with "hawser login URL --name ${name}".`,
    name,
  );
}

export function checkProfileName(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name) && name !== 'http' && name !== 'https') return name;
  throw usage(`"${name}" cannot name a profile: use up to 64 letters, digits, dots, dashes and underscores.`, name);
}

function decodeProfiles(text: string): Profiles | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isRecord(value) || !isRecord(value.profiles)) return null;
  const profiles: Record<string, Profile> = {};
  for (const [name, item] of Object.entries(value.profiles)) {
    if (!isRecord(item) || typeof item.url !== 'string' || typeof item.token !== 'string') return null;
    profiles[name] = {
      url: item.url,
      token: item.token,
      ...(typeof item.fingerprint === 'string' ? { fingerprint: item.fingerprint } : {}),
      ...(typeof item.caCert === 'string' ? { caCert: item.caCert } : {}),
    };
  }
  const chosen = value.default;
  return { default: typeof chosen === 'string' && Object.hasOwn(profiles, chosen) ? chosen : null, profiles };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
