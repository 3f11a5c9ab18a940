import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  DATA_PACKET_BYTES,
  HEADER_BYTES,
  type Lane,
  type LaneEvent,
  type PathOptions,
  type ReceivedPacket,
  TAG_BYTES,
  type Transmit,
} from '../../core/lane/contract.ts';
import { newHeader, readHeader } from '../../core/lane/wire.ts';
import { peerAddress } from './address.ts';
import { ConnectionIds } from './connection-ids.ts';
import { DrivenLane } from './driven-lane.ts';
import { type DatagramPort, OutgoingBatch, slotStart } from './port.ts';
import { createProtection } from './protection.ts';

/** A Lane that notes what it is told, and sends what it is given. */
class ScriptedLane {
  readonly calls: string[] = [];
  readonly toSend: (Partial<Transmit> & { packetNumber: number })[] = [];
  readonly events: LaneEvent[] = [];
  readonly transmit: Transmit = {
    pathId: 0,
    kind: 'data',
    packetNumber: 0,
    bytes: 0,
    ackNow: false,
    probe: false,
    toCandidate: false,
  };
  times: number[] = [];

  handlePacket(nowUs: number, packet: ReceivedPacket): void {
    this.times.push(nowUs);
    const { pathId, kind, packetNumber, plain, datagramBytes, ackNow, moved, fromCandidate } = packet;
    const flags = `${ackNow ? ' ackNow' : ''}${moved ? ' moved' : ''}${fromCandidate ? ' fromCandidate' : ''}`;
    this.calls.push(`${kind} ${pathId}/${packetNumber} ${Buffer.from(plain)} ${datagramBytes}${flags}`);
  }

  pollTransmit(nowUs: number, out: Uint8Array): boolean {
    this.times.push(nowUs);
    const next = this.toSend.shift();
    if (!next) return false;
    const bytes = Buffer.from(`packet ${next.packetNumber}`);
    out.set(bytes);
    Object.assign(
      this.transmit,
      { pathId: 0, kind: 'data', ackNow: false, probe: false, toCandidate: false },
      { bytes: bytes.length },
      next,
    );
    return true;
  }

  pollEvent(): LaneEvent | null {
    return this.events.shift() ?? null;
  }

  addPath(nowUs: number, pathId: number, { validated, cachedBytesPerSecond, cachedRttUs }: PathOptions): void {
    this.times.push(nowUs);
    const remembered = cachedBytesPerSecond === undefined ? '' : ` ${cachedBytesPerSecond} at ${cachedRttUs}`;
    this.calls.push(`path ${pathId}${validated ? ' validated' : ''}${remembered}`);
  }

  close(_nowUs: number, reason: string): void {
    this.calls.push(`close: ${reason}`);
  }
}

const port = { port: 1, family: 4, method: 'dgram', hint: null, fd: -1 } as unknown as DatagramPort;
const home = peerAddress('192.0.2.1', 1000);
const away = peerAddress('192.0.2.1', 2000);

interface End {
  readonly driven: DrivenLane;
  readonly lane: ScriptedLane;
  readonly ids: ConnectionIds<DrivenLane>;
  /** Bytes of the packets that the lane wants to send, as datagrams, and where they go. */
  send(...packets: (Partial<Transmit> & { packetNumber: number })[]): { bytes: Uint8Array; to: number }[];
  receive(bytes: Uint8Array, from?: typeof home, arrivedUs?: number): boolean;
}

