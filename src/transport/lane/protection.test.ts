import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HEADER_BYTES, TAG_BYTES } from '../../core/lane/contract.ts';
import { NativeMemory } from './native.ts';
import { createProtection, type Protection, type SealedPacket } from './protection.ts';

const PLAIN = 50;
const secret = new Uint8Array(32).fill(1);
const clientRandom = new Uint8Array(32).fill(2);

function pair(packetsPerPhase = 4): { client: Protection; server: Protection } {
  const common = { suite: 'aes-128-gcm', secret, clientRandom, packetsPerPhase } as const;
  return { client: createProtection({ ...common, role: 'client' }), server: createProtection({ ...common, role: 'server' }) };
}

/** A packet as it goes over the wire, which can be delivered any number of times. */
function sealed(by: Protection, packetNumber: number, nowUs = 0): () => SealedPacket {
  const keyPhase = by.sendPhase(nowUs);
  const memory = new NativeMemory(256);
  memory.bytes.fill(packetNumber, HEADER_BYTES, HEADER_BYTES + PLAIN);
  by.seal(memory, 0, PLAIN, 0, 0, packetNumber);
  const wire = memory.bytes.slice();
  return () => {
    memory.bytes.set(wire);
    return { memory, at: 0, bytes: HEADER_BYTES + PLAIN + TAG_BYTES, keyPhase, pathId: 0, kind: 0, packetNumber };
  };
}

/** Both hear each other once, so that each may change its keys. */
function greet(client: Protection, server: Protection, packetNumber: number): void {
  assert.ok(server.open(sealed(client, packetNumber)(), 0));
  assert.ok(client.open(sealed(server, packetNumber)(), 0));
}

describe('protection of a lane', () => {
  it('changes keys after so many packets, and the other end follows', () => {
    const { client, server } = pair();
    greet(client, server, 0);
    const phases: boolean[] = [];
    for (let number = 1; number < 30; number++) {
      const atUs = number * 2e6;
      const packet = sealed(client, number, atUs)();
      phases.push(packet.keyPhase);
      assert.ok(server.open(packet, atUs), `packet ${number}`);
      assert.ok(client.open(sealed(server, number, atUs)(), atUs));
    }
    const changes = phases.filter((phase, i) => i > 0 && phase !== phases[i - 1]).length;
    assert.ok(changes >= 5, `${changes} changes`);
  });

  it('does not change keys so fast that the receiver would mistake the next key for the former one', () => {
    const { client, server } = pair();
    greet(client, server, 0);
    for (let number = 1; number < 100; number++) {
      const atUs = number * 1000;
      assert.ok(server.open(sealed(client, number, atUs)(), atUs), `packet ${number}`);
      assert.ok(client.open(sealed(server, number, atUs)(), atUs));
    }
  });

  it('changes keys after an hour', () => {
    const { client, server } = pair(1000);
    assert.equal(client.sendPhase(0), false);
    greet(client, server, 0);
    assert.equal(client.sendPhase(3599e6), false);
    assert.equal(client.sendPhase(3600e6), true);
  });

  it('does not change keys again before it has heard the peer', () => {
    const { client } = pair();
    for (let number = 0; number < 20; number++) assert.equal(sealed(client, number)().keyPhase, false);
  });

  it('takes packets of the former phase a little longer, and not for ever', () => {
    const { client, server } = pair();
    greet(client, server, 0);
    const late = sealed(client, 1, 0);
    for (let number = 2; number < 6; number++) assert.ok(server.open(sealed(client, number, 10e6)(), 10e6));
    assert.ok(server.open(late(), 10e6), 'soon after');
    assert.ok(server.open(late(), 14e6), 'four seconds after');
    assert.equal(server.open(late(), 14e6 + 1), false, 'later');
    // It was tried with the next phase's key, and must not have begun it.
    assert.ok(server.open(sealed(client, 6, 15e6)(), 15e6));
  });

  it('is not moved by a forged packet with the other bit', () => {
    const { client, server } = pair(1000);
    greet(client, server, 0);
    for (let i = 0; i < 3; i++) assert.equal(server.open({ ...sealed(client, 1)(), keyPhase: true }, 0), false);
    assert.equal(server.failures, 3);
    assert.ok(server.open(sealed(client, 2)(), 0));
  });

  it('does not open what it sealed itself', () => {
    const { client } = pair();
    assert.equal(client.open(sealed(client, 0)(), 0), false);
  });

  it('sends with the ids that the other end looks for', () => {
    const { client, server } = pair();
    for (const path of [0, 1, 9]) {
      assert.deepEqual(client.sendId(path), server.receiveId(path));
      assert.deepEqual(server.sendId(path), client.receiveId(path));
      assert.notDeepEqual(client.sendId(path), client.receiveId(path));
    }
  });
});
