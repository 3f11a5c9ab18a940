/** Answers that are longer than memory should hold: pieces from a generator to the socket, one at a time. */
import type { ServerResponse } from 'node:http';
import type { FastifyReply } from 'fastify';

/**
 * Takes the answer over from fastify. The first piece is asked for before anything is sent, so that a failure to start is still
 * a problem document. After that a failure can only cut the answer short, which the client sees by its length.
 *
 * A piece is asked for when the one before has left for the socket: it may live in the same memory.
 */
export async function sendPieces(
  reply: FastifyReply,
  head: { readonly status: number; readonly headers: Readonly<Record<string, string>> },
  pieces: AsyncGenerator<Uint8Array, void, undefined>,
  idleMs: number,
): Promise<void> {
  const response = reply.raw;
  let piece: IteratorResult<Uint8Array, void>;
  try {
    piece = await pieces.next();
  } catch (error) {
    await pieces.return();
    throw error;
  }
  reply.hijack();
  const writer = pieceWriter(response, idleMs);
  try {
    response.writeHead(head.status, head.headers);
    while (!piece.done && (await writer.write(piece.value))) piece = await pieces.next();
    if (piece.done) response.end();
    else response.destroy();
  } catch (error) {
    reply.log.warn({ err: error }, 'an answer was cut short');
    response.destroy();
  } finally {
    writer.release();
    await pieces.return();
  }
}

/** `write` resolves with false once the connection is gone, and never rejects. */
function pieceWriter(response: ServerResponse, idleMs: number) {
  let wake: (() => void) | null = null;
  let gone = response.destroyed;
  const woken = () => {
    wake?.();
    wake = null;
  };
  const onClose = () => {
    gone = true;
    woken();
  };
  response.on('close', onClose);
  response.on('error', onClose);
  // The socket's own timer, because it sees parts of a piece leave on a slow path.
  response.setTimeout(idleMs, () => response.destroy());
  return {
    write(piece: Uint8Array): Promise<boolean> {
      if (gone) return Promise.resolve(false);
      return new Promise((resolve) => {
        wake = () => resolve(!gone);
        response.write(piece, woken);
      });
    },
    release(): void {
      response.off('close', onClose);
    },
  };
}
