import assert from 'node:assert/strict';
import test from 'node:test';
import { decideBlind, decideSteady, decideTrain } from './rate-decisions.ts';
import type { Measurement } from './rate-measure.ts';
import { beginInterval, type Evidence, type Plan, RateState, STEADY, TRAIN } from './rate-state.ts';

const RATE = 10e6 / 8;

function ramping(): RateState {
  const state = new RateState({ nowUs: 0, policy: { kind: 'fair' }, packetBytes: 1345, rttUs: 200_000 });
  state.rate = RATE;
  state.loss.learnPassed(0, 200);
  return state;
}

/** Of packets that came out as fast as they went in, but for the lost ones. */
function evidence(state: RateState, plan: Plan, { packets = 100, lost = 0, runs = 0 }): Evidence {
  const interval = beginInterval(state, plan, 0, 0);
  const sendRate = interval.rate * interval.gain;
  const loss = lost / packets;
  const measured = {
    ...{ packets, lost, runs, loss, sendRate, received: packets - lost, samples: 10, throughput: sendRate },
    ...{ deliveryRate: sendRate * (1 - loss), leastDelayUs: 0, firstDelayUs: 0, lastDelayUs: 0, mostDelayUs: 0 },
    ...{ jitterUs: 0, sampleGapUs: 1000, paused: false },
  } satisfies Measurement;
  const excess = loss > state.loss.rate + 0.1;
  const throughput = excess ? measured.deliveryRate : sendRate;
  const queues = { queueUs: 0, firstQueueUs: 0, leastQueueUs: 0, targetUs: 10_000 };
  return { nowUs: 1e6, interval, measured, throughput, ...queues, sigma: 0.03, margin: 0.1, excess, clear: false };
}

test('a train of the ramp that a burst hit is repeated, twice; one that lost here and there has met a limit', () => {
  const burst = ramping();
  const verdicts = [1, 2, 3].map(() => decideTrain(burst, evidence(burst, TRAIN, { lost: 40, runs: 2 })).verdict);
  assert.deepEqual([...verdicts, burst.mode], ['burst', 'burst', 'fail', 'cruise']);
  const limit = ramping();
  assert.equal(decideTrain(limit, evidence(limit, TRAIN, { lost: 72, runs: 12 })).verdict, 'fail');
});

test('a train of the ramp that was begun before jitter was known is repeated, and longer; one that lost too much is not', () => {
  const state = ramping();
  const failed = evidence(state, TRAIN, {});
  failed.throughput /= 2;
  Object.assign(failed.measured, { throughput: failed.throughput });
  state.jitterUs = 8000;
  assert.equal(decideTrain(state, failed).verdict, 'short');
  const again = beginInterval(state, TRAIN, 0, 0);
  assert.equal(again.endUs, 64_000);
  assert.ok((again.gain - 1) * again.endUs <= 60_000, `${again.gain}`);
  Object.assign(failed.measured, { loss: 0.6, runs: 8, lost: 60 });
  assert.equal(decideTrain(state, failed).verdict, 'fail');
});

test('of a train of the ramp that came out as fast as it went in nothing was a queue', () => {
  const state = ramping();
  state.jitterUs = 8000;
  const carried = evidence(state, TRAIN, {});
  carried.queueUs = 75_000;
  assert.equal(decideTrain(state, carried).verdict, 'pass');
  // At the path's rate a train is long enough to have a beginning of which that is true.
  assert.equal(decideTrain(Object.assign(ramping(), { mode: 'cruise', jitterUs: 8000 }), carried).verdict, 'fail');
});

test('a train that passes gives the next one its repeats back', () => {
  const state = ramping();
  decideTrain(state, evidence(state, TRAIN, { lost: 40, runs: 2 }));
  assert.equal(decideTrain(state, evidence(state, TRAIN, {})).verdict, 'pass');
  assert.equal(state.repeats, 0);
});

test('who suspects its losses leaves the ramp, where nobody would look into them', () => {
  const state = ramping();
  assert.equal(decideSteady(state, evidence(state, STEADY, { lost: 60, runs: 6 })).verdict, 'excess');
  assert.equal(state.mode, 'cruise');
  assert.ok(state.suspicion);
});

test('losses of a train without arrival times teach nothing: they may be its own', () => {
  const [train, steady] = [ramping(), ramping()];
  decideBlind(train, evidence(train, TRAIN, { lost: 8, runs: 2 }));
  decideBlind(steady, evidence(steady, STEADY, { lost: 8, runs: 2 }));
  assert.equal(train.loss.rate, 0);
  assert.ok(steady.loss.rate > 0);
});
