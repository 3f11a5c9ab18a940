/** JSON bodies: bounded in bytes, time and depth before anything is built from them. */
import { HawserError } from '../core/errors.ts';

/** `request_invalid` for what is no JSON or is nested too deeply. */
export function parseJson(bytes: Uint8Array, maxDepth: number): unknown {
  refuseDeep(bytes, maxDepth);
  let text: string;
  try {
    text = UTF8.decode(bytes);
  } catch {
    throw new HawserError(
      'request_invalid',
      'The body is not UTF-8: send JSON in UTF-8, and odd bytes of names as "\\udc80" to "\\udcff".',
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message.slice(0, 200) : '';
    throw new HawserError('request_invalid', `The body is not JSON (${why}): send a JSON document.`);
  }
  return value;
}

/** A pass over the bytes: 16 MiB of "[" would become a gigabyte of objects before any schema could look at it. */
function refuseDeep(bytes: Uint8Array, maxDepth: number): void {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at];
    if (quoted) {
      if (byte === BACKSLASH) at++;
      else if (byte === QUOTE) quoted = false;
    } else if (byte === QUOTE) {
      quoted = true;
    } else if (byte === OPEN_BRACKET || byte === OPEN_BRACE) {
      if (++depth > maxDepth) {
        throw new HawserError(
          'request_invalid',
          `The JSON is nested deeper than ${maxDepth} levels: no request here needs that.`,
          {
            value: maxDepth,
          },
        );
      }
    } else if (byte === CLOSE_BRACKET || byte === CLOSE_BRACE) {
      depth--;
    }
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true });
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
