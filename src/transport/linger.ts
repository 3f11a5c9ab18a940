/**
 * A server that refuses a large body answers and closes, and our next write fails, often before its answer has been read. A
 * stream that was told of the error drops what it has yet to read; so the error is held back for a moment, in which the answer,
 * or the end of the connection, comes up from the socket.
 */
import type { Socket } from 'node:net';

type WriteDone = (error?: Error | null) => void;

/** Returns the function that ends it: errors held are then told at once. */
export function holdWriteErrors(socket: Socket, holdMs: number): () => void {
  const { _write, _writev } = socket;
  const held: (() => void)[] = [];
  let timer: NodeJS.Timeout | undefined;

  function tell(): void {
    clearTimeout(timer);
    for (const one of held.splice(0)) one();
  }

  function holding(done: WriteDone): WriteDone {
    return (error) => {
      if (!error || socket.destroyed || socket._write === _write) return done(error);
      held.push(() => done(error));
      timer ??= setTimeout(tell, holdMs);
    };
  }

  socket._write = (chunk, encoding, done) => _write.call(socket, chunk, encoding, holding(done));
  if (_writev) socket._writev = (chunks, done) => _writev.call(socket, chunks, holding(done));
  // After the end nothing comes any more that would be worth the wait.
  socket.on('end', tell).on('close', tell);
  return () => {
    socket._write = _write;
    if (_writev) socket._writev = _writev;
    socket.off('end', tell).off('close', tell);
    tell();
  };
}