function end(role: 'client' | 'server'): End {
  const lane = new ScriptedLane();
  const ids = new ConnectionIds<DrivenLane>();
  const secrets = { secret: new Uint8Array(32).fill(5), clientRandom: new Uint8Array(32).fill(6) };
  const driven = new DrivenLane({
    key: 1,
    laneId: 'lane',
    role,
    lane: lane as unknown as Lane,
    protection: createProtection({ role, suite: 'aes-128-gcm', ...secrets }),
    maxPaths: 2,
    ids,
    trace: { add() {}, recent: () => [], flush() {}, close() {} },
    idleUs: 1e9,
    nowUs: 0,
  });
  const header = newHeader();
  const incoming = new OutgoingBatch().memory;
  return {
    driven,
    lane,
    ids,
    send(...packets) {
      lane.toSend.push(...packets);
      const batch = new OutgoingBatch();
      driven.transmit(0, batch, 100);
      return Array.from({ length: batch.count }, (_, slot) => ({
        bytes: batch.memory.bytes.slice(slotStart(slot), slotStart(slot) + batch.bytes[slot]!),
        to: batch.addresses[slot]!.port,
      }));
    },
    receive(bytes, from = home, arrivedUs = 0) {
      incoming.bytes.set(bytes, 100);
      if (!readHeader(incoming.bytes.subarray(100, 100 + bytes.length), header)) return false;
      const entry = ids.find(header.idHigh, header.idLow);
      if (!entry) return false;
      const datagram = { memory: incoming, at: 100, bytes: bytes.length, source: from, arrivedUs };
      return entry.owner.handleDatagram(arrivedUs, header, entry.pathId, datagram, port);
    },
  };
}

function pair(): { client: End; server: End } {
  const client = end('client');
  const server = end('server');
  client.driven.addPath(0, 0, port, home, { validated: true });
  return { client, server };
}

