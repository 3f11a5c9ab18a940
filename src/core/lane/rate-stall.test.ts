import assert from 'node:assert/strict';
import test from 'node:test';
import { Stall } from './rate-stall.ts';
import { RateState } from './rate-state.ts';

const PACKET_BYTES = 1345;
const RTT_US = 200_000;

function stalled(mbit: number): (afterMs: number) => number {
  const state = new RateState({ nowUs: 0, policy: { kind: 'fair' }, packetBytes: PACKET_BYTES, rttUs: RTT_US });
  state.rate = (mbit * 1e6) / 8;
  const stall = new Stall();
  stall.begin(0, state);
  return (afterMs) => stall.rate(afterMs * 1000, state) / PACKET_BYTES;
}

test('a silence halves the rate each round trip, from all of it', () => {
  const packets = stalled(100);
  const whole = 12.5e6 / PACKET_BYTES;
  assert.ok(Math.abs(packets(0) - whole) < 1);
  assert.ok(Math.abs(packets(200) - whole / 2) < 1);
  assert.ok(Math.abs(packets(600) - whole / 8) < 1);
});

test('for four seconds a sixteenth goes on, of a fast path 137 packets a second; then 17 find the path again', () => {
  assert.ok(Math.abs(stalled(100)(3900) - 137) < 0.1);
  assert.ok(Math.abs(stalled(10)(3900) - 1.25e6 / 16 / PACKET_BYTES) < 0.1);
  for (const mbit of [1, 10, 100]) assert.ok(Math.abs(stalled(mbit)(4100) - 17.3) < 0.1);
});
