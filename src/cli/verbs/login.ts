/** hawser login URL */
import type { Command } from 'commander';
import { HawserError } from '../../core/errors.ts';
import { lookAtCertificate, type SeenCertificate } from '../certificate.ts';
import { clientOptions, parseFingerprint, readCaCert, type Server } from '../connect.ts';
import { usage } from '../failure.ts';
import {
  checkProfileName,
  type Profile,
  type Profiles,
  profilesFile,
  readProfiles,
  withProfile,
  writeProfiles,
} from '../profiles.ts';
import { serverUrl } from '../remote.ts';
import { note, type Shell, say, sayJson } from '../shell.ts';

interface Flags {
  readonly token?: string;
  readonly name?: string;
  readonly fingerprint?: string;
  readonly insecure?: boolean;
  readonly json?: boolean;
}

export function define(program: Command, shell: Shell): void {
  program
    .command('login')
    .summary('save a server as a profile')
    .description(
      'Checks the token and saves the server as a profile. A certificate that the system does not trust is pinned at the ' +
        'first login: from then on the server has to show the same one.',
    )
    .argument('<url>', 'https://host:port')
    .option('--token <token>', 'better: leave it out and type it, pipe it in, or set HAWSER_TOKEN')
    .option('--name <name>', 'of the profile (default: "default", then the host)')
    .option('--fingerprint <sha256>', 'the certificate must be this one')
    .option('--insecure', 'accept any certificate, now and later only with --insecure (dangerous)')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action((url: string, flags: Flags) => login(shell, url, flags));
}

async function login(shell: Shell, address: string, flags: Flags): Promise<void> {
  const url = serverUrl(address);
  const profiles = readProfiles(shell.env);
  const name = flags.name === undefined ? freeName(profiles, url) : checkProfileName(flags.name);
  const trust = await decideTrust(shell, url, profiles, name, flags);
  const token = await readToken(shell, flags);
  const who = await whoami(shell, { url, token, profile: name, ...trust.pin }, flags);
  const profile: Profile = { url, token, ...trust.pin };
  writeProfiles(shell.env, withProfile(profiles, name, profile));
  const isDefault = withProfile(profiles, name, profile).default === name;
  if (flags.json) {
    sayJson(shell, { event: 'done', name, url, default: isDefault, fingerprint: trust.pin.fingerprint ?? null, token: who });
    return;
  }
  for (const line of trust.lines) say(shell, line);
  say(shell, `Logged in to ${url} as "${who.name}" (${who.role}). Saved as profile "${name}" in ${profilesFile(shell.env)}.`);
  if (!isDefault) say(shell, `Use it as ${name}:/path, or make it the default with:  hawser profiles use ${name}`);
}

interface Trust {
  readonly pin: { fingerprint?: string; caCert?: string };
  readonly lines: readonly string[];
}

async function decideTrust(shell: Shell, url: string, profiles: Profiles, name: string, flags: Flags): Promise<Trust> {
  if (url.startsWith('http://')) {
    if (flags.fingerprint !== undefined) throw usage('--fingerprint needs https://: plain HTTP has no certificate.');
    if (!isLoopback(url))
      note(shell, `hawser: warning: ${url} is not encrypted: anyone on the way can read the token and the files.`);
    return { pin: {}, lines: [] };
  }
  if (flags.insecure) return { pin: {}, lines: [] };
  const caFile = shell.env.HAWSER_CACERT;
  const ca = caFile ? { caCert: readCaCert(caFile) } : {};
  const seen = await lookAtCertificate(url, ca.caCert);
  const wanted = flags.fingerprint ?? shell.env.HAWSER_FINGERPRINT;
  if (wanted) {
    checkWanted(url, seen, parseFingerprint(wanted, flags.fingerprint === undefined ? 'HAWSER_FINGERPRINT' : '--fingerprint'));
    return { pin: { fingerprint: seen.fingerprint }, lines: [`The certificate is the one that was asked for; it is pinned.`] };
  }
  if (seen.trusted) return { pin: ca, lines: [] };
  checkPinned(url, seen, profiles, name);
  return {
    pin: { fingerprint: seen.fingerprint },
    lines: [
      `The certificate of ${url} is self-made. It is pinned from now on:`,
      `  ${seen.fingerprint}`,
      'Compare this with the fingerprint that the server printed when it started.',
    ],
  };
}

function checkWanted(url: string, seen: SeenCertificate, wanted: string): void {
  if (wanted === seen.fingerprint) return;
  throw new HawserError(
    'certificate_changed',
    `${url} shows the certificate ${seen.fingerprint}, not ${wanted}: no token was sent. Check the address and the fingerprint.`,
    { value: seen.fingerprint },
  );
}

/** Trust on first use holds only if a later login cannot replace the pin in silence. */
function checkPinned(url: string, seen: SeenCertificate, profiles: Profiles, name: string): void {
  const named = Object.hasOwn(profiles.profiles, name) ? profiles.profiles[name] : undefined;
  const known = named?.url === url ? named : Object.values(profiles.profiles).find((profile) => profile.url === url);
  if (known?.fingerprint === undefined || known.fingerprint === seen.fingerprint) return;
  throw new HawserError(
    'certificate_changed',
    `The certificate of ${url} is not the one that was pinned (${known.fingerprint}): it is now ${seen.fingerprint}. ` +
      `If its operator confirms the new one, run "hawser login ${url} --fingerprint ${seen.fingerprint}".`,
    { value: seen.fingerprint },
  );
}

async function readToken(shell: Shell, flags: Flags): Promise<string> {
  const given = flags.token ?? shell.env.HAWSER_TOKEN;
  const token = (given || (shell.stdin.isTTY ? await shell.askSecret('Token: ') : await firstLine(shell.stdin))).trim();
  if (token === '') throw usage('No token was given: use --token, HAWSER_TOKEN, or pipe it in.');
  // It goes into a header as it is.
  if (!/^[\x21-\x7e]{1,1024}$/.test(token)) throw usage('The token holds characters that no token has: copy it again.');
  return token;
}

async function firstLine(stdin: AsyncIterable<Uint8Array>): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const piece of stdin) {
    text += decoder.decode(piece, { stream: true });
    if (text.includes('\n') || text.length > 4096) break;
  }
  return text.split('\n', 1)[0] ?? '';
}

async function whoami(shell: Shell, server: Server, flags: Flags): Promise<{ id: string; name: string; role: string }> {
  const client = await shell.createClient(clientOptions(shell, server, flags));
  try {
    const who = await client.whoami();
    // So that the first transfer opens its lane in one round trip. Where there are no lanes, nothing is missed.
    if (server.url.startsWith('https:') && !isLoopback(server.url)) await client.rememberLane().catch(() => undefined);
    return who;
  } finally {
    await client.close();
  }
}

/** "default" for the first server and when logging in to it again, else the host. */
function freeName(profiles: Profiles, url: string): string {
  const same = Object.entries(profiles.profiles).find(([, profile]) => profile.url === url);
  if (same !== undefined) return same[0];
  if (!Object.hasOwn(profiles.profiles, 'default')) return 'default';
  const { hostname, port } = new URL(url);
  const host = hostname.replaceAll(/[^A-Za-z0-9.-]+/g, '-').replaceAll(/^-+|-+$/g, '');
  return checkProfileName(Object.hasOwn(profiles.profiles, host) && port !== '' ? `${host}-${port}` : host);
}

export function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return (
    hostname === 'localhost' || hostname.endsWith('.localhost') || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
  );
}

const HELP = `
  hawser login https://files.example.org:7420
  hawser login https://files.example.org:7420 --name work < token.txt
`;
