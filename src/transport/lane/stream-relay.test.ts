import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { LaneEvent } from '../../core/lane/contract.ts';
import type { DrivenLane } from './driven-lane.ts';
import { StreamRelay } from './stream-relay.ts';
import { DATA, ENDED, type FromThread, ITEM_VALUES, SENT } from './thread-messages.ts';

const MS = 1000;
const BLOCK_BYTES = 131_840;

describe('what the relay tells the main thread', () => {
  const lane = { expectsMore: true, sendableBytes: 0 };
  const driven = { key: 1, lane, abandoned: new Set<number>() } as unknown as DrivenLane;
  let told: number[][];
  let relay: StreamRelay;

  beforeEach(() => {
    told = [];
    lane.expectsMore = true;
    lane.sendableBytes = 0;
    const post = (message: FromThread): void => {
      const { items } = message as Extract<FromThread, { op: 'streams' }>;
      told.push(items.filter((_, i) => i % ITEM_VALUES === 0) as number[]);
    };
    relay = new StreamRelay(new Map(), post, () => assert.fail('no defect is expected'));
  });

  const happen = (...events: LaneEvent[]): void => {
    for (const event of events) relay.handleEvent(driven, event as Extract<LaneEvent, { id: number }>);
  };
  const data = (bytes: number): LaneEvent => ({ type: 'data', id: 4, bytes: new Uint8Array(bytes), exclusive: true });

  it('is content in bulk, several blocks at a time', () => {
    happen(data(BLOCK_BYTES));
    assert.equal(relay.flush(0, false), 20 * MS);
    happen({ type: 'sent', id: 6, bytes: 1000 });
    assert.equal(relay.flush(5 * MS, false), 20 * MS);
    happen(data(BLOCK_BYTES));
    assert.equal(relay.flush(10 * MS, false), Infinity);
    assert.deepEqual(told, [[DATA, SENT, DATA]]);
  });

  it('waits for no more than 20 ms', () => {
    happen(data(BLOCK_BYTES));
    relay.flush(0, false);
    relay.flush(20 * MS - 1, false);
    assert.deepEqual(told, []);
    assert.equal(relay.flush(20 * MS, false), Infinity);
    assert.deepEqual(told, [[DATA]]);
    // The next is held from its own beginning.
    happen(data(BLOCK_BYTES));
    assert.equal(relay.flush(25 * MS, false), 45 * MS);
  });

  it('waits twice as long when it is of what was sent, and there is much to send', () => {
    const sent: LaneEvent = { type: 'sent', id: 6, bytes: 256 * 1024 };
    lane.sendableBytes = 2 << 20;
    happen(sent);
    assert.equal(relay.flush(0, false), 40 * MS);
    lane.sendableBytes = 1 << 20;
    happen(sent);
    assert.equal(relay.flush(0, false), Infinity);
    lane.sendableBytes = 2 << 20;
    happen(sent, sent);
    assert.equal(relay.flush(0, false), Infinity);
    assert.deepEqual(told, [
      [SENT, SENT],
      [SENT, SENT],
    ]);
    happen(sent, data(BLOCK_BYTES));
    assert.equal(relay.flush(0, false), Infinity, 'content does not wait for so long');
  });

  it('does not wait when somebody may be waiting for it', () => {
    happen(data(BLOCK_BYTES), data(300));
    relay.flush(0, false);
    happen(data(BLOCK_BYTES), { type: 'end', id: 4 });
    relay.flush(0, false);
    happen(data(BLOCK_BYTES));
    relay.flush(0, true);
    lane.expectsMore = false;
    happen(data(BLOCK_BYTES));
    relay.flush(0, false);
    assert.deepEqual(told, [[DATA, DATA], [DATA, ENDED], [DATA], [DATA]]);
  });
});
