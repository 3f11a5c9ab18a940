/** The programs that Hawser is measured against, each started the way its users do it, with settings and keys of its own. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { type Command, runNow, type Service, startService, which } from './programs.ts';
import { say } from './report.ts';

export interface Place {
  /** A folder for settings and keys. */
  readonly folder: string;
  readonly address: string;
  /** Put before the server's and the client's commands. Default: none, on this host. */
  readonly serverPrefix?: readonly string[];
  readonly clientPrefix?: readonly string[];
}

export interface Peer extends Service {
  /** Copies local files or folders to the folder on the server. */
  put(sources: readonly string[], to: string): Command;
  get(from: string, destination: string): Command;
}

/** True when all are there; otherwise names what is missing and how to get it. */
export function have(...programs: string[]): boolean {
  const missing = programs.filter((name) => which(name) === null);
  if (missing.length === 0) return true;
  const packages = missing.map((name) => PACKAGES[name] ?? name);
  say(`bench: ${missing.join(', ')} not found, its rows are left out: apt-get install ${[...new Set(packages)].join(' ')}`);
  return false;
}

/** A plain rsync daemon (no ssh, no encryption) that serves `root`. Null when rsync is missing. */
export async function startRsync(place: Place, root: string): Promise<Peer | null> {
  if (!have('rsync')) return null;
  const { folder, address, serverPrefix = [], clientPrefix = [] } = place;
  const port = await freePort();
  mkdirSync(folder, { recursive: true });
  const config = join(folder, 'rsyncd.conf');
  const asRoot = process.getuid?.() === 0 ? 'uid = 0\ngid = 0\n' : '';
  const log = join(folder, 'rsyncd.log');
  writeFileSync(
    config,
    `use chroot = no\n${asRoot}log file = ${log}\npid file = ${join(folder, 'rsyncd.pid')}\n[bench]\npath = ${root}\nread only = no\n`,
  );
  const argv = ['rsync', '--daemon', '--no-detach', `--config=${config}`, `--address=${address}`, `--port=${port}`];
  const service = await startService({ argv: [...serverPrefix, ...argv] }, () => answers(address, port, serverPrefix));
  const url = `rsync://${address}:${port}/bench`;
  return {
    ...service,
    put: (sources, to) => ({ argv: [...clientPrefix, 'rsync', '-a', ...sources, `${url}/${to}`] }),
    get: (from, destination) => ({ argv: [...clientPrefix, 'rsync', '-a', `${url}/${from}`, destination] }),
  };
}

/** An sshd of our own, on a port of its own, with keys that live as long as the benchmark. Null when OpenSSH is missing. */
export async function startSsh(place: Place, root: string): Promise<Peer | null> {
  if (!have('sshd', 'ssh', 'scp', 'ssh-keygen')) return null;
  const { folder, address, serverPrefix = [], clientPrefix = [] } = place;
  const port = await freePort();
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // sshd insists on its folder for privilege separation.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  const [host, user] = [join(folder, 'host'), join(folder, 'user')];
  for (const key of [host, user]) runNow(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const config = join(folder, 'sshd_config');
  writeFileSync(
    config,
    [
      `Port ${port}`,
      `ListenAddress ${address}`,
      `HostKey ${host}`,
      `AuthorizedKeysFile ${user}.pub`,
      `PidFile ${join(folder, 'sshd.pid')}`,
      'PermitRootLogin yes',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'StrictModes no',
      'UsePAM no',
      'Subsystem sftp internal-sftp',
      '',
    ].join('\n'),
  );
  const sshd = [...serverPrefix, which('sshd')!, '-D', '-e', '-f', config];
  const service = await startService({ argv: sshd }, () => answers(address, port, serverPrefix));
  const options = [
    'BatchMode=yes',
    'StrictHostKeyChecking=no',
    'UserKnownHostsFile=/dev/null',
    'LogLevel=ERROR',
    'IdentitiesOnly=yes',
  ];
  // Without encryption that a CPU does in hardware scp would be slower: this is its fastest.
  const scp = ['scp', '-q', '-r', '-c', 'aes128-gcm@openssh.com', '-F', 'none', '-i', user, '-P', String(port)];
  const argv = [...clientPrefix, ...scp, ...options.flatMap((option) => ['-o', option])];
  const remote = (path: string) => `${userInfo().username}@${address}:${join(root, path)}`;
  return {
    ...service,
    put: (sources, to) => ({ argv: [...argv, ...sources, remote(to)] }),
    get: (from, destination) => ({ argv: [...argv, remote(from), destination] }),
  };
}

/** Seen from this host; on an emulated one, by what listens there. */
async function answers(address: string, port: number, prefix: readonly string[]): Promise<boolean> {
  if (prefix.length > 0) {
    const hex = port.toString(16).toUpperCase().padStart(4, '0');
    return new RegExp(`^\\s*\\d+: [0-9A-F]+:${hex} [0-9A-F:]+ 0A`, 'm').test(
      runNow([...prefix, 'cat', '/proc/net/tcp', '/proc/net/tcp6']),
    );
  }
  return await new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

const PACKAGES: Record<string, string> = {
  sshd: 'openssh-server',
  ssh: 'openssh-client',
  scp: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  ip: 'iproute2',
};
