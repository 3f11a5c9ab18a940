/** One request over a transport: headers put on, bodies read within bounds, refusals turned into HawserError. */
import type { ErrorCode } from '../core/errors.ts';
import { HawserError, isErrorCode } from '../core/errors.ts';
import type { Transport, TransportRequest, TransportResponse } from '../transport/contract.ts';
import type { Read } from './answers.ts';

export interface Caller {
  /** Resolves with the answer when its status is 2xx; throws what the server says otherwise. */
  open(request: TransportRequest): Promise<TransportResponse>;
  /** The same, its body read as JSON of a known form. */
  json<T>(request: TransportRequest, read: Read<T>): Promise<T>;
  bytes(request: TransportRequest): Promise<Uint8Array>;
  /** For answers that have nothing to say. */
  nothing(request: TransportRequest): Promise<void>;
}

export function createCaller(transport: Transport, { prefix, token }: { prefix: string; token?: string }): Caller {
  const standing: Record<string, string> = { accept: 'application/json', 'user-agent': 'hawser' };
  if (token !== undefined) standing.authorization = `Bearer ${token}`;

  async function open(request: TransportRequest): Promise<TransportResponse> {
    const headers = { ...standing, ...request.headers };
    const response = await transport.request({ ...request, target: prefix + request.target, headers });
    if (response.status >= 200 && response.status < 300) return response;
    throw await refusal(response, transport.info().remote);
  }

  return {
    open,
    async json(request, read) {
      return readJson(await open(request), read);
    },
    async bytes(request) {
      return readBytes(await open(request));
    },
    async nothing(request) {
      await readBytes(await open(request));
    },
  };
}

/** A request body of JSON. */
export function jsonBody(value: unknown): Pick<TransportRequest, 'body'> & { headers: Record<string, string> } {
  // Lone surrogates, which stand for odd bytes in names, are escaped by JSON itself.
  return { body: Buffer.from(JSON.stringify(value)), headers: { 'content-type': 'application/json' } };
}

/** "?a=1&b=x", without what is undefined; empty when nothing is left. Bytes that are not UTF-8 survive in encoded values. */
export function query(
  values: Readonly<Record<string, string | number | boolean | undefined>>,
  encode: (text: string) => string,
): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(values)) if (value !== undefined) parts.push(`${name}=${encode(String(value))}`);
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

export async function readJson<T>(response: TransportResponse, read: Read<T>): Promise<T> {
  const bytes = await readBytes(response);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new HawserError('protocol_error', 'The server answered with something that is not JSON: is it a Hawser server?', {
      cause,
    });
  }
  return read(value, 'answer');
}

/** Seconds or a date (RFC 9110 section 10.2.3) as milliseconds from now; undefined when absent or senseless. At most an hour. */
export function retryAfterMs(response: TransportResponse): number | undefined {
  const value = response.headers['retry-after'];
  if (value === undefined) return undefined;
  const waitMs = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isNaN(waitMs) ? undefined : Math.min(Math.max(waitMs, 0), 3_600_000);
}

export const readBytes = (response: TransportResponse): Promise<Uint8Array> => readAll(response, MOST_BODY_BYTES);

async function readAll(response: TransportResponse, most: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of response.body) {
    bytes += piece.length;
    if (bytes > most) {
      response.cancel();
      throw new HawserError('protocol_error', `The server's answer is longer than the ${most} bytes that this call takes.`);
    }
    // Its owner may use the piece again once the next is asked for.
    pieces.push(piece.slice());
  }
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, bytes);
}

/** A problem document as an error; without one, or with a code of a newer server, the status has to do. */
async function refusal(response: TransportResponse, remote: string): Promise<HawserError> {
  const { status } = response;
  const waitMs = retryAfterMs(response);
  const context = waitMs === undefined ? {} : { retryAfterMs: waitMs };
  const problem = await readProblem(response);
  if (!problem)
    return new HawserError(codeForStatus(status), plainSentence(status, remote, response), { value: status, ...context });
  const { code, detail, title, value } = problem;
  const sentence = [detail, title].find((words) => typeof words === 'string' && words !== '') as string | undefined;
  const offending = typeof value === 'number' ? value : typeof value === 'string' ? value.slice(0, MOST_WORDS) : undefined;
  return new HawserError(
    // Codes that only a client can see (status 0) are not a server's to give.
    isErrorCode(code) && new HawserError(code, '').facts.status !== 0 ? code : codeForStatus(status),
    sentence?.slice(0, MOST_WORDS) ?? plainSentence(status, remote, response),
    { ...context, ...(offending === undefined ? {} : { value: offending }) },
  );
}

async function readProblem(response: TransportResponse): Promise<Record<string, unknown> | null> {
  try {
    const bytes = await readAll(response, MOST_PROBLEM_BYTES);
    if (!response.headers['content-type']?.startsWith('application/problem+json')) return null;
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    // The refusal itself is known; what it would have said is lost with the connection.
    return null;
  }
}

function plainSentence(status: number, remote: string, response: TransportResponse): string {
  if (status >= 300 && status < 400) {
    const target = response.headers.location?.slice(0, 200);
    return `${remote} sends us elsewhere${target ? ` (to "${target}")` : ''}: give the server's own address.`;
  }
  if (status === 404) return `There is no Hawser server at this address of ${remote}: check the URL and its path.`;
  return `${remote} answered with status ${status} and did not say why.`;
}

function codeForStatus(status: number): ErrorCode {
  const known = BY_STATUS[status];
  if (known) return known;
  if (status >= 500) return 'internal';
  return status >= 400 ? 'request_invalid' : 'unsupported';
}

const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  401: 'token_invalid',
  403: 'forbidden',
  404: 'route_not_found',
  405: 'method_not_allowed',
  408: 'request_timeout',
  412: 'changed',
  413: 'body_too_large',
  415: 'media_type_unsupported',
  416: 'range_invalid',
  429: 'busy',
  431: 'header_too_large',
  502: 'busy',
  503: 'busy',
  504: 'busy',
  507: 'no_space',
};
/** Lists and digests of very large files fit; a server that never stops does not. */
const MOST_BODY_BYTES = 64 * 1024 * 1024;
const MOST_PROBLEM_BYTES = 64 * 1024;
const MOST_WORDS = 2000;
