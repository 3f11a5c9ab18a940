import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { LaneSnapshot } from '../core/lane/contract.ts';
import { addTotals, laneMetrics, noTotals } from './metrics.ts';

const snapshot = (sent: number): LaneSnapshot =>
  ({
    paths: [
      {
        state: 'active',
        sentPackets: sent,
        lostPackets: 1,
        receivedPackets: 2,
        sentBytes: 10,
        rateBytesPerSecond: 5.4,
        goodputBytesPerSecond: 4,
      },
    ],
    receivedBytes: 7,
    symbols: { source: 3, again: 1, repair: 2, useless: 0 },
    blocks: { sent: 1, received: 4, decodedWithRepair: 1 },
  }) as unknown as LaneSnapshot;

it('counters go on when a lane has closed', () => {
  const closed = noTotals();
  addTotals(closed, snapshot(100));
  const text = laneMetrics([snapshot(11), null], 3, closed, 1234.4);
  assert.match(text, /^hawser_lane_packets_total\{what="sent"\} 111$/m);
  assert.match(text, /^hawser_lanes_open 2$/m);
  assert.match(text, /^hawser_lane_lag_microseconds 1234$/m);
  assert.match(text, /^hawser_lanes_opened_total 3$/m);
  assert.match(text, /^hawser_lane_paths\{state="active"\} 1$/m);
});

it('every line is a comment or a sample with a whole number', () => {
  for (const line of laneMetrics([], 0, noTotals(), 0).trimEnd().split('\n'))
    assert.match(line, /^(# (HELP|TYPE) hawser_[a-z_]+ .+|hawser_[a-z_]+(\{[a-z]+="[a-z]+"\})? \d+)$/);
});
