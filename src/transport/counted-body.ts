/** A body whose bytes somebody counts as they pass. What it can do besides, pour, stays. */
import type { BodySink } from './direct-body.ts';
import type { ReceivedBody } from './receive-body.ts';

export interface BodyWatch {
  handleBytes(bytes: number): void;
  /** Once: it was read to its end, given up or broken. */
  handleEnd(): void;
  /** What broke it, for the reader's eyes. */
  blame(error: unknown): unknown;
}

export function countedBody(body: AsyncIterable<Uint8Array> | ReceivedBody, watch: BodyWatch): AsyncIterable<Uint8Array> {
  let ended = false;
  const end = (): void => {
    if (!ended) watch.handleEnd();
    ended = true;
  };
  const fail = (error: unknown): never => {
    end();
    throw watch.blame(error);
  };

  function pour(sink: BodySink): Promise<void> | null {
    const take = (bytes: number) => {
      watch.handleBytes(bytes);
      return sink.take(bytes);
    };
    return 'pour' in body ? (body.pour({ room: () => sink.room(), take })?.then(end, fail) ?? null) : null;
  }

  return {
    ...('pour' in body ? { pour } : {}),
    [Symbol.asyncIterator]() {
      const source = body[Symbol.asyncIterator]();
      return {
        async next() {
          try {
            const result = await source.next();
            if (result.done) end();
            else watch.handleBytes(result.value.length);
            return result;
          } catch (error) {
            return fail(error);
          }
        },
        async return() {
          end();
          await source.return?.();
          return { done: true, value: undefined };
        },
      };
    },
  };
}
