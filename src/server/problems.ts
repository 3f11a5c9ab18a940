/**
 * Errors as problem documents (RFC 9457). A HawserError keeps its code and words; anything else becomes `internal` with a
 * fixed sentence, and its details go to the log alone.
 */
import { type CODES, HawserError } from '../core/errors.ts';

export interface Problem {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly value?: string | number;
  readonly retry: boolean;
}

export interface ProblemAnswer {
  readonly problem: Problem;
  readonly headers: Readonly<Record<string, string>>;
  /** True when the cause is a defect or the machine's trouble, and belongs in the log. */
  readonly unexpected: boolean;
}

export const PROBLEM_TYPE = 'application/problem+json';

/** `requestId` leads from the answer to the log line of an internal error. */
export function problemOf(thrown: unknown, requestId: string): ProblemAnswer {
  const error = knownError(thrown, requestId);
  const { status, title, retry } = error.facts;
  const headers: Record<string, string> = { 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store' };
  if (status === 401) headers['www-authenticate'] = 'Bearer';
  if (error.retryAfterMs !== undefined) headers['retry-after'] = String(Math.max(1, Math.ceil(error.retryAfterMs / 1000)));
  else if (status === 503) headers['retry-after'] = '1';
  const value = error.value === undefined ? {} : { value: error.value };
  return {
    problem: { type: 'about:blank', title, status, code: error.code, detail: error.message, ...value, retry },
    headers,
    unexpected: status >= 500 && error.code !== 'busy' && error.code !== 'shutting_down',
  };
}

function knownError(thrown: unknown, requestId: string): HawserError {
  if (thrown instanceof HawserError) {
    // Codes that only a client sees have no status: one that gets here is a defect of ours.
    return thrown.facts.status === 0 ? internal(requestId) : thrown;
  }
  const { code, statusCode } = (thrown ?? {}) as { code?: unknown; statusCode?: unknown };
  const known = typeof code === 'string' ? FRAMEWORK[code] : undefined;
  if (known) return new HawserError(known[0], known[1]);
  if (typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500) {
    return new HawserError('request_invalid', 'The request cannot be understood: see docs/protocol/http.md for its form.');
  }
  return internal(requestId);
}

function internal(requestId: string): HawserError {
  const message = `The server failed while it answered request ${requestId}: its log tells why. Try again, and report it if it stays.`;
  return new HawserError('internal', message);
}

/** What fastify itself refuses, in our words. */
const FRAMEWORK: Readonly<Record<string, readonly [keyof typeof CODES, string]>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'media_type_unsupported',
    'The body has a Content-Type that this route does not take: see docs/protocol/http.md for the right one.',
  ],
  FST_ERR_BAD_URL: ['request_invalid', 'The URL has a "%" that two hex digits do not follow: write "%" as "%25".'],
  FST_ERR_ASYNC_CONSTRAINT: ['request_invalid', 'The request cannot be routed: check its URL and headers.'],
  FST_ERR_MAX_PARAM_LENGTH: ['request_invalid', 'A part of the URL is too long: check the identifier in it.'],
};
