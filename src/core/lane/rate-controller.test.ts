import assert from 'node:assert/strict';
import test from 'node:test';
import { PacketLog } from './packet-log.ts';
import { RateController } from './rate-controller.ts';

const PACKET_BYTES = 1345;
const RTT_US = 100_000;
/** Half of 100 Mbit/s. */
const TRAIN = 6.25e6;

/** Of a lane that a hello opened, to a server that 100 Mbit/s were reached to before. */
function remembering() {
  const log = new PacketLog();
  const controller = new RateController({
    nowUs: 0,
    log,
    policy: { kind: 'fair' },
    packetBytes: PACKET_BYTES,
    rttUs: RTT_US,
    rttIs: 'measured',
    wallClockUs: 0,
    cachedBytesPerSecond: 12.5e6,
  });
  return {
    controller,
    send(atMs: number, packets = 1) {
      for (let i = 0; i < packets; i++) controller.handleSent(log.add(atMs * 1000, PACKET_BYTES), atMs * 1000);
      return controller.rateBytesPerSecond(atMs * 1000 + 1);
    },
  };
}

test('a train begins with its first packet, however long a lane takes to be set up', () => {
  const { controller, send } = remembering();
  assert.ok(Math.abs(send(30) - TRAIN) < 1);
  // It lasts for 12 ms.
  assert.ok(controller.rateBytesPerSecond(41_000) > 0.99 * TRAIN);
  assert.ok(controller.rateBytesPerSecond(43_000) < 0.1 * TRAIN);
});

test('a train that was over before it had enough packets to tell anything begins anew, and one that had does not', () => {
  for (const [packets, expected] of [
    [5, TRAIN],
    [15, TRAIN],
    [17, 0],
  ] as const) {
    const { controller, send } = remembering();
    send(30, packets);
    const rate = send(60);
    if (expected > 0) assert.ok(Math.abs(rate - expected) < 1, `${packets} packets: ${rate}`);
    else assert.ok(rate < 0.1 * TRAIN, `${packets} packets: ${rate}`);
    assert.equal(controller.mode, 'ramp');
  }
});
