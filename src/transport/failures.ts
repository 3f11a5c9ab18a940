/** Turns what Node says about a broken connection into a HawserError: a code that callers act on, and a sentence for people. */
import { isIP } from 'node:net';
import { HawserError } from '../core/errors.ts';

/** Host and port as people write them; IPv6 addresses in brackets. */
export function hostAndPort(host: string, port: number): string {
  return isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`;
}

export function interrupted(signal: AbortSignal | undefined): HawserError {
  return new HawserError('interrupted', 'The request was given up because it was asked to stop.', { cause: signal?.reason });
}

/**
 * `where` is host:port; `doing` completes the sentence "… closed the connection <doing>", for example "before it answered".
 * An error that is already ours passes through.
 */
export function networkFailure(error: unknown, where: string, doing: string): HawserError {
  if (error instanceof HawserError) return error;
  const code = causeCode(error);
  const because = { value: where, cause: error };
  if (UNTRUSTED.has(code)) return untrusted(code, where, error);
  if (code.startsWith('HPE_'))
    return new HawserError(
      'protocol_error',
      `${where} did not answer with valid HTTP (${code}): is it a Hawser server?`,
      because,
    );
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO')
    return new HawserError('protocol_error', tlsSentence(code, where, error), because);
  const sentence = SENTENCES[code];
  if (sentence) return new HawserError('unreachable', sentence(where, doing), because);
  const words = error instanceof Error ? error.message : String(error);
  return new HawserError('unreachable', `The connection to ${where} failed: ${words || code || 'no reason was given'}.`, because);
}

function untrusted(code: string, where: string, cause: unknown): HawserError {
  const why = UNTRUSTED.get(code);
  return new HawserError(
    'certificate_untrusted',
    `The certificate of ${where} is not trusted: ${why}. If this is your own server, run "hawser login" to look at its ` +
      `certificate and pin it, or give the certificate of its authority.`,
    { value: where, cause },
  );
}

function tlsSentence(code: string, where: string, error: unknown): string {
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return `${where} does not speak TLS: if it is meant to be unencrypted, write http:// instead of https://.`;
  if (code.includes('PROTOCOL_VERSION')) return `${where} does not offer TLS 1.3, which Hawser needs.`;
  const words = error instanceof Error ? error.message : String(error);
  return `TLS with ${where} failed: ${words}`;
}

/** Connecting to several addresses fails with all their errors in one: the first code stands for them. */
function causeCode(error: unknown): string {
  if (typeof error !== 'object' || error === null) return '';
  if ('code' in error && typeof error.code === 'string') return error.code;
  if (error instanceof AggregateError) return causeCode(error.errors[0]);
  return '';
}

const reset = (where: string, doing: string): string => `${where} closed the connection ${doing}.`;
const noRoute = (where: string): string => `There is no route to ${where}: is this machine online?`;

const SENTENCES: Readonly<Record<string, (where: string, doing: string) => string>> = {
  ECONNREFUSED: (where) => `${where} refused the connection: is the server running, and is the port right?`,
  ENOTFOUND: (where) => `There is no host for ${where}: check the name.`,
  EAI_AGAIN: (where) => `The name in ${where} could not be looked up now: the name server does not answer.`,
  ETIMEDOUT: (where) => `${where} did not answer in time.`,
  EHOSTUNREACH: noRoute,
  ENETUNREACH: noRoute,
  ENETDOWN: noRoute,
  EADDRNOTAVAIL: noRoute,
  ECONNRESET: reset,
  ECONNABORTED: reset,
  EPIPE: reset,
  ERR_STREAM_PREMATURE_CLOSE: reset,
  ERR_STREAM_DESTROYED: reset,
};

/** What OpenSSL and Node call the ways in which a certificate can fail, and what that means. */
const UNTRUSTED: ReadonlyMap<string, string> = new Map([
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'it is signed by itself'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'its authority is not known to this machine'],
  ['UNABLE_TO_GET_ISSUER_CERT', 'its authority is not known to this machine'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'its authority is not known to this machine'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'its authority is not known to this machine'],
  ['CERT_UNTRUSTED', 'its authority is not trusted'],
  ['CERT_REJECTED', 'its authority rejects it'],
  ['CERT_SIGNATURE_FAILURE', 'its signature is wrong'],
  ['CERT_CHAIN_TOO_LONG', 'its chain of authorities is too long'],
  ['CERT_HAS_EXPIRED', 'it has expired'],
  ['CERT_NOT_YET_VALID', 'it is not valid yet: is the clock of this machine right?'],
  ['CERT_REVOKED', 'it was revoked'],
  ['INVALID_CA', 'its authority may not sign certificates'],
  ['INVALID_PURPOSE', 'it is not meant for servers'],
  ['HOSTNAME_MISMATCH', 'it is for another name'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'it is for another name'],
]);

/** Failures that another set of authorities could cure. */
export function isUnknownAuthority(error: HawserError): boolean {
  const code = causeCode(error.cause);
  return code === 'SELF_SIGNED_CERT_IN_CHAIN' || code.startsWith('UNABLE_TO_');
}
