import assert from 'node:assert/strict';
import test from 'node:test';
import { PacketLog } from './packet-log.ts';
import { takeEvidence } from './rate-evidence.ts';
import { IntervalMeter } from './rate-measure.ts';
import { beginInterval, type Plan, RateState, STEADY, TRAIN } from './rate-state.ts';

const MEGABYTE = 1e6;

/** What the path is said to carry after 12 MB/s were seen before, and 9 now at 12 sent; the queue grew by so much meanwhile. */
function carried(grewUs: number, plan = STEADY): number {
  const state = new RateState({ nowUs: 0, policy: { kind: 'fair' }, packetBytes: 1345, rttUs: 100_000 });
  state.mode = 'cruise';
  state.rate = state.throughput = 12 * MEGABYTE;
  const measured = new IntervalMeter(new PacketLog()).result;
  Object.assign(measured, { packets: 500, received: 500, samples: 50, throughput: 9 * MEGABYTE, deliveryRate: 9 * MEGABYTE });
  Object.assign(measured, { sendRate: 12 * MEGABYTE, leastDelayUs: 60_000, firstDelayUs: 60_000, lastDelayUs: 60_000 + grewUs });
  return takeEvidence(state, 1e6, beginInterval(state, plan, 900_000, 0), measured).throughput;
}

test('a queue that does not grow passes on what is sent, whatever a late receiver makes of the arrivals', () => {
  assert.equal(carried(0), 12 * MEGABYTE);
  assert.equal(carried(-4000), 12 * MEGABYTE);
  assert.equal(carried(5000), 9 * MEGABYTE, 'a queue that grows does not');
  assert.equal(carried(0, TRAIN), 9 * MEGABYTE, 'a train is there to be measured');
});

test('delays of a train that differ by more than a queue can have grown are jitter, however few they are', () => {
  // 10 ms of packets that came out half as fast as they went in grew a queue of 10 ms.
  assert.equal(jitterAfter(TRAIN, 10_000), 0);
  assert.equal(jitterAfter(TRAIN, 42_000), 4000);
  assert.equal(jitterAfter(TRAIN, 42_000, 0.5 * MEGABYTE), 0, 'what arrived was much less');
  assert.equal(jitterAfter(STEADY, 42_000), 0, 'where there is time, it is measured');
});

function jitterAfter(plan: Plan, mostDelayUs: number, deliveryRate = 2 * MEGABYTE): number {
  const state = new RateState({ nowUs: 0, policy: { kind: 'fair' }, packetBytes: 1000, rttUs: 100_000 });
  const measured = new IntervalMeter(new PacketLog()).result;
  Object.assign(measured, { packets: 40, received: 40, samples: 5, throughput: 2 * MEGABYTE, deliveryRate });
  Object.assign(measured, { sendRate: 4 * MEGABYTE, mostDelayUs, jitterUs: Number.NaN });
  takeEvidence(state, 1e6, beginInterval(state, plan, 900_000, 0), measured);
  return state.jitterUs;
}
