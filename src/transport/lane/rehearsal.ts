/**
 * A short transfer between two lanes in memory. While the answer to a hello is on its way, the thread has nothing to do; code that
 * runs for the first time takes many times as long as later, and would make those of the real lane late.
 */
import type { createLane } from '../../core/lane/connection.ts';
import { newHeader, readHeader } from '../../core/lane/wire.ts';
import { peerAddress } from './address.ts';
import { ConnectionIds } from './connection-ids.ts';
import { DrivenLane } from './driven-lane.ts';
import { NativeMemory } from './native.ts';
import { type DatagramPort, OutgoingBatch, type ReceivedDatagram, slotStart } from './port.ts';
import { createProtection } from './protection.ts';

/** Returns the bytes that arrived: all, or there is a defect. Nothing leaves the process. */
export function rehearse(make: typeof createLane, random: () => number): number {
  let nowUs = 0;
  const ids = new ConnectionIds<DrivenLane>();
  const batch = new OutgoingBatch();
  const header = newHeader();
  const memory = new NativeMemory(batch.memory.bytes.length);
  const address = peerAddress('127.0.0.1', 1);
  const datagram: ReceivedDatagram = { memory, at: 0, bytes: 0, source: address, arrivedUs: 0 };
  const port: DatagramPort = {
    port: 1,
    family: 4,
    method: 'mmsg',
    hint: null,
    fd: -1,
    receive: () => 0,
    send(sending, from, to) {
      for (let slot = from; slot < to; slot++) {
        datagram.at = slotStart(slot);
        datagram.bytes = sending.bytes[slot] as number;
        datagram.arrivedUs = nowUs;
        memory.bytes.set(sending.memory.bytes.subarray(datagram.at, datagram.at + datagram.bytes), datagram.at);
        if (!readHeader(memory.bytes.subarray(datagram.at, datagram.at + datagram.bytes), header)) continue;
        const entry = ids.find(header.idHigh, header.idLow);
        entry?.owner.handleDatagram(nowUs, header, entry.pathId, datagram, port);
      }
    },
    close: () => undefined,
  };
  const end = (role: 'client' | 'server'): DrivenLane =>
    new DrivenLane({
      key: 0,
      laneId: 'rehearsal',
      role,
      lane: make({
        nowUs,
        role,
        policy: { kind: 'fair' },
        wallClockUs: 0,
        random,
        copy: (to, at, from, start, stop) => to.set(from.subarray(start, stop), at),
      }),
      protection: createProtection({ role, suite: 'aes-128-gcm', secret: new Uint8Array(32), clientRandom: new Uint8Array(32) }),
      maxPaths: 1,
      ids,
      trace: { add() {}, recent: () => [], flush() {}, close() {} },
      idleUs: 1e9,
      nowUs,
    });
  const [client, server] = [end('client'), end('server')];
  client.addPath(nowUs, 0, port, address, { validated: true, opened: true, rttUs: 1000, cachedBytesPerSecond: 100e6 });
  const stream = client.lane.openStream();
  client.lane.write(stream, new Uint8Array(CONTENT_BYTES));
  client.lane.end(stream);
  let arrived = 0;
  let ended = false;
  for (; nowUs < MOST_US && !ended; nowUs += STEP_US) {
    for (const driven of [client, server]) {
      driven.handleTimer(nowUs);
      driven.transmit(nowUs, batch, MOST_PACKETS);
      batch.flush();
      for (let event = driven.pollEvent(); event !== null; event = driven.pollEvent()) {
        if (event.type === 'data') {
          arrived += event.bytes.length;
          driven.lane.consumed(event.id, event.bytes.length);
        } else if (event.type === 'end') ended = true;
      }
      driven.nextWakeUs(nowUs);
    }
  }
  for (const driven of [client, server]) driven.free();
  return arrived;
}

export const CONTENT_BYTES = 64 * 1024;
const STEP_US = 500;
const MOST_US = 100_000;
const MOST_PACKETS = 64;
