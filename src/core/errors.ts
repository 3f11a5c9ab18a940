/**
 * Every way in which Hawser can refuse or fail, in one table: the stable code that clients script against, the HTTP status
 * that carries it, the exit code of the command line, and whether trying again can help.
 *
 * Server and client share this table, so a code never means two things.
 */

/** Who has to act before a retry can help. */
export type FailureClass =
  | 'network' // the path between the two: retried with back-off
  | 'server' // the server's own trouble, believed temporary: retried with back-off
  | 'checksum' // bytes differ from their digest: the block is sent again
  | 'source-changed' // the file changed while it was read: the changed blocks are sent again
  | 'authentication' // the caller is not known or not allowed
  | 'quota' // no space, or more than the caller may use
  | 'state' // the transfer was paused, cancelled or taken over
  | 'request' // the request itself is wrong: retrying it cannot help
  | 'internal'; // a defect in Hawser

/** Exit codes of the command line, documented in docs/cli.md. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  notAuthorised: 3,
  notFound: 4,
  integrity: 5,
  noSpace: 6,
  unreachable: 7,
  interrupted: 130,
} as const;

interface CodeFacts {
  /** HTTP status that carries the code. 0 for causes that only a client sees. */
  readonly status: number;
  readonly exit: number;
  readonly class: FailureClass;
  readonly retry: boolean;
  /** Title of the problem document (RFC 9457): what it is, without the occurrence. */
  readonly title: string;
}

const fact = (status: number, exit: number, cls: FailureClass, retry: boolean, title: string): CodeFacts => ({
  status,
  exit,
  class: cls,
  retry,
  title,
});