describe('a driven lane', () => {
  it('takes on the other side what it sent on one', () => {
    const { client, server } = pair();
    const [a, b] = client.send({ packetNumber: 0, kind: 'control' }, { packetNumber: 7, ackNow: true });
    assert.ok(server.receive(a!.bytes));
    assert.ok(server.receive(b!.bytes));
    assert.deepEqual(server.lane.calls, ['path 0', 'control 0/0 packet 0 37', 'data 0/7 packet 7 37 ackNow']);
    const [c] = server.send({ packetNumber: 3 });
    assert.ok(client.receive(c!.bytes));
    assert.deepEqual(client.lane.calls, ['path 0 validated', 'data 0/3 packet 3 37']);
  });

  it('tells its first path, and no other, what the client says of an earlier lane', () => {
    const { client, server } = pair();
    server.driven.remembered = { cachedBytesPerSecond: 5e6, cachedRttUs: 40_000 };
    client.driven.addPath(0, 1, port, home, { validated: true });
    for (const pathId of [1, 0]) assert.ok(server.receive(client.send({ pathId, packetNumber: 0 })[0]!.bytes));
    assert.deepEqual(
      server.lane.calls.filter((call) => call.startsWith('path')),
      ['path 1', 'path 0 5000000 at 40000'],
    );
  });

  it('is changed by no packet with any bit changed', () => {
    const { client, server } = pair();
    const [packet] = client.send({ packetNumber: 0 });
    for (let bit = 0; bit < packet!.bytes.length * 8; bit++) {
      const tampered = packet!.bytes.slice();
      tampered[bit >> 3]! ^= 1 << (bit & 7);
      assert.equal(server.receive(tampered, away), false, `bit ${bit}`);
    }
    assert.deepEqual(server.lane.calls, []);
    assert.equal(server.driven.heard, false);
    assert.equal(server.driven.paths.size, 0);
    assert.ok(server.receive(packet!.bytes));
    assert.deepEqual(server.lane.calls, ['path 0', 'data 0/0 packet 0 37']);
  });

  it('takes a control packet once, and leaves copies of data packets to the lane', () => {
    const { client, server } = pair();
    const [control, data] = client.send({ packetNumber: 5, kind: 'control' }, { packetNumber: 5 });
    assert.ok(server.receive(control!.bytes));
    assert.equal(server.receive(control!.bytes, away), false);
    assert.equal(server.driven.replayedPackets, 1);
    assert.ok(server.receive(data!.bytes));
    assert.ok(server.receive(data!.bytes));
    assert.equal(server.lane.calls.length, 4);
  });

  it('follows the newest packet to a new address only when the lane says so', () => {
    const { client, server } = pair();
    const sent = client.send(...[1, 2, 3, 4, 5].map((packetNumber) => ({ packetNumber })));
    server.receive(sent[2]!.bytes, home);
    // Older than what came from home: an attacker's copy, or a packet that took a longer way.
    server.receive(sent[1]!.bytes, away);
    server.receive(sent[3]!.bytes, away);
    server.receive(sent[4]!.bytes, away);
    assert.deepEqual(
      server.lane.calls.map((call) => call.split(' ').slice(5).join(' ')),
      ['', '', '', 'moved', 'fromCandidate'],
    );
    const [usual, probing] = server.send({ packetNumber: 1 }, { packetNumber: 2, toCandidate: true });
    assert.deepEqual([usual!.to, probing!.to], [1000, 2000]);
    server.lane.events.push({ type: 'moved', pathId: 0 });
    server.driven.pollEvent();
    const [after] = server.send({ packetNumber: 3 });
    assert.equal(after!.to, 2000);
    server.receive(client.send({ packetNumber: 6 })[0]!.bytes, away);
    assert.equal(server.lane.calls.at(-1), 'data 0/6 packet 6 37');
  });

  it('keeps packet numbers beyond 32 bits', () => {
    const { client, server } = pair();
    const first = 2 ** 32 - 2;
    const numbers = [0, 2 ** 30, 2 ** 31 + 1000, 3 * 2 ** 30, first, first + 1, first + 2, first + 3];
    for (const packetNumber of numbers) assert.ok(server.receive(client.send({ packetNumber })[0]!.bytes), `${packetNumber}`);
    assert.equal(server.lane.calls.at(-1), `data 0/${first + 3} packet ${first + 3} 46`);
  });

  it('lets time not go back, whenever a packet is said to have come', () => {
    const { client, server } = pair();
    const [a, b] = client.send({ packetNumber: 0 }, { packetNumber: 1 });
    server.receive(a!.bytes, home, 5000);
    server.receive(b!.bytes, home, 4000);
    assert.deepEqual(server.lane.times, [5000, 5000, 5000]);
  });

  it('sends on every way until one answers, and then on that one', () => {
    const { client, server } = pair();
    const other = { ...port, port: 2 } as DatagramPort;
    const path = client.driven.paths.get(0)!;
    path.alternatives.push({ port: other, address: away });
    const greeting = client.send({ packetNumber: 0, kind: 'control' });
    assert.deepEqual(
      greeting.map(({ to }) => to),
      [1000, 2000],
    );
    assert.deepEqual(greeting[0]!.bytes, greeting[1]!.bytes);
    server.receive(greeting[1]!.bytes);
    // Of full size: a way that lets only small packets through is none.
    const [answer] = server.send({ packetNumber: 0, bytes: DATA_PACKET_BYTES - HEADER_BYTES - TAG_BYTES });
    const header = newHeader();
    const memory = new OutgoingBatch().memory;
    memory.bytes.set(answer!.bytes);
    readHeader(memory.bytes.subarray(0, answer!.bytes.length), header);
    client.driven.handleDatagram(0, header, 0, { memory, at: 0, bytes: answer!.bytes.length, source: away, arrivedUs: 0 }, other);
    assert.match(client.lane.calls.at(-1)!, /^data 0\/0 packet 0/);
    assert.deepEqual(
      client.send({ packetNumber: 1 }).map(({ to }) => to),
      [2000],
    );
    assert.equal(path.port, other);
  });

  it('begins no path at a client, whatever comes', () => {
    const { client, server } = pair();
    server.driven.addPath(0, 1, port, home, { validated: false });
    const [packet] = server.send({ packetNumber: 0, pathId: 1 });
    assert.equal(client.receive(packet!.bytes), false);
    assert.equal(client.driven.paths.size, 1);
  });

  it('is not found any more when it is freed', () => {
    const { client, server } = pair();
    const [packet] = client.send({ packetNumber: 0 });
    server.driven.free();
    assert.equal(server.receive(packet!.bytes), false);
  });
});
