/** How fast bytes move over one transport, by the time in which anything was under way on it. */
import type { BodySink } from './direct-body.ts';
import type { ReceivedBody } from './receive-body.ts';

export interface TrafficMeter {
  readonly activeMs: number;
  readonly bytesPerSecond: number;
  count(bytes: number): void;
  /** Something is under way; returns how to say that it is over. */
  begin(): () => void;
  reset(): void;
}

export function createTrafficMeter(nowMs: () => number): TrafficMeter {
  let bytes = 0;
  let activeMs = 0;
  let running = 0;
  let sinceMs = 0;
  const settle = (): void => {
    const now = nowMs();
    if (running > 0) activeMs += now - sinceMs;
    sinceMs = now;
  };
  return {
    get activeMs() {
      settle();
      return activeMs;
    },
    get bytesPerSecond() {
      settle();
      return activeMs > 0 ? (bytes / activeMs) * 1000 : 0;
    },
    count(more) {
      bytes += more;
    },
    begin() {
      settle();
      running++;
      let over = false;
      return () => {
        if (over) return;
        over = true;
        settle();
        running--;
      };
    },
    reset() {
      bytes = activeMs = 0;
      sinceMs = nowMs();
    },
  };
}

/** The same body, with its bytes counted. `onEnd`: it was read to its end, given up or broken; `blame` says what broke it. */
export function meteredBody(
  body: AsyncIterable<Uint8Array>,
  meter: TrafficMeter,
  { onEnd, blame }: { onEnd?: () => void; blame?: (error: unknown) => unknown } = {},
): AsyncIterable<Uint8Array> & Partial<Pick<ReceivedBody, 'pour'>> {
  const over = (error: unknown): unknown => {
    onEnd?.();
    return blame ? blame(error) : error;
  };
  // The fast way stays open: what goes straight from the socket into memory is counted there.
  const { pour } = body as Partial<ReceivedBody>;
  const settle = (done: Promise<void> | null): Promise<void> | null =>
    done?.then(onEnd, (error: unknown) => Promise.reject(over(error))) ?? null;
  return {
    ...(pour && { pour: (sink: BodySink) => settle(pour.call(body, counting(sink, meter))) }),
    [Symbol.asyncIterator]() {
      const source = body[Symbol.asyncIterator]();
      return {
        async next() {
          try {
            const result = await source.next();
            if (result.done) onEnd?.();
            else meter.count(result.value.length);
            return result;
          } catch (error) {
            throw over(error);
          }
        },
        async return() {
          onEnd?.();
          await source.return?.();
          return { done: true, value: undefined };
        },
      };
    },
  };
}

function counting(sink: BodySink, meter: TrafficMeter): BodySink {
  return {
    room: () => sink.room(),
    take(bytes) {
      meter.count(bytes);
      return sink.take(bytes);
    },
  };
}
