/** Any source of bytes into a sink: directly where the source can do that, else by copying each piece. */
import type { ByteSink, ByteSource } from './contract.ts';

/** Resolves at the end; rejects with the error of the source, or with what the sink threw. */
export async function pour(source: ByteSource, sink: ByteSink): Promise<void> {
  const direct = source.pour?.(sink);
  if (direct) return await direct;
  for await (const piece of source) {
    for (let at = 0; at < piece.length; ) {
      const room = sink.room();
      const part = piece.subarray(at, at + room.length);
      room.set(part);
      at += part.length;
      const wait = sink.take(part.length);
      if (wait) await wait;
    }
  }
}
