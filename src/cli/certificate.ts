/** A look at a server's certificate before anything secret is sent. */
import { isIP } from 'node:net';
import { connect } from 'node:tls';
import { persistently } from '../client/hedge.ts';
import { HawserError } from '../core/errors.ts';

export interface SeenCertificate {
  /** Hex SHA-256 of its DER form. */
  readonly fingerprint: string;
  /** The system (or `caCert`) vouches for it, and it is for this host. */
  readonly trusted: boolean;
  readonly protocol: string;
  /** Milliseconds until TLS was up, from the first packet. */
  readonly elapsedMs: number;
}

/** Throws `unreachable`, with the reason, or `stalled` after a minute. `url` begins with https://. */
export function lookAtCertificate(url: string, caCert?: string): Promise<SeenCertificate> {
  return persistently((signal) => look(url, caCert, signal));
}

function look(url: string, caCert: string | undefined, signal: AbortSignal): Promise<SeenCertificate> {
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, '');
  const startedMs = performance.now();
  return new Promise((resolve, reject) => {
    const socket = connect({
      host,
      port: Number(port === '' ? 443 : port),
      // RFC 6066 section 3: an address is no server name.
      ...(isIP(host) ? {} : { servername: host }),
      ...(caCert === undefined ? {} : { ca: caCert }),
      ALPNProtocols: ['http/1.1'],
      // Looked at, not relied on: nothing is sent over this connection.
      rejectUnauthorized: false,
    });
    const fail = (why: string, cause?: unknown) => {
      socket.destroy();
      reject(
        new HawserError('unreachable', `${url} cannot be reached (${why}): check the address, and that the server runs.`, {
          value: url,
          cause,
        }),
      );
    };
    const stop = () => {
      socket.destroy();
      reject(new HawserError('interrupted', `Looking at the certificate of ${url} was given up.`, { cause: signal.reason }));
    };
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    socket.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message, error));
    socket.once('close', () => fail('the connection was closed'));
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerX509Certificate();
      if (certificate === undefined) {
        fail('it shows no certificate');
        return;
      }
      resolve({
        fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
        trusted: socket.authorized,
        protocol: socket.getProtocol() ?? 'unknown',
        elapsedMs: performance.now() - startedMs,
      });
      socket.removeAllListeners('close');
      socket.destroy();
    });
  });
}
