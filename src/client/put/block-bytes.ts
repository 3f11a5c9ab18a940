/** What a server says of its blocks is checked before memory is laid out by it. */
import { HawserError } from '../../core/errors.ts';
import { MIN_BLOCK_BYTES } from '../../core/transfer/block-size.ts';

/** The upload as it is, or protocol_error. */
export function checkBlockBytes<T extends { readonly blockBytes: number }>(upload: T): T {
  const { blockBytes } = upload;
  const powerOfTwo = Number.isInteger(Math.log2(blockBytes));
  if (powerOfTwo && blockBytes >= MIN_BLOCK_BYTES && blockBytes <= MAX_BLOCK_BYTES) return upload;
  throw new HawserError(
    'protocol_error',
    `The server wants blocks of ${blockBytes} bytes: they have a power of two between ${MIN_BLOCK_BYTES} and ${MAX_BLOCK_BYTES}.`,
    { value: blockBytes },
  );
}

/** What the protocol allows (docs/protocol/http.md), which may be more than this version chooses for its own uploads. */
const MAX_BLOCK_BYTES = 16 * 1024 * 1024;
