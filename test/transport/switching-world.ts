/** Two transports and a lane to open, as the tests of switching between them want them. */
import type { TestContext } from 'node:test';
import { HawserError } from '../../src/core/errors.ts';
import type { LaneSnapshot } from '../../src/core/lane/contract.ts';
import type { PathInfo, TransportRequest, TransportResponse } from '../../src/transport/contract.ts';
import type { LaneTransport } from '../../src/transport/lane-transport.ts';
import { createSwitchingTransport } from '../../src/transport/switching.ts';

type Asked = { over: string; request: TransportRequest; answer: PromiseWithResolvers<TransportResponse> };

/** Transports whose answers the test gives, and a clock that it moves. */
export function world(
  context: TestContext,
  { rttMs = 50 as number | null, laneOnly = false, isNextDoor = false, expectedRttMs = null as number | null } = {},
) {
  context.mock.timers.enable({ apis: ['setInterval', 'setTimeout'] });
  let now = 0;
  const asked: Asked[] = [];
  const openings: (PromiseWithResolvers<LaneTransport> & { signal: AbortSignal; onAsked?: (() => void) | undefined })[] = [];
  const ask = (over: string) => (request: TransportRequest) => {
    const answer = Promise.withResolvers<TransportResponse>();
    asked.push({ over, request, answer });
    request.signal?.addEventListener('abort', () => answer.reject(new HawserError('interrupted', 'It was asked to stop.')));
    return answer.promise;
  };
  let knownMs = rttMs;
  const info = (transport: string): PathInfo => ({ transport, remote: 'there', httpVersion: '1.1', rttMs: knownMs });
  const switching = createSwitchingTransport({
    https: { request: ask('https'), info: () => info('https'), close() {} },
    openLane: (signal, onAsked) => {
      const opening = { ...Promise.withResolvers<LaneTransport>(), signal, onAsked };
      openings.push(opening);
      return opening.promise;
    },
    laneOnly,
    isNextDoor,
    expectedRttMs,
    nowMs: () => now,
  });
  const transport = {
    ...switching,
    request(request: TransportRequest) {
      const response = switching.request(request);
      // Whoever cares looks later.
      response.catch(() => undefined);
      return response;
    },
  };
  context.after(() => {
    for (const { reject } of openings) reject(new HawserError('interrupted', 'The test is over.'));
    return transport.close();
  });
  return {
    transport,
    asked,
    openings,
    /** A connection came about. */
    connect(afterMs: number) {
      knownMs = afterMs;
    },
    /** Opens the newest lane that was asked for. */
    async grant() {
      let state = 'active';
      const gone = Promise.withResolvers<string>();
      const made = { pulses: 0, closedWith: undefined as HawserError | undefined, closes: 0 };
      const lane: LaneTransport = {
        request: ask('lane'),
        info: () => ({ ...info('lane'), lane: { paths: [{ state }] } as unknown as LaneSnapshot }),
        checkPulse: () => void made.pulses++,
        closed: gone.promise,
        async close(reason) {
          made.closes++;
          made.closedWith = reason;
        },
      };
      openings.at(-1)?.resolve(lane);
      await turn();
      return {
        made,
        setState: (next: string) => {
          state = next;
        },
        async lose(reason: string) {
          gone.resolve(reason);
          await turn();
        },
      };
    },
    async refuse(error: Error) {
      openings.at(-1)?.reject(error);
      await turn();
    },
    pass(ms: number) {
      for (let left = ms; left > 0; left -= 500) {
        now += Math.min(500, left);
        context.mock.timers.tick(Math.min(500, left));
      }
    },
  };
}

export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
export const GET: TransportRequest = { method: 'GET', target: '/' };
const stream = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) };
export const PUT: TransportRequest = { method: 'PUT', target: '/', body: stream };

/** An answer whose body has so many bytes, and then waits for `end` if there is one. */
export function answer(bytes = 0, end?: Promise<void>): TransportResponse {
  async function* body() {
    yield new Uint8Array(bytes);
    await end;
  }
  return { status: 200, headers: {}, body: body(), cancel() {} };
}

export async function read(response: TransportResponse): Promise<number> {
  let bytes = 0;
  for await (const piece of response.body) bytes += piece.length;
  return bytes;
}
