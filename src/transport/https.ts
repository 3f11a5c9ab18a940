/**
 * HTTP/1.1 over TLS 1.3 (or over plain TCP for http://), with connections that are kept and used again.
 *
 * @example
 * const transport = createHttpTransport({ url: 'https://localhost:7420', fingerprint });
 * const { status, body } = await transport.request({ method: 'GET', target: '/health' });
 */
import { HawserError } from '../core/errors.ts';
import { closedError, createConnections } from './connections.ts';
import type { Transport } from './contract.ts';
import { createDialer } from './dial.ts';
import { hostAndPort } from './failures.ts';
import type { LocalPath } from './local-paths.ts';
import { createRequests } from './requests.ts';
import type { TrustOptions } from './trust.ts';
import { createTrust } from './trust.ts';
import { createWatchdog } from './watchdog.ts';

export interface HttpTransportOptions extends TrustOptions {
  /** "https://host:port" or "http://host:port"; a path in it is the caller's to put before each target. */
  readonly url: string;
  /** Most connections at once. Default 16. */
  readonly connections?: number;
  /** The network of this machine to leave by. Default: as the system routes. */
  readonly from?: LocalPath;
}

/** Connects lazily. Throws `request_invalid` when the URL, the fingerprint or the authority cannot be read. */
export function createHttpTransport(options: HttpTransportOptions): Transport {
  const { from } = options;
  const { secure, host, port } = parseUrl(options.url);
  const where = hostAndPort(host, port);
  const watchdog = createWatchdog();
  const dialer = createDialer({ host, port, where, trust: secure ? createTrust(options) : null, watchdog, from });
  const connections = createConnections(dialer, Math.max(1, options.connections ?? DEFAULT_CONNECTIONS));

  const request = createRequests({ connections, where, watchdog });

  return {
    request,
    info() {
      const tls = dialer.tls();
      return {
        transport: secure ? 'https' : 'http',
        remote: where,
        httpVersion: '1.1',
        ...(tls ? { tls } : {}),
        rttMs: dialer.rttMs(),
      };
    },
    close() {
      connections.close();
      watchdog.close(closedError());
    },
  };
}

function parseUrl(text: string): { secure: boolean; host: string; port: number } {
  const url = URL.parse(text);
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:') || url.hostname === '')
    throw new HawserError('request_invalid', `"${text}" is not the address of a server: write https://host:port.`, {
      value: text,
    });
  const secure = url.protocol === 'https:';
  return { secure, host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port || (secure ? 443 : 80)) };
}

const DEFAULT_CONNECTIONS = 16;
