/** hawser doctor */
import type { Command } from 'commander';
import type { Capabilities, Client } from '../../client/contract.ts';
import { EXIT } from '../../core/errors.ts';
import { formatRate } from '../../core/units.ts';
import { clientOptions, resolveRemotes, type Server } from '../connect.ts';
import { examineLane } from '../doctor/lane.ts';
import { measureDisk, measureHash, retransmitShare, tcpCounters } from '../doctor/machine.ts';
import { type Finding, reach } from '../doctor/reach.ts';
import { type Measurements, percent, verdict } from '../doctor/verdict.ts';
import { failureOf, printFailure } from '../failure.ts';
import { type CommonFlags, withConnection } from '../options.ts';
import { printable } from '../printable.ts';
import { readProfiles } from '../profiles.ts';
import { type Shell, say, sayJson } from '../shell.ts';

export function define(program: Command, shell: Shell): void {
  const command = program
    .command('doctor')
    .summary('find out whether, how and how fast a server can be reached')
    .description(
      'Looks at name, connection, certificate, token, clock, link and this machine, and says what limits. Takes some seconds.',
    )
    .argument('[server]', 'NAME:/ or https://host:port/ (default: the default profile)')
    .action(async (server: string | undefined, flags: CommonFlags) => {
      shell.exitCode = await examine(shell, server, flags);
    });
  withConnection(command);
}

async function examine(shell: Shell, remote: string | undefined, flags: CommonFlags): Promise<number> {
  const { server } = resolveRemotes(remote === undefined ? [] : [remote], readProfiles(shell.env), shell.env);
  if (!flags.json) say(shell, printable(`Examining ${server.url}`));
  const client = await shell.createClient(clientOptions(shell, server, flags));
  try {
    for await (const finding of reach(server)) show(shell, finding);
    for await (const finding of ask(client)) show(shell, finding);
    const measured = await measure(shell, client);
    const hasLane = server.url.startsWith('https:') && (await examineLaneOf(shell, server, flags));
    const sentences = verdict({ ...measured, hasLane });
    if (flags.json) sayJson(shell, { event: 'done', url: server.url, measured, verdict: sentences, exit: EXIT.done });
    else for (const line of ['', ...sentences]) say(shell, line);
    return EXIT.done;
  } catch (error) {
    const failure = failureOf(error);
    printFailure(shell, failure, advice(server, failure.code));
    return failure.exit;
  } finally {
    await client.close();
  }
}

/** Whether it opens. */
async function examineLaneOf(shell: Shell, server: Server, flags: CommonFlags): Promise<boolean> {
  // What weakens the connection was said before.
  const quiet = { ...shell, stderr: { ...shell.stderr, write: () => true } };
  const client = await shell.createClient({ ...clientOptions(quiet, server, flags), transport: 'lane' });
  try {
    show(shell, await examineLane(client));
    return client.info().lane !== undefined;
  } finally {
    await client.close();
  }
}

/** What the server says about itself and about us. */
async function* ask(client: Client): AsyncGenerator<Finding, void, undefined> {
  const startedMs = Date.now();
  const server: Capabilities & { readonly serverTime?: string } = await client.capabilities();
  const halfwayMs = (startedMs + Date.now()) / 2;
  const { transport, httpVersion, tls } = client.info();
  const group = tls === undefined ? '' : `, ${tls.version} ${tls.cipher}, key exchange ${tls.group}`;
  yield {
    check: 'path',
    state: 'ok',
    text: `${transport}, HTTP/${httpVersion.replace(/^HTTP\//i, '')}${group}`,
    data: client.info(),
  };
  const missing = FEATURES.filter((feature) => !server.features.includes(feature));
  const names = server.transports.map(({ name }) => name).join(', ');
  const lacks = missing.length === 0 ? '' : `; it lacks ${missing.join(', ')}: update it`;
  yield {
    check: 'server',
    state: missing.length === 0 ? 'ok' : 'warning',
    text: `hawser ${server.version}, transports ${names}${lacks}`,
    data: { version: server.version, transports: server.transports, missing },
  };
  if (server.serverTime !== undefined) yield clockFinding(Date.parse(server.serverTime) - halfwayMs);
  const who = await client.whoami();
  yield { check: 'token', state: 'ok', text: `"${who.name}" may ${MAY[who.role]}`, data: who };
}

function clockFinding(skewMs: number): Finding {
  const off = Math.abs(skewMs) > CLOCK_TOLERANCE_MS;
  const seconds = (Math.abs(skewMs) / 1000).toFixed(1);
  const text = `the server's clock is ${seconds} s ${skewMs < 0 ? 'behind' : 'ahead'}`;
  return {
    check: 'clock',
    state: off ? 'warning' : 'ok',
    text: off ? `${text}: set the clocks, or --overwrite newer decides wrongly` : 'both clocks agree',
    data: { skewMs },
  };
}

async function measure(shell: Shell, client: Client): Promise<Omit<Measurements, 'hasLane'>> {
  const before = await tcpCounters();
  const probe = await client.probe();
  const share = retransmitShare(before, await tcpCounters());
  const { min, median, samples } = probe.rttMs;
  show(shell, {
    check: 'round trip',
    state: 'ok',
    text: `${min.toFixed(1)} ms at best, ${median.toFixed(1)} ms median of ${samples}`,
  });
  show(shell, {
    check: 'speed',
    state: 'ok',
    text: `${formatRate(probe.sendBytesPerSecond)} up, ${formatRate(probe.receiveBytesPerSecond)} down, one connection`,
  });
  const loss =
    share === null ? 'cannot be told here' : `about ${percent(share)} (estimate: TCP segments sent twice by this whole machine)`;
  show(shell, { check: 'loss', state: 'ok', text: loss });
  const hashBytesPerSecond = measureHash();
  const diskBytesPerSecond = await measureDisk(shell.cwd);
  const disk =
    diskBytesPerSecond === null ? 'this folder cannot be written' : `writes ${formatRate(diskBytesPerSecond)} with sync`;
  show(shell, { check: 'machine', state: 'ok', text: `verifies ${formatRate(hashBytesPerSecond)} on one core, ${disk}` });
  return {
    rttMinMs: min,
    rttMedianMs: median,
    sendBytesPerSecond: probe.sendBytesPerSecond,
    receiveBytesPerSecond: probe.receiveBytesPerSecond,
    retransmitShare: share,
    hashBytesPerSecond,
    diskBytesPerSecond,
  };
}

function show(shell: Shell, finding: Finding): void {
  if (shell.json) sayJson(shell, { event: 'check', ...finding });
  else say(shell, printable(`  ${MARK[finding.state]}  ${finding.check.padEnd(11)}${finding.text}`));
}

function advice(server: Server, code: string): object {
  return { url: server.url, verdict: [`It stops at ${code}: nothing can be transferred until that is solved.`] };
}

const MARK = { ok: 'ok     ', warning: 'warning', failed: 'FAILED ' } as const;
const MAY = { read: 'read', write: 'read and write', admin: 'do everything' } as const;
const CLOCK_TOLERANCE_MS = 5000;
/** What this version makes use of. */
const FEATURES = [
  'uploads',
  'downloads',
  'packs',
  'dedup',
  'blocks',
  'verify',
  'transfers',
  'probe',
  'tokens',
  'running-digests',
] as const;
