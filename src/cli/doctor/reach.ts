/** Step by step to a server: name, connection, certificate. Each step says what it found, and the first that fails why. */
import { lookup } from 'node:dns/promises';
import { connect, isIP } from 'node:net';
import { HawserError } from '../../core/errors.ts';
import { lookAtCertificate } from '../certificate.ts';
import type { Server } from '../connect.ts';

export interface Finding {
  readonly check: string;
  readonly state: 'ok' | 'warning' | 'failed';
  readonly text: string;
  /** For --json. */
  readonly data?: object;
}

/** Throws `unreachable` naming the step. */
export async function* reach(server: Server): AsyncGenerator<Finding, void, undefined> {
  const url = new URL(server.url);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const port = Number(url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : url.port);
  const addresses = await resolveName(host);
  if (!isIP(host)) yield { check: 'name', state: 'ok', text: `${host} is ${addresses.join(', ')}`, data: { host, addresses } };
  yield* connectAll(addresses, host, port);
  if (url.protocol === 'https:') yield await checkCertificate(server);
  else
    yield { check: 'tls', state: 'warning', text: 'plain HTTP: tokens and files travel in the clear', data: { protocol: null } };
}

async function resolveName(host: string): Promise<string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    throw new HawserError('unreachable', `The name "${host}" cannot be resolved (${code}): check its spelling and your DNS.`, {
      value: host,
      cause,
    });
  }
}

async function* connectAll(addresses: readonly string[], host: string, port: number): AsyncGenerator<Finding, void, undefined> {
  let reached = false;
  let reason = '';
  for (const address of addresses) {
    try {
      const ms = await connectMs(address, port);
      reached = true;
      yield {
        check: 'tcp',
        state: 'ok',
        text: `${address} port ${port} answers in ${ms.toFixed(1)} ms`,
        data: { address, port, ms },
      };
    } catch (error) {
      reason = (error as NodeJS.ErrnoException).code ?? String(error);
      yield {
        check: 'tcp',
        state: 'warning',
        text: `${address} port ${port} does not answer (${reason})`,
        data: { address, port, reason },
      };
    }
  }
  if (reached) return;
  const advice =
    reason === 'ECONNREFUSED'
      ? 'nothing listens there: start the server, or correct the port'
      : 'a firewall may drop it: open the port for TCP';
  throw new HawserError('unreachable', `${host} port ${port} cannot be reached (${reason}): ${advice}.`, {
    value: `${host}:${port}`,
  });
}

function connectMs(address: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    const socket = connect({ host: address, port });
    socket.setTimeout(CONNECT_MS, () => socket.destroy(Object.assign(new Error('timeout'), { code: 'ETIMEDOUT' })));
    socket.once('error', reject);
    socket.once('connect', () => {
      resolve(performance.now() - startedMs);
      socket.destroy();
    });
  });
}

async function checkCertificate(server: Server): Promise<Finding> {
  const seen = await lookAtCertificate(server.url, server.caCert);
  const { fingerprint, protocol, trusted } = seen;
  const data = { protocol, fingerprint, trusted, pinned: server.fingerprint ?? null };
  if (server.fingerprint !== undefined) {
    const same = server.fingerprint.replaceAll(':', '').toLowerCase() === fingerprint;
    if (same) return { check: 'tls', state: 'ok', text: `${protocol}, certificate is the pinned one`, data };
    return {
      check: 'tls',
      state: 'failed',
      text: `${protocol}, certificate ${fingerprint} is not the pinned ${server.fingerprint}`,
      data,
    };
  }
  if (trusted) return { check: 'tls', state: 'ok', text: `${protocol}, certificate is trusted by this system`, data };
  return {
    check: 'tls',
    state: 'failed',
    text: `${protocol}, certificate ${fingerprint} is neither trusted nor pinned: run "hawser login"`,
    data,
  };
}

const CONNECT_MS = 5000;
