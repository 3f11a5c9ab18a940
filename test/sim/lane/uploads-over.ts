/** An upload over a simulated lane as `put` makes it: a few questions, then requests with content, each answered when all of it is there. */
import { createSpread, LANE_STREAMS, laneChunkBytes, MOST_LANE_REQUESTS } from '../../../src/client/lane-flow.ts';
import type { LaneEvent } from '../../../src/core/lane/contract.ts';
import type { LanePair } from './pair.ts';

export interface Upload {
  /** Instants at which the client was told that a request's bytes are safe. */
  readonly safeUs: readonly number[];
  readonly safeBytes: number;
}

/** Begins it; it goes on as the pair is run. `bytes`: Infinity for one without an end. */
export function upload(pair: LanePair, bytes: number): Upload {
  const { client, server, net } = pair;
  const spread = createSpread();
  const begun = { safeUs: [] as number[], safeBytes: 0 };
  /** Of each stream: the request's bytes, those that have yet to leave, to arrive, and to be answered. */
  const streams = new Map<number, { bytes: number; unsent: number; missing: number; unanswered: number }>();
  const idle: number[] = [];
  let [left, sending, waiting, questions] = [bytes, 0, 0, QUESTIONS];
  server.keep = client.keep = false;

  function ask(size: number): void {
    const id = idle.pop() ?? client.lane.openStream();
    streams.set(id, { bytes: size, unsent: size, missing: size, unanswered: ANSWER_BYTES });
    sending++;
    client.lane.write(id, new Uint8Array(size));
  }

  function send(): void {
    while (left > 0 && sending < LANE_STREAMS && sending + waiting < MOST_LANE_REQUESTS) {
      const size = Math.min(left, spread(laneChunkBytes(client.lane.snapshot(client.host.clockUs))));
      left -= size;
      ask(size);
    }
  }

  server.onEvent = (event: LaneEvent) => {
    const stream = event.type === 'data' ? streams.get(event.id) : undefined;
    if (event.type !== 'data' || !stream) return;
    stream.missing -= event.bytes.length;
    if (stream.missing === 0) server.lane.write(event.id, new Uint8Array(ANSWER_BYTES));
  };

  client.onEvent = (event: LaneEvent) => {
    const stream = event.type === 'data' || event.type === 'sent' ? streams.get(event.id) : undefined;
    if (!stream || (event.type !== 'data' && event.type !== 'sent')) return;
    if (event.type === 'sent') {
      stream.unsent -= event.bytes;
      if (stream.unsent > 0) return;
      sending--;
      waiting++;
    } else {
      stream.unanswered -= event.bytes.length;
      if (stream.unanswered > 0) return;
      waiting--;
      idle.push(event.id);
      if (questions > 0) questions--;
      else {
        begun.safeUs.push(net.nowUs);
        begun.safeBytes += stream.bytes;
      }
    }
    if (questions === 0) send();
  };

  for (let i = 0; i < QUESTIONS; i++) ask(500);
  client.pump();
  return begun;
}

const QUESTIONS = 4;
const ANSWER_BYTES = 400;
