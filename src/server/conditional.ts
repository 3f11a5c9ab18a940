/**
 * Conditional requests and ranges (RFC 9110 sections 13 and 14): what a GET or HEAD of a file is to be answered with. Pure.
 */

export interface Representation {
  /** Strong, with its quotes. */
  readonly etag: string;
  /** Milliseconds since 1970; compared by whole seconds, as HTTP dates are. */
  readonly mtimeMs: number;
  readonly size: number;
}

export interface ConditionalHeaders {
  readonly 'if-match'?: string | undefined;
  readonly 'if-none-match'?: string | undefined;
  readonly 'if-modified-since'?: string | undefined;
  readonly 'if-unmodified-since'?: string | undefined;
  readonly 'if-range'?: string | undefined;
  readonly range?: string | undefined;
}

export type Verdict =
  /** 200 with everything. */
  | { readonly kind: 'whole' }
  /** 206 with the bytes [start, end). */
  | { readonly kind: 'part'; readonly start: number; readonly end: number }
  /** 304. */
  | { readonly kind: 'unmodified' }
  /** 412. */
  | { readonly kind: 'failed' }
  /** 416. */
  | { readonly kind: 'unsatisfiable' };

/** In the order of RFC 9110 section 13.2.2. */
export function judge(method: 'GET' | 'HEAD', headers: ConditionalHeaders, file: Representation): Verdict {
  const ifMatch = headers['if-match'];
  if (ifMatch !== undefined) {
    if (!etagMatches(ifMatch, file.etag, 'strong')) return { kind: 'failed' };
  } else {
    const since = parseHttpDate(headers['if-unmodified-since']);
    if (since !== null && seconds(file.mtimeMs) > seconds(since)) return { kind: 'failed' };
  }
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined) {
    if (etagMatches(ifNoneMatch, file.etag, 'weak')) return { kind: 'unmodified' };
  } else {
    const since = parseHttpDate(headers['if-modified-since']);
    if (since !== null && seconds(file.mtimeMs) <= seconds(since)) return { kind: 'unmodified' };
  }
  // Section 14.2: ranges are defined for GET only, and ignored elsewhere.
  if (method !== 'GET' || headers.range === undefined) return { kind: 'whole' };
  // A date in If-Range never matches: one that is not known to be strong must not (section 13.1.5), and we have better.
  const ifRange = headers['if-range'];
  if (ifRange !== undefined && ifRange.trim() !== file.etag) return { kind: 'whole' };
  return judgeRange(headers.range, file.size);
}

/** Several ranges, other units and what is malformed get the whole file, as section 14.2 allows. */
export function judgeRange(header: string, size: number): Verdict {
  const parts = /^bytes *= *(\d*)-(\d*) *$/i.exec(header);
  if (!parts) return { kind: 'whole' };
  const [, first, last] = parts as unknown as [string, string, string];
  if (first === '') {
    if (last === '') return { kind: 'whole' };
    const length = Math.min(toCount(last), size);
    if (length === 0) return toCount(last) === 0 ? { kind: 'unsatisfiable' } : { kind: 'whole' };
    return { kind: 'part', start: size - length, end: size };
  }
  const start = toCount(first);
  const end = last === '' ? size : Math.min(toCount(last) + 1, size);
  if (last !== '' && toCount(last) < start) return { kind: 'whole' };
  if (start >= size) return { kind: 'unsatisfiable' };
  return { kind: 'part', start, end };
}

/** `list`: a header with "*" or entity tags. What is malformed matches nothing. */
export function etagMatches(list: string, etag: string, comparison: 'strong' | 'weak'): boolean {
  if (list.trim() === '*') return true;
  for (const [, weak, tag] of list.matchAll(/(W\/)?("[\x21\x23-\x7e\x80-\xff]*")/g)) {
    if (tag === etag && (comparison === 'weak' || weak === undefined)) return true;
  }
  return false;
}

/** Milliseconds; null for anything that is not a date in GMT. */
export function parseHttpDate(text: string | undefined): number | null {
  if (text === undefined || text.length > 40 || !/ GMT$/.test(text)) return null;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? null : ms;
}

/** Digits to a count; what is beyond exact integers is beyond every file too. */
function toCount(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000);
}
