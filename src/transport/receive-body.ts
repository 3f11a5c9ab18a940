/**
 * The body of an answer as an async iterable with back-pressure. A queue of our own: Node's iterator over a stream joins what
 * has queued up into one new buffer, which costs a copy of every byte.
 */
import type { IncomingMessage } from 'node:http';
import type { HawserError } from '../core/errors.ts';
import { type BodySink, type DirectBody, readDirectly } from './direct-body.ts';

export interface ReceivedBody extends AsyncIterable<Uint8Array> {
  /** The body straight into the consumer's memory; null when that cannot be, and then it is read as an iterable. */
  pour(sink: BodySink): Promise<void> | null;
}

export interface Receiving {
  readonly body: ReceivedBody;
  /** The consumer waits for the network, and not the other way round. */
  readonly wanting: boolean;
  readonly bytes: number;
  fail(error: HawserError): void;
}

/** `onCancel`: the consumer wants no more. */
export function receiveBody(response: IncomingMessage, onCancel: () => void): Receiving {
  const queue: Uint8Array[] = [];
  let queued = 0;
  let bytes = 0;
  let ended = false;
  let failure: HawserError | null = null;
  let direct: DirectBody | null = null;
  let waiter: { resolve(result: IteratorResult<Uint8Array>): void; reject(error: unknown): void } | null = null;

  const onData = (piece: Buffer): void => {
    bytes += piece.length;
    if (waiter) {
      const { resolve } = waiter;
      waiter = null;
      resolve({ done: false, value: piece });
      return;
    }
    queue.push(piece);
    queued += piece.length;
    if (queued > MOST_QUEUED_BYTES) response.pause();
  };
  response.on('data', onData);
  response.once('end', () => {
    ended = true;
    waiter?.resolve(DONE);
    waiter = null;
  });

  const iterator: AsyncIterator<Uint8Array> = {
    next() {
      const piece = queue.shift();
      if (piece) {
        queued -= piece.length;
        if (queued < RESUME_BYTES && response.isPaused()) response.resume();
        return Promise.resolve({ done: false, value: piece });
      }
      if (ended) return Promise.resolve(DONE);
      if (failure) return Promise.reject(failure);
      return new Promise((resolve, reject) => {
        waiter = { resolve, reject };
      });
    },
    return() {
      onCancel();
      return Promise.resolve(DONE);
    },
  };

  function pour(sink: BodySink): Promise<void> | null {
    if (ended || failure) return null;
    const take = (taken: number) => {
      bytes += taken;
      return sink.take(taken);
    };
    const reading = readDirectly(response, { room: () => sink.room(), take }, bytes);
    if (!reading) return null;
    direct = reading;
    response.off('data', onData);
    waiter = { resolve: () => reading.handleEnd(), reject: reading.fail };
    // They are counted when the sink takes them.
    bytes -= queued;
    queued = 0;
    reading.start(queue.splice(0));
    return reading.done;
  }

  return {
    body: { [Symbol.asyncIterator]: () => iterator, pour },
    get wanting() {
      return direct ? !direct.waits : !response.isPaused();
    },
    get bytes() {
      return bytes;
    },
    fail(error) {
      failure ??= error;
      waiter?.reject(error);
      waiter = null;
    },
  };
}

const DONE: IteratorResult<Uint8Array> = { done: true, value: undefined };
/** Enough to keep the socket busy while the consumer hashes or writes. */
const MOST_QUEUED_BYTES = 1024 * 1024;
const RESUME_BYTES = 256 * 1024;
