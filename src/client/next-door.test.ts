import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TransferOptions } from './contract.ts';
import { createFlow as createGetFlow } from './get/flow.ts';
import type { FlowPath } from './lane-flow.ts';
import { createFlow as createPutFlow } from './put/flow.ts';

for (const [name, createFlow] of [
  ['put', createPutFlow],
  ['get', createGetFlow],
] as const) {
  describe(`the flow of ${name}`, () => {
    const streams = (rttMs: number | null, parallel?: number) =>
      createFlow(parallel === undefined ? {} : { parallel }, () => ({ rttMs })).streams;

    it('is one stream next door, where the machines are what is slow', () => {
      assert.equal(streams(0.3), 1);
    });

    it('is several further away, and as long as nothing is known', () => {
      assert.ok(streams(20) > 1);
      assert.ok(streams(null) > 1);
    });

    it('is what the user says', () => {
      assert.equal(streams(0.3, 5), 5);
    });
  });
}

describe('what a put hands over at once', () => {
  const far = { rttMs: 20 };
  const lane = { ...far, lane: { paths: [] } as unknown as NonNullable<FlowPath['lane']> };

  it('fills memory of a lane, however small the requests are', () => {
    for (const chunkBytes of [undefined, 65_536]) {
      const flow = createPutFlow(chunkBytes === undefined ? {} : { chunkBytes }, () => lane);
      assert.equal(flow.sliceBytes, 256 * 1024);
      assert.equal(flow.pieceBytes, 256 * 1024);
    }
  });

  it('is a part of a request over HTTPS', () => {
    assert.equal(createPutFlow({ chunkBytes: 262_144 }, () => far).sliceBytes, 65_536);
  });
});

describe('the next run of a get', () => {
  const overlap = (rttMs: number, options: TransferOptions = {}) => createGetFlow(options, () => ({ rttMs })).overlapBytes;

  it('is asked for before the end of the one before only where that is the only one', () => {
    assert.ok(overlap(0.3) > 0);
    assert.equal(overlap(20), 0);
    assert.equal(overlap(0.3, { parallel: 5 }), 0);
  });

  it('is not asked for early where a rate is set', () => {
    assert.equal(overlap(0.3, { limitRateBytesPerSecond: 1e6 }), 0);
  });
});