export const CODES = {
  // The request itself.
  request_invalid: fact(400, EXIT.usage, 'request', false, 'The request is not valid'),
  path_invalid: fact(400, EXIT.usage, 'request', false, 'The path is not valid'),
  path_reserved: fact(403, EXIT.failed, 'request', false, 'The path is reserved for Hawser itself'),
  path_escapes: fact(403, EXIT.failed, 'request', false, 'The path leaves the served folder'),
  link_escapes: fact(403, EXIT.failed, 'request', false, 'The link points outside the served folder'),
  media_type_unsupported: fact(415, EXIT.failed, 'request', false, 'The body has a media type that this route does not take'),
  body_too_large: fact(413, EXIT.failed, 'request', false, 'The body is larger than this route takes'),
  header_too_large: fact(431, EXIT.failed, 'request', false, 'The request headers are too large'),
  method_not_allowed: fact(405, EXIT.failed, 'request', false, 'The method is not allowed here'),
  route_not_found: fact(404, EXIT.failed, 'request', false, 'There is no such route'),
  range_invalid: fact(416, EXIT.failed, 'request', false, 'The range lies outside the file'),
  frame_invalid: fact(400, EXIT.failed, 'request', false, 'The body is not a well-formed run of frames'),
  body_incomplete: fact(400, EXIT.failed, 'network', true, 'The body ended before its length was reached'),
  request_timeout: fact(408, EXIT.failed, 'network', true, 'The body came too slowly'),
  // Who asks.
  token_missing: fact(401, EXIT.notAuthorised, 'authentication', false, 'A token is needed'),
  token_invalid: fact(401, EXIT.notAuthorised, 'authentication', false, 'The token is not valid'),
  token_expired: fact(401, EXIT.notAuthorised, 'authentication', false, 'The token has expired'),
  forbidden: fact(403, EXIT.notAuthorised, 'authentication', false, 'This token may not do that'),
  // What is there.
  not_found: fact(404, EXIT.notFound, 'request', false, 'There is no such file or folder'),
  transfer_not_found: fact(404, EXIT.notFound, 'request', false, 'There is no such transfer'),
  upload_not_found: fact(404, EXIT.notFound, 'request', false, 'There is no such upload'),
  token_not_found: fact(404, EXIT.notFound, 'request', false, 'There is no such token'),
  exists: fact(409, EXIT.failed, 'request', false, 'The name is taken'),
  not_newer: fact(409, EXIT.failed, 'request', false, 'The file on the server is as new or newer'),
  is_folder: fact(409, EXIT.failed, 'request', false, 'The path is a folder'),
  not_folder: fact(409, EXIT.failed, 'request', false, 'The path is not a folder'),
  not_empty: fact(409, EXIT.failed, 'request', false, 'The folder is not empty'),
  changed: fact(412, EXIT.failed, 'source-changed', true, 'The file changed since it was looked at'),
  precondition_failed: fact(412, EXIT.failed, 'request', false, 'A condition of the request does not hold'),
  // The transfer's own state.
  transfer_paused: fact(409, EXIT.failed, 'state', false, 'The transfer is paused'),
  transfer_cancelled: fact(410, EXIT.failed, 'state', false, 'The transfer was cancelled'),
  transfer_ended: fact(409, EXIT.failed, 'state', false, 'The transfer has already ended'),
  superseded: fact(409, EXIT.failed, 'state', false, 'A newer client took this upload over'),
  upload_incomplete: fact(409, EXIT.failed, 'state', true, 'Some blocks have not arrived yet'),
  // Lanes (the UDP transport).
  lane_unavailable: fact(404, EXIT.failed, 'request', false, 'This server offers no lane'),
  lane_not_found: fact(404, EXIT.notFound, 'request', false, 'There is no such lane'),
  lane_unreachable: fact(0, EXIT.unreachable, 'network', false, 'Nothing comes back over UDP'),
  too_many_lanes: fact(429, EXIT.failed, 'quota', false, 'Too many lanes are open'),
  policy_forbidden: fact(403, EXIT.failed, 'request', false, 'The server does not allow this policy'),
  // Bytes.
  running_digest_early: fact(409, EXIT.failed, 'checksum', true, 'What comes before a block with a running digest is not there'),
  block_mismatch: fact(422, EXIT.integrity, 'checksum', true, 'A block differs from its digest'),
  digest_mismatch: fact(422, EXIT.integrity, 'checksum', false, 'The file differs from its digest'),
  source_changed: fact(0, EXIT.failed, 'source-changed', false, 'The source changed while it was read'),
  // Room.
  no_space: fact(507, EXIT.noSpace, 'quota', false, 'There is no space left on the server'),
  quota_exceeded: fact(507, EXIT.noSpace, 'quota', false, 'The quota is used up'),
  other_file_system: fact(
    500,
    EXIT.failed,
    'internal',
    false,
    'The name lies on another file system than the server keeps its state on',
  ),
  read_only: fact(500, EXIT.failed, 'internal', false, 'The server cannot write to its folder'),
  local_no_space: fact(0, EXIT.noSpace, 'quota', false, 'There is no space left on this machine'),
  local_io: fact(0, EXIT.failed, 'request', false, 'A local file could not be read or written'),
  local_not_found: fact(0, EXIT.notFound, 'request', false, 'There is no such local file'),
  // The server's own trouble.
  busy: fact(503, EXIT.failed, 'server', true, 'The server is busy'),
  shutting_down: fact(503, EXIT.failed, 'server', true, 'The server is shutting down'),
  io_error: fact(500, EXIT.failed, 'server', true, 'The server could not read or write its disk'),
  database_unusable: fact(500, EXIT.failed, 'internal', false, 'The database cannot be used'),
  internal: fact(500, EXIT.failed, 'internal', true, 'The server failed'),
  // What only a client sees.
  unreachable: fact(0, EXIT.unreachable, 'network', true, 'The server cannot be reached'),
  stalled: fact(0, EXIT.unreachable, 'network', true, 'Nothing moved for too long'),
  rerouted: fact(0, EXIT.unreachable, 'network', true, 'The request goes on another way'),
  protocol_error: fact(0, EXIT.failed, 'network', true, 'The answer is not one that Hawser gives'),
  certificate_changed: fact(0, EXIT.notAuthorised, 'authentication', false, 'The certificate is not the one that was pinned'),
  certificate_untrusted: fact(0, EXIT.notAuthorised, 'authentication', false, 'The certificate is not trusted'),
  unsupported: fact(0, EXIT.failed, 'request', false, 'The server does not offer this'),
  partial: fact(0, EXIT.failed, 'request', false, 'Some files did not arrive'),
  interrupted: fact(0, EXIT.interrupted, 'state', false, 'Interrupted'),
  usage: fact(0, EXIT.usage, 'request', false, 'The command is not well-formed'),
} as const satisfies Record<string, CodeFacts>;

export type ErrorCode = keyof typeof CODES;

export interface ErrorContext {
  /** The offending value, as the caller wrote it. */
  readonly value?: string | number;
  /** When a retry may be tried, milliseconds from now (from Retry-After). */
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/**
 * The one error that crosses a module border. `message` is a whole sentence that names the value and says what to do.
 *
 * @example
 * throw new HawserError('path_invalid', 'The path "/a/../b" contains "..": give the path without it.', { value: '/a/../b' });
 */
export class HawserError extends Error {
  readonly code: ErrorCode;
  readonly value: string | number | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, context: ErrorContext = {}) {
    super(message, context.cause === undefined ? undefined : { cause: context.cause });
    this.name = 'HawserError';
    this.code = code;
    this.value = context.value;
    this.retryAfterMs = context.retryAfterMs;
  }

  get facts(): CodeFacts {
    return CODES[this.code];
  }
}

/** True when `text` is one of our codes: what a peer of another version sends may not be. */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === 'string' && Object.hasOwn(CODES, text);
}
